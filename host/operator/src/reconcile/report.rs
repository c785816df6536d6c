//! Reports what the steps returned by the status and by events, and returns when to reconcile again.

use jiff::Timestamp;
use jiff::Unit;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use pgloom_api::postgresql::{ClusterStatus, PostgresqlStatus};
use pgloom_common::error::{error_chain, root_cause};
use pgloom_decide::Plan;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::members::Members;
use pgloom_decide::patroni::Cluster;
use pgloom_decide::status::{self, Condition, Found, Outcome};
use pgloom_engine::Action as PluginAction;
use serde::Deserialize as _;
use tracing::{debug, warn};

use super::apply::Applied;
use super::database::Synchronized;
use super::decide::Decided;
use super::execute::{Executed, Promotion};
use super::progress::Underway;
use super::requeue::{PATRONI, Requeue};
use super::roll::Rolled;
use super::{Error, Reconciliation};
use crate::report::Event;
use serde_json::{Value, json};

/// What the steps returned; `None` where a step was not reached.
#[derive(Default)]
pub struct Steps {
    /// The members as their pods showed them at the start.
    pub members: Members,
    /// Why the deletion of the manifest is refused; `None` if it is not.
    pub guarded: Option<String>,
    /// What the cluster is to be.
    pub decided: Option<Decided>,
    /// How the promotion of a standby goes.
    pub promotion: Option<Promotion>,
    /// What was applied.
    pub applied: Option<Applied>,
    /// How the rolling update goes.
    pub rolled: Option<Rolled>,
    /// How the synchronisation of roles and databases goes.
    pub synchronized: Option<Synchronized>,
    /// How the plugins' actions go.
    pub executed: Option<Executed>,
    /// Why steps failed. The first one that is no missing right decides when the cluster is reconciled again.
    pub failures: Vec<Error>,
}

impl Reconciliation<'_> {
    /// Reports that a new cluster is being created, as soon as its manifest has been found valid.
    pub async fn report_creating(&self) -> Result<(), Error> {
        if !self.status().cluster_status.is_unknown() {
            return Ok(());
        }
        self.write_status(&json!({"status": {"PostgresClusterStatus": ClusterStatus::Creating.as_str()}})).await?;
        let event = Event::normal("Create", "creating the objects of the cluster");
        self.context.recorder.publish(&self.about, &event).await;
        Ok(())
    }

    /// Patches the status.
    pub async fn write_status(&self, patch: &Value) -> Result<(), Error> {
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match self.manifests().patch_status(&self.key.name, &params, &Patch::Merge(patch)).await {
            Ok(object) => {
                if let Ok(object) = serde_json::to_value(object) {
                    self.context.store.record_write(object);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Manifest { part: "status", source: Box::new(source) }),
        }
    }

    /// Reports what the steps returned, and returns when to reconcile again.
    pub async fn report(&self, mut steps: Steps) -> Result<Action, Error> {
        let wanted = steps.decided.as_ref().map(|_| self.wanted());
        // One request in each reconcile, after all other steps.
        let patroni = self.context.ask_leader(self.key, &steps.members).await;
        let mut summary = Summary::of(&steps, wanted, self.status().cluster_status, patroni.as_ref());
        if let Some((reason, message)) = read_only(&steps, &self.status()) {
            summary.not_ready(reason, message);
        }
        self.write_summary(&steps, &summary, patroni.and_then(Result::ok).as_ref()).await;
        {
            let mut memory = self.state.memory.lock();
            memory.serves = summary.serves;
            let reconciled = self.reconciled(&steps);
            if reconciled.failure.is_none() {
                memory.verdict = None;
            }
            memory.reconciled = Some(reconciled);
        }
        self.publish_warnings(summary.warnings).await;
        if steps.failures.iter().any(Error::is_forbidden) {
            self.context.refused.notify_one();
        }
        // A right that is missing is asked for seldom; another failure may pass by itself.
        let first = steps.failures.iter().position(|error| !error.is_forbidden()).unwrap_or(0);
        let failure = (!steps.failures.is_empty()).then(|| steps.failures.swap_remove(first));
        if let Some(error) = failure {
            self.state.memory.lock().failures += 1;
            return Err(error);
        }
        self.state.memory.lock().failures = 0;
        if let Some(Underway { reason, changing, watched }) = summary.underway {
            debug!(reason, changing, watched, "waiting");
        }
        Ok(self.again(summary.requeue))
    }

    /// Writes the status where it differs, and publishes that a new cluster runs.
    async fn write_summary(&self, steps: &Steps, summary: &Summary, patroni: Option<&Cluster>) {
        let before =
            self.context.store.manifest(self.key).map(|kept| kept.object()["status"].clone()).unwrap_or_default();
        let typed = read(&before);
        let after = status::status(&typed, &self.found(steps, summary, patroni), &now());
        let phase = Some(after.cluster_status).filter(|phase| !phase.is_unknown());
        self.context.count(&self.state, phase.map(|phase| phase.to_string()));
        if let Ok(Some(patch)) = status::patch(&before, &after)
            && let Err(error) = self.write_status(&patch).await
        {
            // The cluster is reconciled also where its status cannot be written.
            warn!(error = %error_chain(&error), "the status was not written");
        }
        if typed.cluster_status == ClusterStatus::Creating && after.cluster_status == ClusterStatus::Running {
            self.context.recorder.publish(&self.about, &Event::normal("StatefulSet", "the pods serve")).await;
        }
    }

    /// The status of the manifest.
    pub fn status(&self) -> PostgresqlStatus {
        status_of(&self.manifest)
    }

    /// The status as it was written last.
    fn recorded_status(&self) -> PostgresqlStatus {
        let kept = self.context.store.manifest(self.key);
        kept.map(|kept| read(&kept.object()["status"])).unwrap_or_default()
    }

    fn found(&self, steps: &Steps, summary: &Summary, patroni: Option<&Cluster>) -> Found {
        Found {
            generation: self.metadata().generation.unwrap_or_default(),
            outcome: summary.outcome,
            conditions: summary.conditions.clone(),
            dropped: dropped(steps, &self.status()),
            leader: steps.members.leader().map(|(member, _)| member.pod.clone()),
            members: steps.members.status(patroni),
            ready: steps.members.ready(),
            selector: self.identity().selector(),
            actions: steps.executed.as_ref().map(|executed| executed.actions.clone()).or_else(|| {
                let promotion = steps.promotion.as_ref().filter(|promotion| !promotion.actions.is_empty())?;
                Some(promotion.recorded_in(&self.recorded_status().actions))
            }),
        }
    }
}

