//! Tests that bear each other: several run at a time, each in a namespace of its own.

mod adoption;
mod bad_input;
mod changes;
mod copies;
mod examples;
mod failover;
mod features;
mod killed;
mod minimal;
mod plugin_live;
mod repair;
mod rolling;
mod rotation;
mod secrets;
