//! Executes the actions that plugins asked for, and records the phase of each in the status.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
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
use crate::state::Synchronization;

/// When a change of Patroni's configuration that failed is tried again first.
const RETRY: Duration = Duration::from_secs(1);
/// How long a change of Patroni's configuration may take, restarts included.
const DEADLINE: Duration = Duration::from_secs(600);
/// After a change of its configuration Patroni is polled this often for members that wait for a restart, and this many
/// times: it notices a change within `loop_wait`, which is ten seconds by default.
const POLL_PERIOD: Duration = Duration::from_secs(2);
const POLLS: u32 = 8;

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
    pub async fn execute(&self, decided: &Decided, synchronized: &Synchronized, members: &Members) -> Executed {
        let plan = &decided.plan;
        let (patroni, mut requeue) = match self.configure_patroni(plan, members) {
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
    fn configure_patroni(&self, plan: &Plan, members: &Members) -> Option<PatroniJob> {
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
        let print = fingerprint(&(json!(wanted).to_string(), promote, &leader));
        let patroni = self.patroni(&leader, members);
        let members = members.all.iter().map(|member| (member.pod.clone(), self.patroni(&member.pod, members)));
        let members: Vec<(String, Patroni)> = members.collect();
        let fence = self.context.fence.clone();
        let status = self.state.patroni.ensure(print, DEADLINE, backoff, || async move {
            let result = fence.guard(configure(&patroni, &members, &wanted, promote)).await;
            let result = result.map_err(|closed| Failure::passing(closed.to_string()))?;
            result.map_err(|error| Failure { passing: is_passing(&error), ..Failure::new(error_chain(&error)) })
        });
        let requeue = match &status {
            JobStatus::Failed(failure) => Requeue::within(backoff.delay(failure.times)),
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

/// Makes Patroni's configuration say what is wanted, and restarts the members that wait for it. A change that needs no
/// restart is left to Patroni.
async fn configure(
    leader: &Patroni,
    members: &[(String, Patroni)],
    wanted: &[Value],
    promote: bool,
) -> Result<(), patroni::Error> {
    if promote {
        leader.promote().await?;
    }
    for wanted in wanted {
        let current = leader.configuration().await?;
        if let Some(patch) = difference(&current, wanted) {
            leader.configure(&patch).await?;
            restart(leader, members, lowers_a_limit(&current, wanted)).await?;
        }
    }
    Ok(())
}

/// Restarts, one after the other, the members that wait for it.
async fn restart(leader: &Patroni, members: &[(String, Patroni)], leader_first: bool) -> Result<(), patroni::Error> {
    let mut polls = 0;
    while polls < POLLS {
        let cluster = leader.cluster().await?;
        let waiting =
            restart_next(&cluster, leader_first).and_then(|next| members.iter().find(|(pod, _)| *pod == next.name));
        match waiting {
            Some((_, member)) => {
                member.restart().await?;
                polls = polls.max(POLLS / 2);
            }
            None => polls += 1,
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
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
