//! The status of a `postgresql` object, from what a reconcile found and the status before. A pure function: the time
//! comes in as an argument.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, Time};
use pgloom_api::ActionPhase;
use pgloom_api::postgresql::{ActionStatus, ClusterStatus, MemberStatus, PostgresqlStatus};
use pgloom_common::error::cut;
use pgloom_engine::{ConditionStatus, RequestedAction};
use serde_json::{Map, Value, json};

use crate::major_upgrade;

/// The longest message of a condition or an action, in bytes. What others said, as a server did, may be in it.
const MAX_MESSAGE: usize = 1024;

/// How long a cluster may be without a leader that is ready before its status says so, in seconds: a failover is shorter.
const PATIENCE: i64 = 60;

/// The result of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The manifest cannot be used.
    Invalid,
    /// A step failed and is tried again.
    Failed,
    /// Something is not finished.
    Underway {
        /// Whether the operator changes what runs, as in a rolling update, in contrast to a pod that restarts by
        /// itself.
        changing: bool,
    },
    /// Everything is as desired.
    Done,
}

/// The types of the operator's own conditions; all others are those of plugins.
pub const OWN: [&str; 9] = [
    ACTIONS,
    "Applied",
    "DatabaseSynced",
    DELETION,
    "LeaderPlaced",
    major_upgrade::CONDITION,
    "Ready",
    "RolledOut",
    "Valid",
];

/// The condition that a deletion is refused or failed.
pub const DELETION: &str = "DeletionAllowed";

/// The condition that summarizes the actions of plugins.
pub const ACTIONS: &str = "ActionsDone";

/// A condition as a step of the reconcile finds it. [`status`] adds the generation and the time of the last transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// In CamelCase, as in `Ready`.
    pub type_name: String,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word in CamelCase.
    pub reason: String,
    /// One sentence, lower case, no full stop.
    pub message: String,
}

impl Condition {
    /// A condition that is true.
    pub fn holds(type_name: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), status: "True", reason: reason.into(), message: message.into() }
    }

    /// A condition that is false.
    pub fn fails(type_name: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "False", ..Self::holds(type_name, reason, message) }
    }

    /// A condition that is unknown.
    pub fn unknown(type_name: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", ..Self::holds(type_name, reason, message) }
    }
}

/// A condition of a plugin.
impl From<&pgloom_engine::Condition> for Condition {
    fn from(condition: &pgloom_engine::Condition) -> Self {
        let status = match condition.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        };
        Self { status, ..Self::holds(&condition.type_name, &condition.reason, &condition.message) }
    }
}

/// The findings of a reconcile, for the status.
#[derive(Clone, Debug)]
pub struct Found {
    /// The manifest's generation.
    pub generation: i64,
    /// The result of the reconcile.
    pub outcome: Outcome,
    /// The conditions that were checked; all others stay as they are.
    pub conditions: Vec<Condition>,
    /// The types of conditions to be removed.
    pub dropped: Vec<String>,
    /// The leader's pod.
    pub leader: Option<String>,
    /// The pods.
    pub members: Vec<MemberStatus>,
    /// The number of pods that are ready and have a role.
    pub ready: usize,
    /// The labels of the pods, in the form of `kubectl get pods -l`.
    pub selector: String,
    /// The states of the actions; `None` leaves them as they are.
    pub actions: Option<Vec<ActionStatus>>,
}

/// The status after a reconcile. `before` is the status so far, `now` the current time in whole seconds.
#[must_use]
pub fn status(before: &PostgresqlStatus, found: &Found, now: &Time) -> PostgresqlStatus {
    PostgresqlStatus {
        cluster_status: phase(before, found, now),
        observed_generation: Some(found.generation),
        conditions: conditions(&before.conditions, found, now),
        leader: found.leader.clone(),
        number_of_instances: Some(count(found.members.len())),
        ready_instances: Some(count(found.ready)),
        label_selector: Some(found.selector.clone()),
        members: found.members.clone(),
        actions: found.actions.clone().unwrap_or_else(|| before.actions.clone()),
        major_upgrade: before.major_upgrade.clone(),
    }
}

/// The merge patch that turns the stored status into `after`; `None` if they are equal. `before` is as the API server
/// has it, so that the patch also removes fields that this version does not know.
///
/// # Errors
/// If `after` cannot be written as JSON, which none of its types allows.
pub fn patch(before: &Value, after: &PostgresqlStatus) -> Result<Option<Value>, serde_json::Error> {
    let after = serde_json::to_value(after)?;
    if *before == after {
        return Ok(None);
    }
    let Value::Object(mut patch) = after else { return Ok(None) };
    for key in before.as_object().into_iter().flat_map(Map::keys) {
        patch.entry(key.clone()).or_insert(Value::Null);
    }
    Ok(Some(json!({ "status": patch })))
}

