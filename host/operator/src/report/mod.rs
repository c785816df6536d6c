//! Reports to users: events.

mod event;
mod journal;

pub use event::{Event, Recorder, Warnings, reference};
pub use journal::{Entry, Journal};
