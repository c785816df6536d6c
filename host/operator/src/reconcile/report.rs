//! Reports what was found by the status and by events, and says when to reconcile again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::Unit;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use pgloom_api::postgresql::{ClusterStatus, PostgresqlStatus};
use pgloom_decide::Plan;
use pgloom_decide::patroni::Cluster;
use pgloom_decide::status::{self, Condition, Found, Outcome};
use pgloom_decide::transform::MANAGER;
use serde::Deserialize as _;
use tracing::{debug, warn};

use super::{Error, Progress, Reconciliation};
use crate::cache::ClusterKey;
use crate::execute::task::fingerprint;
use crate::report::{Event, error_chain, root_cause};
use serde_json::{Value, json};

/// When to reconcile again while something is under way, if no watch event comes before.
const REQUEUE_AFTER: Duration = Duration::from_secs(15);

impl Reconciliation<'_> {
    /// Says that a new cluster is being made.
    pub async fn report_creating(&self, _plan: &Plan) -> Result<(), Error> {
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
                    self.context.store.record_write(self.key, object);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Manifest { part: "status", source: Box::new(source) }),
        }
    }

    /// Reports what was found and says when to reconcile again.
    pub async fn report(&self, mut progress: Progress, result: Result<(), Error>) -> Result<Action, Error> {
        let outcome = outcome(&progress, &result);
        if let Err(error) = &result {
            blame(&mut progress, error, self.status().cluster_status);
        }
        self.conditions_of_plugins(&mut progress);
        let wanted = progress.plan.as_ref().map(|_| self.wanted());
        progress.conditions.push(progress.members.condition(wanted));
        let before =
            self.context.store.manifest(self.key).map(|kept| kept.object()["status"].clone()).unwrap_or_default();
        let patroni = self.ask_leader(&progress).await;
        let found = self.found(&progress, outcome, patroni.as_ref());
        let typed = read(&before);
        let after = status::status(&typed, &found, &now());
        let phase = Some(after.cluster_status).filter(|phase| !phase.is_unknown());
        self.context.count(self.key, phase.map(|phase| phase.to_string()));
        if let Ok(Some(patch)) = status::patch(&before, &after)
            && let Err(error) = self.write_status(&patch).await
        {
            // The cluster is reconciled also where its status cannot be written.
            warn!(error = %error_chain(&error), "the status was not written");
        }
        if typed.cluster_status == ClusterStatus::Creating && after.cluster_status == ClusterStatus::Running {
            self.context.recorder.publish(&self.about, &Event::normal("StatefulSet", "the pods serve")).await;
        }
        self.publish_warnings(progress.warnings.clone()).await;
        self.requeue(&progress, result)
    }

    fn requeue(&self, progress: &Progress, result: Result<(), Error>) -> Result<Action, Error> {
        let failed = result.is_err();
        self.context.update_state(self.key, |state| {
            state.failures = if failed { state.failures.saturating_add(1) } else { 0 };
        });
        result?;
        let period = match progress.underway {
            Some(_) => REQUEUE_AFTER,
            None => spread(self.settings.resync(), self.key),
        };
        Ok(Action::requeue(progress.requeue_after.map_or(period, |time| time.min(period))))
    }

    /// The status of the manifest.
    pub fn status(&self) -> PostgresqlStatus {
        self.manifest.get("status").map(read).unwrap_or_default()
    }

    /// What the leader's Patroni reports of all members; `None` without a leader that is ready, or without an answer.
    ///
    /// One request a reconcile, after all that matters is done. At rest that is one a resync.
    async fn ask_leader(&self, progress: &Progress) -> Option<Cluster> {
        let (leader, _) = progress.members.leader().filter(|(member, _)| member.ready)?;
        match self.patroni(&leader.pod, progress).cluster().await {
            Ok(cluster) => Some(cluster),
            Err(error) => {
                debug!(error = %error_chain(&error), "the status lacks what Patroni reports");
                None
            }
        }
    }

    fn found(&self, progress: &Progress, outcome: Outcome, patroni: Option<&Cluster>) -> Found {
        let config = &self.settings.config;
        let labels = config.map("cluster_labels").into_iter().map(|(key, value)| format!("{key}={value}"));
        let name = format!("{}={}", config.text("cluster_name_label"), self.key.name);
        Found {
            generation: self.manifest["metadata"]["generation"].as_i64().unwrap_or_default(),
            outcome,
            conditions: progress.conditions.clone(),
            dropped: self.dropped(progress),
            leader: progress.members.leader().map(|(member, _)| member.pod.clone()),
            members: progress.members.status(patroni),
            ready: progress.members.ready(),
            selector: labels.chain([name]).collect::<Vec<_>>().join(","),
            actions: progress.actions.clone(),
        }
    }

    fn conditions_of_plugins(&self, progress: &mut Progress) {
        let Some(plan) = progress.plan.clone() else { return };
        progress.conditions.extend(plan.conditions.iter().map(Condition::from));
    }

    /// Conditions of plugins that say nothing any more.
    fn dropped(&self, progress: &Progress) -> Vec<String> {
        if progress.plan.is_none() {
            return Vec::new();
        }
        let types = self.status().conditions.into_iter().map(|condition| condition.type_);
        let idle = progress.actions.as_ref().is_some_and(Vec::is_empty);
        let stays = |type_name: &str| status::OWN.contains(&type_name) && !(idle && type_name == status::ACTIONS);
        types.filter(|type_name| !stays(type_name)).collect()
    }
}

