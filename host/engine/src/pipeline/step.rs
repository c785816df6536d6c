//! A pipeline and its steps.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgloom_api::pipeline::{Match, OnFailure};
use serde_json::Value;

use super::identity::Identity;
use super::progress::Reused;
use crate::call::Limits;
use crate::input::NamedObject;
use crate::model::{ActionPermission, CredentialSource, ObjectKind, Selection};
use crate::permission::Permissions;
use crate::plugin::Plugin;
use crate::schema::Schemas;
use crate::select;

/// Plugins in order, each with its configuration and its permissions. Immutable: a new document gives a new pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The document's name.
    pub name: String,
    /// By what it is known again; another one for each pipeline, unless [`with_identity`](Self::with_identity) sets it.
    pub identity: Identity,
    pub(super) steps: Vec<Step>,
    /// How the objects of the steps are merged.
    pub(super) schemas: Schemas,
    /// Why there is no pipeline.
    pub(super) unavailable: Option<String>,
    /// What is reused; `None` means that every run calls each step.
    pub(super) reused: Option<Arc<Reused>>,
}

/// One step of a pipeline.
#[derive(Clone, Debug)]
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
    /// Whether it may write fields of a pod template, so that pods are restarted without its response.
    pub(super) may_restart: bool,
    pub(super) limits: Limits,
    pub(super) matches: Match,
    /// What the step sees of the operator configuration.
    pub(super) shown: Arc<ShownConfig>,
    /// A pipeline with other schemas counts on.
    pub(super) counters: Arc<Counters>,
}

/// The part of the operator configuration that a step sees, as JSON text. It is the same for all clusters and in all runs
/// until the configuration changes, so the last one is kept. No decision depends on it.
#[derive(Debug, Default)]
pub(super) struct ShownConfig(Mutex<Option<(Arc<Value>, String)>>);

impl ShownConfig {
    /// The text of this configuration.
    pub(super) fn text(&self, config: &Arc<Value>, write: impl FnOnce() -> String) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((known, text)) if Arc::ptr_eq(known, config) => text.clone(),
            _ => {
                let text = write();
                *kept = Some((Arc::clone(config), text.clone()));
                text
            }
        }
    }
}

/// What the calls of a step have used since the pipeline was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The number of calls.
    pub calls: u64,
    /// The number of calls that failed, or whose answer was refused.
    pub failures: u64,
    /// The fuel of all calls.
    pub fuel: u64,
    /// How long all calls took together, on the clock.
    pub time: Duration,
    /// The largest memory of a call, in bytes.
    pub memory: u64,
}

/// Counts the calls of a step. No decision depends on it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: AtomicU64,
    failures: AtomicU64,
    fuel: AtomicU64,
    /// In nanoseconds.
    time: AtomicU64,
    memory: AtomicU64,
}

impl Counters {
    pub(super) fn called(&self, fuel: u64, memory: usize, time: Duration) {
        self.time.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.memory.fetch_max(u64::try_from(memory).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pipeline {
    /// Whether this is a pipeline, and not the lack of one.
    pub fn is_available(&self) -> bool {
        self.unavailable.is_none()
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The memory that a run may take, in bytes: its steps are called one after another.
    pub fn memory(&self) -> u64 {
        let most = self.steps.iter().map(|step| step.limits.memory).max().unwrap_or_default();
        u64::try_from(most).unwrap_or(u64::MAX)
    }

    /// The existing objects that steps observe by name, in addition to the cluster's own.
    pub fn named(&self, cluster: &Value, config: &Value) -> BTreeSet<NamedObject> {
        let selectors = self.steps.iter().flat_map(|step| &step.plugin.description.observed);
        selectors.filter_map(|selector| select::named(selector, cluster, config)).collect()
    }

    /// Those of [`Self::named`] that the configuration names.
    pub fn configured(&self, config: &Value) -> BTreeSet<NamedObject> {
        let selectors = self.steps.iter().flat_map(|step| &step.plugin.description.observed);
        let configured = selectors.filter(|selector| matches!(selector.from, Selection::Config(_)));
        configured.filter_map(|selector| select::named(selector, &Value::Null, config)).collect()
    }

    /// Merges by these schemas. A loaded pipeline knows the built-in kinds only.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = schemas;
        self.reused_anew()
    }

    /// The same with this identity.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Reuses the answer of a step while its request is the same, and what a run of the same cluster had come to. No
    /// decision depends on it. A loaded pipeline reuses nothing: each run calls each step.
    #[must_use]
    pub fn with_answer_cache(mut self) -> Self {
        self.reused = Some(Arc::default());
        self
    }

    /// What was decided by other rules is not reused.
    pub(super) fn reused_anew(mut self) -> Self {
        self.reused = self.reused.map(|_| Arc::default());
        self
    }

    /// The same with this `onFailure` for every step.
    #[must_use]
    pub fn with_on_failure(mut self, on_failure: OnFailure) -> Self {
        self.steps.iter_mut().for_each(|step| step.on_failure = on_failure);
        self.reused_anew()
    }

    /// Whether a step has `onFailure: keepLast`.
    pub fn keeps_last(&self) -> bool {
        self.steps.iter().any(|step| step.on_failure == OnFailure::KeepLast)
    }

    /// How the objects of the steps are merged.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// The kinds that are not built in and whose objects a step writes, as in `monitoring.coreos.com/v1 ServiceMonitor`.
    /// The merge needs their schemas, see [`crate::schema::openapi::custom`].
    pub fn custom_kinds(&self) -> BTreeSet<String> {
        let written = self.steps.iter().flat_map(|step| &step.plugin.description.objects).map(|object| &object.kind);
        let custom = written.filter(|kind| !self.schemas.is_built_in(&kind.api_version, &kind.kind));
        custom.map(|kind| format!("{} {}", kind.api_version, kind.kind)).collect()
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

    /// What the calls of the step have used since the pipeline was loaded.
    pub fn usage(&self) -> Usage {
        Usage {
            calls: self.counters.calls.load(Ordering::Relaxed),
            failures: self.counters.failures.load(Ordering::Relaxed),
            fuel: self.counters.fuel.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.counters.time.load(Ordering::Relaxed)),
            memory: self.counters.memory.load(Ordering::Relaxed),
        }
    }
}
