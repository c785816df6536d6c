//! The input of a pipeline run.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::ActionPhase;
use serde_json::Value;

use crate::model::{CredentialSource, Response};

/// All that a run depends on. It holds no credential.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// The validated `postgresql` object: `apiVersion`, `kind`, `metadata` (name, namespace, uid, labels, annotations),
    /// `spec`.
    pub cluster: Value,
    /// The operator configuration: one flat object of canonical keys, with defaults.
    pub config: Value,
    /// The names of the cluster's Secrets, as patterns in which a `*` is any characters.
    pub secrets: Vec<String>,
    /// The labels by which the host finds the cluster's objects.
    pub labels: BTreeMap<String, String>,
    /// The labels by which the members are selected; empty if that does not matter.
    pub members: BTreeMap<String, String>,
    /// The label with the role of a member, which Patroni sets.
    pub role_label: String,
    /// The credentials that the manifest and the configuration have. Both are without them: each step receives
    /// placeholders for those that it is granted.
    pub credentials: BTreeSet<CredentialSource>,
    /// The existing objects that steps may observe. Each step receives those that its description selects.
    pub observed: Vec<Value>,
    /// The state of the actions that earlier runs requested.
    pub actions: Vec<ActionRecord>,
    /// By step name, the last response of each step with `onFailure: keepLast`, from
    /// [`Decision::last`](crate::Decision).
    pub last: BTreeMap<String, Response>,
}

/// The state of a requested action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRecord {
    /// The step's name in the pipeline.
    pub step: String,
    /// The idempotency key that the plugin chose.
    pub key: String,
    /// The phase that the action has reached.
    pub phase: ActionPhase,
    /// One sentence on the phase, as in `waiting for the volume`.
    pub message: String,
}
