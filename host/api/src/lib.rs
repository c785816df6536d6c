//! The resource types: postgresql, OperatorConfiguration, Pipeline.

pub mod config;
pub mod crd;
pub mod document;
pub mod duration;
pub mod pipeline;
pub mod postgresql;
pub mod problem;
mod schema;
pub mod seal;
pub mod validate;

pub use problem::{Problem, Severity};
