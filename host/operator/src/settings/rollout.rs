//! Rolls a new pipeline out: finds out what it changes, gives it to one stage after the other, and takes it back. What is
//! next is decided in [`pgloom_decide::fleet`]; here is what has effects.
//!
//! Only the leader does it, and the status remembers how far it has come: a stage is written there before its first
//! cluster is decided by the new pipeline, so that the next leader never finds a cluster ahead of the status.

use std::sync::Arc;

use jiff::Timestamp;
use pgloom_api::pipeline::{LastLoaded, Rollout, RolloutPhase, RolloutStatus, without_rollout};
use pgloom_common::error::error_chain;
use pgloom_decide::fleet::{Stage, State};
use pgloom_engine::Pipeline;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::candidate::{Candidate, Reach};
use super::fleet::Fleet;
use super::progress::{self, Progress};
use super::running::{Running, complete};
use super::source::Found;
use super::{Error, Loader, Settings};
use crate::args::PipelineSource;
use crate::report::{Event, reference};

fn is_ended(recorded: &RolloutStatus) -> bool {
    matches!(recorded.phase, RolloutPhase::Refused | RolloutPhase::RolledBack)
}

impl Loader {
    /// Whether the source is an object, whose status remembers how far a rollout has come.
    pub(super) fn is_object(&self) -> bool {
        matches!(self.options.pipeline, PipelineSource::Object(_))
    }

    /// Takes a pipeline that was loaded: all clusters have it now, or its rollout begins or goes on. Whether a cluster may
    /// have another pipeline now.
    pub(super) fn arrived(
        &self,
        found: Found,
        pipeline: Pipeline,
        progress: &mut Progress,
        settings: &watch::Sender<Settings>,
    ) -> bool {
        let pinned = progress::pinned(&found.document, &pipeline, Timestamp::now());
        let rollout = Rollout::of(&pinned.spec);
        let before = progress.last_loaded.clone().or_else(|| self.last_loaded(Some(&found)));
        let compared = settings.borrow().pipeline.is_available();
        let is_new =
            before.map_or(rollout.is_some(), |before| without_rollout(&before.spec) != without_rollout(&pinned.spec));
        let in_stages = rollout.is_some() || self.is_leading() && compared;
        if !(self.is_object() && is_new && in_stages) {
            self.use_for_all(found, Arc::new(pipeline), progress, settings);
            return true;
        }
        progress.arrived(found.clone());
        let canary = rollout.as_ref().and_then(|rollout| rollout.canary.clone());
        match &mut progress.running {
            Some(running) if without_rollout(&running.pinned.spec) == without_rollout(&pinned.spec) => {
                (running.found, running.rollout, running.pinned) = (found, rollout, pinned);
                settings.send_modify(|settings| {
                    settings.candidate.iter_mut().for_each(|candidate| candidate.canary.clone_from(&canary));
                });
                return true;
            }
            _ => progress.running = Some(Running::new(found, rollout, pinned, progress.clock.seconds(Instant::now()))),
        }
        settings.send_modify(|settings| {
            // Until its place is found: a cluster that may have it already is not decided by the one before.
            settings.candidate = Some(Candidate { pipeline: Some(Arc::new(pipeline)), reach: Reach::Unknown, canary });
        });
        if progress.knows_rollout {
            self.place(progress, settings);
        }
        true
    }

    /// The pipeline before, and the candidate, if the first pipeline of this process is another one than the last and is
    /// rolled out in stages.
    pub(super) async fn to_be_rolled_out(
        &self,
        found: &Found,
        pipeline: &Pipeline,
        progress: &mut Progress,
    ) -> Result<Option<(Arc<Pipeline>, Candidate)>, Error> {
        let pinned = progress::pinned(&found.document, pipeline, Timestamp::now());
        let (Some(rollout), last) = (Rollout::of(&pinned.spec), self.last_loaded(Some(found))) else {
            return Ok(None);
        };
        let is_same = |last: &LastLoaded| without_rollout(&last.spec) == without_rollout(&pinned.spec);
        if !self.is_object() || last.as_ref().is_some_and(is_same) {
            return Ok(None);
        }
        let before = self.restored(last.as_ref()).await?;
        let (canary, pipeline) = (rollout.canary.clone(), Some(Arc::new(pipeline.clone())));
        progress.arrived(found.clone());
        progress.last_loaded = last;
        progress.running =
            Some(Running::new(found.clone(), Some(rollout), pinned, progress.clock.seconds(Instant::now())));
        Ok(Some((before, Candidate { pipeline, reach: Reach::Unknown, canary })))
    }

    /// The pipeline that was loaded last, or one that decides nothing.
    async fn restored(&self, last: Option<&LastLoaded>) -> Result<Arc<Pipeline>, Error> {
        let (restored, reason) = match last {
            Some(last) => (self.restore(last).await, "the pipeline that the clusters have cannot be loaded"),
            None => (None, "no pipeline before is known, and the new one is rolled out"),
        };
        let restored = match restored {
            Some(pipeline) => pipeline,
            None => Pipeline::unavailable(reason).map_err(|error| Error::Load("pipeline".into(), error))?,
        };
        Ok(Arc::new(restored))
    }

