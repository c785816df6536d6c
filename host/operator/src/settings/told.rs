//! Which pipeline each cluster has, as a replica that does not lead reads it from the status of the Pipeline object. The
//! replica reconciles no cluster, and answers questions about manifests.

use pgloom_api::pipeline::{Rollout, RolloutPhase};
use pgloom_decide::fleet::{ALL, Stage};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::candidate::{Candidate, Reach};
use super::progress::{self, Progress};
use super::{Loader, Settings};

impl Loader {
    /// Takes what the status says, unless this operator leads.
    pub(super) fn be_told(&self, progress: &Progress, settings: &watch::Sender<Settings>) {
        let told = (self.is_object() && !self.is_leading()).then(|| told(&progress.told, &settings.borrow())).flatten();
        // No one waits for it.
        settings.send_if_modified(|settings| {
            settings.told = told;
            false
        });
    }
}

/// Which pipeline the clusters have by a status; `None` if one of them is not loaded here.
fn told(status: &Value, settings: &Settings) -> Option<Candidate> {
    let before = progress::identity_of(&progress::of_status(&json!({"status": status}))?.spec);
    let pipeline = settings.candidate.as_ref().and_then(|candidate| candidate.pipeline.clone());
    let loaded = pipeline.as_ref().map(|pipeline| pipeline.identity);
    let is_before = settings.pipeline.identity == before;
    let rollout = progress::of_rollout(status);
    let rollout = rollout.filter(|it| matches!(it.phase, RolloutPhase::Progressing | RolloutPhase::Paused));
    let Some((rollout, stage)) = rollout.and_then(|it| Some((it.spec, Stage::parse(it.stage.as_deref()?)?))) else {
        return match () {
            () if is_before => Some(Candidate { pipeline, reach: Reach::Nowhere, canary: None }),
            () if loaded == Some(before) => Some(Candidate { pipeline, reach: Reach::Stage(ALL), canary: None }),
            () => None,
        };
    };
    let is_loaded = is_before && loaded == Some(progress::identity_of(&rollout));
    let canary = Rollout::of(&rollout).and_then(|rollout| rollout.canary);
    is_loaded.then_some(Candidate { pipeline, reach: Reach::Stage(stage), canary })
}
