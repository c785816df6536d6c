//! The resource types: postgresql, OperatorConfiguration, Pipeline, and the findings that a check of them gives.

pub mod action;
pub mod config;
pub mod crd;
pub mod document;
pub mod field;
pub mod finding;
pub mod pipeline;
pub mod placeholder;
pub mod postgresql;
mod schema;
pub mod suggest;
pub mod validate;

pub use action::{ActionKind, ActionPhase};
pub use finding::{Finding, ObjectRef, Severity};
