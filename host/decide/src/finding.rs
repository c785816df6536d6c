//! Findings of every origin in one form, and the sentences that people read.

use pgloom_api::{Finding, ObjectRef, Severity, finding, seal};
use serde_json::Value;

use crate::role;

pub(crate) fn of_role(found: &role::Finding) -> Finding {
    let finding = Finding::error(&found.message);
    Finding {
        severity: match found.severity {
            role::Severity::Warning => Severity::Warning,
            role::Severity::Error => Severity::Error,
        },
        path: found.path.clone(),
        remedy: found.remedy.clone(),
        ..finding
    }
}

/// An existing object that holds what looks like a sealed credential. Whoever wrote it wants a step to copy it to where the
/// host would open it.
pub(crate) fn of_forgery(object: &Value) -> Option<Finding> {
    let path = seal::forged(object)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = format!("{} is the operator's own mark for credentials", seal::PREFIX);
    let object = ObjectRef {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        name: text(&object["metadata"]["name"]),
    };
    Some(Finding::error(message).at(path).of(object).remedy("write the value itself there"))
}

/// A finding about roles or credentials as one sentence.
pub fn role_sentence(found: &role::Finding) -> String {
    of_role(found).to_string()
}

/// The errors among findings, one sentence a line.
pub(crate) fn joined(findings: &[Finding]) -> String {
    finding::errors(findings, "\n")
}
