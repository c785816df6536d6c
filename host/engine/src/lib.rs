//! Loads components, runs them as a pipeline and merges what they contribute; knows no Kubernetes client.
//!
//! The way in is [`Pipeline::load`]; the way through is [`Pipeline::run`]: an [`Input`] becomes a [`Decision`]. Both are
//! plain values, so the operator, `pgloom render`, the conformance harness and every test ask the same question.

mod contract;
mod decision;
mod input;

pub use contract::*;
pub use decision::{Condition, Decision, Desired, Finding, RequestedAction};
pub use input::{ActionRecord, Input};