/// The state of an action for the status; the time stays while the phase does. `before` are the states so far.
#[must_use]
pub fn action(
    before: &[ActionStatus],
    requested: &RequestedAction,
    phase: ActionPhase,
    message: String,
    now: &Time,
) -> ActionStatus {
    let since =
        recorded(before, requested).filter(|before| before.phase == phase).and_then(|before| before.since.clone());
    ActionStatus {
        step: requested.step.clone(),
        key: requested.key.clone(),
        phase,
        message: cut(&message, MAX_MESSAGE),
        since: Some(since.unwrap_or_else(|| now.clone())),
    }
}

/// The recorded state of a requested action.
#[must_use]
pub fn recorded<'a>(before: &'a [ActionStatus], requested: &RequestedAction) -> Option<&'a ActionStatus> {
    before.iter().find(|before| before.step == requested.step && before.key == requested.key)
}

/// The condition that summarizes the actions, the worst phase first; `None` without actions.
#[must_use]
pub fn condition_of_actions(actions: &[ActionStatus]) -> Option<Condition> {
    let of = |phase: ActionPhase| -> Vec<String> {
        let those = actions.iter().filter(|action| action.phase == phase);
        those.map(|action| format!("{} of {}: {}", action.key, action.step, action.message)).collect()
    };
    if actions.is_empty() {
        return None;
    }
    for (phase, reason) in [(ActionPhase::Failed, "Failed"), (ActionPhase::Refused, "Refused")] {
        let lines = of(phase);
        if !lines.is_empty() {
            return Some(Condition::fails(ACTIONS, reason, lines.join("; ")));
        }
    }
    let lines: Vec<String> = [of(ActionPhase::Running), of(ActionPhase::Pending)].concat();
    Some(match lines.is_empty() {
        true => Condition::holds(ACTIONS, "Done", "what plugins asked for is done"),
        false => Condition::unknown(ACTIONS, "Running", lines.join("; ")),
    })
}

/// The conditions by type: those that were checked replace those before.
fn conditions(before: &[meta::Condition], found: &Found, now: &Time) -> Vec<meta::Condition> {
    let is_gone = |old: &&meta::Condition| {
        found.dropped.contains(&old.type_) || found.conditions.iter().any(|new| new.type_name == old.type_)
    };
    let kept = before.iter().filter(|old| !is_gone(old)).cloned();
    let checked = found.conditions.iter().map(|condition| with_times(before, condition, found.generation, now));
    let mut conditions: Vec<_> = kept.chain(checked).collect();
    conditions.sort_by(|left, right| left.type_.cmp(&right.type_));
    conditions
}

