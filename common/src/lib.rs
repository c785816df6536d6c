//! Values that host and plugins compute alike: quantities, names.
//!
//! Nothing but `core` and `alloc` by way of `std`: the crate also builds for `wasm32-unknown-unknown`.

pub mod name;
pub mod quantity;
