//! Schemas in the form of a CustomResourceDefinition, and the check of documents against them, as the API server does
//! it.

mod check;
mod finish;

pub use check::{ALONE, ANNOTATIONS, CHOICES, Fault, KEPT, LENIENT, OPEN, Rule, check};
#[cfg(test)]
pub use finish::assert_same;
pub use finish::{conditions, embedded, fields_with_format, finished, object_schema};
