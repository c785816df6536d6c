//! The operator configuration and the pipeline in use: read at the start and followed afterwards. Only valid ones are
//! used: an invalid one is reported by the log, an event and a metric, and the one before stays in use.

mod candidate;
mod configuration;
mod file;
mod fleet;
mod loading;
mod pipeline;
mod progress;
mod registry;
mod report;
mod rights;
mod rollout;
mod running;
mod schemas;
mod source;
mod status;
mod told;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::{Stream, StreamExt};
use kube::Client;
use pgloom_api::config::{Config, Watched};
use pgloom_api::finding::errors;
use pgloom_api::{Finding, document};
use pgloom_common::error::error_chain;
use pgloom_engine::pipeline::LoadError;
use pgloom_engine::{Engine, Pipeline};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::args::{self, Namespaces, PipelineSource, Source};
use crate::cache::{ClusterKey, Store};
use crate::report::{Event, Recorder, reference};
use crate::serve::metrics::Metrics;
pub use candidate::Candidate;
#[cfg(test)]
pub use candidate::Reach;
pub use fleet::{Fleet, Known};
use loading::Loading;
use progress::Progress;
pub use registry::Registry;
use running::Running;
pub use schemas::read as custom_schemas;
use source::Found;
pub use status::in_use;

/// The time between two updates of the status with the counters of the pipeline's steps.
const REPORT_PERIOD: Duration = Duration::from_secs(60);
/// The time between two steps of a rollout.
const ROLLOUT_PERIOD: Duration = Duration::from_secs(1);

/// The operator configuration and the pipeline that are in use.
#[derive(Clone)]
pub struct Settings {
    /// The operator configuration.
    pub config: Arc<Config>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Another pipeline, that some clusters have, see [`Settings::for_cluster`].
    pub candidate: Option<Candidate>,
    /// The same as the status tells it to a replica that does not lead, see [`Settings::for_question`].
    pub told: Option<Candidate>,
}

impl Settings {
    /// The settings with one pipeline for all clusters.
    pub fn of(config: Arc<Config>, pipeline: Arc<Pipeline>) -> Self {
        Self { config, pipeline, candidate: None, told: None }
    }

    /// `resync_period`: the time between two reconciles of an unchanged cluster.
    pub fn resync(&self) -> Duration {
        at_least_a_second(self.config.duration("resync_period"))
    }

    /// `repair_period`: the longest delay until a failed reconcile is retried.
    pub fn repair(&self) -> Duration {
        at_least_a_second(self.config.duration("repair_period"))
    }

    /// The watched namespaces: those of the flags, or else of the operator configuration; `None` is a watch of all
    /// namespaces. `own` is the operator's own one.
    pub fn scopes(&self, flags: Option<&Namespaces>, own: &str) -> Vec<Option<String>> {
        let watched = match flags {
            Some(Namespaces::All) => Watched::All,
            Some(Namespaces::Some(names)) => Watched::These(names.iter().cloned().collect()),
            None => self.config.watched(),
        };
        match watched {
            Watched::All => vec![None],
            Watched::Own => vec![Some(own.to_owned())],
            Watched::These(names) => names.into_iter().map(Some).collect(),
        }
    }
}

/// At least one second: with a period of zero a cluster would be reconciled without a pause.
fn at_least_a_second(period: Duration) -> Duration {
    period.max(Duration::from_secs(1))
}

