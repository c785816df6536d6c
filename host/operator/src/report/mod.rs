//! How the operator reports to people: events.

mod event;

pub use event::{Event, Recorder, Warnings, reference};
