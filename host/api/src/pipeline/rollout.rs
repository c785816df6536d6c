//! How a new pipeline reaches the clusters: in stages, and back if one of them gets worse.

use std::collections::BTreeMap;
use std::time::Duration;

use pgloom_common::duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::{Match, read_match};
use super::spec::{MatchSpec, anything};
use crate::field::{entry, member};
use crate::finding::Finding;

/// The default of `soak`.
pub const DEFAULT_SOAK: Duration = Duration::from_secs(300);
/// The default of `readyDeadline`.
pub const DEFAULT_READY_DEADLINE: Duration = Duration::from_secs(300);

/// How a new pipeline reaches the clusters: first the canary, then each percentage, then all. It goes on by itself, and
/// back to the pipeline before as soon as a step fails or a cluster has fewer ready members than it had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutSpec {
    /// How many pods the new pipeline may restart, in all clusters together. One that would restart more is not used.
    /// Default: any number. Example: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = 1_000_000))]
    pub max_restarts: Option<u64>,
    /// The clusters that get the new pipeline first. Default: those of the first percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<MatchSpec>,
    /// The percentages of the clusters that get it next, from the smallest to the largest; 100 is always the last.
    /// Which cluster is among them depends on its namespace and name alone. Default: none. Example: `[10, 50]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 1, max = 99)), extend("x-kubernetes-validations" = [
        {"rule": "self.isSorted() && self.all(one, self.exists_one(other, other == one))",
            "message": "percentages go from the smallest to the largest, each once"}
    ]))]
    pub percentages: Vec<u8>,
    /// How long a stage lasts at least. Default: `5m`. Example: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+$"))]
    pub soak: Option<String>,
    /// How long a cluster may have fewer ready members than it had before the pipeline is taken back. A rolling update
    /// takes one member at a time, so give more than one restart takes. Also how long, for each of its members, a cluster is
    /// waited for before the rollout is paused. Default: `5m`. Example: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+$"))]
    pub ready_deadline: Option<String>,
    /// Whether it stays at its stage. A problem takes it back nevertheless. Default: `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// [`RolloutSpec`] with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// The pods that may restart in all clusters together; `None` is any number.
    pub max_restarts: Option<u64>,
    /// The clusters that are first.
    pub canary: Option<Match>,
    /// Ascending, from 1 to 99.
    pub percentages: Vec<u8>,
    /// The shortest time of a stage.
    pub soak: Duration,
    /// How long a cluster may be less ready than it was, and how long a cluster is waited for, for each of its members.
    pub ready_deadline: Duration,
    /// Whether it stays at its stage.
    pub paused: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_restarts: None,
            canary: None,
            percentages: Vec::new(),
            soak: DEFAULT_SOAK,
            ready_deadline: DEFAULT_READY_DEADLINE,
            paused: false,
        }
    }
}

impl Rollout {
    /// The rollout of a pipeline's `spec` that was read before, as in a status; `None` if it has none.
    #[must_use]
    pub fn of(spec: &Map<String, Value>) -> Option<Self> {
        read_rollout(serde_json::from_value(spec.get("rollout")?.clone()).ok()?, &mut Vec::new())
    }
}

/// Reads `spec.rollout`.
pub fn read_rollout(spec: RolloutSpec, findings: &mut Vec<Finding>) -> Option<Rollout> {
    let RolloutSpec { max_restarts, canary, percentages, soak, ready_deadline, paused } = spec;
    let path = "spec.rollout";
    let pairs = percentages.iter().zip(percentages.iter().skip(1));
    if let Some(index) = pairs.enumerate().find_map(|(index, (one, next))| (next <= one).then_some(index + 1)) {
        let finding = Finding::error("is not larger than the percentage before");
        let remedy = "order the percentages from the smallest to the largest, each once";
        findings.push(finding.at(entry(&member(path, "percentages"), index)).remedy(remedy));
    }
    let mut time = |text: Option<String>, field: &str, default| match text.as_deref().map(duration::parse) {
        None => Some(default),
        Some(Ok(time)) => Some(time),
        Some(Err(error)) => {
            findings.push(Finding::error(error.to_string()).at(member(path, field)).remedy("write it as in 5m"));
            None
        }
    };
    let soak = time(soak, "soak", DEFAULT_SOAK);
    let ready_deadline = time(ready_deadline, "readyDeadline", DEFAULT_READY_DEADLINE);
    if canary.as_ref().is_some_and(MatchSpec::is_of_all) {
        let remedy = "give namespaces or a selector, or remove the field";
        findings.push(Finding::error("matches every cluster").at(member(path, "canary")).remedy(remedy));
    }
    let canary = canary.map(|canary| read_match(canary, &member(path, "canary"), findings));
    let canary = match canary {
        None => None,
        Some(read) => Some(read?),
    };
    Some(Rollout { max_restarts, canary, percentages, soak: soak?, ready_deadline: ready_deadline?, paused })
}

