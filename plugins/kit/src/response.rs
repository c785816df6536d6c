//! What a plugin wants, put together piece by piece.

use serde_json::Value;

use crate::bindings::contract::{
    self, Action, ActionRequest, Condition, ConditionStatus, Contribution, Finding, ObjectRef, Removal, Severity,
};
use crate::json;

/// Findings that come up along the way, for [`Response::with`].
#[derive(Default)]
pub struct Notes(Vec<Finding>);

impl Notes {
    /// Something about a field of the manifest that people should act on sooner or later, and what they can do.
    pub fn warn(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.note(Some(path.into()), message.into(), remedy.into());
    }

    /// Something about the platform's configuration, which the manifest's author cannot change.
    pub fn warn_platform(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.note(None, message.into(), remedy.into());
    }

    #[cold]
    fn note(&mut self, path: Option<String>, message: String, remedy: String) {
        self.0.push(finding(Severity::Warning, path, message, remedy));
    }
}

fn finding(severity: Severity, path: Option<String>, message: String, remedy: String) -> Finding {
    Finding { severity, message, path, object: None, remedy: Some(remedy) }
}

/// What a plugin wants. An empty response means: nothing to add.
pub struct Response(contract::Response);

impl Response {
    /// Wants nothing yet.
    pub fn new() -> Self {
        Self(contract::Response {
            contributions: Vec::new(),
            actions: Vec::new(),
            findings: Vec::new(),
            conditions: Vec::new(),
        })
    }

    /// Wants these fields: `apiVersion`, `kind`, `metadata.name`, and whatever the plugin has an opinion on.
    pub fn apply(mut self, object: Value) -> Self {
        self.0.contributions.push(Contribution::Apply(json::write(&object)));
        self
    }

    /// Wants a field or list entry of an earlier step gone.
    pub fn remove(mut self, object: ObjectRef, path: impl Into<String>) -> Self {
        self.0.contributions.push(Contribution::Remove(Removal { object, path: path.into() }));
        self
    }

    /// Asks the host to do something; the same key means the same action.
    pub fn act(mut self, key: impl Into<String>, action: Action) -> Self {
        self.0.actions.push(ActionRequest { key: key.into(), action });
        self
    }

    /// Tells people something about a field of the manifest, and what they can do.
    pub fn find(
        mut self,
        severity: Severity,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        self.0.findings.push(finding(severity, Some(path.to_owned()), message.into(), remedy.into()));
        self
    }

    /// Tells people all of these.
    pub fn with(mut self, notes: Notes) -> Self {
        self.0.findings.extend(notes.0);
        self
    }

    /// A finding that people should act on sooner or later.
    pub fn warn(self, path: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        self.find(Severity::Warning, path, message, remedy)
    }

    /// Sets a condition of the status.
    pub fn condition(
        mut self,
        type_name: &str,
        status: ConditionStatus,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        self.0.conditions.push(Condition {
            type_name: type_name.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.into(),
        });
        self
    }

    /// The contract's type.
    pub fn build(self) -> contract::Response {
        self.0
    }
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}
