//! The resource types postgresql, PostgresTeam, OperatorConfiguration and Pipeline, their validation, and its findings.

pub mod action;
pub mod config;
pub mod crd;
pub mod document;
pub mod field;
pub mod finding;
pub mod pipeline;
pub mod placeholder;
pub mod pod_template;
pub mod postgres_team;
pub mod postgresql;
pub mod privilege;
mod schema;
pub mod suggest;
pub mod validate;

pub use action::{ActionKind, ActionPhase};
pub use finding::{Finding, ObjectRef, Severity};
pub use privilege::Privilege;
