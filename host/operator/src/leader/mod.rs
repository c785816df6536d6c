//! Which of several operators writes: the one that holds the Lease.

pub mod election;
pub mod fencing;
