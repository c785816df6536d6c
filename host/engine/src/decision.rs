//! What a run of the pipeline wants.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::{Action, ConditionStatus, ObjectRef, Response, Severity};

/// What is desired for one cluster. The same input gives the same decision, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The objects, in the order in which steps created them.
    pub objects: Vec<Desired>,
    /// What the host shall do beside applying objects.
    pub actions: Vec<RequestedAction>,
    /// What people should know.
    pub findings: Vec<Finding>,
    /// Conditions for the status.
    pub conditions: Vec<Condition>,
    /// Whether the answer of a step is missing or not of this run, as its `onFailure` allows; another run may get it.
    pub degraded: bool,
    /// What steps with `onFailure: keepLast` want, to be given to the next run.
    pub last: BTreeMap<String, Response>,
}

/// One desired object.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The object, keys sorted.
    pub object: Value,
    /// The step that created it.
    pub step: String,
}

/// An action that a step asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedAction {
    /// The step's name in the pipeline.
    pub step: String,
    /// The idempotency key that the plugin chose.
    pub key: String,
    /// What to do.
    pub action: Action,
    /// Whether the pipeline grants it to the step. What is not granted is recorded as refused.
    pub granted: bool,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The step that found it.
    pub step: String,
    /// An error holds the cluster as it is.
    pub severity: Severity,
    /// What is the matter.
    pub message: String,
    /// The field of the manifest, or of `object` where that is given.
    pub path: Option<String>,
    /// The object that is meant, if it is not the manifest.
    pub object: Option<ObjectRef>,
    /// What the person can do.
    pub remedy: Option<String>,
}

/// A condition for the status.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// In CamelCase, as in `VolumeResized`.
    pub type_name: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word in CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}