/// The status in a manifest.
pub(super) fn status_of(manifest: &Value) -> PostgresqlStatus {
    manifest.get("status").map(read).unwrap_or_default()
}

/// The sum of what the steps returned.
#[derive(Debug)]
struct Summary {
    outcome: Outcome,
    conditions: Vec<Condition>,
    warnings: Vec<Event>,
    underway: Option<Underway>,
    requeue: Requeue,
    /// Whether there is a leader that serves, by its Patroni's answer.
    serves: bool,
}

impl Summary {
    /// Adds up the steps. `wanted` is the number of members, if it is known; `before` is the status so far.
    fn of(
        steps: &Steps,
        wanted: Option<usize>,
        before: ClusterStatus,
        patroni: Option<&Result<Cluster, String>>,
    ) -> Self {
        let (mut conditions, mut warnings) = (Vec::new(), Vec::new());
        let (mut underway, mut requeue) = (Vec::new(), Requeue::default());
        // Every field by name, so that a new one cannot be forgotten.
        let Steps { members, guarded, decided, promotion, applied, rolled, synchronized, executed, failures } = steps;
        if let Some(reason) = guarded {
            conditions.push(Condition::fails(status::DELETION, "Guarded", reason));
            warnings.push(Event::warning("Delete", reason));
        }
        if let Some(Decided { plan: _, observed: _, warnings: of_manifest }) = decided {
            conditions.push(Condition::holds("Valid", "Valid", "the manifest can be used"));
            warnings.extend_from_slice(of_manifest);
        }
        if let Some(promotion) = promotion {
            requeue = requeue.min(promotion.requeue);
            let owed = || Underway::changing("the cluster is to be promoted").watched();
            underway.extend(promotion.is_owed().then(owed));
        }
        if let Some(Applied {
            underway: waiting,
            handover: _,
            held: _,
            condition,
            warnings: of_secrets,
            refused: _,
            foreign_lists: _,
            requeue: next,
        }) = applied
        {
            conditions.extend(condition.clone());
            warnings.extend_from_slice(of_secrets);
            underway.extend(waiting.clone());
            requeue = requeue.min(*next);
        }
        if let Some(Rolled { underway: rolling, condition, requeue: next, settled: _, departed }) = rolled {
            conditions.extend(condition.iter().chain(&departed.condition).cloned());
            warnings.extend(departed.warning.clone());
            underway.extend(rolling.clone());
            requeue = requeue.min(*next);
        }
        if let Some(Synchronized {
            job: _,
            condition,
            warnings: of_database,
            underway: running,
            requeue: next,
            follows: _,
        }) = synchronized
        {
            conditions.push(condition.clone());
            warnings.extend_from_slice(of_database);
            underway.extend(running.clone());
            requeue = requeue.min(*next);
        }
        if let Some(Executed { actions: _, condition, warnings: of_actions, requeue: next, standby: _ }) = executed {
            conditions.extend(condition.clone());
            warnings.extend_from_slice(of_actions);
            requeue = requeue.min(*next);
        }
        let mut failed: Vec<Condition> = Vec::new();
        for error in failures {
            let failure = Failure::of(error, before);
            let same = |other: &&mut Condition| other.type_name == failure.condition.type_name;
            match failed.iter_mut().find(same) {
                Some(other) => other.message = format!("{}; {}", other.message, failure.condition.message),
                None => failed.push(failure.condition),
            }
            warnings.push(failure.warning);
        }
        conditions.retain(|condition| !failed.iter().any(|failed| failed.type_name == condition.type_name));
        conditions.extend(failed);
        conditions.extend(decided.iter().flat_map(|decided| &decided.plan.conditions).map(Condition::from));
        let answer = patroni.map(|patroni| patroni.as_ref().map_err(String::as_str));
        let ready = members.condition(wanted, answer);
        let serves = answer.is_some() && ready.status == "True";
        conditions.push(ready);
        if answer.is_some() && !serves {
            // A database that goes on causes no watch event.
            requeue = requeue.min(Requeue::asking(PATRONI));
        }
        let underway = Underway::all(underway);
        if underway.as_ref().is_some_and(|underway| !underway.watched) {
            requeue = requeue.min(Requeue::asking(PATRONI));
        }
        let outcome = outcome(failures, synchronized.as_ref(), underway.as_ref());
        Self { outcome, conditions, warnings, underway, requeue, serves }
    }

