//! The status of a `postgresql` object: pure, from what was found and what was there before.

use pgloom_api::postgresql::ClusterStatus;
use serde_json::{Map, Value, json};

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The manifest cannot be used.
    Invalid,
    /// A step failed and is tried again.
    Failed,
    /// Something is under way; whether it changes what runs.
    Underway {
        /// A rolling update or the like, in contrast to a member that comes back by itself.
        changing: bool,
    },
    /// All is as desired.
    Done,
}

/// The types of the operator's own conditions; all others are plugins'.
pub const OWN: [&str; 6] = [ACTIONS, "Applied", "DatabaseSynced", "Ready", "RolledOut", "Valid"];

/// The condition that tells how the actions of plugins stand.
pub const ACTIONS: &str = "ActionsDone";

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// In CamelCase, as in `Ready`.
    pub type_name: String,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word in CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Condition {
    /// A condition that holds.
    pub fn holds(type_name: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), status: "True", reason: reason.into(), message: message.into() }
    }

    /// A condition that does not hold.
    pub fn fails(type_name: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "False", ..Self::holds(type_name, reason, message) }
    }

    /// A condition of which nothing is known.
    pub fn unknown(type_name: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", ..Self::holds(type_name, reason, message) }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The manifest's generation.
    pub generation: i64,
    /// How the reconcile ended.
    pub outcome: Outcome,
    /// Conditions that were looked at; others stay as they are.
    pub conditions: Vec<Condition>,
    /// Types of conditions that shall be gone.
    pub dropped: Vec<String>,
    /// The leader's pod.
    pub leader: Option<String>,
    /// The pods, with `name`, `role` and `state`.
    pub members: Vec<Value>,
    /// How many pods serve.
    pub ready: usize,
    /// The labels of the pods, as `kubectl get pods -l` takes them.
    pub selector: String,
    /// What became of the actions; `None` leaves them as they are.
    pub actions: Option<Vec<Value>>,
}

/// The status after a reconcile. `before` is the status so far, `null` if there is none; `now` as in `2031-05-14T12:00:00Z`.
pub fn status(before: &Value, found: &Found, now: &str) -> Value {
    let phase = phase(before, found);
    let mut conditions: Vec<Value> = Vec::new();
    for condition in before["conditions"].as_array().into_iter().flatten() {
        let type_name = condition["type"].as_str().unwrap_or_default();
        let replaced = found.conditions.iter().any(|new| new.type_name == type_name);
        if !replaced && !found.dropped.iter().any(|dropped| dropped == type_name) {
            conditions.push(condition.clone());
        }
    }
    conditions.extend(found.conditions.iter().map(|condition| written(before, condition, found.generation, now)));
    conditions.sort_by_key(|condition| condition["type"].as_str().unwrap_or_default().to_owned());
    let mut status = Map::new();
    status.insert("PostgresClusterStatus".into(), json!(phase.to_string()));
    status.insert("observedGeneration".into(), json!(found.generation));
    status.insert("conditions".into(), json!(conditions));
    status.insert("members".into(), json!(found.members));
    status.insert("numberOfInstances".into(), json!(found.members.len()));
    status.insert("readyInstances".into(), json!(found.ready));
    status.insert("labelSelector".into(), json!(found.selector));
    if let Some(leader) = &found.leader {
        status.insert("leader".into(), json!(leader));
    }
    match &found.actions {
        Some(actions) if !actions.is_empty() => drop(status.insert("actions".into(), json!(actions))),
        None if before["actions"].is_array() => drop(status.insert("actions".into(), before["actions"].clone())),
        _ => {}
    }
    Value::Object(status)
}

/// The merge patch that makes one status of another; `None` if they are equal.
pub fn patch(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let mut patch = after.as_object().cloned().unwrap_or_default();
    for key in before.as_object().into_iter().flat_map(Map::keys) {
        patch.entry(key.clone()).or_insert(Value::Null);
    }
    Some(json!({ "status": patch }))
}

fn written(before: &Value, condition: &Condition, generation: i64, now: &str) -> Value {
    let entries = before["conditions"].as_array();
    let old = entries.and_then(|entries| entries.iter().find(|old| old["type"] == condition.type_name.as_str()));
    let kept = old.filter(|old| old["status"] == condition.status).and_then(|old| old["lastTransitionTime"].as_str());
    json!({
        "type": condition.type_name,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": kept.unwrap_or(now),
    })
}

/// The phase of a status; older operators wrote a bare string.
pub fn phase_of(status: &Value) -> Option<ClusterStatus> {
    let text = status.as_str().or_else(|| status["PostgresClusterStatus"].as_str())?;
    Some(ClusterStatus::from_word(text)).filter(|phase| !phase.is_unknown())
}