/// The reason why settings are not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object does not exist.
    #[error("{0} does not exist; create it, or name another")]
    Missing(String),
    /// The request to the API server failed.
    #[error("failed to read {0}")]
    Read(String, #[source] Box<kube::Error>),
    /// The file could not be read.
    #[error("failed to read {0}; give another file with --pipeline")]
    File(String, #[source] std::io::Error),
    /// The text is not YAML.
    #[error("{0} cannot be read")]
    Syntax(String, #[source] document::Error),
    /// The text has more than one document.
    #[error("{0} holds several documents; one is wanted")]
    Several(String),
    /// The content is invalid.
    #[error("{name} cannot be used: {}", errors(.findings, "; "))]
    Content {
        /// The name of the source, as in `ConfigMap pgloom-system/pgloom`.
        name: String,
        /// The findings about it.
        findings: Vec<Finding>,
    },
    /// A step could not be loaded.
    #[error("the pipeline {0} cannot be loaded")]
    Load(String, #[source] LoadError),
    /// A Secret with credentials for registries has none.
    #[error("{0} has no key .dockerconfigjson; make it by `kubectl create secret docker-registry`")]
    PullSecretKey(String),
    /// The credentials in a Secret cannot be read.
    #[error("{0} cannot be used")]
    PullSecret(String, #[source] pgloom_registry::Error),
    /// The schemas of custom resources cannot be read.
    #[error("the pipeline {0} cannot be merged")]
    Schemas(String, #[source] schemas::Error),
    /// The thread that loads the pipeline ended early.
    #[error("the loading of the pipeline was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Reads settings and follows their changes.
pub struct Loader {
    /// The client of the API server.
    pub client: Client,
    /// The engine that compiles and runs plugins.
    pub engine: Arc<Engine>,
    /// The registries of components.
    pub registry: Arc<Registry>,
    /// The parsed flags.
    pub options: args::Options,
    /// The operator's own namespace.
    pub namespace: String,
    /// The recorder of events about invalid settings.
    pub recorder: Recorder,
    /// Whether this operator is the leader.
    pub leading: watch::Receiver<bool>,
    /// The metrics.
    pub metrics: Metrics,
    /// Notified when the operator had no right to a write.
    pub refused: Arc<Notify>,
}

impl Loader {
    /// Reads the first settings. Without a pipeline that can be used the settings hold one that decides nothing.
    ///
    /// # Errors
    /// If the configuration cannot be read or used.
    pub async fn first(&self) -> Result<(Settings, Progress), Error> {
        let config = match self.configuration_source() {
            Some(source) => self.configuration(&source.get(&self.client).await?)?,
            None => Config::defaults(),
        };
        let (pipeline, candidate, progress) = self.first_pipeline().await?;
        Ok((Settings { candidate, ..Settings::of(Arc::new(config), pipeline) }, progress))
    }

    /// Follows changes until the operator stops. After a change every cluster is reconciled.
    pub async fn follow(
        self,
        mut progress: Progress,
        settings: watch::Sender<Settings>,
        (store, fleet): (Arc<Store>, Arc<dyn Fleet>),
        changed: UnboundedSender<ClusterKey>,
    ) {
        let mut configurations = self.configurations();
        let mut pipelines = self.pipelines();
        let mut read_again = tokio::time::interval(schemas::READ_AGAIN);
        let mut components = file::follow_components(self.options.plugins.clone());
        let mut moved_tags = self.registry.moved();
        let mut leading = self.leading.clone();
        let mut reports = tokio::time::interval(REPORT_PERIOD);
        let mut steps = tokio::time::interval(ROLLOUT_PERIOD);
        let mut loading = Loading::default();
        let mut told = configuration::Told::default();
        loop {
            let in_use = tokio::select! {
                Some(found) = configurations.next() => {
                    let is_new = self.take_configuration(&found, &settings).await;
                    told.is_due(found);
                    is_new
                }
                Some((found, is_new)) = pipelines.next() => {
                    progress.told = found.document["status"].clone();
                    // The status of the leader is its own, and no reason to write it.
                    if !is_new {
                        self.be_told(&progress, &settings);
                        continue;
                    }
                    self.take_pipeline(found, &mut progress, &mut loading, &settings);
                    false
                }
                Some(()) = components.next() => {
                    self.load_again(&mut progress, &mut loading, &settings);
                    false
                }
                Some(()) = moved_tags.next(), if loading.is_idle() => {
                    self.load_again(&mut progress, &mut loading, &settings);
                    false
                }
                () = progress.retry(), if loading.is_idle() => {
                    self.load_again(&mut progress, &mut loading, &settings);
                    false
                }
                loaded = loading.loaded() => {
                    self.take_loaded(loaded, &mut progress, &mut loading, &settings).await
                }
                Ok(()) = leading.changed() => {
                    self.release_others().await;
                    self.find_rollout(&mut progress, &settings).await
                }
                time = steps.tick() => {
                    let has_moved = self.advance(&mut progress, &settings, &fleet, time).await;
                    // The counters of the steps change all the time, and are reported seldom.
                    if !has_moved && !progress.is_to_be_told() {
                        continue;
                    }
                    has_moved
                }
                _ = read_again.tick() => self.take_schemas(&settings).await,
                () = self.refused.notified() => {
                    progress.rights.refused();
                    false
                }
                _ = reports.tick() => false,
            };
            self.be_told(&progress, &settings);
            let current = settings.borrow().clone();
            self.metrics.plugins.follow(current.in_use());
            let reached = progress.running.as_ref().map_or(0, Running::reached);
            self.metrics.rollout_clusters.set(i64::try_from(reached).unwrap_or(i64::MAX));
            let granted = self.ask_rights(&mut progress, &current, &store.resources).await;
            self.report_pipeline(&mut progress, &current.pipeline).await;
            self.report_configuration(&mut told).await;
            if in_use || granted {
                reconcile_all(&store, &changed);
            }
        }
    }

    async fn take_configuration(&self, found: &Found, settings: &watch::Sender<Settings>) -> bool {
        let result = self.configuration(found);
        self.metrics.configuration_rejected.set(i64::from(result.is_err()));
        match result {
            Ok(config) if config == *settings.borrow().config => false,
            Ok(config) => {
                info!(source = %found.name, "new operator configuration in use");
                settings.send_modify(|settings| settings.config = Arc::new(config));
                true
            }
            Err(error) => {
                self.report_rejected(found, "Configuration", &error).await;
                false
            }
        }
    }

    /// Reads the schemas of custom resources again. If they cannot be read, those in use stay.
    async fn take_schemas(&self, settings: &watch::Sender<Settings>) -> bool {
        let pipelines: Vec<Arc<Pipeline>> = settings.borrow().pipelines().cloned().collect();
        let mut in_use = false;
        for pipeline in pipelines {
            in_use |= self.take_schemas_of(&pipeline, settings).await;
        }
        in_use
    }

    async fn take_schemas_of(&self, pipeline: &Arc<Pipeline>, settings: &watch::Sender<Settings>) -> bool {
        let kinds = pipeline.custom_kinds();
        if kinds.is_empty() {
            return false;
        }
        match schemas::read(&self.client, &kinds).await {
            Ok(read) if read == *pipeline.schemas() => false,
            Ok(read) => {
                info!("new schemas of custom resources in use");
                let merged = Arc::new(Pipeline::clone(pipeline).with_schemas(read));
                // The next pipeline may be in use by now, with schemas of its own.
                settings.send_if_modified(|settings| settings.replace(pipeline, merged))
            }
            Err(error) => {
                warn!(error = %error_chain(&error), "schemas of custom resources not read, the old ones stay in use");
                false
            }
        }
    }

    fn configuration(&self, found: &Found) -> Result<Config, Error> {
        let loaded =
            Config::read(&found.document).map_err(|findings| Error::Content { name: found.name.clone(), findings })?;
        for warning in &loaded.warnings {
            warn!(source = %found.name, "{warning}");
        }
        Ok(loaded.config)
    }

    /// Reports invalid settings. Only the leader publishes events.
    async fn report_rejected(&self, found: &Found, reason: &str, error: &Error) {
        let message = error_chain(error);
        error!(source = %found.name, error = %message, "new settings rejected, the old ones stay in use");
        if self.is_leading() && found.document["metadata"]["uid"].is_string() {
            let event = Event::warning(reason, format!("the settings in use stay: {message}"));
            self.recorder.publish(&reference(&found.document), &event).await;
        }
    }

    fn is_leading(&self) -> bool {
        *self.leading.borrow()
    }

    fn configuration_source(&self) -> Option<source::Object> {
        match &self.options.configuration {
            Source::Defaults => None,
            Source::ConfigMap(named) => Some(source::config_map(named, &self.namespace)),
            Source::Object(named) => Some(source::configuration(named, &self.namespace)),
        }
    }

    fn configurations(&self) -> impl Stream<Item = Found> + Unpin + use<> {
        match self.configuration_source() {
            Some(source) => source.follow(self.client.clone()),
            None => futures::stream::pending().boxed(),
        }
    }

    /// The documents, and those whose status alone has changed; which it is.
    fn pipelines(&self) -> impl Stream<Item = (Found, bool)> + Unpin + use<> {
        match &self.options.pipeline {
            PipelineSource::File(path) => file::follow(path.clone()).map(|found| (found, true)).boxed(),
            PipelineSource::Object(named) => source::pipeline(named, &self.namespace).follow_all(self.client.clone()),
        }
    }
}

fn reconcile_all(store: &Store, changed: &UnboundedSender<ClusterKey>) {
    // The receiver is gone only when the operator stops.
    store.clusters().into_iter().for_each(|key| _ = changed.unbounded_send(key));
}

/// The documents whose content differs from the one before.
fn changes(documents: impl Stream<Item = Found> + Send + 'static) -> futures::stream::BoxStream<'static, Found> {
    marked(documents).filter_map(|(found, differs)| futures::future::ready(differs.then_some(found))).boxed()
}

/// The documents, each with whether its content differs from the one before.
fn marked(documents: impl Stream<Item = Found> + Send + 'static) -> futures::stream::BoxStream<'static, (Found, bool)> {
    let mut before: Option<Value> = None;
    documents
        .map(move |found| {
            let content = found.content();
            let differs = before.as_ref() != Some(&content);
            before = Some(content);
            (found, differs)
        })
        .boxed()
}

#[cfg(test)]
mod tests;
