//! How far a new pipeline has come in the fleet, and what is next: a state machine of values. The rolling update of one
//! cluster's pods is another thing, see [`rollout`](crate::rollout).
//!
//! Each stage adds clusters to those before: the canary, each percentage, all. A stage ends when it has lasted long enough
//! and each of its clusters was reconciled with the new pipeline, runs what it wants, and is as ready as it was before. A
//! problem of one cluster that the pipeline may have caused ends the rollout: all clusters have the pipeline before again.
//! A cluster that is waited for too long for another reason pauses it.

mod health;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;

pub use health::{Before, Health, Memory, Seen};
use pgloom_api::pipeline::{ImpactStatus, Match, Rollout, RolloutPhase};
use pgloom_engine::Sha;

/// Which clusters have the new pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Those that the canary matches.
    Canary,
    /// The canary, and so many of a hundred.
    Percent(u8),
}

/// The last stage.
pub const ALL: Stage = Stage::Percent(100);

impl Stage {
    /// Whether a cluster has the new pipeline in this stage. The canary is part of every stage.
    #[must_use]
    pub fn covers(self, canary: Option<&Match>, cluster: &Cluster) -> bool {
        let in_canary = || canary.is_some_and(|canary| canary.covers(&cluster.namespace, &cluster.labels));
        match self {
            Self::Canary => in_canary(),
            Self::Percent(percent) => cluster.place() < percent || in_canary(),
        }
    }

    /// Reads what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "canary" => Some(Self::Canary),
            _ => text.strip_suffix('%')?.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canary => f.write_str("canary"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A cluster, as far as its stage depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The labels of the manifest.
    pub labels: BTreeMap<String, String>,
}

impl Cluster {
    /// Its place among a hundred: the same in every replica and in every version of the operator.
    fn place(&self) -> u8 {
        let mut hash = Sha::default();
        hash.write(self.to_string().as_bytes());
        let [first, second, third, fourth, ..] = hash.finalize();
        u8::try_from(u32::from_be_bytes([first, second, third, fourth]) % 100).unwrap_or_default()
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How far a rollout has come. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What is going on.
    pub phase: RolloutPhase,
    /// The stage; of a rollout that was taken back, the last one.
    pub stage: Option<Stage>,
    /// Since when it is in this stage.
    pub since: i64,
    /// What it waits for, or why it ended. It does not change as time passes.
    pub message: String,
}

impl State {
    /// A rollout that begins.
    #[must_use]
    pub fn judging(now: i64) -> Self {
        let message = "what it would change is being found out".to_owned();
        Self { phase: RolloutPhase::Judging, stage: None, since: now, message }
    }

    /// The stage whose clusters have the new pipeline; `None` if none has it.
    #[must_use]
    pub fn active(&self) -> Option<Stage> {
        match self.phase {
            RolloutPhase::Progressing | RolloutPhase::Paused => self.stage,
            RolloutPhase::Complete => Some(ALL),
            RolloutPhase::Judging | RolloutPhase::Refused | RolloutPhase::RolledBack => None,
        }
    }

    /// Whether there is more to come.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.phase, RolloutPhase::Judging | RolloutPhase::Progressing | RolloutPhase::Paused)
    }

    fn to(self, phase: RolloutPhase, message: impl Into<String>) -> Self {
        Self { phase, message: message.into(), ..self }
    }

