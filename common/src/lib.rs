//! Grammar that host and plugins share: quantities, names, role attributes, durations, schedules, timestamps.
//!
//! The crate has no dependencies and also builds for `wasm32-unknown-unknown`: what it holds becomes part of a plugin.

pub mod cron;
pub mod duration;
pub mod name;
pub mod quantity;
pub mod role;
pub mod timestamp;
