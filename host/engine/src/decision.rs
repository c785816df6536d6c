//! The result of a pipeline run.

use std::collections::BTreeMap;

use pgloom_api::Finding;
use serde_json::Value;

use crate::model::{Action, ConditionStatus, Response};

/// The desired state of one cluster. The same input gives the same decision, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The desired objects, in the order in which steps created them.
    pub objects: Vec<Desired>,
    /// The actions that the host executes in addition to applying objects, in the order of the steps.
    pub actions: Vec<RequestedAction>,
    /// The findings of all steps, in the order of the steps.
    pub findings: Vec<Finding>,
    /// The conditions that steps add to the status.
    pub conditions: Vec<Condition>,
    /// Whether a step failed and its `onFailure` replaced its response. Another run with the same input may succeed.
    pub degraded: bool,
    /// By step name, the fuel that the step's call took, in WebAssembly instructions. A step whose answer was reused is
    /// not in it.
    pub fuel: BTreeMap<String, u64>,
    /// By step name, the response of each step with `onFailure: keepLast`, for [`Input::last`](crate::Input) of the
    /// next run.
    pub last: BTreeMap<String, Response>,
}

/// One desired object.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The object, with sorted keys.
    pub object: Value,
    /// The step that created the object.
    pub step: String,
}

/// An action that a step requests.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedAction {
    /// The step's name in the pipeline.
    pub step: String,
    /// The idempotency key that the plugin chose.
    pub key: String,
    /// The action and its parameters.
    pub action: Action,
    /// Why the action is not executed, but recorded as refused; `None` if it may be executed.
    pub refusal: Option<String>,
}

impl RequestedAction {
    /// Whether the action may be executed.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// A condition of the status, as in
/// [`metav1.Condition`](https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#condition-v1-meta).
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The step's name, a slash, and the condition's type in CamelCase, as in `volume-resize/VolumeResized`. So no step
    /// can set a condition of another step or of the operator.
    pub type_name: String,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// The reason in CamelCase, without spaces, as in `WaitingForVolume`.
    pub reason: String,
    /// One sentence on the condition.
    pub message: String,
}
