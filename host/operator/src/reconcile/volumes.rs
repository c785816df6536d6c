//! Cloud volumes and filesystems: changes them in a job of its own, because the cloud takes its time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgloom_api::ActionPhase;
use pgloom_api::postgresql::ActionStatus;
use pgloom_common::quantity::Quantity;
use pgloom_decide::status::recorded;
use pgloom_decide::{BuiltIn, Plan};
use pgloom_engine::{Action, RequestedAction};

use super::Reconciliation;
use super::execute::{Phase, phase_of};
use super::requeue::Requeue;
use crate::execute::task::{Backoff, Failure, JobStatus, fingerprint};
use crate::execute::volume::cloud::{Outcomes, Volumes, key};

/// How long the calls for all volumes of a cluster may take, and the growth of their filesystems.
const DEADLINE: Duration = Duration::from_secs(300);
/// How long the growth of one filesystem may take: a member that does not answer holds no other one.
const COMMANDS: Duration = Duration::from_secs(120);

/// How the actions on cloud volumes and filesystems go.
#[derive(Default)]
pub struct Changed {
    phases: BTreeMap<(String, String), Phase>,
    /// When one is due again.
    pub requeue: Requeue,
}

impl Changed {
    /// The phase of an action.
    pub fn phase(&self, requested: &RequestedAction) -> Phase {
        let phase = self.phases.get(&key(requested));
        phase.cloned().unwrap_or_default()
    }
}

impl Reconciliation<'_> {
    /// Starts the job that changes cloud volumes and grows filesystems, if it is due. `before` has the phases of the actions so
    /// far: what is done is not looked at again.
    pub fn change_volumes(&self, plan: &Plan, before: &[ActionStatus]) -> Changed {
        let (mut changed, mut pending) = (Changed::default(), Vec::new());
        for requested in plan.actions.iter().filter(|requested| requested.is_granted()) {
            let (claim, pod) = match &requested.action {
                Action::ModifyVolume(change) => (&change.claim, None),
                Action::GrowFilesystem(grow) => (&grow.claim, Some(&grow.pod)),
                _ => continue,
            };
            let foreign = || {
                let of_claim = self.foreign(BuiltIn::PersistentVolumeClaim, claim);
                of_claim.or_else(|| pod.and_then(|pod| self.foreign(BuiltIn::Pod, pod)))
            };
            let done = recorded(before, requested).filter(|record| record.phase == ActionPhase::Done);
            let phase = match done {
                Some(record) => (ActionPhase::Done, record.message.clone()),
                None => match foreign() {
                    Some(reason) => (ActionPhase::Refused, reason),
                    None => {
                        pending.push(requested.clone());
                        continue;
                    }
                },
            };
            changed.phases.insert(key(requested), phase);
        }
        let job = &self.state.volumes;
        if pending.is_empty() {
            job.stop();
            return changed;
        }
        let last = match job.last() {
            Some(JobStatus::Done(outcomes)) => outcomes,
            _ => Outcomes::default(),
        };
        let status = self.change(plan, pending.clone(), last);
        let outcomes = match &status {
            JobStatus::Done(outcomes) => outcomes.clone(),
            _ => Outcomes::default(),
        };
        let now = Instant::now();
        for requested in &pending {
            let key = key(requested);
            let outcome = outcomes.get(&key);
            let phase = outcome.map_or_else(
                || phase_of(Some(&status).filter(|status| !matches!(status, JobStatus::Done(_))), STARTED, STARTED),
                |outcome| (outcome.progress.phase, outcome.progress.message.clone()),
            );
            // The end of a job that runs wakes the reconcile.
            if let Some(again) = outcome.and_then(|outcome| outcome.again).filter(|_| !job.is_running()) {
                changed.requeue = changed.requeue.min(Requeue::within(again.saturating_duration_since(now)));
            }
            changed.phases.insert(key, phase);
        }
        if let JobStatus::Failed(_) = status {
            changed.requeue = changed.requeue.min(Requeue::within(self.settings.repair()));
        }
        changed
    }

    /// The status of the job, which begins again when the first of its actions is due.
    fn change(&self, plan: &Plan, pending: Vec<RequestedAction>, last: Outcomes) -> JobStatus<Outcomes> {
        let repair = self.settings.repair();
        let due = last.values().filter_map(|outcome| outcome.again).min();
        let is_due = due.is_some_and(|due| due <= Instant::now());
        let after_success = if is_due { Duration::ZERO } else { repair.max(DEADLINE) };
        let backoff = Backoff { after_success, after_failure: repair, at_most: repair };
        let volumes = Volumes {
            client: self.context.client.clone(),
            namespace: self.key.namespace.to_string(),
            ec2: self.context.ec2.clone(),
            region: self.settings.config.text("aws_region").to_owned(),
            commands: self.context.commands.clone(),
            repair,
            patience: COMMANDS,
            sizes: sizes(plan),
        };
        let fence = self.context.fence.clone();
        let wanted = fingerprint(&(format!("{pending:?}"), &volumes.region));
        self.state.volumes.ensure(wanted, DEADLINE, backoff, || async move {
            let work = volumes.run(&pending, &last);
            fence.guard(work).await.map_err(|closed| Failure::passing(closed.to_string()))
        })
    }
}

/// Why an action has no outcome yet.
const STARTED: &str = "the volume is being changed";

/// The sizes that the steps want of cloud volumes, in bytes, by claim.
fn sizes(plan: &Plan) -> BTreeMap<String, i64> {
    let size = |requested: &RequestedAction| match &requested.action {
        Action::ModifyVolume(change) => {
            Some((change.claim.clone(), Quantity::parse(change.size.as_deref()?).ok()?.units()))
        }
        _ => None,
    };
    plan.actions.iter().filter_map(size).collect()
}
