//! Findings of the pipeline's steps in the form of all findings, and the finding about a forged placeholder.

use pgloom_api::{Finding, ObjectRef, Severity, placeholder};
use serde_json::Value;

/// A finding of a step.
pub(crate) fn of_step(found: pgloom_engine::Finding) -> Finding {
    Finding {
        step: Some(found.step),
        severity: match found.severity {
            pgloom_engine::Severity::Info => Severity::Info,
            pgloom_engine::Severity::Warning => Severity::Warning,
            pgloom_engine::Severity::Error => Severity::Error,
        },
        message: found.message,
        path: found.path,
        object: found.object.map(|object| ObjectRef {
            api_version: object.api_version,
            kind: object.kind,
            name: object.name,
        }),
        remedy: found.remedy,
    }
}

/// An existing object that holds a placeholder of a credential. Its author wants a step to copy the placeholder to a place
/// where the host fills it in.
pub(crate) fn of_forgery(object: &Value) -> Option<Finding> {
    let path = placeholder::forged(object)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = ObjectRef {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        name: text(&object["metadata"]["name"]),
    };
    Some(placeholder::forgery().at(path).of(object).remedy("write the value itself there"))
}
