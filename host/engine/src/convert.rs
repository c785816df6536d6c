//! From what a plugin reports to what the host reports.

use pgloom_api::Finding;

use crate::model;

/// A finding of a step.
pub(crate) fn finding(step: &str, finding: model::Finding) -> Finding {
    let model::Finding { severity, message, path, object, remedy } = finding;
    Finding { severity, step: Some(step.to_owned()), object, path, message, remedy }
}
