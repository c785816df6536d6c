//! Which of several operators writes: the one that holds the Lease.

pub mod client;
pub mod election;
pub mod fencing;
