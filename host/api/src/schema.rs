//! Schemas as the Kubernetes API wants them, and documents checked against them as the API server would.

mod check;
mod finish;

pub use check::{Fault, Rule, check, matches};
pub use finish::{embedded, finished, object_schema};
