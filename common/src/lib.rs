//! What host and plugins compute in the same way: grammar (quantities, names, role attributes, durations, schedules,
//! timestamps), the defaults of the API server, the folders of certificates, the text of errors and findings,
//! fingerprints, what is seen in place of secret values, and the format of the golden folders of plugins.
//!
//! The crate has no dependencies and also builds for `wasm32-unknown-unknown`: what it holds becomes part of a plugin.

pub mod api_default;
pub mod cron;
pub mod duration;
pub mod error;
pub mod finding;
pub mod fingerprint;
pub mod golden;
pub mod hidden;
pub mod label;
pub mod name;
pub mod quantity;
pub mod role;
pub mod timestamp;
pub mod tls;