fn phase(before: &Value, found: &Found) -> ClusterStatus {
    let previous = phase_of(before);
    let observed = before["observedGeneration"].as_i64();
    let edited = observed.is_some_and(|observed| observed != found.generation);
    let made = matches!(
        previous,
        Some(
            ClusterStatus::Running | ClusterStatus::Updating | ClusterStatus::UpdateFailed | ClusterStatus::SyncFailed
        )
    ) || (previous == Some(ClusterStatus::Invalid) && !found.members.is_empty());
    let updating = matches!(previous, Some(ClusterStatus::Updating | ClusterStatus::UpdateFailed)) || edited;
    match found.outcome {
        Outcome::Invalid => ClusterStatus::Invalid,
        Outcome::Done => ClusterStatus::Running,
        Outcome::Failed if !made => ClusterStatus::CreateFailed,
        Outcome::Failed if updating => ClusterStatus::UpdateFailed,
        Outcome::Failed => ClusterStatus::SyncFailed,
        Outcome::Underway { .. } if !made => ClusterStatus::Creating,
        Outcome::Underway { changing } if changing || previous != Some(ClusterStatus::Running) => {
            ClusterStatus::Updating
        }
        Outcome::Underway { .. } => ClusterStatus::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(outcome: Outcome) -> Found {
        Found {
            generation: 2,
            outcome,
            conditions: vec![Condition::holds("Ready", "LeaderReady", "c-0 leads")],
            dropped: vec![],
            leader: Some("c-0".into()),
            members: vec![json!({"name": "c-0", "role": "leader", "state": "running"})],
            ready: 1,
            selector: "cluster-name=c".into(),
            actions: None,
        }
    }

    fn after(before: Value, outcome: Outcome) -> String {
        status(&before, &found(outcome), "now")["PostgresClusterStatus"].as_str().unwrap().to_owned()
    }

    fn was(phase: &str, generation: i64) -> Value {
        json!({"PostgresClusterStatus": phase, "observedGeneration": generation})
    }

    #[test]
    fn a_new_cluster_is_creating_until_it_runs() {
        assert_eq!(after(Value::Null, Outcome::Underway { changing: false }), "Creating");
        assert_eq!(after(was("Creating", 2), Outcome::Underway { changing: true }), "Creating");
        assert_eq!(after(was("Creating", 2), Outcome::Done), "Running");
    }

    #[test]
    fn a_failure_is_named_after_what_was_tried() {
        assert_eq!(after(Value::Null, Outcome::Failed), "CreateFailed");
        assert_eq!(after(was("Running", 1), Outcome::Failed), "UpdateFailed");
        assert_eq!(after(was("UpdateFailed", 2), Outcome::Failed), "UpdateFailed");
        assert_eq!(after(was("Running", 2), Outcome::Failed), "SyncFailed");
    }

    #[test]
    fn a_member_that_comes_back_by_itself_is_no_update() {
        assert_eq!(after(was("Running", 2), Outcome::Underway { changing: false }), "Running");
        assert_eq!(after(was("Running", 2), Outcome::Underway { changing: true }), "Updating");
        assert_eq!(after(was("Updating", 2), Outcome::Underway { changing: false }), "Updating");
    }

    #[test]
    fn the_bare_string_of_old_objects_is_understood() {
        assert_eq!(after(json!("Running"), Outcome::Failed), "SyncFailed");
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_transition_until_it_changes() {
        let first = status(&Value::Null, &found(Outcome::Done), "monday");
        let second = status(&first, &found(Outcome::Done), "tuesday");
        assert_eq!(first, second);
        let mut failing = found(Outcome::Done);
        failing.conditions = vec![Condition::fails("Ready", "NoLeader", "no pod leads")];
        assert_eq!(status(&second, &failing, "tuesday")["conditions"][0]["lastTransitionTime"], "tuesday");
    }

    #[test]
    fn a_condition_that_was_not_looked_at_stays() {
        let before =
            json!({"conditions": [{"type": "DatabaseSynced", "status": "True", "lastTransitionTime": "monday"}]});
        let after = status(&before, &found(Outcome::Invalid), "tuesday");
        assert_eq!(after["conditions"][0], before["conditions"][0]);
        assert_eq!(after["conditions"][1]["type"], "Ready");
    }

    #[test]
    fn nothing_is_written_if_nothing_changed_and_what_is_gone_is_removed() {
        let first = status(&Value::Null, &found(Outcome::Done), "monday");
        assert_eq!(patch(&first, &status(&first, &found(Outcome::Done), "tuesday")), None);
        let mut leaderless = found(Outcome::Done);
        leaderless.leader = None;
        let patch = patch(&first, &status(&first, &leaderless, "tuesday")).unwrap();
        assert_eq!(patch["status"]["leader"], Value::Null);
    }
}
