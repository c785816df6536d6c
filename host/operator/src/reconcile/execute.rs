//! Executes the actions that plugins asked for, and records the phase of each in the status.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use parking_lot::Mutex;
use pgloom_api::ActionPhase;
use pgloom_api::postgresql::ActionStatus;
use pgloom_common::error::error_chain;
use pgloom_decide::Plan;
use pgloom_decide::members::Members;
use pgloom_decide::patroni::{difference, lowers_a_limit, restart_next};
use pgloom_decide::status::{Condition, action, condition_of_actions, recorded};
use pgloom_engine::{Action, RequestedAction};
use serde_json::{Value, json};

use super::Reconciliation;
use super::database::Synchronized;
use super::decide::Decided;
use super::report::now;
use super::steps::Requeue;
use crate::execute::patroni::{self, Patroni};
use crate::execute::task::{Failure, JobStatus, fingerprint};
use crate::execute::volume;
use crate::report::Event;
use crate::state::{ConfigurationChange, Synchronization};

/// When a change of Patroni's configuration that failed is tried again first.
const RETRY: Duration = Duration::from_secs(1);
/// How long a change of Patroni's configuration may take, restarts included.
const DEADLINE: Duration = Duration::from_secs(600);
/// After a change of its configuration Patroni is polled this often for members that wait for a restart.
const POLL_PERIOD: Duration = Duration::from_secs(2);
/// Patroni's `loop_wait` in seconds where the configuration has none.
///
/// See [dynamic configuration](https://patroni.readthedocs.io/en/latest/dynamic_configuration.html).
const LOOP_WAIT: u64 = 10;
/// How long after a `loop_wait` the last member says that it waits for a restart.
const SEEN_LATER: Duration = Duration::from_secs(6);

/// The phase of an action, and the reason or more about it.
type Phase = (ActionPhase, String);

/// How the plugins' actions go.
pub struct Executed {
    /// The actions for the status.
    pub actions: Vec<ActionStatus>,
    /// The condition `ActionsDone`; `None` without actions.
    pub condition: Option<Condition>,
    /// What people should know.
    pub warnings: Vec<Event>,
    /// When an action is due again.
    pub requeue: Requeue,
}

impl Reconciliation<'_> {
    /// Executes the actions that are due, and records how each goes.
    ///
    /// Patroni's configuration is changed at any time. The restarts that it needs wait until `may_restart`: a pod that
    /// is about to be replaced is not restarted before.
    pub async fn execute(
        &self,
        decided: &Decided,
        synchronized: &Synchronized,
        may_restart: bool,
        members: &Members,
    ) -> Executed {
        let plan = &decided.plan;
        let (patroni, mut requeue) = match self.configure_patroni(plan, may_restart, members) {
            Some(job) => (Some(job.status), job.requeue),
            None => (None, Requeue::default()),
        };
        let before = self.status().actions;
        let (mut actions, mut warnings) = (Vec::new(), Vec::new());
        for requested in &plan.actions {
            let phase = match requested.granted {
                true => self.execute_one(requested, synchronized.job.as_ref(), patroni.as_ref()).await,
                false => (
                    ActionPhase::Refused,
                    format!("the pipeline does not grant {} to the step", requested.action.kind()),
                ),
            };
            if matches!(phase.0, ActionPhase::Refused | ActionPhase::Failed) {
                let note = format!("{}: {}: {}", requested.step, requested.key, phase.1);
                warnings.push(Event::warning("Action", note));
            }
            if matches!(requested.action, Action::ExpandClaim(_)) && phase.0 != ActionPhase::Done {
                // A claim also waits for what no watch reports, as for its StorageClass.
                requeue = requeue.min(Requeue::within(self.settings.repair()));
            }
            actions.push(action(&before, requested, phase.0, phase.1, &now()));
        }
        Executed { condition: condition_of_actions(&actions), actions, warnings, requeue }
    }

    async fn execute_one(
        &self,
        requested: &RequestedAction,
        database: Option<&JobStatus<Synchronization>>,
        patroni: Option<&JobStatus<()>>,
    ) -> Phase {
        match &requested.action {
            Action::Credential(_) | Action::UserList(_) => (ActionPhase::Done, String::new()),
            Action::PoolerAccess(_) => phase_of(
                database,
                "roles and databases are being synchronised",
                "roles and databases are not synchronised at the moment",
            ),
            Action::Promote if self.is_done(requested) => (ActionPhase::Done, String::new()),
            Action::ConfigurePatroni(text) if configuration(text).is_none() => {
                (ActionPhase::Failed, "the configuration for Patroni is not a JSON object".to_owned())
            }
            Action::ConfigurePatroni(_)
                if matches!(patroni, Some(JobStatus::Done(()))) && self.state.restarts.lock().is_some() =>
            {
                (ActionPhase::Running, "members wait for a restart".to_owned())
            }
            Action::ConfigurePatroni(_) | Action::Promote => {
                phase_of(patroni, "Patroni is being configured", "waits for a leader that is ready")
            }
            Action::ExpandClaim(claim) => {
                let claims: Api<PersistentVolumeClaim> =
                    Api::namespaced(self.context.client.clone(), &self.key.namespace);
                volume_phase(volume::expand(&claims, &claim.claim, &claim.size).await)
            }
            other @ (Action::ModifyVolume(_) | Action::GrowFilesystem(_)) => {
                volume_phase(volume::refused(other.kind().name()))
            }
        }
    }

    /// Starts the job that makes Patroni's dynamic configuration what the plugins want, if it is due.
    fn configure_patroni(&self, plan: &Plan, may_restart: bool, members: &Members) -> Option<PatroniJob> {
        let granted = || plan.actions.iter().filter(|requested| requested.granted);
        let wanted = granted().filter_map(|requested| match &requested.action {
            Action::ConfigurePatroni(text) => configuration(text),
            _ => None,
        });
        let wanted: Vec<Value> = wanted.collect();
        let promote = granted().any(|requested| requested.action == Action::Promote && !self.is_done(requested));
        if wanted.is_empty() && !promote {
            return None;
        }
        let leader = members.leader().filter(|(member, _)| member.ready).map(|(member, _)| member.pod.clone())?;
        let backoff = self.backoff_after(RETRY);
        let print = fingerprint(&(json!(wanted).to_string(), promote, may_restart, &leader));
        let patroni = self.patroni(&leader, members);
        let members = members.all.iter().map(|member| (member.pod.clone(), self.patroni(&member.pod, members)));
        let members: Vec<(String, Patroni)> = members.collect();
        let (owed, fence) = (self.state.restarts.clone(), self.context.fence.clone());
        let status = self.state.patroni.ensure(print, DEADLINE, backoff, || async move {
            let work = async {
                configure(&patroni, &wanted, promote, &owed).await?;
                if may_restart {
                    restart(&patroni, &members, &owed).await?;
                }
                Ok::<(), patroni::Error>(())
            };
            let result = fence.guard(work).await;
            let result = result.map_err(|closed| Failure::passing(closed.to_string()))?;
            result.map_err(|error| Failure { passing: is_passing(&error), ..Failure::new(error_chain(&error)) })
        });
        let requeue = match &status {
            JobStatus::Failed(failure) => Requeue::within(backoff.delay(failure.times)),
            JobStatus::Done(()) if self.state.restarts.lock().is_some() => Requeue::within(self.settings.repair()),
            _ => Requeue::default(),
        };
        Some(PatroniJob { status, requeue })
    }

    /// Whether the status records that an action is done.
    fn is_done(&self, requested: &RequestedAction) -> bool {
        recorded(&self.status().actions, requested).is_some_and(|state| state.phase == ActionPhase::Done)
    }
}