    /// Uses the pipeline that all clusters have by the status: while another operator led, a rollout may have ended.
    async fn take_stable(&self, progress: &mut Progress, settings: &watch::Sender<Settings>) {
        let Some(last) = progress.wanted.as_ref().and_then(|wanted| progress::of_status(&wanted.document)) else {
            return;
        };
        let is_known = |known: &LastLoaded| without_rollout(&known.spec) == without_rollout(&last.spec);
        // If the wanted one is loaded and not rolled out, all clusters get it.
        let is_wanted_in_use = progress.running.is_none() && !progress.is_pending();
        if is_wanted_in_use || progress.last_loaded.as_ref().is_some_and(is_known) {
            return;
        }
        let candidate = settings.borrow().candidate.as_ref().and_then(|candidate| candidate.pipeline.clone());
        match (progress.running.as_ref().is_some_and(|running| is_known(&running.pinned)), candidate) {
            (true, Some(pipeline)) => {
                progress.running = None;
                settings.send_modify(|settings| settings.pipeline = pipeline);
            }
            _ => match self.restored(Some(&last)).await {
                Ok(pipeline) => settings.send_modify(|settings| settings.pipeline = pipeline),
                Err(error) => warn!(error = %error_chain(&error), "the pipeline before is not in use"),
            },
        }
        progress.last_loaded = Some(last);
    }

    fn use_for_all(
        &self,
        found: Found,
        pipeline: Arc<Pipeline>,
        progress: &mut Progress,
        settings: &watch::Sender<Settings>,
    ) {
        info!(source = %found.name, "new pipeline in use");
        self.succeeded(progress, found, &pipeline);
        progress.running = None;
        self.complete(progress);
        let unknown = (self.is_object() && !progress.knows_rollout).then(Candidate::unknown);
        settings.send_modify(|settings| (settings.pipeline, settings.candidate) = (pipeline, unknown));
    }

    /// Says in the status that all clusters have the pipeline, unless it says so already.
    fn complete(&self, progress: &mut Progress) {
        let Some(last) = progress.last_loaded.as_ref().filter(|_| self.is_object()) else { return };
        let is_same = |recorded: &RolloutStatus| recorded.phase == RolloutPhase::Complete && recorded.spec == last.spec;
        if !progress.rollout.as_ref().is_some_and(is_same) {
            progress.rollout = Some(complete(last));
        }
    }

    /// Finds the place of the candidate in what the status says: it goes on there, stays refused or taken back, or begins.
    /// Called when the status was read, and when a pipeline was loaded after that.
    pub(super) fn place(&self, progress: &mut Progress, settings: &watch::Sender<Settings>) {
        let recorded = progress.rollout.clone();
        let is_pending = progress.is_pending();
        let loaded = settings.borrow().candidate.clone().filter(|candidate| candidate.pipeline.is_some());
        let placed = match (&mut progress.running, recorded) {
            (Some(running), Some(recorded)) if is_ended(&recorded) && recorded.spec == running.pinned.spec => {
                progress.running = None;
                ended(loaded, recorded.phase)
            }
            (Some(running), recorded) => {
                if let Some(recorded) = recorded.filter(|recorded| running.is_recorded_in(recorded)) {
                    running.resume(&recorded);
                }
                if running.state.phase == RolloutPhase::Judging {
                    progress.rollout = Some(running.status());
                }
                let reach = running.state.active().map_or(Reach::Nowhere, Reach::Stage);
                loaded.map(|loaded| Candidate { reach, ..loaded })
            }
            // What some clusters have is not loaded yet, or cannot be: those clusters stay as they are.
            (None, Some(recorded)) if is_pending && recorded.phase != RolloutPhase::Complete => waiting(&recorded),
            (None, recorded) => {
                if !is_pending && recorded.is_some() {
                    self.complete(progress);
                }
                None
            }
        };
        settings.send_modify(|settings| settings.candidate = placed);
    }

    /// Takes the next step of a rollout, if it is `time` for one. Whether a cluster may have another pipeline now.
    pub(super) async fn advance(
        &self,
        progress: &mut Progress,
        settings: &watch::Sender<Settings>,
        fleet: &Arc<dyn Fleet>,
        time: Instant,
    ) -> bool {
        if !self.is_leading() {
            return false;
        }
        if !progress.knows_rollout && self.is_object() {
            return self.find_rollout(progress, settings).await;
        }
        let pending = progress.is_pending();
        let seconds = progress.clock.seconds(time);
        let Some(running) = progress.running.as_mut().filter(|running| running.is_due(time)) else { return false };
        let state = match both(settings) {
            Some(both) => running.step(fleet, both, pending, (time, seconds)).await,
            None => None,
        };
        let Some(state) = state else { return false };
        self.enter(state, progress, settings).await
    }