/// How far a rollout has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutPhase {
    /// What the new pipeline would change is being found out. No cluster has it.
    Judging,
    /// The clusters of the stage have it.
    Progressing,
    /// The same, and it does not go on by itself; the message says why.
    Paused,
    /// All clusters have it.
    Complete,
    /// It would restart too many pods. No cluster has it.
    Refused,
    /// A cluster got worse. All clusters have the pipeline before again.
    RolledBack,
}

/// How a new pipeline reaches the clusters, as the operator writes it. A field without a value is null, so that a merge
/// removes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The `metadata.generation` of the new pipeline.
    #[serde(default)]
    pub generation: Option<i64>,
    /// `Judging`, `Progressing`, `Paused`, `Complete`, `Refused` or `RolledBack`.
    #[schemars(with = "String")]
    pub phase: RolloutPhase,
    /// The stage: `canary`, or the percentage of the clusters, as in `10%`.
    #[serde(default)]
    pub stage: Option<String>,
    /// The clusters that have the new pipeline, of all clusters. Example: `1/7`.
    #[serde(default)]
    pub clusters: Option<String>,
    /// Since when it is in this stage.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// What it waits for, or why it ended.
    pub message: String,
    /// What the new pipeline would change; none while that is not known.
    #[serde(default)]
    pub impact: Option<ImpactStatus>,
    /// The first 20 clusters of the stage that were not well before they got the new pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwell: Vec<UnwellStatus>,
    /// How many these are in all; none if all were well.
    #[serde(default)]
    pub unwell_clusters: Option<i64>,
    /// For the next leader: how many members of each cluster of the stage were ready before it got the new pipeline, and
    /// how many were wanted, with an exclamation mark if its reconcile failed. Example: `shop/acid-orders=2/3!`.
    #[serde(default)]
    pub before: Option<String>,
    /// The new pipeline's `spec`, with the digest of every component.
    #[schemars(schema_with = "anything")]
    pub spec: Map<String, Value>,
}

/// What a new pipeline would change, in all clusters together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpactStatus {
    /// All clusters.
    pub clusters: i64,
    /// Those of which an object changes.
    pub changed: i64,
    /// The pods that restart.
    pub restarts: i64,
    /// The clusters that the new pipeline would hold: nothing would be written for them.
    pub held: i64,
    /// The clusters of which it is not known what changes.
    pub unknown: i64,
    /// The first clusters of which pods restart or that would be held.
    #[serde(default)]
    pub examples: Vec<ImpactExample>,
}

/// A cluster of which pods restart, or that would be held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpactExample {
    /// As in `shop/acid-orders`.
    pub cluster: String,
    /// The object whose pods restart. Example: `StatefulSet acid-orders`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// How many pods restart.
    #[serde(default)]
    pub pods: i64,
    /// The first field of the pods that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The steps that set it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Why the cluster would be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// A cluster that was not well before it got the new pipeline: it is no problem that it still is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnwellStatus {
    /// As in `shop/acid-orders`.
    pub cluster: String,
    /// How many of its members were ready.
    pub ready: i64,
    /// How many members were wanted.
    #[serde(default)]
    pub wanted: i64,
    /// Whether its reconcile failed.
    #[serde(default)]
    pub failing: bool,
}

/// A pipeline's `spec` without what says how it is rolled out: two with the same one decide the same.
#[must_use]
pub fn without_rollout(spec: &Map<String, Value>) -> BTreeMap<&String, &Value> {
    spec.iter().filter(|(field, _)| *field != "rollout").collect()
}
