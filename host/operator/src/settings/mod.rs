//! The operator configuration and the pipeline in use: read at the start and followed afterwards. Only valid ones are
//! used: an invalid one is reported by the log, an event and a metric, and the one before stays in use.

mod file;
mod source;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::{Stream, StreamExt};
use kube::Client;
use pgloom_api::config::Config;
use pgloom_api::finding::errors;
use pgloom_api::pipeline::Document;
use pgloom_api::{Finding, document};
use pgloom_common::error::error_chain;
use pgloom_engine::pipeline::LoadError;
use pgloom_engine::{Engine, Pipeline};
use serde_json::Value;
use tokio::sync::watch;
use tracing::{Span, error, info, warn};

use crate::args::{self, PipelineSource, Source};
use crate::cache::{ClusterKey, Store};
use crate::report::{Event, Recorder, reference};
use crate::serve::metrics::Metrics;
use source::Found;

/// The operator configuration and the pipeline that are in use.
#[derive(Clone)]
pub struct Settings {
    /// The operator configuration.
    pub config: Arc<Config>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
}

impl Settings {
    /// `resync_period`: the time between two reconciles of an unchanged cluster.
    pub fn resync(&self) -> Duration {
        at_least_a_second(self.config.duration("resync_period"))
    }

    /// `repair_period`: the longest delay until a failed reconcile is retried.
    pub fn repair(&self) -> Duration {
        at_least_a_second(self.config.duration("repair_period"))
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
}

impl Loader {
    /// Reads the first settings.
    ///
    /// # Errors
    /// If the configuration or the pipeline cannot be read or used.
    pub async fn first(&self) -> Result<Settings, Error> {
        let config = match self.configuration_source() {
            Some(source) => self.configuration(&source.get(&self.client).await?)?,
            None => Config::defaults(),
        };
        let found = match &self.options.pipeline {
            PipelineSource::File(path) => file::read(path)?,
            PipelineSource::Object(named) => source::pipeline(named, &self.namespace).get(&self.client).await?,
        };
        let pipeline = self.pipeline(&found, None).await?;
        self.metrics.pipeline_generation.set(1);
        Ok(Settings { config: Arc::new(config), pipeline: Arc::new(pipeline) })
    }

    /// Follows changes until the operator stops. After a change every cluster is reconciled.
    pub async fn follow(
        self,
        settings: watch::Sender<Settings>,
        store: Arc<Store>,
        changed: UnboundedSender<ClusterKey>,
    ) {
        let mut configurations = self.configurations();
        let mut pipelines = self.pipelines();
        loop {
            let in_use = tokio::select! {
                Some(found) = configurations.next() => self.take_configuration(&found, &settings).await,
                Some(found) = pipelines.next() => self.take_pipeline(&found, &settings).await,
                else => return,
            };
            if in_use {
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

    async fn take_pipeline(&self, found: &Found, settings: &watch::Sender<Settings>) -> bool {
        let running = settings.borrow().pipeline.clone();
        let result = self.pipeline(found, Some(running)).await;
        self.metrics.pipeline_rejected.set(i64::from(result.is_err()));
        self.report_loaded(found, result.as_ref().err()).await;
        match result {
            Ok(pipeline) => {
                info!(source = %found.name, "new pipeline in use");
                self.metrics.pipeline_generation.inc();
                settings.send_modify(|settings| settings.pipeline = Arc::new(pipeline));
                true
            }
            Err(error) => {
                self.report_rejected(found, "Pipeline", &error).await;
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

    async fn pipeline(&self, found: &Found, running: Option<Arc<Pipeline>>) -> Result<Pipeline, Error> {
        let document = Document::read(&found.document)
            .map_err(|findings| Error::Content { name: found.name.clone(), findings })?;
        let (engine, folder, name) = (self.engine.clone(), self.options.plugins.clone(), found.name.clone());
        let span = Span::current();
        let loading = move || span.in_scope(|| Pipeline::load(&engine, &document, &folder, running.as_deref()));
        let loaded = tokio::task::spawn_blocking(loading).await.map_err(Error::Interrupted)?;
        loaded.map_err(|source| Error::Load(name, source))
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

    /// Writes the condition `Loaded` of a Pipeline object.
    async fn report_loaded(&self, found: &Found, error: Option<&Error>) {
        if self.is_leading()
            && let PipelineSource::Object(named) = &self.options.pipeline
            && let Err(error) =
                source::pipeline(named, &self.namespace).report(&self.client, &found.document, error).await
        {
            warn!(%error, "pipeline status not written");
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

    fn pipelines(&self) -> impl Stream<Item = Found> + Unpin + use<> {
        match &self.options.pipeline {
            PipelineSource::File(path) => file::follow(path.clone(), self.options.plugins.clone()),
            PipelineSource::Object(named) => source::pipeline(named, &self.namespace).follow(self.client.clone()),
        }
    }
}

fn reconcile_all(store: &Store, changed: &UnboundedSender<ClusterKey>) {
    // The receiver is gone only when the operator stops.
    store.clusters().into_iter().for_each(|key| _ = changed.unbounded_send(key));
}

/// The documents whose content differs from the one before.
fn changes(documents: impl Stream<Item = Found> + Send + 'static) -> futures::stream::BoxStream<'static, Found> {
    let mut before: Option<Value> = None;
    documents
        .filter(move |found| {
            let differs = before.as_ref() != Some(&found.content());
            before = Some(found.content());
            futures::future::ready(differs)
        })
        .boxed()
}

#[cfg(test)]
mod tests;
