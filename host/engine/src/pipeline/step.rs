//! A pipeline and its steps.

use std::collections::BTreeSet;
use std::sync::Arc;

use pgloom_api::pipeline::{Match, OnFailure};
use serde_json::Value;

use crate::call::Limits;
use crate::model::{ActionPermission, CredentialSource, ObjectKind};
use crate::permission::Permissions;
use crate::plugin::Plugin;
use crate::select::{self, NamedObject};

/// Plugins in order, each with its configuration and its permissions. Immutable: a new document gives a new pipeline.
#[derive(Debug)]
pub struct Pipeline {
    /// The document's name.
    pub name: String,
    pub(super) steps: Vec<Step>,
}

/// One step of a pipeline.
#[derive(Debug)]
pub struct Step {
    /// The step's name in the document.
    pub name: String,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The step's configuration as JSON text, with the defaults of the plugin's schema.
    pub(super) config: String,
    pub(super) permissions: Permissions,
    pub(super) creates: Vec<ObjectKind>,
    /// The actions that the pipeline grants.
    pub(super) actions: Vec<ActionPermission>,
    /// The credentials that the plugin asks for and the pipeline grants.
    pub(super) credentials: BTreeSet<CredentialSource>,
    pub(super) on_failure: OnFailure,
    pub(super) limits: Limits,
    pub(super) matches: Match,
}

impl Pipeline {
    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The existing objects that steps observe by name, in addition to the cluster's own.
    pub fn named(&self, cluster: &Value, config: &Value) -> BTreeSet<NamedObject> {
        let selectors = self.steps.iter().flat_map(|step| &step.plugin.description.observed);
        selectors.filter_map(|selector| select::named(selector, cluster, config)).collect()
    }

    /// The keys of the operator configuration that at least one step reads.
    pub fn config_keys(&self) -> BTreeSet<&str> {
        self.steps.iter().flat_map(|step| &step.plugin.description.config_keys).map(String::as_str).collect()
    }
}

impl Step {
    /// The kinds of objects that the step may create: those that the plugin asks for and the pipeline grants.
    pub fn creates(&self) -> &[ObjectKind] {
        &self.creates
    }
}
