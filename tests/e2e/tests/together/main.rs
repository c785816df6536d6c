//! Tests that bear each other: several run at a time, each in a namespace of its own.

mod adoption;
mod archives;
mod authority;
mod bad_input;
mod changes;
mod configured;
mod copies;
mod examples;
mod failover;
mod features;
mod killed;
mod major;
mod minimal;
#[path = "../../../../host/cli/tests/plugin_outside/outside.rs"]
mod outside;
mod plugin_live;
mod pods;
mod record;
mod repair;
mod roles;
mod rolling;
mod rotation;
mod secrets;
mod tls;
mod users;
