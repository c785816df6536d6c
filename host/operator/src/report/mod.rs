//! How the operator tells people: events, and errors with their causes in one line.

mod error_chain;
mod event;

pub use error_chain::{error_chain, root_cause};
pub use event::{Event, Recorder, reference};
