//! Rolls a new pipeline out: finds out what it changes, gives it to one stage after the other, and takes it back. What is
//! next is decided in [`pgloom_decide::fleet`]; here is what has effects.
//!
//! Only the leader does it, and the status remembers how far it has come: a stage is written there before its first
//! cluster is decided by the new pipeline, so that the next leader never finds a cluster ahead of the status.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pgloom_api::pipeline::{
    Document, ImpactStatus, LastLoaded, Rollout, RolloutPhase, RolloutStatus, UnwellStatus, without_rollout,
};
use pgloom_common::error::error_chain;
use pgloom_decide::fleet::{Cluster, Memory, Stage, State, Unwell, count, judged, next};
use pgloom_engine::Pipeline;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::candidate::{Candidate, Reach};
use super::fleet::{Fleet, Judged, judge};
use super::progress::{self, Progress};
use super::source::Found;
use super::{Error, Loader, Settings};
use crate::args::PipelineSource;
use crate::cache::ClusterKey;
use crate::report::{Event, reference};

/// Between two looks at the clusters there is at least so much time, and so many times what a look took.
const PERIOD: std::time::Duration = std::time::Duration::from_secs(2);
const PAUSE: u32 = 20;

/// The pipeline that is being rolled out. The pipeline itself is in the settings.
#[derive(Debug)]
pub struct Running {
    /// `spec.rollout`; `None` if all clusters get it at once.
    rollout: Option<Rollout>,
    pinned: LastLoaded,
    state: State,
    /// All clusters when they were counted last.
    clusters: Vec<Cluster>,
    impact: Option<ImpactStatus>,
    memory: Memory,
    judging: JoinSet<Judged>,
    /// When the clusters are looked at next.
    due: Option<Instant>,
}

impl Running {
    fn new(rollout: Option<Rollout>, pinned: LastLoaded, now: i64) -> Self {
        Self {
            rollout,
            pinned,
            state: State::judging(now),
            clusters: Vec::new(),
            impact: None,
            memory: Memory::default(),
            judging: JoinSet::new(),
            due: None,
        }
    }

    /// Goes on where another leader was.
    fn resume(&mut self, recorded: &RolloutStatus) {
        let since = recorded.since.parse().map_or(self.state.since, Timestamp::as_second);
        let stage = recorded.stage.as_deref().and_then(Stage::parse);
        if let (RolloutPhase::Progressing | RolloutPhase::Paused, Some(stage)) = (recorded.phase, stage) {
            let (phase, message) = (recorded.phase, recorded.message.clone());
            self.state = State { phase, stage: Some(stage), since, message };
            self.impact.clone_from(&recorded.impact);
            let count = |count| usize::try_from(count).unwrap_or_default();
            let unwell = |was: &UnwellStatus| {
                (was.cluster.clone(), Unwell { ready: count(was.ready), failing: was.failing })
            };
            self.memory.unwell = recorded.unwell.iter().map(unwell).collect();
        }
    }

    fn rollout(&self) -> Rollout {
        self.rollout.clone().unwrap_or_default()
    }

    /// For the status.
    fn status(&self) -> RolloutStatus {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let with = self.state.active().map_or(0, |stage| count(&self.rollout(), stage, &self.clusters));
        let unwell = self.memory.unwell.iter().filter(|_| self.state.is_running());
        RolloutStatus {
            generation: self.pinned.generation,
            phase: self.state.phase,
            stage: self.state.stage.map(|stage| stage.to_string()),
            clusters: (!self.clusters.is_empty()).then(|| format!("{with}/{}", self.clusters.len())),
            since: text(self.state.since),
            message: self.state.message.clone(),
            impact: self.impact.clone(),
            unwell: unwell
                .map(|(cluster, was)| UnwellStatus {
                    cluster: cluster.clone(),
                    ready: number(was.ready),
                    failing: was.failing,
                })
                .collect(),
            spec: self.pinned.spec.clone(),
        }
    }

    fn is_recorded_in(&self, recorded: &RolloutStatus) -> bool {
        without_rollout(&recorded.spec) == without_rollout(&self.pinned.spec)
    }
}

