//! A pipeline that is being rolled out: how far it is, in memory and in the status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pgloom_api::pipeline::{
    ImpactStatus, LastLoaded, Rollout, RolloutPhase, RolloutStatus, UnwellStatus, without_rollout,
};
use pgloom_decide::fleet::{Before, Cluster, Memory, Stage, State, count, held, is_over, judged, next};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;
use tracing::warn;

use super::Settings;
use super::fleet::{Fleet, Known, Look, judge, look};
use super::source::Found;
use crate::cache::ClusterKey;

/// Why a rollout waits.
const PENDING: &str = "a newer pipeline is being loaded, or cannot be";
/// How many clusters that were not well the status names.
const UNWELL: usize = 20;
/// Between two looks at the clusters there is at least so much time, and so many times what a look took.
const PERIOD: Duration = Duration::from_secs(2);
const PAUSE: u32 = 20;

/// The pipeline that is being rolled out. The pipeline itself is in the settings.
#[derive(Debug)]
pub struct Running {
    /// The document. A newer one may be wanted by now.
    pub found: Found,
    /// `spec.rollout`; `None` if all clusters get it at once.
    pub rollout: Option<Rollout>,
    /// The document, with the digest of every component.
    pub pinned: LastLoaded,
    /// How far it is.
    pub state: State,
    /// All clusters when they were counted last.
    pub clusters: Vec<Cluster>,
    /// What it changes, once that is known.
    pub impact: Option<ImpactStatus>,
    /// What is remembered of the clusters.
    pub memory: Memory,
    /// The comparison, while it runs.
    judging: JoinSet<ImpactStatus>,
    /// The look at the clusters of the stage, while it runs.
    looking: JoinSet<Look>,
    /// When the next step is due.
    due: Option<Instant>,
}

impl Running {
    /// One that begins.
    pub fn new(found: Found, rollout: Option<Rollout>, pinned: LastLoaded, now: i64) -> Self {
        Self {
            found,
            rollout,
            pinned,
            state: State::judging(now),
            clusters: Vec::new(),
            impact: None,
            memory: Memory::default(),
            judging: JoinSet::new(),
            looking: JoinSet::new(),
            due: None,
        }
    }

    /// Goes on where another leader was.
    pub fn resume(&mut self, recorded: &RolloutStatus) {
        let since = recorded.since.parse().map_or(self.state.since, Timestamp::as_second);
        let stage = recorded.stage.as_deref().and_then(Stage::parse);
        if let (RolloutPhase::Progressing | RolloutPhase::Paused, Some(stage)) = (recorded.phase, stage) {
            let (phase, message) = (recorded.phase, recorded.message.clone());
            self.state = State { phase, stage: Some(stage), since, message };
            self.impact.clone_from(&recorded.impact);
            self.memory = Memory::of(recorded.before.as_deref());
        }
    }

    /// The rules.
    fn rules(&self) -> Rollout {
        self.rollout.clone().unwrap_or_default()
    }

    /// How many clusters have it.
    pub fn reached(&self) -> usize {
        self.state.active().map_or(0, |stage| count(&self.rules(), stage, &self.clusters))
    }

    /// For the status.
    pub fn status(&self) -> RolloutStatus {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let with = self.reached();
        let is_running = self.state.is_running();
        let unwell = || self.memory.before.iter().filter(|(_, before)| is_running && !before.is_well());
        let unwell_clusters = number(unwell().count());
        RolloutStatus {
            generation: self.pinned.generation,
            phase: self.state.phase,
            stage: self.state.stage.map(|stage| stage.to_string()),
            clusters: (!self.clusters.is_empty()).then(|| format!("{with}/{}", self.clusters.len())),
            since: text(self.state.since),
            message: self.state.message.clone(),
            impact: self.impact.clone(),
            unwell: unwell()
                .take(UNWELL)
                .map(|(cluster, before)| UnwellStatus {
                    cluster: cluster.clone(),
                    ready: number(before.ready),
                    wanted: number(before.wanted),
                    failing: before.failing,
                })
                .collect(),
            unwell_clusters: (unwell_clusters > 0).then_some(unwell_clusters),
            before: (is_running && self.state.stage.is_some()).then(|| self.memory.text()),
            spec: self.pinned.spec.clone(),
        }
    }

    /// Whether a status is about the same steps with the same components.
    pub fn is_recorded_in(&self, recorded: &RolloutStatus) -> bool {
        without_rollout(&recorded.spec) == without_rollout(&self.pinned.spec)
    }

    /// Whether it is time for the next step.
    pub fn is_due(&self, time: Instant) -> bool {
        self.due.is_none_or(|due| time >= due)
    }

    /// Whether no cluster has it yet.
    fn is_judging(&self) -> bool {
        self.state.is_running() && self.state.stage.is_none()
    }

