//! Compares what pgloom decides with what the Zalando operator made, as it was recorded on a real API server.
//!
//! Both sides are brought into one form ([`normal`]), then every difference is told by its place ([`difference`]); those
//! that are meant stand in one list with their reasons ([`deviation`]).

pub mod case;
pub mod decided;
pub mod deviation;
pub mod difference;
pub mod document;
pub mod life;
pub mod normal;
