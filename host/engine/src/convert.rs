//! From what a plugin reports to what the host reports.

use pgloom_api::{Finding, ObjectRef};
use pgloom_common::error::one_line;

use crate::model;

/// The most findings of an answer or a failure: each field of a long manifest may have one.
pub(crate) const MAX_FINDINGS: usize = 1000;
/// The longest text of a plugin in a finding, a condition or an error, in bytes.
pub(crate) const MAX_TEXT: usize = 1 << 10;

/// A text that a plugin wrote for people: one line of limited length.
pub(crate) fn text(text: &str) -> String {
    one_line(text, MAX_TEXT)
}

/// The findings of a step that refuses the manifest; those beyond [`MAX_FINDINGS`] are dropped.
pub(crate) fn findings(step: &str, findings: Vec<model::Finding>) -> Vec<Finding> {
    findings.into_iter().take(MAX_FINDINGS).map(|each| finding(step, each)).collect()
}

/// A finding of a step.
pub(crate) fn finding(step: &str, finding: model::Finding) -> Finding {
    let model::Finding { severity, message, path, object, remedy } = finding;
    let optional = |part: Option<String>| part.map(|part| text(&part));
    let object = object.map(|ObjectRef { api_version, kind, name }| ObjectRef {
        api_version: text(&api_version),
        kind: text(&kind),
        name: text(&name),
    });
    Finding {
        severity,
        step: Some(step.to_owned()),
        object,
        path: optional(path),
        message: text(&message),
        remedy: optional(remedy),
    }
}

#[cfg(test)]
mod tests {
    use pgloom_api::Severity;

    use super::*;

    #[test]
    fn findings_are_lines_of_limited_length_and_limited_in_number() {
        let each = model::Finding {
            severity: Severity::Warning,
            message: "first\nsecond".repeat(1000),
            path: Some("spec.\0a".into()),
            object: None,
            remedy: Some("write\r\nit".into()),
        };
        let all = findings("s", vec![each; MAX_FINDINGS + 1]);
        assert_eq!(all.len(), MAX_FINDINGS);
        assert!(all[0].message.starts_with("first second") && all[0].message.len() <= MAX_TEXT);
        assert_eq!((all[0].path.as_deref(), all[0].remedy.as_deref()), (Some("spec. a"), Some("write it")));
    }
}
