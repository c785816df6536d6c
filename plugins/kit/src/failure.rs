//! The ways in which a plugin says no.

use crate::bindings::contract::{Failure, Finding, Severity};

/// What fallible code of a plugin returns.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The manifest cannot be satisfied: the field, what is the matter, and what the person can do.
pub fn invalid(path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Failure {
    refuse(path.into(), message.into(), remedy.into())
}

#[cold]
fn refuse(path: String, message: String, remedy: String) -> Failure {
    let (path, remedy) = (Some(path), Some(remedy));
    Failure::InvalidManifest(vec![Finding { severity: Severity::Error, message, path, object: None, remedy }])
}

/// The operator configuration or the step's configuration cannot be used.
pub fn invalid_config(message: impl Into<String>) -> Failure {
    Failure::InvalidConfig(message.into())
}

/// The plugin could not do its work.
pub fn internal(message: impl Into<String>) -> Failure {
    Failure::Internal(message.into())
}
