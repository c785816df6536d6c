//! What host and plugins compute in the same way: grammar (quantities, names, role attributes, durations, schedules,
//! timestamps), the text of errors, and fingerprints.
//!
//! The crate has no dependencies and also builds for `wasm32-unknown-unknown`: what it holds becomes part of a plugin.

pub mod cron;
pub mod duration;
pub mod error;
pub mod fingerprint;
pub mod name;
pub mod quantity;
pub mod role;
pub mod timestamp;