/// A stored status. Reading it never fails.
fn read(stored: &Value) -> PostgresqlStatus {
    PostgresqlStatus::deserialize(stored).unwrap_or_default()
}

/// The current time in whole seconds, as the status holds it.
pub fn now() -> Time {
    Time(Timestamp::now().round(Unit::Second).unwrap_or_default())
}

fn outcome(progress: &Progress, result: &Result<(), Error>) -> Outcome {
    match (result, &progress.underway) {
        (Err(Error::Decide(pgloom_decide::Error::Manifest(_))), _) => Outcome::Invalid,
        (Err(_), _) => Outcome::Failed,
        (Ok(()), _) if progress.failed => Outcome::Failed,
        (Ok(()), Some((_, changing))) => Outcome::Underway { changing: *changing },
        (Ok(()), None) => Outcome::Done,
    }
}

/// Tells what went wrong by a condition and a warning.
fn blame(progress: &mut Progress, error: &Error, before: ClusterStatus) {
    let (type_name, message) = match error {
        Error::Decide(pgloom_decide::Error::Manifest(_)) => ("Valid", root_cause(error)),
        _ => ("Applied", error_chain(error)),
    };
    progress.conditions.retain(|condition| condition.type_name != type_name);
    progress.conditions.push(Condition::fails(type_name, error.category(), message.clone()));
    let created = !matches!(before, ClusterStatus::Unknown | ClusterStatus::Creating | ClusterStatus::CreateFailed);
    progress.warnings.push(Event::warning(if created { "Sync" } else { "Create" }, message));
}

/// Spreads the looks at many clusters over time: up to a tenth less than the period.
fn spread(period: Duration, key: &ClusterKey) -> Duration {
    let part = u32::try_from(fingerprint(key) % 100).unwrap_or_default();
    period.saturating_sub(period / 1000 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_many_clusters_are_spread_over_the_last_tenth_of_the_period() {
        let hour = Duration::from_secs(3600);
        let after: Vec<Duration> =
            (0..50).map(|number| spread(hour, &ClusterKey::new("ns", &format!("c{number}")))).collect();
        assert!(after.iter().all(|after| *after <= hour && *after >= hour / 10 * 9));
        assert!(after.iter().max() != after.iter().min());
    }

    #[test]
    fn a_database_that_could_not_be_kept_is_a_failure_although_the_objects_are_as_desired() {
        let progress = Progress { failed: true, ..Progress::default() };
        assert_eq!(outcome(&progress, &Ok(())), Outcome::Failed);
    }
}
