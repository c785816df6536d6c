//! The answer of a call: partial objects, actions, findings and conditions.

use serde_json::Value;

use crate::bindings::contract::{
    self, Action, ActionRequest, Condition, ConditionStatus, Contribution, Finding, ObjectRef, Removal, Severity,
};
use crate::json;
use crate::plugin::leave;

/// Warnings that are collected while an answer is computed, for [`Response::with`].
#[derive(Default)]
pub struct Warnings(Vec<Finding>);

impl Warnings {
    /// Warns about a field of the manifest: its path, the problem, and how to solve it. The cluster is applied all the
    /// same.
    pub fn warn(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Some(path.into()), message.into(), remedy.into());
    }

    /// Warns about the operator configuration, which the author of a manifest cannot change.
    pub fn warn_platform(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(None, message.into(), remedy.into());
    }

    #[cold]
    fn push(&mut self, path: Option<String>, message: String, remedy: String) {
        self.0.push(finding(Severity::Warning, path, message, remedy));
    }
}

fn finding(severity: Severity, path: Option<String>, message: String, remedy: String) -> Finding {
    Finding { severity, message, path, object: None, remedy: Some(remedy) }
}

/// A partial object that a plugin may apply.
pub trait Partial {
    /// Its JSON text.
    fn into_json(self) -> String;
}

impl Partial for Value {
    fn into_json(self) -> String {
        let text = json::write(&self);
        leave(self);
        text
    }
}

/// What a plugin wants for a cluster. An empty response adds nothing.
pub struct Response(contract::Response);

impl Response {
    /// An empty response.
    pub fn new() -> Self {
        Self(contract::Response {
            contributions: Vec::new(),
            actions: Vec::new(),
            findings: Vec::new(),
            conditions: Vec::new(),
        })
    }

    /// Sets these fields: a partial object with `apiVersion`, `kind`, `metadata.name`, and the fields that the plugin
    /// owns, as in [server-side apply](https://kubernetes.io/docs/reference/using-api/server-side-apply/): a JSON value, or
    /// a reference to an object of `k8s_openapi` (feature `typed`), of which fields without a value are left out.
    pub fn apply(mut self, object: impl Partial) -> Self {
        self.0.contributions.push(Contribution::Apply(object.into_json()));
        self
    }

    /// Removes a field or a list entry that an earlier step set. The description has to ask for it.
    pub fn remove(mut self, object: ObjectRef, path: impl Into<String>) -> Self {
        self.0.contributions.push(Contribution::Remove(Removal { object, path: path.into() }));
        self
    }

    /// Requests an action of the host. An action with the same key is executed once.
    pub fn act(mut self, key: impl Into<String>, action: Action) -> Self {
        self.0.actions.push(ActionRequest { key: key.into(), action });
        self
    }

    /// Adds a finding about a field of the manifest: its path, the message, and how to solve it.
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

    /// Adds the collected warnings.
    pub fn with(mut self, warnings: Warnings) -> Self {
        self.0.findings.extend(warnings.0);
        self
    }

    /// Adds a warning about a field of the manifest, as [`Warnings::warn`].
    pub fn warn(self, path: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        self.find(Severity::Warning, path, message, remedy)
    }

    /// Sets a condition of the status; `type_name` and `reason` as in
    /// [`metav1.Condition`](https://pkg.go.dev/k8s.io/apimachinery/pkg/apis/meta/v1#Condition).
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

    /// The response as the contract has it.
    pub fn build(self) -> contract::Response {
        self.0
    }
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}