/// The condition with the time of its last transition, which changes only with its status.
pub fn with_times(before: &[meta::Condition], condition: &Condition, generation: i64, now: &Time) -> meta::Condition {
    let old = before.iter().find(|old| old.type_ == condition.type_name && old.status == condition.status);
    meta::Condition {
        type_: condition.type_name.clone(),
        status: condition.status.to_owned(),
        reason: condition.reason.clone(),
        message: cut(&condition.message, MAX_MESSAGE),
        observed_generation: Some(generation),
        last_transition_time: old.map_or_else(|| now.clone(), |old| old.last_transition_time.clone()),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Whether a cluster has been created is read from the status before: the words of the Zalando operator tell a failed
/// creation from a failed change.
fn phase(before: &PostgresqlStatus, found: &Found, now: &Time) -> ClusterStatus {
    let previous = before.cluster_status;
    let edited = before.observed_generation.is_some_and(|observed| observed != found.generation);
    let made = match previous {
        ClusterStatus::Running | ClusterStatus::Updating | ClusterStatus::UpdateFailed | ClusterStatus::SyncFailed => {
            true
        }
        ClusterStatus::Invalid => !found.members.is_empty(),
        ClusterStatus::Unknown | ClusterStatus::Creating | ClusterStatus::CreateFailed => false,
    };
    let updating = matches!(previous, ClusterStatus::Updating | ClusterStatus::UpdateFailed) || edited;
    match found.outcome {
        Outcome::Invalid => ClusterStatus::Invalid,
        Outcome::Done => ClusterStatus::Running,
        Outcome::Failed if !made => ClusterStatus::CreateFailed,
        Outcome::Failed if updating => ClusterStatus::UpdateFailed,
        Outcome::Failed => ClusterStatus::SyncFailed,
        Outcome::Underway { .. } if !made => ClusterStatus::Creating,
        Outcome::Underway { changing: false } if !updating && is_down(before, now) => ClusterStatus::SyncFailed,
        Outcome::Underway { changing } if changing || previous != ClusterStatus::Running => ClusterStatus::Updating,
        Outcome::Underway { .. } => ClusterStatus::Running,
    }
}

/// Whether the cluster was found not ready more than [`PATIENCE`] ago, and has not been ready since.
fn is_down(before: &PostgresqlStatus, now: &Time) -> bool {
    let ready = before.conditions.iter().find(|condition| condition.type_ == "Ready");
    let since = ready.filter(|ready| ready.status == "False").map(|ready| &ready.last_transition_time);
    since.is_some_and(|since| now.0.duration_since(since.0).as_secs() > PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: &str = "2031-05-12T12:00:00Z";
    const TUESDAY: &str = "2031-05-13T12:00:00Z";

    fn at(time: &str) -> Time {
        serde_json::from_value(json!(time)).unwrap()
    }

    fn read(status: Value) -> PostgresqlStatus {
        serde_json::from_value(status).unwrap()
    }

    fn found(outcome: Outcome) -> Found {
        Found {
            generation: 2,
            outcome,
            conditions: vec![Condition::holds("Ready", "LeaderReady", "c-0 leads")],
            dropped: vec![],
            leader: Some("c-0".into()),
            members: vec![MemberStatus { name: "c-0".into(), ready: true, ..MemberStatus::default() }],
            ready: 1,
            selector: "cluster-name=c".into(),
            actions: None,
        }
    }

    fn after(before: Value, outcome: Outcome) -> &'static str {
        status(&read(before), &found(outcome), &at(MONDAY)).cluster_status.as_str()
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
    fn the_message_of_a_condition_and_of_an_action_is_cut_at_a_kilobyte() {
        let long = "ä".repeat(1 << 20);
        let found = Found { conditions: vec![Condition::fails("Ready", "NoLeader", &*long)], ..found(Outcome::Failed) };
        let message = &status(&read(Value::Null), &found, &at(MONDAY)).conditions[0].message;
        assert!(message.len() <= 1024 && message.ends_with("ä..."), "{}", message.len());
        let requested = RequestedAction {
            step: "volume-resize".into(),
            key: "a".into(),
            action: pgloom_engine::Action::Promote,
            refusal: None,
        };
        let action = action(&[], &requested, ActionPhase::Failed, long, &at(MONDAY));
        assert!(action.message.len() <= 1024 && action.message.ends_with("ä..."), "{}", action.message.len());
    }

    #[test]
    fn the_bare_string_of_old_objects_is_understood() {
        assert_eq!(after(json!("Running"), Outcome::Failed), "SyncFailed");
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_transition_until_it_changes() {
        let first = status(&read(Value::Null), &found(Outcome::Done), &at(MONDAY));
        let second = status(&first, &found(Outcome::Done), &at(TUESDAY));
        assert_eq!(first, second);
        let mut failing = found(Outcome::Done);
        failing.conditions = vec![Condition::fails("Ready", "NoLeader", "no pod leads")];
        assert_eq!(status(&second, &failing, &at(TUESDAY)).conditions[0].last_transition_time, at(TUESDAY));
    }

    #[test]
    fn a_condition_that_was_not_checked_stays_and_a_dropped_one_goes() {
        let condition = |type_name: &str| {
            json!({
                "type": type_name, "status": "True", "reason": "R", "message": "", "lastTransitionTime": MONDAY,
            })
        };
        let before = read(json!({"conditions": [condition("DatabaseSynced"), condition("VolumeResized")]}));
        let found = Found { dropped: vec!["VolumeResized".into()], ..found(Outcome::Invalid) };
        let after = status(&before, &found, &at(TUESDAY));
        assert_eq!(after.conditions[0], before.conditions[0]);
        let types: Vec<_> = after.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, ["DatabaseSynced", "Ready"]);
    }

    #[test]
    fn the_states_of_actions_stay_unless_they_were_checked() {
        let before = read(json!({"actions": [{"step": "s", "key": "k", "phase": "done", "message": ""}]}));
        assert_eq!(status(&before, &found(Outcome::Failed), &at(MONDAY)).actions, before.actions);
        let checked = Found { actions: Some(vec![]), ..found(Outcome::Done) };
        assert_eq!(status(&before, &checked, &at(MONDAY)).actions, []);
    }

    #[test]
    fn nothing_is_written_if_nothing_changed_and_what_is_gone_is_removed() {
        let first = status(&read(Value::Null), &found(Outcome::Done), &at(MONDAY));
        let mut stored = serde_json::to_value(&first).unwrap();
        let again =
            |stored: &Value, found: &Found| patch(stored, &status(&read(stored.clone()), found, &at(TUESDAY))).unwrap();
        assert_eq!(again(&stored, &found(Outcome::Done)), None);
        let leaderless = Found { leader: None, ..found(Outcome::Done) };
        assert_eq!(again(&stored, &leaderless).unwrap()["status"]["leader"], Value::Null);
        stored["ofAnotherVersion"] = json!(1);
        let patch = again(&stored, &found(Outcome::Done)).unwrap();
        assert_eq!(patch["status"].get("ofAnotherVersion"), Some(&Value::Null));
    }

    fn state(key: &str, phase: ActionPhase, message: &str) -> ActionStatus {
        ActionStatus { step: "volume-resize".into(), key: key.into(), phase, message: message.into(), since: None }
    }

    #[test]
    fn a_condition_names_every_action_that_is_not_done_and_the_worst_alone() {
        let done = state("a", ActionPhase::Done, "");
        let waits = state("b", ActionPhase::Pending, "no volume yet");
        let failed = state("c", ActionPhase::Failed, "no such claim");
        let refused = state("d", ActionPhase::Refused, "not executed");
        let of = |states: &[&ActionStatus]| {
            let states: Vec<ActionStatus> = states.iter().map(|state| (*state).clone()).collect();
            condition_of_actions(&states).map(|condition| (condition.status, condition.reason, condition.message))
        };
        let told = |status, reason: &str, message: &str| Some((status, reason.to_owned(), message.to_owned()));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&done]), told("True", "Done", "what plugins asked for is done"));
        assert_eq!(of(&[&done, &waits]), told("Unknown", "Running", "b of volume-resize: no volume yet"));
        assert_eq!(of(&[&waits, &refused]), told("False", "Refused", "d of volume-resize: not executed"));
        assert_eq!(of(&[&refused, &failed]), told("False", "Failed", "c of volume-resize: no such claim"));
    }

    #[test]
    fn an_action_keeps_its_time_until_its_phase_changes() {
        let requested = RequestedAction {
            step: "volume-resize".into(),
            key: "a".into(),
            action: pgloom_engine::Action::Promote,
            refusal: None,
        };
        let at_phase =
            |before: &[ActionStatus], phase, time| action(before, &requested, phase, String::new(), &at(time));
        let first = at_phase(&[], ActionPhase::Running, MONDAY);
        assert_eq!(first.since, Some(at(MONDAY)));
        let before = [state("b", ActionPhase::Done, ""), first];
        assert_eq!(at_phase(&before, ActionPhase::Running, TUESDAY).since, Some(at(MONDAY)));
        assert_eq!(at_phase(&before, ActionPhase::Done, TUESDAY).since, Some(at(TUESDAY)));
    }

    #[test]
    fn a_cluster_that_is_not_being_changed_and_is_down_for_longer_than_a_failover_is_not_running() {
        let down = |previous: &str, since: &str| {
            read(json!({"PostgresClusterStatus": previous, "observedGeneration": 2, "conditions": [
                {"type": "Ready", "status": "False", "reason": "NoLeader", "message": "", "lastTransitionTime": since}]}))
        };
        let phase = |before: &PostgresqlStatus, outcome| status(before, &found(outcome), &at(TUESDAY)).cluster_status;
        let waits = Outcome::Underway { changing: false };
        assert_eq!(phase(&down("Running", MONDAY), waits), ClusterStatus::SyncFailed);
        assert_eq!(phase(&down("SyncFailed", MONDAY), waits), ClusterStatus::SyncFailed);
        assert_eq!(phase(&down("Running", "2031-05-13T11:59:30Z"), waits), ClusterStatus::Running);
        assert_eq!(phase(&down("Updating", MONDAY), waits), ClusterStatus::Updating);
        assert_eq!(phase(&down("SyncFailed", MONDAY), Outcome::Done), ClusterStatus::Running);
    }
}