/// A time in seconds since 1970, as the status holds it.
fn text(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// `spec.rollout` of a document that was loaded.
pub fn rollout_of(document: &serde_json::Value) -> Option<Rollout> {
    Document::read(document).ok()?.rollout
}

/// The status of a pipeline that all clusters have.
fn complete(last: &LastLoaded) -> RolloutStatus {
    RolloutStatus {
        generation: last.generation,
        phase: RolloutPhase::Complete,
        stage: None,
        clusters: None,
        since: last.since.clone(),
        message: "all clusters have it".to_owned(),
        impact: None,
        unwell: Vec::new(),
        spec: last.spec.clone(),
    }
}

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
        let rollout = rollout_of(&found.document);
        let pinned = progress::pinned(&found.document, &pipeline, Timestamp::now());
        let before = progress.last_loaded.clone().or_else(|| self.last_loaded(Some(&found)));
        let compared = settings.borrow().pipeline.is_available();
        let is_new = before.is_some_and(|before| without_rollout(&before.spec) != without_rollout(&pinned.spec));
        let in_stages = rollout.is_some() || self.is_leading() && compared;
        if !(self.is_object() && is_new && in_stages) {
            self.use_for_all(found, Arc::new(pipeline), progress, settings);
            return true;
        }
        progress.arrived(found);
        let canary = rollout.as_ref().and_then(|rollout| rollout.canary.clone());
        match &mut progress.running {
            Some(running) if without_rollout(&running.pinned.spec) == without_rollout(&pinned.spec) => {
                (running.rollout, running.pinned) = (rollout, pinned);
                settings.send_modify(|settings| {
                    settings.candidate.iter_mut().for_each(|candidate| candidate.canary.clone_from(&canary));
                });
                return true;
            }
            _ => progress.running = Some(Running::new(rollout, pinned, progress.clock.seconds(Instant::now()))),
        }
        settings.send_modify(|settings| {
            let reach = if progress.knows_rollout { Reach::Nowhere } else { Reach::Unknown };
            settings.candidate = Some(Candidate { pipeline: Some(Arc::new(pipeline)), reach, canary });
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
        let (Some(rollout), Some(last)) = (rollout_of(&found.document), self.last_loaded(Some(found))) else {
            return Ok(None);
        };
        let pinned = progress::pinned(&found.document, pipeline, Timestamp::now());
        if !self.is_object() || without_rollout(&last.spec) == without_rollout(&pinned.spec) {
            return Ok(None);
        }
        let before = self.restored(&last).await?;
        let (canary, pipeline) = (rollout.canary.clone(), Some(Arc::new(pipeline.clone())));
        progress.arrived(found.clone());
        progress.last_loaded = Some(last);
        progress.running = Some(Running::new(Some(rollout), pinned, progress.clock.seconds(Instant::now())));
        Ok(Some((before, Candidate { pipeline, reach: Reach::Unknown, canary })))
    }

    /// The pipeline that was loaded last, or one that decides nothing.
    async fn restored(&self, last: &LastLoaded) -> Result<Arc<Pipeline>, Error> {
        let restored = match self.restore(last).await {
            Some(pipeline) => pipeline,
            None => Pipeline::unavailable("the pipeline before cannot be loaded any more, and the new one is rolled out")
                .map_err(|error| Error::Load("pipeline".into(), error))?,
        };
        Ok(Arc::new(restored))
    }

    /// Uses the pipeline that all clusters have by the status: while another operator led, a rollout may have ended.
    async fn take_stable(&self, progress: &mut Progress, settings: &watch::Sender<Settings>) {
        let Some(last) = progress.wanted.as_ref().and_then(|wanted| progress::of_status(&wanted.document)) else { return };
        let is_known = |known: &LastLoaded| without_rollout(&known.spec) == without_rollout(&last.spec);
        let Some(running) = progress.running.as_ref().filter(|_| !progress.last_loaded.as_ref().is_some_and(is_known))
        else {
            return;
        };
        let candidate = settings.borrow().candidate.as_ref().and_then(|candidate| candidate.pipeline.clone());
        match (is_known(&running.pinned), candidate) {
            (true, Some(pipeline)) => {
                progress.running = None;
                settings.send_modify(|settings| settings.pipeline = pipeline);
            }
            _ => match self.restored(&last).await {
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
        let is_same = |recorded: &RolloutStatus| {
            recorded.phase == RolloutPhase::Complete && recorded.spec == last.spec
        };
        if !progress.rollout.as_ref().is_some_and(is_same) {
            progress.rollout = Some(complete(last));
        }
    }

    /// Finds the place of the candidate in what the status says: it goes on there, stays refused or taken back, or begins.
    /// Called when the status was read, and when a pipeline was loaded after that.
    pub(super) fn place(&self, progress: &mut Progress, settings: &watch::Sender<Settings>) {
        let recorded = progress.rollout.clone();
        let is_pending = progress.loading.is_some() || progress.problem.is_some();
        let mut loaded = settings.borrow().candidate.clone().filter(|candidate| candidate.pipeline.is_some());
        let placed = match (&mut progress.running, recorded) {
            (Some(running), Some(recorded)) if is_ended(&recorded) && recorded.spec == running.pinned.spec => {
                progress.running = None;
                loaded.take().map(|loaded| Candidate { reach: Reach::Nowhere, ..loaded })
            }
            (Some(running), recorded) => {
                if let Some(recorded) = recorded.filter(|recorded| running.is_recorded_in(recorded)) {
                    running.resume(&recorded);
                }
                if running.state.phase == RolloutPhase::Judging {
                    progress.rollout = Some(running.status());
                }
                let reach = running.state.active().map_or(Reach::Nowhere, Reach::Stage);
                loaded.take().map(|loaded| Candidate { reach, ..loaded })
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
        let pending = progress.loading.is_some() || progress.problem.is_some();
        let (Some(running), Some(clusters)) = (&mut progress.running, fleet.clusters()) else { return false };
        if running.due.is_some_and(|due| time < due) {
            return false;
        }
        let Some((now, then)) = both(settings) else { return false };
        let begun = Instant::now();
        running.clusters = clusters.iter().map(|(_, cluster)| cluster.clone()).collect();
        let seconds = progress.clock.seconds(time);
        let state = match running.state.phase {
            RolloutPhase::Judging => {
                if running.judging.is_empty() {
                    running.judging.spawn(judge(fleet.clone(), clusters, now, then));
                    return false;
                }
                let Some(found) = running.judging.try_join_next() else { return false };
                let Ok(Judged { impact, unwell }) = found.inspect_err(|error| warn!(%error, "not compared")) else {
                    return false;
                };
                running.memory.unwell = unwell;
                let compared = now.pipeline.is_available();
                let state = judged(running.rollout.as_ref(), &impact, compared, &running.clusters, seconds);
                running.impact = Some(impact);
                state
            }
            _ => {
                let held = pending.then_some("a newer pipeline is being loaded, or cannot be");
                let health = running.health(&clusters, fleet, (&now, &then), seconds).await;
                next(&running.rollout(), running.state.clone(), &running.clusters, &health, held, seconds)
            }
        };
        running.due = Some(time + PERIOD.max(begun.elapsed() * PAUSE));
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
        let before = std::mem::replace(&mut running.state, state);
        let (after, status) = (running.state.clone(), running.status());
        let with = running.state.active().filter(|_| after.is_running());
        let with = with.map_or(0, |stage| count(&running.rollout(), stage, &running.clusters));
        self.metrics.rollout_clusters.set(i64::try_from(with).unwrap_or(i64::MAX));
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
        self.publish_stage(&status, progress).await;
        before.active() != after.active()
    }

    fn take_effect(&self, after: &State, progress: &mut Progress, settings: &watch::Sender<Settings>) {
        let reach = after.active().map_or(Reach::Nowhere, Reach::Stage);
        match (after.phase, progress.wanted.clone()) {
            (RolloutPhase::Complete, Some(found)) => {
                progress.running = None;
                let candidate = settings.borrow().candidate.as_ref().and_then(|candidate| candidate.pipeline.clone());
                let Some(pipeline) = candidate else { return };
                self.succeeded(progress, found, &pipeline);
                settings.send_modify(|settings| (settings.pipeline, settings.candidate) = (pipeline, None));
            }
            _ => {
                if !after.is_running() {
                    progress.running = None;
                }
                if after.phase == RolloutPhase::RolledBack {
                    self.metrics.rollbacks.inc();
                }
                settings.send_modify(|settings| {
                    settings.candidate.iter_mut().for_each(|candidate| candidate.reach = reach);
                });
            }
        }
    }

    async fn publish_stage(&self, status: &RolloutStatus, progress: &Progress) {
        let Some(wanted) = &progress.wanted else { return };
        let stage = status.stage.as_deref().map(|stage| format!(", {stage}")).unwrap_or_default();
        let clusters = status.clusters.as_deref().unwrap_or_default();
        let note = format!("{:?}{stage}, {clusters} clusters: {}", status.phase, status.message);
        let event = match status.phase {
            RolloutPhase::Paused | RolloutPhase::Refused | RolloutPhase::RolledBack => Event::warning("Rollout", note),
            _ => Event::normal("Rollout", note),
        };
        self.recorder.publish(&reference(&wanted.document), &event).await;
    }
}

impl Running {
    /// How each cluster of the stage is.
    async fn health(
        &mut self,
        clusters: &[(ClusterKey, Cluster)],
        fleet: &Arc<dyn Fleet>,
        (now, then): (&Settings, &Settings),
        seconds: i64,
    ) -> BTreeMap<String, pgloom_decide::fleet::Health> {
        let (rollout, since) = (self.rollout(), self.state.since);
        let mut health = BTreeMap::new();
        let Some(stage) = self.state.active() else { return health };
        for (key, cluster) in clusters.iter().filter(|(_, cluster)| stage.covers(rollout.canary.as_ref(), cluster)) {
            if let Some(seen) = fleet.seen(key, now, then).await {
                let name = cluster.to_string();
                let found = self.memory.health(&rollout, since, &name, &seen, seconds);
                health.insert(name, found);
            }
        }
        health
    }
}

/// The settings of the clusters with the pipeline before, and of those with the new one.
fn both(settings: &watch::Sender<Settings>) -> Option<(Settings, Settings)> {
    let settings = settings.borrow();
    let candidate = settings.candidate.as_ref()?.pipeline.clone()?;
    let of = |pipeline| Settings::of(settings.config.clone(), pipeline);
    Some((of(settings.pipeline.clone()), of(candidate)))
}

/// The candidate of a recorded rollout that is not loaded.
fn waiting(recorded: &RolloutStatus) -> Option<Candidate> {
    let stage = recorded.stage.as_deref().and_then(Stage::parse).filter(|_| !is_ended(recorded))?;
    let last = LastLoaded { spec: recorded.spec.clone(), ..LastLoaded::default() };
    let canary = rollout_of(&progress::document(&last)).and_then(|rollout| rollout.canary);
    Some(Candidate { pipeline: None, reach: Reach::Stage(stage), canary })
}
