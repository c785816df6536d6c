//! What host and plugins compute in the same way: quantities, names, the text of errors.
//!
//! The crate also builds for `wasm32-unknown-unknown`, so it uses nothing of `std` that needs an operating system.

pub mod error;
pub mod name;
pub mod quantity;
