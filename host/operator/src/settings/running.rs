//! A pipeline that is being rolled out: how far it is, in memory and in the status.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pgloom_api::pipeline::{
    ImpactStatus, LastLoaded, Rollout, RolloutPhase, RolloutStatus, UnwellStatus, without_rollout,
};
use pgloom_decide::fleet::{Cluster, Health, Memory, Stage, State, Unwell, count, judged, next};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::Settings;
use super::fleet::{Fleet, Judged, Known, judge};
use super::source::Found;
use crate::cache::ClusterKey;

/// Why a rollout waits.
const PENDING: &str = "a newer pipeline is being loaded, or cannot be";

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
    pub judging: JoinSet<Judged>,
    /// When the next step is due.
    pub due: Option<Instant>,
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
            let count = |count| usize::try_from(count).unwrap_or_default();
            let unwell =
                |was: &UnwellStatus| (was.cluster.clone(), Unwell { ready: count(was.ready), failing: was.failing });
            self.memory.unwell = recorded.unwell.iter().map(unwell).collect();
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

    /// Whether a status is about the same steps with the same components.
    pub fn is_recorded_in(&self, recorded: &RolloutStatus) -> bool {
        without_rollout(&recorded.spec) == without_rollout(&self.pinned.spec)
    }

    /// The state that comes next; `None` while that is not known. `pending` is whether a newer pipeline is wanted.
    pub async fn step(
        &mut self,
        fleet: &Arc<dyn Fleet>,
        Known { clusters, unlisted }: Known,
        (now, then): (Settings, Settings),
        pending: bool,
        seconds: i64,
    ) -> Option<State> {
        self.clusters = clusters.iter().map(|(_, cluster)| cluster.clone()).collect();
        let held = pending.then(|| PENDING.to_owned()).or(unlisted);
        // It is compared for all clusters, and used for all at once, only if all are known and it is the newest.
        if let Some(held) = held.clone().filter(|_| self.state.phase == RolloutPhase::Judging || self.rollout.is_none())
        {
            self.judging.abort_all();
            self.judging = JoinSet::new();
            return Some(State { message: held, ..self.state.clone() });
        }
        if self.state.phase == RolloutPhase::Judging {
            if self.judging.is_empty() {
                self.judging.spawn(judge(fleet.clone(), clusters, now, then));
                return Some(State::judging(self.state.since));
            }
            let found = self.judging.try_join_next()?;
            let Judged { impact, unwell } = found.inspect_err(|error| warn!(%error, "not compared")).ok()?;
            self.memory.unwell = unwell;
            let compared = now.pipeline.is_available();
            let impact = self.impact.insert(impact);
            return Some(judged(self.rollout.as_ref(), impact, compared, &self.clusters, seconds));
        }
        let Some(rollout) = self.rollout.clone() else {
            return Some(judged(None, &ImpactStatus::default(), true, &self.clusters, seconds));
        };
        let health = self.health(&clusters, fleet, (&now, &then), seconds).await;
        Some(next(&rollout, self.state.clone(), &self.clusters, &health, held.as_deref(), seconds))
    }

    /// How each cluster of the stage is.
    async fn health(
        &mut self,
        clusters: &[(ClusterKey, Cluster)],
        fleet: &Arc<dyn Fleet>,
        (now, then): (&Settings, &Settings),
        seconds: i64,
    ) -> BTreeMap<String, Health> {
        let (rollout, since) = (self.rules(), self.state.since);
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
        spec: last.spec.clone(),
    }
}
