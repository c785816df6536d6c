//! What host and plugins share: the grammar of quantities, names, role attributes, durations, schedules and timestamps,
//! and the text of errors.
//!
//! The crate has no dependencies and also builds for `wasm32-unknown-unknown`: what it holds becomes part of a plugin.

pub mod cron;
pub mod duration;
pub mod error;
pub mod name;
pub mod quantity;
pub mod role;
pub mod timestamp;
