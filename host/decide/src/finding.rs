//! Findings of every origin in one form, and the sentences that people read.

use std::fmt::Write as _;

use pgloom_api::{Finding as Problem, seal};
use pgloom_engine::{Finding, ObjectRef, Severity};
use serde_json::Value;

use crate::role;

/// The name under which the host's own findings go, beside those of steps.
const HOST: &str = "pgloom";

pub(crate) fn of_problem(problem: &Problem) -> Finding {
    Finding {
        step: HOST.to_owned(),
        severity: if problem.is_error() { Severity::Error } else { Severity::Warning },
        message: problem.message.clone(),
        path: problem.path.clone(),
        object: None,
        remedy: problem.remedy.clone(),
    }
}

pub(crate) fn of_role(found: &role::Finding) -> Finding {
    Finding {
        step: HOST.to_owned(),
        severity: match found.severity {
            role::Severity::Warning => Severity::Warning,
            role::Severity::Error => Severity::Error,
        },
        message: found.message.clone(),
        path: found.path.clone(),
        object: None,
        remedy: found.remedy.clone(),
    }
}

/// An existing object that holds what looks like a sealed credential. Whoever wrote it wants a step to copy it to where the
/// host would open it.
pub(crate) fn of_forgery(object: &Value) -> Option<Finding> {
    let path = seal::forged(object)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(Finding {
        step: HOST.to_owned(),
        severity: Severity::Error,
        message: format!("{} is the operator's own mark for credentials", seal::PREFIX),
        path: Some(path),
        object: Some(ObjectRef {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
        }),
        remedy: Some("write the value itself there".to_owned()),
    })
}

/// A finding as one sentence: the field, the message, the remedy.
pub fn sentence(finding: &Finding) -> String {
    let mut text = String::new();
    if let Some(object) = &finding.object {
        _ = write!(text, "{} {} ", object.kind, object.name);
    }
    if let Some(path) = &finding.path {
        _ = write!(text, "{path}: ");
    }
    text.push_str(&finding.message);
    if let Some(remedy) = &finding.remedy {
        _ = write!(text, "; {remedy}");
    }
    text
}

/// A finding about roles or credentials as one sentence.
pub fn role_sentence(found: &role::Finding) -> String {
    sentence(&of_role(found))
}

/// The errors among findings, one sentence a line.
pub(crate) fn joined(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(sentence).collect::<Vec<_>>().join("\n")
}
