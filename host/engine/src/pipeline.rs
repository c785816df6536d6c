//! The pipeline: steps that have passed every phase of loading, in order.

mod load;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;

use pgloom_api::pipeline::{Match, OnFailure, SecretsGrant};
use serde_json::Value;

use crate::call::Limits;
use crate::claim::Rights;
use crate::contract::{ActionKind, ObjectKind};
use crate::plugin::Plugin;
use crate::select::{self, Wanted};

pub use load::{Error as LoadError, Phase};
pub use run::Error as RunError;

/// Plugins in order, each with its configuration and its rights. Immutable: a new document makes a new pipeline.
#[derive(Debug)]
pub struct Pipeline {
    /// The document's name.
    pub name: String,
    steps: Vec<Step>,
}

/// One step of a pipeline.
#[derive(Debug)]
pub struct Step {
    /// The step's name in the document.
    pub name: String,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The step's configuration as JSON text, defaults filled in.
    config: String,
    rights: Rights,
    creates: Vec<ObjectKind>,
    actions: BTreeSet<&'static str>,
    secrets: SecretsGrant,
    on_failure: OnFailure,
    limits: Limits,
    matches: Match,
}

impl Pipeline {
    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The existing objects that steps name for a cluster, beyond the cluster's own.
    pub fn named(&self, cluster: &Value, config: &Value) -> BTreeSet<Wanted> {
        let selectors = self.steps.iter().flat_map(|step| &step.plugin.description.observed);
        selectors.filter_map(|selector| select::named(selector, cluster, config)).collect()
    }

    /// The keys of the operator configuration that some step reads.
    pub fn config_keys(&self) -> BTreeSet<&str> {
        self.steps.iter().flat_map(|step| &step.plugin.description.config_keys).map(String::as_str).collect()
    }
}

impl Step {
    /// The kinds of objects that the step may create: what its plugin claims and the pipeline grants.
    pub fn creates(&self) -> &[ObjectKind] {
        &self.creates
    }
}

/// The contract's name of a kind of action, as in `expand-claim`.
pub fn action_name(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Credential => "credential",
        ActionKind::UserList => "user-list",
        ActionKind::PoolerAccess => "pooler-access",
        ActionKind::ConfigurePatroni => "configure-patroni",
        ActionKind::Promote => "promote",
        ActionKind::ExpandClaim => "expand-claim",
        ActionKind::ModifyVolume => "modify-volume",
        ActionKind::GrowFilesystem => "grow-filesystem",
    }
}
