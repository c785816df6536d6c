//! Schemas as the Kubernetes API wants them, and documents checked against them as the API server would.

mod check;
mod finish;

pub use check::{Fault, Rule, check};
#[cfg(test)]
pub use finish::assert_same;
pub use finish::{conditions, embedded, fields_with_format, finished, object_schema};