    /// Reports a cluster that would be ready as not ready.
    fn not_ready(&mut self, reason: &str, message: &str) {
        for condition in &mut self.conditions {
            if condition.type_name == "Ready" && condition.status == "True" {
                *condition = Condition::fails("Ready", reason, message);
            }
        }
    }
}

/// The reason of the condition `Ready` while a promotion is owed.
const PROMOTION: &str = "PromotionOwed";

/// Why the leader of a cluster does not accept writes although its manifest names no source: the reason and the message.
/// A reconcile that did not come to the promotion leaves it owed.
fn read_only(steps: &Steps, before: &PostgresqlStatus) -> Option<(&'static str, &'static str)> {
    let was_owed = || before.conditions.iter().any(|old| old.type_ == "Ready" && old.reason == PROMOTION);
    let asked = |plan: &Plan| plan.actions.iter().any(|requested| requested.action == PluginAction::Promote);
    let owed = match (&steps.promotion, &steps.decided) {
        (Some(promotion), _) => promotion.is_owed(),
        (None, Some(decided)) => asked(&decided.plan),
        (None, None) => was_owed(),
    };
    if owed {
        return Some((PROMOTION, "the cluster is to be promoted, and still follows its source"));
    }
    let standby = steps.executed.as_ref().is_some_and(|executed| executed.standby);
    standby.then_some((
        "StandbyInPatroni",
        "Patroni's configuration has standby_cluster, and the manifest has no standby section; add the section, or \
        remove standby_cluster with patronictl edit-config",
    ))
}

/// A stored status. Reading it never fails.
fn read(stored: &Value) -> PostgresqlStatus {
    PostgresqlStatus::deserialize(stored).unwrap_or_default()
}

/// The current time in whole seconds, as the status holds it.
pub fn now() -> Time {
    Time(Timestamp::now().round(Unit::Second).unwrap_or_default())
}

fn outcome(failures: &[Error], synchronized: Option<&Synchronized>, underway: Option<&Underway>) -> Outcome {
    match (failures, underway) {
        ([Error::Decide(pgloom_decide::Error::Manifest(_)), ..], _) => Outcome::Invalid,
        ([_, ..], _) => Outcome::Failed,
        ([], _) if synchronized.is_some_and(Synchronized::failed) => Outcome::Failed,
        ([], Some(Underway { changing, .. })) => Outcome::Underway { changing: *changing },
        ([], None) => Outcome::Done,
    }
}

/// How a failed step is reported.
struct Failure {
    condition: Condition,
    warning: Event,
}

