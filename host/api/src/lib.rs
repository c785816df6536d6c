//! The resource types: postgresql, OperatorConfiguration, Pipeline.

pub mod duration;
pub mod pipeline;
pub mod problem;
mod schema;

pub use problem::{Problem, Severity};
