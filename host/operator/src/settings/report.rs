//! Reads and writes the status of Pipeline objects. Only the leader does.

use jiff::Timestamp;
use pgloom_common::error::error_chain;
use pgloom_engine::Pipeline;
use serde_json::json;
use tracing::warn;

use super::progress::Progress;
use super::{Error, Loader, source, status};
use crate::args::PipelineSource;

impl Loader {
    /// Reads the status that another leader wrote, as this operator now leads: what has not changed keeps its time.
    pub(super) async fn take_over_status(&self, progress: &mut Progress) {
        let PipelineSource::Object(named) = &self.options.pipeline else { return };
        if !self.is_leading() {
            return;
        }
        progress.reported = None;
        match source::pipeline(named, &self.namespace).get(&self.client).await {
            Ok(found) => progress.take_over(&found),
            Err(Error::Missing(_)) => progress.knows_rollout = true,
            Err(error) => warn!(error = %error_chain(&error), "the pipeline's status is not read"),
        }
    }

    /// Writes the status of the Pipeline object, if it changed. Only the leader writes.
    pub(super) async fn report_pipeline(&self, progress: &mut Progress, pipeline: &Pipeline) {
        let (PipelineSource::Object(named), Some(found), true) =
            (&self.options.pipeline, &progress.wanted, self.is_leading())
        else {
            return;
        };
        let before = match &progress.reported {
            Some(reported) => reported.conditions.clone(),
            None => found.conditions(),
        };
        let status = status::status(progress, pipeline, &before, found.generation(), Timestamp::now());
        if progress.reported.as_ref() == Some(&status) {
            return;
        }
        let object = source::pipeline(named, &self.namespace);
        let before =
            progress.reported.as_ref().map_or_else(|| found.document["status"].clone(), |before| json!(before));
        match object.write_status(&self.client, &status::patch(&before, &status)).await {
            Ok(()) => progress.reported = Some(status),
            Err(error) => warn!(error = %error_chain(&error), "pipeline status not written"),
        }
    }

    /// Writes to the status of the Pipeline objects that this operator no longer uses that they are not in use.
    pub(super) async fn release_others(&self) {
        if !self.is_leading() {
            return;
        }
        let used = match &self.options.pipeline {
            PipelineSource::File(_) => None,
            PipelineSource::Object(named) => Some(source::pipeline(named, &self.namespace)),
        };
        if let Err(error) = source::release_pipelines(&self.client, &self.namespace, used.as_ref()).await {
            warn!(error = %error_chain(&error), "the status of unused pipelines is not written");
        }
    }
}
