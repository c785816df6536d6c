//! Reports to users: events.

mod event;

pub use event::{Event, Recorder, Warnings, reference};
