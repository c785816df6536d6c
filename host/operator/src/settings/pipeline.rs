//! The pipeline in use: the wanted one, or the last one that could be loaded while the wanted one cannot be.
//!
//! An operator that finds no pipeline at all runs nevertheless, without becoming ready: every cluster stays as it is, the
//! status says why, and the wanted pipeline is tried again.

use std::sync::Arc;

use jiff::Timestamp;
use pgloom_api::Finding;
use pgloom_api::pipeline::{Artifact, Document, LastLoaded};
use pgloom_common::error::error_chain;
use pgloom_engine::Pipeline;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{Span, error, warn};

use super::loading::{Loaded, Loading, Wanted};
use super::progress::{self, Progress};
use super::source::{self, Found};
use super::{Candidate, Error, Loader, Settings, file, registry, schemas};
use crate::args::PipelineSource;

impl Loader {
    /// The first pipeline, and the one that some clusters may have.
    pub(super) async fn first_pipeline(&self) -> Result<(Arc<Pipeline>, Option<Candidate>, Progress), Error> {
        let mut progress = Progress::default();
        let unknown = self.is_object().then(Candidate::unknown);
        let (found, error) = match self.wanted().await {
            Ok(found) => match self.load(&found, None).await {
                Ok(pipeline) => {
                    if let Some((before, candidate)) = self.to_be_rolled_out(&found, &pipeline, &mut progress).await? {
                        return Ok((before, Some(candidate), progress));
                    }
                    self.succeeded(&mut progress, found, &pipeline);
                    return Ok((Arc::new(pipeline), unknown, progress));
                }
                Err(error) => (Some(found), error),
            },
            Err(error) => (None, error),
        };
        error!(error = %error_chain(&error), "the pipeline cannot be loaded");
        self.metrics.pipeline_rejected.set(1);
        progress.last_loaded = self.last_loaded(found.as_ref());
        progress.failed(found, &error);
        let pipeline = match &progress.last_loaded {
            Some(last) => self.restore(last).await,
            None => None,
        };
        let pipeline = match pipeline {
            Some(pipeline) => pipeline,
            None => {
                progress.last_loaded = None;
                Pipeline::unavailable(&error_chain(&error)).map_err(|error| Error::Load("pipeline".into(), error))?
            }
        };
        Ok((Arc::new(pipeline), unknown, progress))
    }