impl Failure {
    /// `before` is the status so far: the reason of the warning depends on whether the cluster ran already.
    fn of(error: &Error, before: ClusterStatus) -> Self {
        let (type_name, message) = match error {
            Error::Decide(pgloom_decide::Error::Manifest(_)) => ("Valid", root_cause(error)),
            Error::Decide(pgloom_decide::Error::Adoption(_)) => ("Applied", root_cause(error)),
            Error::Delete(_) => (status::DELETION, error_chain(error)),
            _ => ("Applied", error_chain(error)),
        };
        let created = !matches!(before, ClusterStatus::Unknown | ClusterStatus::Creating | ClusterStatus::CreateFailed);
        let step = match error {
            Error::Decide(pgloom_decide::Error::Pipeline(run)) => Some(run.step.as_str()),
            _ => None,
        };
        Self {
            condition: Condition::fails(type_name, error.category(), message.clone()),
            warning: Event::warning(
                match error {
                    Error::Delete(_) => "Delete",
                    _ if created => "Sync",
                    _ => "Create",
                },
                message,
            )
            .of_step(step),
        }
    }
}

/// The types of the conditions that plugins no longer set, to be removed from the status.
fn dropped(steps: &Steps, before: &PostgresqlStatus) -> Vec<String> {
    if steps.decided.is_none() {
        return Vec::new();
    }
    let types = before.conditions.iter().map(|condition| condition.type_.as_str());
    let idle = steps.executed.as_ref().is_some_and(|executed| executed.actions.is_empty());
    let stays = |type_name: &str| status::OWN.contains(&type_name) && !(idle && type_name == status::ACTIONS);
    types.filter(|type_name| !stays(type_name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::task::{self, JobStatus};

    /// A database whose synchronisation failed for a reason that does not pass by itself.
    fn failed_database() -> Synchronized {
        let failure = task::Failure::new("wrong password");
        Synchronized {
            job: Some(JobStatus::Failed(failure)),
            condition: Condition::fails("DatabaseSynced", "Failed", "wrong password"),
            warnings: vec![Event::warning("Sync", "wrong password")],
            underway: None,
            requeue: Requeue::default(),
            follows: false,
        }
    }

    #[test]
    fn a_database_that_could_not_be_synchronised_is_a_failure_although_the_objects_are_as_desired() {
        let steps = Steps { synchronized: Some(failed_database()), ..Steps::default() };
        assert_eq!(Summary::of(&steps, None, ClusterStatus::Unknown, None).outcome, Outcome::Failed);
    }

    #[test]
    fn what_a_failed_step_had_found_is_reported_with_the_failure() {
        let rolled = Rolled {
            underway: Some(Underway::changing("pod c-1 is being replaced")),
            condition: Some(Condition::fails("RolledOut", "RollingUpdate", "pod c-1 is being replaced")),
            ..Rolled::default()
        };
        let error = Error::Password(crate::execute::password::Error::Missing("ada".into()));
        let steps = Steps { rolled: Some(rolled), failures: vec![error], ..Steps::default() };
        let summary = Summary::of(&steps, None, ClusterStatus::Unknown, None);
        let types: Vec<&str> = summary.conditions.iter().map(|condition| condition.type_name.as_str()).collect();
        assert_eq!((summary.outcome, types), (Outcome::Failed, vec!["RolledOut", "Applied", "Ready"]));
        assert_eq!(summary.warnings.len(), 1);
    }

    #[test]
    fn a_step_that_fails_alone_takes_nothing_from_what_the_others_report() {
        let error = Error::Password(crate::execute::password::Error::Missing("ada".into()));
        let steps = Steps { synchronized: Some(failed_database()), failures: vec![error], ..Steps::default() };
        let reasons: Vec<String> = Summary::of(&steps, None, ClusterStatus::Unknown, None)
            .warnings
            .into_iter()
            .map(|warning| warning.reason)
            .collect();
        assert_eq!(reasons, ["Sync", "Create"]);
    }

    fn rolled(underway: Underway) -> Steps {
        Steps { rolled: Some(Rolled { underway: Some(underway), ..Rolled::default() }), ..Steps::default() }
    }

    #[test]
    fn what_waits_for_an_event_is_not_asked_for_and_what_waits_for_patroni_is() {
        let requeue = |underway| Summary::of(&rolled(underway), None, ClusterStatus::Unknown, None).requeue;
        assert_eq!(requeue(Underway::waiting("pod c-0 is not scheduled").watched()), Requeue::default());
        assert_eq!(requeue(Underway::changing("the rolling update waits")), Requeue::asking(PATRONI));
    }
}
