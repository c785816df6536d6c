//! Findings: what is wrong with a document or an object, where, and what the user can do.

use std::fmt;

use pgloom_common::finding::Sentence;
use serde::{Deserialize, Serialize};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Information, no problem.
    Info,
    /// A part of the document has no effect as written; the rest is applied.
    Warning,
    /// The document is refused; the running cluster is not changed.
    Error,
}

impl Severity {
    /// The lower case name, as in `warning`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Kubernetes object of the cluster's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version, as in `apps/v1`; the core group is `v1`.
    pub api_version: String,
    /// The kind, as in `StatefulSet`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

/// One problem of a document, of an object or of the state of a cluster. It never contains a credential.
///
/// ```
/// # use pgloom_api::Finding;
/// let finding = Finding::error("is missing").at("spec.volume.size").remedy("add it, as in 5Gi");
/// assert_eq!(finding.to_string(), "spec.volume.size: is missing; add it, as in 5Gi");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The pipeline step that reports it; `None` for the host itself.
    pub step: Option<String>,
    /// The object that `path` belongs to; `None` for the document that was checked.
    pub object: Option<ObjectRef>,
    /// The field, as in `spec.sidecars[0].image`; `None` for the document as a whole.
    pub path: Option<String>,
    /// The problem: lower case, without a full stop.
    pub message: String,
    /// What the user can do about it: lower case, without a full stop.
    pub remedy: Option<String>,
}

impl Finding {
    /// What [`Finding::source`] gives for a finding of the host itself.
    pub const HOST: &'static str = "pgloom";

    /// A finding that stops the document from being used.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, step: None, object: None, path: None, message: message.into(), remedy: None }
    }

    /// A finding that does not stop the document from being used.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// The same finding about a field. An empty path means the whole document.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into()).filter(|path| !path.is_empty());
        self
    }

    /// The same finding with a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same finding about an object other than the document that was checked.
    #[must_use]
    pub fn of(mut self, object: ObjectRef) -> Self {
        self.object = Some(object);
        self
    }

    /// Whether it stops the document from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The name of the step that reports it; `pgloom` for the host itself.
    #[must_use]
    pub fn source(&self) -> &str {
        self.step.as_deref().unwrap_or(Self::HOST)
    }
}

/// One sentence: object, field, message, remedy.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, path, message, remedy, .. } = self;
        let object = object.as_ref().map(|object| (&*object.kind, &*object.name));
        Sentence { object, path: path.as_deref(), message, remedy: remedy.as_deref() }.fmt(f)
    }
}

/// The errors among findings, one sentence each, joined by `separator`.
#[must_use]
pub fn errors(findings: &[Finding], separator: &str) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error());
    errors.map(Finding::to_string).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_object_field_reason_remedy() {
        let finding = Finding::error("is missing").at("spec.volume.size").remedy("add it, as in 5Gi");
        assert_eq!(finding.to_string(), "spec.volume.size: is missing; add it, as in 5Gi");
        let object = ObjectRef { api_version: "v1".into(), kind: "Secret".into(), name: "tls".into() };
        assert_eq!(finding.of(object).to_string(), "Secret tls spec.volume.size: is missing; add it, as in 5Gi");
        assert_eq!(Finding::warning("is unusual").at("").to_string(), "is unusual");
    }

    #[test]
    fn the_source_of_a_finding_is_its_step_or_the_host() {
        let finding = Finding::warning("is unusual");
        assert_eq!(finding.source(), "pgloom");
        assert_eq!(Finding { step: Some("tls".into()), ..finding }.source(), "tls");
    }

    #[test]
    fn errors_alone_are_joined() {
        let findings = [Finding::error("a"), Finding::warning("b"), Finding::error("c").at("spec")];
        assert_eq!(errors(&findings, "; "), "a; spec: c");
    }
}