/// The job that changes Patroni's configuration.
struct PatroniJob {
    status: JobStatus<()>,
    /// When it is due again.
    requeue: Requeue,
}

/// The configuration that an action wants, as an object; `None` if it is none.
fn configuration(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Whether Patroni only could not be reached.
fn is_passing(error: &patroni::Error) -> bool {
    matches!(error, patroni::Error::Address(_) | patroni::Error::Reach { .. })
}

/// Makes Patroni's configuration say what is wanted. What needs a restart is noted in `owed`.
async fn configure(
    leader: &Patroni,
    wanted: &[Value],
    promote: bool,
    owed: &Mutex<Option<ConfigurationChange>>,
) -> Result<(), patroni::Error> {
    if promote {
        leader.promote().await?;
    }
    for wanted in wanted {
        let current = leader.configuration().await?;
        if let Some(patch) = difference(&current, wanted) {
            // Noted before: the answer may be lost.
            note(owed, seen_after(&current, wanted), lowers_a_limit(&current, wanted));
            leader.configure(&patch).await?;
        }
    }
    Ok(())
}

/// Notes a change, together with one whose restarts are owed already.
fn note(owed: &Mutex<Option<ConfigurationChange>>, seen_after: Duration, leader_first: bool) {
    let mut owed = owed.lock();
    let leader_first = leader_first || owed.is_some_and(|before| before.leader_first);
    *owed = Some(ConfigurationChange { at: Instant::now(), seen_after, leader_first });
}

/// When every member has seen a change of the configuration: Patroni looks once in a `loop_wait`.
fn seen_after(current: &Value, wanted: &Value) -> Duration {
    let loop_wait = [current, wanted].into_iter().filter_map(|configuration| configuration["loop_wait"].as_u64()).max();
    Duration::from_secs(loop_wait.unwrap_or(LOOP_WAIT)) + SEEN_LATER
}

/// Restarts, one after the other and each once, the members that wait for it. `owed` is kept if they are not all
/// restarted: after a failure, and while Patroni is paused.
async fn restart(
    leader: &Patroni,
    members: &[(String, Patroni)],
    owed: &Mutex<Option<ConfigurationChange>>,
) -> Result<(), patroni::Error> {
    let change = *owed.lock();
    let leader_first = change.is_some_and(|change| change.leader_first);
    let mut restarted = BTreeSet::new();
    loop {
        let cluster = leader.cluster().await?;
        if cluster.pause {
            return Ok(());
        }
        let next = restart_next(&cluster, leader_first, &restarted);
        match next.and_then(|next| members.iter().find(|(pod, _)| *pod == next.name)) {
            Some((pod, member)) => {
                restarted.insert(pod.clone());
                member.restart().await?;
            }
            None if cluster.members.iter().any(|member| restarted.contains(&member.name) && !member.is_running()) => {}
            None if change.is_some_and(|change| change.at.elapsed() < change.seen_after) => {}
            None => break,
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
    *owed.lock() = None;
    Ok(())
}

fn phase_of<T>(status: Option<&JobStatus<T>>, running: &str, pending: &str) -> Phase {
    match status {
        Some(JobStatus::Done(_)) => (ActionPhase::Done, String::new()),
        Some(JobStatus::Running) => (ActionPhase::Running, running.to_owned()),
        Some(JobStatus::Failed(failure)) if failure.is_early() => (ActionPhase::Running, failure.reason.clone()),
        Some(JobStatus::Failed(failure)) => (ActionPhase::Failed, failure.reason.clone()),
        None => (ActionPhase::Pending, pending.to_owned()),
    }
}

fn volume_phase(progress: volume::Progress) -> Phase {
    (progress.phase, progress.message)
}
