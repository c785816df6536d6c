//! What a plugin contributes, or why it does not.

use pgloom_api::{ObjectRef, Severity};
use serde::{Deserialize, Serialize};

use super::action::ActionRequest;

/// What a plugin contributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Response {
    /// Changes of the desired objects, in order.
    pub contributions: Vec<Contribution>,
    /// The actions that it requests.
    pub actions: Vec<ActionRequest>,
    /// Problems and their remedies.
    pub findings: Vec<Finding>,
    /// Conditions of the status.
    pub conditions: Vec<PluginCondition>,
}

/// A change of the desired objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Contribution {
    /// A partial object as JSON text, merged as server-side apply would.
    Apply(String),
    /// Removes a field or a list entry that an earlier step set.
    Remove(Removal),
}

/// A field or a list entry to remove.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Removal {
    /// The object.
    pub object: ObjectRef,
    /// The field path.
    pub path: String,
}

/// A problem in the manifest or in an object, and its remedy. With an error, nothing is applied to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The problem.
    pub message: String,
    /// The field with the problem.
    pub path: Option<String>,
    /// The object with the problem, if it is not the manifest.
    pub object: Option<ObjectRef>,
    /// What the user can do.
    pub remedy: Option<String>,
}

/// A condition of the status, as a plugin gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginCondition {
    /// The type in CamelCase, as in `VolumeResized`.
    pub type_name: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word in CamelCase.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be known.
    Unknown,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// The manifest is invalid.
    InvalidManifest(Vec<Finding>),
    /// The step's configuration or the operator configuration is invalid.
    InvalidConfig(String),
    /// The plugin failed for another reason.
    Internal(String),
}