    /// Reads how far a rollout has come, as this operator leads now. Whether it is known now.
    pub(super) async fn find_rollout(&self, progress: &mut Progress, settings: &watch::Sender<Settings>) -> bool {
        self.take_over_status(progress).await;
        if progress.knows_rollout {
            self.take_stable(progress, settings).await;
            self.place(progress, settings);
        }
        progress.knows_rollout
    }

    /// Enters a state: what needs the status first, and then what has effects.
    async fn enter(&self, state: State, progress: &mut Progress, settings: &watch::Sender<Settings>) -> bool {
        let Some(running) = &mut progress.running else { return false };
        let document = running.found.document.clone();
        let before = std::mem::replace(&mut running.state, state);
        let (after, status) = (running.state.clone(), running.status());
        let former = progress.rollout.replace(status.clone());
        let has_moved = (before.phase, before.stage) != (after.phase, after.stage);
        if has_moved && after.is_running() && before.active() != after.active() {
            let stable = settings.borrow().pipeline.clone();
            self.report_pipeline(progress, &stable).await;
            let is_written = progress.reported.as_ref().is_some_and(|reported| reported.rollout == progress.rollout);
            if !is_written {
                progress.rollout = former;
                progress.running.iter_mut().for_each(|running| running.state = before.clone());
                return false;
            }
        }
        if !has_moved {
            return false;
        }
        info!(phase = ?after.phase, stage = ?status.stage, clusters = ?status.clusters, "{}", after.message);
        self.take_effect(&after, progress, settings);
        self.publish_stage(&status, &document).await;
        // What steps answered last is kept for the pipeline that all clusters have, and that is another one at the end.
        before.active() != after.active() || after.phase == RolloutPhase::Complete
    }

    fn take_effect(&self, after: &State, progress: &mut Progress, settings: &watch::Sender<Settings>) {
        let found = progress.running.as_ref().map(|running| running.found.clone());
        if !after.is_running() {
            progress.running = None;
        }
        let candidate = settings.borrow().candidate.clone();
        match after.phase {
            RolloutPhase::Complete => {
                let Some(pipeline) = candidate.and_then(|candidate| candidate.pipeline) else { return };
                found.into_iter().for_each(|found| self.succeeded(progress, found, &pipeline));
                settings.send_modify(|settings| (settings.pipeline, settings.candidate) = (pipeline, None));
            }
            RolloutPhase::Refused | RolloutPhase::RolledBack => {
                if after.phase == RolloutPhase::RolledBack {
                    self.metrics.rollbacks.inc();
                }
                settings.send_modify(|settings| settings.candidate = ended(candidate, after.phase));
            }
            RolloutPhase::Judging | RolloutPhase::Progressing | RolloutPhase::Paused => {
                let reach = after.active().map_or(Reach::Nowhere, Reach::Stage);
                settings.send_modify(|settings| {
                    settings.candidate = candidate.map(|candidate| Candidate { reach, ..candidate });
                });
            }
        }
    }

    /// Publishes an event about the pipeline of `document`. A newer one may be wanted by now.
    async fn publish_stage(&self, status: &RolloutStatus, document: &Value) {
        let stage = status.stage.as_deref().map(|stage| format!(", {stage}")).unwrap_or_default();
        let clusters = status.clusters.as_deref().map(|clusters| format!(", {clusters} clusters")).unwrap_or_default();
        let generation = status.generation.map(|generation| format!(", generation {generation}")).unwrap_or_default();
        let note = format!("{:?}{stage}{clusters}{generation}: {}", status.phase, status.message);
        let event = match status.phase {
            RolloutPhase::Paused | RolloutPhase::Refused | RolloutPhase::RolledBack => Event::warning("Rollout", note),
            _ => Event::normal("Rollout", note),
        };
        self.recorder.publish(&reference(document), &event).await;
    }
}

/// The settings of the clusters with the pipeline before, and of those with the new one.
fn both(settings: &watch::Sender<Settings>) -> Option<(Settings, Settings)> {
    let settings = settings.borrow();
    let candidate = settings.candidate.as_ref()?.pipeline.clone()?;
    let of = |pipeline| Settings::of(settings.config.clone(), pipeline);
    Some((of(settings.pipeline.clone()), of(candidate)))
}

/// The candidate after its rollout. What one that was taken back has made is watched, so that it is pruned.
fn ended(candidate: Option<Candidate>, phase: RolloutPhase) -> Option<Candidate> {
    let candidate = candidate.filter(|_| phase == RolloutPhase::RolledBack);
    candidate.map(|candidate| Candidate { reach: Reach::Nowhere, ..candidate })
}

/// The candidate of a recorded rollout that is not loaded.
fn waiting(recorded: &RolloutStatus) -> Option<Candidate> {
    let stage = recorded.stage.as_deref().and_then(Stage::parse).filter(|_| !is_ended(recorded))?;
    let canary = Rollout::of(&recorded.spec).and_then(|rollout| rollout.canary);
    Some(Candidate { pipeline: None, reach: Reach::Stage(stage), canary })
}
