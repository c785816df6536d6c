//! The input of a pipeline run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pgloom_api::ActionPhase;
use pgloom_common::name::secret_name;
use serde_json::Value;

use crate::decision::RequestedAction;
use crate::model::{Action, CredentialSource, Response};

/// All that a run depends on. It holds no credential.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// The validated `postgresql` object: `apiVersion`, `kind`, `metadata` (name, namespace, uid, labels, annotations),
    /// `spec`.
    pub cluster: Value,
    /// The operator configuration: one flat object of canonical keys, with defaults. Runs with the same one share what is
    /// made of it.
    pub config: Arc<Value>,
    /// The cluster's Secrets.
    pub secrets: Secrets,
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
    /// The objects that steps name and that could not be read: a step that selects one of them is not called.
    pub unreadable: Vec<Unreadable>,
    /// The state of the actions that earlier runs requested.
    pub actions: Vec<ActionRecord>,
    /// By step name, the last response of each step with `onFailure: keepLast`, from
    /// [`Decision::last`](crate::Decision).
    pub last: BTreeMap<String, Response>,
}

/// The names of a cluster's Secrets. A name that only looks like one of the cluster may be that of another cluster, whose
/// name begins or ends as this one's, so the names are exact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secrets {
    /// The names of those that do not depend on actions.
    pub names: BTreeSet<String>,
    /// The name of a role's Secret, as `secret_name_template` with all but `{username}` filled in.
    pub template: String,
}

impl Secrets {
    /// The names of the Secrets that the actions of a step ask for, and that the step is granted. A Secret for a user list is
    /// the cluster's only if a grant names it, as `names_list` returns: a `*` covers the names of others' Secrets, too.
    pub(crate) fn of_actions(&self, actions: &[RequestedAction], names_list: impl Fn(&str) -> bool) -> Vec<String> {
        let granted = actions.iter().filter(|requested| requested.is_granted());
        let names = granted.filter_map(|requested| match &requested.action {
            Action::Credential(credential) => {
                Some(secret_name(&self.template, &credential.username, "", "").to_lowercase())
            }
            Action::UserList(list) => names_list(&list.secret_name).then(|| list.secret_name.clone()),
            _ => None,
        });
        names.collect()
    }
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

/// An existing object that a selector names, by a value of the manifest or of the operator configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedObject {
    /// As in `v1`.
    pub api_version: String,
    /// As in `ConfigMap`.
    pub kind: String,
    /// `None` means the cluster's namespace.
    pub namespace: Option<String>,
    /// As in `pod-environment`.
    pub name: String,
}

/// A named object that could not be read, and why it cannot be until someone changes something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreadable {
    /// The operator has no right to it.
    #[error(
        "the operator may not get {} {} {}, which the step reads; add to its ClusterRole: {rule}",
        object.api_version, object.kind, object.name
    )]
    Forbidden {
        /// What was asked for.
        object: NamedObject,
        /// The rule that gives the right, as an entry of a ClusterRole.
        rule: String,
    },
    /// The API server has no such kind, or its objects cannot be read.
    #[error(
        "the API server has no {} {} that can be read, of which the step reads {}; create its CustomResourceDefinition, \
         or remove the step",
        object.api_version, object.kind, object.name
    )]
    Unknown {
        /// What was asked for.
        object: NamedObject,
    },
}

impl Unreadable {
    /// What was asked for.
    pub fn object(&self) -> &NamedObject {
        match self {
            Self::Forbidden { object, .. } | Self::Unknown { object } => object,
        }
    }
}