    fn at(stage: Option<Stage>, now: i64) -> Self {
        match stage {
            Some(stage) => {
                let message = "the clusters of the stage get it".to_owned();
                Self { phase: RolloutPhase::Progressing, stage: Some(stage), since: now, message }
            }
            None => {
                let message = "all clusters have it".to_owned();
                Self { phase: RolloutPhase::Complete, stage: None, since: now, message }
            }
        }
    }
}

/// The state after it was found out what the new pipeline changes. Without a `rollout` all clusters get it. `compared` is
/// whether there is a pipeline before that could be compared.
#[must_use]
pub fn judged(rollout: Option<&Rollout>, impact: &ImpactStatus, compared: bool, fleet: &[Cluster], now: i64) -> State {
    let Some(rollout) = rollout else { return State::at(None, now) };
    let refusal = rollout.max_restarts.and_then(|most| refusal(most, impact, compared));
    match refusal.filter(|_| !fleet.is_empty()) {
        Some(message) => State::judging(now).to(RolloutPhase::Refused, message),
        None => State::at(first(rollout, fleet), now),
    }
}

/// Why a pipeline restarts too many pods.
fn refusal(most: u64, impact: &ImpactStatus, compared: bool) -> Option<String> {
    let limit = format!("spec.rollout.maxRestarts is {most}");
    if !compared {
        return Some(format!(
            "which pods it would restart is not known, as the pipeline before cannot be loaded, and {limit}; \
            remove maxRestarts to use it nevertheless"
        ));
    }
    if impact.unknown > 0 {
        let unknown = impact.unknown;
        return Some(format!(
            "which pods it would restart is not known of {unknown} clusters, and {limit}; repair these clusters, or \
            remove maxRestarts"
        ));
    }
    if u64::try_from(impact.restarts).unwrap_or_default() <= most {
        return None;
    }
    let first = impact.examples.iter().find(|example| example.pods > 0).map(|example| {
        let object = example.object.as_deref().unwrap_or_default();
        let field = example.field.as_deref().unwrap_or_default();
        let by = example.steps.join(", ");
        format!(": first of {}, {object}, as {field} changes, by {by}", example.cluster)
    });
    Some(format!(
        "it would restart {} pods, and {limit}{}; raise maxRestarts, or change the step",
        impact.restarts,
        first.unwrap_or_default()
    ))
}

/// The first stage; `None` without a cluster.
fn first(rollout: &Rollout, fleet: &[Cluster]) -> Option<Stage> {
    if fleet.is_empty() {
        return None;
    }
    match rollout.canary {
        Some(_) => Some(Stage::Canary),
        None => stages(rollout).find(|stage| count(rollout, *stage, fleet) > 0),
    }
}

/// The next stage that adds a cluster; `None` if all clusters have the pipeline.
fn following(rollout: &Rollout, stage: Stage, fleet: &[Cluster]) -> Option<Stage> {
    let now = count(rollout, stage, fleet);
    stages(rollout).find(|next| *next > stage && count(rollout, *next, fleet) > now)
}

fn stages(rollout: &Rollout) -> impl Iterator<Item = Stage> {
    rollout.percentages.iter().map(|percent| Stage::Percent(*percent)).chain([ALL])
}

/// How many clusters have the new pipeline in a stage.
#[must_use]
pub fn count(rollout: &Rollout, stage: Stage, fleet: &[Cluster]) -> usize {
    fleet.iter().filter(|cluster| stage.covers(rollout.canary.as_ref(), cluster)).count()
}

/// The state of a rollout of which no cluster is in a stage, or all are at once, while `reason` keeps it from being compared
/// or used. It waits no longer than `readyDeadline`, and is paused then.
#[must_use]
pub fn held(rollout: &Rollout, state: State, reason: &str, now: i64) -> State {
    let is_paused = state.stage.is_some() || is_over(rollout, &state, now);
    state.to(if is_paused { RolloutPhase::Paused } else { RolloutPhase::Judging }, reason)
}

/// Whether a rollout of which no cluster is in a stage was held for longer than `readyDeadline`.
#[must_use]
pub fn is_over(rollout: &Rollout, state: &State, now: i64) -> bool {
    passed(state.since, now) > rollout.ready_deadline.as_secs()
}

/// The seconds between two times.
fn passed(since: i64, now: i64) -> u64 {
    u64::try_from(now.saturating_sub(since)).unwrap_or_default()
}

/// The state after some time. `health` is asked of each cluster of the stage. `held` is why the rollout is not to go on.
#[must_use]
pub fn next(
    rollout: &Rollout,
    state: State,
    fleet: &[Cluster],
    health: &BTreeMap<String, Health>,
    held: Option<&str>,
    now: i64,
) -> State {
    use RolloutPhase::{Paused, Progressing, RolledBack};
    let Some(stage) = state.active().filter(|_| state.is_running()) else { return state };
    let of_stage: Vec<&Cluster> =
        fleet.iter().filter(|cluster| stage.covers(rollout.canary.as_ref(), cluster)).collect();
    let unseen = Health::Waiting("was not seen yet".to_owned());
    let of = |cluster: &Cluster| health.get(&cluster.to_string()).unwrap_or(&unseen);
    let problem = of_stage.iter().find_map(|cluster| match of(cluster) {
        Health::Problem(problem) => Some(format!("{cluster}: {problem}")),
        _ => None,
    });
    if let Some(problem) = problem {
        return State { since: now, ..state }.to(RolledBack, problem);
    }
    if let Some(held) = held.or(rollout.paused.then_some("spec.rollout.paused is true")) {
        return state.to(Paused, held);
    }
    if of_stage.is_empty() && stage == Stage::Canary && rollout.canary.is_some() && !fleet.is_empty() {
        let clusters = fleet.len();
        let message = format!(
            "spec.rollout.canary matches none of the {clusters} clusters; change it, or the labels of a cluster"
        );
        return state.to(Paused, message);
    }
    let stuck = of_stage.iter().find_map(|cluster| match of(cluster) {
        Health::Stuck(reason) => Some(format!("{cluster} {reason}")),
        _ => None,
    });
    if let Some(stuck) = stuck {
        return state.to(Paused, stuck);
    }
    let waiting = of_stage.iter().find_map(|cluster| match of(cluster) {
        Health::Waiting(reason) => Some(format!("{cluster} {reason}")),
        _ => None,
    });
    let soak = i64::try_from(rollout.soak.as_secs()).unwrap_or(i64::MAX);
    match waiting {
        Some(waiting) => state.to(Progressing, waiting),
        None if fleet.is_empty() => State::at(None, now),
        None if now < state.since.saturating_add(soak) => {
            state.to(Progressing, format!("the clusters of the stage are well; it lasts {soak} s at least"))
        }
        None => State::at(following(rollout, stage, fleet), now),
    }
}

#[cfg(test)]
mod tests;
