//! What a run of the pipeline depends on.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::{ActionPhase, Response};

/// All that a run depends on. Credentials in it are sealed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// The validated `postgresql` object: `apiVersion`, `kind`, `metadata` (name, namespace, uid, labels, annotations), `spec`.
    pub cluster: Value,
    /// The operator configuration: one flat object of canonical keys, defaults filled in.
    pub config: Value,
    /// The existing objects that steps may observe; the pipeline picks for each step what its description selects.
    pub observed: Vec<Value>,
    /// What became of earlier actions.
    pub actions: Vec<ActionRecord>,
    /// What steps with `onFailure: keepLast` wanted when they last succeeded for this cluster, by the step's name.
    pub last: BTreeMap<String, Response>,
}

/// What became of an action that a step asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRecord {
    /// The step's name in the pipeline.
    pub step: String,
    /// The idempotency key that the plugin chose.
    pub key: String,
    /// How far it is.
    pub phase: ActionPhase,
    /// For people.
    pub message: String,
}