    /// Begins to load the wanted pipeline again, from its source.
    pub(super) fn load_again<'a>(
        &'a self,
        progress: &mut Progress,
        loading: &mut Loading<'a>,
        settings: &watch::Sender<Settings>,
    ) {
        loading.want(self, Wanted::Source, &settings.borrow().pipeline);
        progress.begun(None, Timestamp::now());
    }

    /// Begins to load a changed document.
    pub(super) fn take_pipeline<'a>(
        &'a self,
        found: Found,
        progress: &mut Progress,
        loading: &mut Loading<'a>,
        settings: &watch::Sender<Settings>,
    ) {
        // The watch begins with the document that was loaded at the start.
        if progress.knows(&found) {
            progress.wanted = Some(found);
            return;
        }
        loading.want(self, Wanted::Document(found.clone()), &settings.borrow().pipeline);
        progress.begun(Some(found), Timestamp::now());
    }

    /// Uses what was loaded, unless a newer document is wanted by now, and goes on with that. Whether a new pipeline is in
    /// use.
    pub(super) async fn take_loaded<'a>(
        &'a self,
        loaded: Loaded,
        progress: &mut Progress,
        loading: &mut Loading<'a>,
        settings: &watch::Sender<Settings>,
    ) -> bool {
        let in_use = match loading.is_superseded() {
            true => false,
            false => self.use_loaded(loaded, progress, settings).await,
        };
        loading.go_on(self, &settings.borrow().pipeline);
        if !loading.is_idle() {
            progress.begun(None, Timestamp::now());
        }
        in_use
    }

    async fn use_loaded(
        &self,
        Loaded { found, result }: Loaded,
        progress: &mut Progress,
        settings: &watch::Sender<Settings>,
    ) -> bool {
        self.metrics.pipeline_rejected.set(i64::from(result.is_err()));
        match (found, result) {
            (Some(found), Ok(pipeline)) => self.arrived(found, pipeline, progress, settings),
            (Some(found), Err(error)) => {
                self.report_rejected(&found, "Pipeline", &error).await;
                progress.failed(Some(found), &error);
                false
            }
            (None, Err(error)) => {
                warn!(error = %error_chain(&error), "the pipeline cannot be read, the one in use stays");
                progress.failed(None, &error);
                false
            }
            // A pipeline is loaded from a document.
            (None, Ok(_)) => false,
        }
    }

    /// Reads the document, if it is not given, and loads it.
    pub(super) async fn load_wanted(&self, wanted: Wanted, running: Arc<Pipeline>) -> Loaded {
        let found = match wanted {
            Wanted::Document(found) => Ok(found),
            Wanted::Source => self.wanted().await,
        };
        match found {
            Ok(found) => Loaded { result: self.load(&found, Some(running)).await, found: Some(found) },
            Err(error) => Loaded { found: None, result: Err(error) },
        }
    }

    pub(super) fn succeeded(&self, progress: &mut Progress, found: Found, pipeline: &Pipeline) {
        let before = self.last_loaded(Some(&found));
        progress.succeeded(found, pipeline, before, Timestamp::now());
        self.metrics.pipeline_generation.inc();
        if let (PipelineSource::File(_), Some(folder), Some(last)) =
            (&self.options.pipeline, &self.options.engine.cache, &progress.last_loaded)
        {
            progress::keep_in_folder(folder, last);
        }
    }

    pub(super) async fn wanted(&self) -> Result<Found, Error> {
        match &self.options.pipeline {
            PipelineSource::File(path) => file::read(path),
            PipelineSource::Object(named) => source::pipeline(named, &self.namespace).get(&self.client).await,
        }
    }

    pub(super) fn last_loaded(&self, found: Option<&Found>) -> Option<LastLoaded> {
        match &self.options.pipeline {
            PipelineSource::File(_) => progress::of_folder(self.options.engine.cache.as_deref()?),
            PipelineSource::Object(_) => progress::of_status(&found?.document),
        }
    }

    pub(super) async fn load(&self, found: &Found, running: Option<Arc<Pipeline>>) -> Result<Pipeline, Error> {
        let document = Document::read(&found.document)
            .map_err(|findings| Error::Content { name: found.name.clone(), findings })?;
        if document.rollout.is_some() && !self.is_object() {
            let finding = Finding::error("a file has no status that remembers how far a rollout has come");
            let remedy = "remove it, or make a Pipeline object of the file and name it with --pipeline-object";
            let findings = vec![finding.at("spec.rollout").remedy(remedy)];
            return Err(Error::Content { name: found.name.clone(), findings });
        }
        let (engine, folder, name) = (self.engine.clone(), self.options.plugins.clone(), found.name.clone());
        let fetched = registry::begin(&self.client, &self.namespace, &document).await?;
        let (registry, runtime, fetching, span) =
            (self.registry.clone(), Handle::current(), fetched.clone(), Span::current());
        let loading = move || {
            let remote = |artifact: &Artifact| registry.fetch(&runtime, &fetching, artifact);
            span.in_scope(|| Pipeline::load_with(&engine, &document, &folder, running.as_deref(), &remote))
        };
        let loaded = tokio::task::spawn_blocking(loading).await.map_err(Error::Interrupted)?;
        let loaded = loaded.map_err(|source| Error::Load(name.clone(), source))?;
        let identity = progress::identity(&found.document, &loaded);
        let loaded = self.with_schemas(name, loaded.with_identity(identity)).await?;
        self.registry.follow(fetched);
        Ok(loaded)
    }

    /// The pipeline with the schemas of the custom resources that it writes; it reuses answers.
    async fn with_schemas(&self, name: String, pipeline: Pipeline) -> Result<Pipeline, Error> {
        let schemas = schemas::read(&self.client, &pipeline.custom_kinds()).await;
        let schemas = schemas.map_err(|source| Error::Schemas(name, source))?;
        Ok(pipeline.with_schemas(schemas).with_answer_cache())
    }

    /// The pipeline that was loaded last, if its components are still found.
    pub(super) async fn restore(&self, last: &LastLoaded) -> Option<Pipeline> {
        let document = Document::read(&progress::document(last))
            .inspect_err(|findings| warn!(?findings, "the last pipeline cannot be read"))
            .ok()?;
        let (engine, folder) = (self.engine.clone(), self.options.plugins.clone());
        let (registry, span) = (self.registry.clone(), Span::current());
        let kept = move |digest: &str| registry.kept(digest);
        let restoring = move || span.in_scope(|| Pipeline::restore(&engine, &document, &folder, &kept));
        let restoring = tokio::task::spawn_blocking(restoring).await;
        let name = "the last pipeline".to_owned();
        let restored = match restoring.map_err(Error::Interrupted) {
            Ok(Ok(pipeline)) => {
                let identity = progress::identity(&progress::document(last), &pipeline);
                self.with_schemas(name, pipeline.with_identity(identity)).await
            }
            Ok(Err(error)) => Err(Error::Load(name, error)),
            Err(error) => Err(error),
        };
        match restored {
            Ok(pipeline) => {
                warn!(since = %last.since, generation = last.generation, "the last pipeline is in use instead");
                Some(pipeline)
            }
            Err(error) => {
                error!(error = %error_chain(&error), "the last pipeline cannot be loaded either");
                None
            }
        }
    }
}
