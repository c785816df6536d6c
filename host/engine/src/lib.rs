//! Loads components, runs them as a pipeline and merges what they contribute; knows no Kubernetes client.
//!
//! The way in is [`Pipeline::load`]; the way through is [`Pipeline::run`]: an [`Input`] becomes a [`Decision`]. Both are
//! plain values, so the operator, `pgloom render`, the conformance harness and every test ask the same question.

mod cache;
pub mod call;
pub mod claim;
mod contract;
mod decision;
mod input;
pub mod merge;
mod ownership;
pub mod path;
pub mod pipeline;
pub mod plugin;
mod runtime;
pub mod schema;
mod select;
mod wasi;

pub use contract::*;
pub use decision::{Condition, Decision, Desired, Finding, RequestedAction};
pub use input::{ActionRecord, Input};
pub use pipeline::{LoadError, Pipeline, RunError};
pub use plugin::Plugin;
pub use runtime::{Engine, Error, MEMORY_CEILING, Settings};
pub use select::{NAMED_ONLY, Wanted};