    /// The state that comes next; `None` while that is not known. `pending` is whether a newer pipeline is wanted. What takes
    /// long runs as a task, and what it has found is taken by a later call.
    pub async fn step(
        &mut self,
        fleet: &Arc<dyn Fleet>,
        (now, then): (Settings, Settings),
        pending: bool,
        (time, seconds): (Instant, i64),
    ) -> Option<State> {
        let looked = self.looking.try_join_next();
        if looked.is_none() && !self.looking.is_empty() {
            return None;
        }
        self.due = Some(time + PERIOD);
        let Known { clusters, unlisted } = fleet.clusters();
        self.clusters = clusters.iter().map(|(_, cluster)| cluster.clone()).collect();
        let reason = pending.then(|| PENDING.to_owned()).or(unlisted);
        // It is compared for all clusters, and used for all at once, only if all are known and it is the newest. Without
        // stages those that are not known are not waited for for ever.
        let goes_on = !pending && self.rollout.is_none() && is_over(&self.rules(), &self.state, seconds);
        if let Some(reason) = reason.as_ref().filter(|_| !goes_on && (self.is_judging() || self.rollout.is_none())) {
            self.judging.abort_all();
            self.judging = JoinSet::new();
            return Some(held(&self.rules(), self.state.clone(), reason, seconds));
        }
        let state = if self.is_judging() {
            if self.judging.is_empty() {
                self.judging.spawn(judge(fleet.clone(), clusters, now, then));
                return Some(State::judging(self.state.since));
            }
            let found = self.judging.try_join_next()?;
            let impact = found.inspect_err(|error| warn!(%error, "not compared")).ok()?;
            let impact = self.impact.insert(impact);
            judged(self.rollout.as_ref(), impact, now.pipeline.is_available(), &self.clusters, seconds)
        } else if let Some(rollout) = &self.rollout {
            let stage = self.state.active()?;
            let look_is_done =
                looked.and_then(|looked| looked.inspect_err(|error| warn!(%error, "not looked at")).ok());
            let Some(Look { seen, took, .. }) = look_is_done.filter(|look| look.stage == stage) else {
                let canary = rollout.canary.as_ref();
                let of_stage = clusters.into_iter().filter(|(_, cluster)| stage.covers(canary, cluster)).collect();
                self.looking.spawn(look(fleet.clone(), stage, of_stage, now, then));
                self.due = Some(time);
                return None;
            };
            self.due = Some(time + PERIOD.max(took * PAUSE));
            let (memory, since) = (&mut self.memory, self.state.since);
            let of = |(name, seen): (String, _)| {
                let health = memory.health(rollout, since, &name, &seen, seconds);
                (name, health)
            };
            let health: BTreeMap<_, _> = seen.into_iter().map(of).collect();
            next(rollout, self.state.clone(), &self.clusters, &health, reason.as_deref(), seconds)
        } else {
            judged(None, &ImpactStatus::default(), true, &self.clusters, seconds)
        };
        self.remember(&state, fleet, clusters, now).await;
        Some(state)
    }

    /// Remembers how the clusters are that get the new pipeline in the next state and do not have it yet.
    async fn remember(
        &mut self,
        next: &State,
        fleet: &Arc<dyn Fleet>,
        clusters: Vec<(ClusterKey, Cluster)>,
        now: Settings,
    ) {
        let Some(stage) = next.active().filter(|stage| next.is_running() && Some(*stage) != self.state.active()) else {
            return;
        };
        let canary = self.rules().canary;
        let (fleet, covers) = (fleet.clone(), |stage: Stage, cluster: &Cluster| stage.covers(canary.as_ref(), cluster));
        let has_it = |cluster: &Cluster| self.state.active().is_some_and(|stage| covers(stage, cluster));
        let (mut kept, mut added) = (BTreeMap::new(), Vec::new());
        for (key, cluster) in clusters.into_iter().filter(|(_, cluster)| covers(stage, cluster)) {
            let name = cluster.to_string();
            match self.memory.before.get(&name).filter(|_| has_it(&cluster)) {
                Some(before) => drop(kept.insert(name, *before)),
                None => added.push((key, name)),
            }
        }
        let before = move |(key, name): (ClusterKey, String)| Some((name, fleet.before(&key, &now)?));
        let added = spawn_blocking(move || added.into_iter().filter_map(before).collect::<Vec<(String, Before)>>());
        match added.await {
            Ok(added) => kept.extend(added),
            Err(error) => warn!(%error, "how the clusters are before is not known"),
        }
        (self.memory.before, self.memory.is_partial) = (kept, false);
    }
}

/// A time in seconds since 1970, as the status holds it.
fn text(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// The status of a pipeline that all clusters have.
pub fn complete(last: &LastLoaded) -> RolloutStatus {
    RolloutStatus {
        generation: last.generation,
        phase: RolloutPhase::Complete,
        stage: None,
        clusters: None,
        since: last.since.clone(),
        message: "all clusters have it".to_owned(),
        impact: None,
        unwell: Vec::new(),
        unwell_clusters: None,
        before: None,
        spec: last.spec.clone(),
    }
}
