//! Failures: why a call has no answer.

use crate::bindings::contract::{Failure, Finding, Severity};

/// A result whose error is a failure of the call.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The manifest is refused: the path of the field, the problem, and the remedy. The cluster is not changed.
pub fn invalid(path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Failure {
    refuse(path.into(), message.into(), remedy.into())
}

#[cold]
fn refuse(path: String, message: String, remedy: String) -> Failure {
    let (path, remedy) = (Some(path), Some(remedy));
    Failure::InvalidManifest(vec![Finding { severity: Severity::Error, message, path, object: None, remedy }])
}

/// The operator configuration or the step's configuration is refused: the key, the problem, and how to solve it.
pub fn invalid_config(message: impl Into<String>) -> Failure {
    Failure::InvalidConfig(message.into())
}

/// Any other failure: of the pipeline or of the plugin itself.
pub fn internal(message: impl Into<String>) -> Failure {
    Failure::Internal(message.into())
}
