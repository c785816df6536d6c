//! Schemas as the Kubernetes API wants them, and documents checked against them as the API server would.

mod check;
mod finish;

pub use check::check;
pub use finish::{NULL_COUNTS, embedded, finished, object_schema};
