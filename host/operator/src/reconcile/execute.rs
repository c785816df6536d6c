//! Executes the actions that plugins asked for, and records the phase of each in the status.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use pgloom_api::ActionPhase;
use pgloom_api::postgresql::{ActionStatus, ClusterStatus};
use pgloom_common::error::error_chain;
use pgloom_decide::members::Members;
use pgloom_decide::patroni::{Desired, merged};
use pgloom_decide::status::{Condition, action, condition_of_actions, recorded};
use pgloom_decide::{BuiltIn, Plan};
use pgloom_engine::{Action, RequestedAction};
use serde_json::{Value, json};

use super::database::Synchronized;
use super::decide::Decided;
use super::hold::{closed, opening};
use super::report::now;
use super::requeue::Requeue;
use super::{Error, Reconciliation};
use crate::execute::patroni::configure::{Configured, Limits, Restarts, configure};
use crate::execute::patroni::{self, Patroni};
use crate::execute::task::{Failure, JobStatus, fingerprint};
use crate::execute::volume;
use crate::leader::fencing::Fence;
use crate::report::Event;
use crate::state::Synchronization;

/// When a change of Patroni's configuration that failed is tried again first.
const RETRY: Duration = Duration::from_secs(1);
/// How long a change of Patroni's configuration may take, restarts included. One that takes longer is continued.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long a promotion may take.
const PROMOTION: Duration = Duration::from_secs(60);
/// When Patroni is first asked again while members wait for a restart that may not begin yet.
const WAITING: Duration = Duration::from_secs(30);
/// How long after its `loop_wait` every Patroni has reported what a change means for its member.
const MARGIN: Duration = Duration::from_secs(2);

/// Why a cluster is not promoted yet.
const NO_LEADER: &str = "waits for a leader that is ready";
/// Why Patroni is not configured yet.
const NOT_YET: &str = "waits for a leader that is ready, or for the promotion of the cluster";

/// The phase of an action, and the reason or more about it.
pub(super) type Phase = (ActionPhase, String);

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
    /// Whether the cluster is a standby although its manifest does not say so.
    pub standby: bool,
}

impl Reconciliation<'_> {
    /// Executes the actions that are due, and records how each goes.
    ///
    /// Patroni's configuration is changed at any time. The restarts that it needs wait until the rolling update is
    /// `settled`: a pod that is about to be replaced is not restarted before.
    pub async fn execute(&self, decided: &Decided, progress: &Progress<'_>, members: &Members) -> Executed {
        let plan = &decided.plan;
        let Progress { promotion, synchronized, settled, foreign_lists } = *progress;
        // Patroni refuses one of two changes of its configuration at the same time.
        let configured = match promotion.is_running() || self.is_upgrading() {
            true => None,
            false => self.configure_patroni(decided, settled, members),
        };
        let (patroni, mut requeue) = match configured {
            Some(job) => (Some(job.status), job.requeue),
            None => (None, Requeue::default()),
        };
        let before = self.status().actions;
        let volumes = self.change_volumes(plan, &before);
        requeue = requeue.min(volumes.requeue);
        let (mut actions, mut warnings) = (Vec::new(), Vec::new());
        for requested in &plan.actions {
            let phase = match (requested.is_granted(), &requested.action) {
                (_, Action::Promote) => promotion.phase(requested),
                (true, Action::ModifyVolume(_) | Action::GrowFilesystem(_)) => volumes.phase(requested),
                (true, Action::UserList(list)) => list_phase(&list.secret_name, foreign_lists),
                // It replicates the look-up function from its source.
                (true, Action::PoolerAccess(_)) if synchronized.follows => (ActionPhase::Done, String::new()),
                (true, _) => self.execute_one(requested, synchronized.job.as_ref(), patroni.as_ref()).await,
                (false, _) => refused(requested),
            };
            if matches!(phase.0, ActionPhase::Refused | ActionPhase::Failed) {
                let note = format!("{}: {}: {}", requested.step, requested.key, phase.1);
                warnings.push(Event::warning("Action", note).of_step(Some(&requested.step)));
            }
            if matches!(requested.action, Action::ExpandClaim(_)) && phase.0 != ActionPhase::Done {
                // A claim also waits for what no watch reports, as for its StorageClass.
                requeue = requeue.min(Requeue::within(self.settings.repair()));
            }
            actions.push(action(&before, requested, phase.0, phase.1, &now()));
        }
        let standby = matches!(patroni, Some(JobStatus::Done(Configured { standby: true, .. })));
        Executed { condition: condition_of_actions(&actions), actions, warnings, requeue, standby }
    }

    async fn execute_one(
        &self,
        requested: &RequestedAction,
        database: Option<&JobStatus<Synchronization>>,
        patroni: Option<&JobStatus<Configured>>,
    ) -> Phase {
        match &requested.action {
            Action::Credential(_) => (ActionPhase::Done, String::new()),
            // `execute` has the phases of these.
            Action::UserList(_) | Action::Promote | Action::ModifyVolume(_) | Action::GrowFilesystem(_) => {
                (ActionPhase::Done, String::new())
            }
            Action::PoolerAccess(_) => phase_of(
                database,
                "roles and databases are being synchronised",
                "roles and databases are not synchronised at the moment",
            ),
            Action::ConfigurePatroni(text) if configuration(text).is_none() => {
                (ActionPhase::Failed, "the configuration for Patroni is not a JSON object".to_owned())
            }
            Action::ConfigurePatroni(_) => configured_phase(patroni),
            Action::ExpandClaim(claim) => match self.foreign(BuiltIn::PersistentVolumeClaim, &claim.claim) {
                Some(reason) => (ActionPhase::Refused, reason),
                None => {
                    let claims: Api<PersistentVolumeClaim> =
                        Api::namespaced(self.context.client.clone(), &self.key.namespace);
                    volume_phase(volume::expand(&claims, &claim.claim, &claim.size).await)
                }
            },
        }
    }

    /// Why an action about an object is refused: there is none of the cluster with the name. `None` if there is one.
    pub(super) fn foreign(&self, kind: BuiltIn, name: &str) -> Option<String> {
        let (objects, writer) = (self.context.store.objects(self.key), self.writer());
        let is_own = objects
            .iter()
            .any(|cached| cached.kind.is(kind) && *cached.name == *name && writer.origin(&cached.object()).is_own());
        (!is_own).then(|| format!("the cluster has no {} {name}", kind.name()))
    }

    /// Records the actions that are requested for the first time, before anything is applied. Once the plan is applied,
    /// what exists may no longer show that an action is owed, as that a cluster was a standby; the record does.
    pub async fn record_actions(&self, decided: &Decided) -> Result<(), Error> {
        let mut actions = self.status().actions;
        let before = actions.len();
        for requested in &decided.plan.actions {
            if recorded(&actions, requested).is_none() {
                actions.push(action(&[], requested, ActionPhase::Pending, String::new(), &now()));
            }
        }
        if actions.len() == before {
            return Ok(());
        }
        self.write_status(&json!({"status": {"actions": actions}})).await
    }

    /// Starts the promotion that a plugin asked for, if it is due. It waits for nothing but a leader: an object that is
    /// refused, or a pod that cannot be replaced, must not keep a cluster read-only.
    pub fn promote(&self, decided: &Decided, members: &Members) -> Promotion {
        let requested = decided.plan.actions.iter().filter(|requested| requested.action == Action::Promote);
        let requested: Vec<&RequestedAction> = requested.filter(|requested| !self.is_done(requested)).collect();
        if requested.is_empty() {
            return Promotion::default();
        }
        let granted = requested.iter().filter(|requested| requested.is_granted());
        let keys: Vec<(&str, &str)> = granted.map(|granted| (granted.step.as_str(), granted.key.as_str())).collect();
        let backoff = self.backoff_after(RETRY);
        let leader = members.leader().filter(|(member, _)| member.ready && !keys.is_empty());
        let job = leader.map(|(member, _)| {
            let patroni = self.patroni(&member.pod, members);
            let fence = self.context.fence.clone();
            let start = || async move { job(&fence, patroni.promote()).await };
            self.state.promotion.ensure(fingerprint(&(&keys, &member.pod)), PROMOTION, backoff, start)
        });
        let phase = |requested: &RequestedAction| match requested.is_granted() {
            true => phase_of(job.as_ref(), "the cluster is being promoted", NO_LEADER),
            false => refused(requested),
        };
        let record = |requested: &&RequestedAction| {
            let (phase, message) = phase(requested);
            action(&self.status().actions, requested, phase, message, &now())
        };
        let actions: Vec<ActionStatus> = requested.iter().map(record).collect();
        let requeue = match &job {
            Some(JobStatus::Failed(failure)) => Requeue::within(backoff.delay(failure.times)),
            _ => Requeue::default(),
        };
        Promotion { actions, requeue }
    }

    /// Starts the job that makes Patroni's dynamic configuration what the plugins want, if it is due.
    fn configure_patroni(&self, decided: &Decided, settled: bool, members: &Members) -> Option<PatroniJob> {
        let desired = Self::desired_of_patroni(&decided.plan)?;
        let leader = self.patroni_to_configure(members)?;
        let last = match self.state.patroni.last() {
            Some(JobStatus::Done(configured)) => configured,
            _ => Configured::default(),
        };
        let mut backoff = self.backoff_after(RETRY);
        if last.is_waiting() {
            backoff.after_success = WAITING.min(backoff.after_success);
        }
        // A pod that was just deleted is not a member, and not outdated either.
        let is_whole = members.all.len() >= self.wanted() && !members.all.iter().any(|member| member.ending);
        let (rolling, windows) = (!settled || !is_whole, self.windows(decided));
        let waiting = Requeue::asking(WAITING).min(opening(&windows));
        let print = fingerprint(&(format!("{desired:?}"), rolling, &leader));
        let patroni = self.patroni(&leader, members);
        let members = members.all.iter().map(|member| (member.pod.clone(), self.patroni(&member.pod, members)));
        let members: Vec<(String, Patroni)> = members.collect();
        let limits = Limits {
            rolling,
            held: Box::new(move || closed(&windows).map(|windows| format!("not before {windows}"))),
            seen: last.seen,
            restarted: last.still_pending(),
            margin: MARGIN,
            until: Instant::now() + DEADLINE,
        };
        let fence = self.context.fence.clone();
        let status = self.state.patroni.ensure(print, DEADLINE, backoff, || async move {
            job(&fence, configure(&patroni, &members, &desired, &limits)).await
        });
        let requeue = match &status {
            JobStatus::Failed(failure) => Requeue::within(backoff.delay(failure.times)),
            JobStatus::Done(configured) if configured.is_waiting() => waiting,
            _ => Requeue::default(),
        };
        Some(PatroniJob { status, requeue })
    }

    /// The pod whose Patroni is asked to change the configuration: the leader, if it is ready. Without one it is any member of
    /// a cluster that has run: the configuration is the cluster's, and may be the reason why PostgreSQL does not start.
    fn patroni_to_configure(&self, members: &Members) -> Option<String> {
        use ClusterStatus::{Running, SyncFailed, UpdateFailed, Updating};
        let leader = members.leader().map(|(member, _)| member).filter(|member| member.ready);
        let has_run = matches!(self.status().cluster_status, Running | Updating | UpdateFailed | SyncFailed);
        let any = || members.all.iter().find(|member| has_run && !member.ending);
        leader.or_else(any).map(|member| member.pod.clone())
    }

    /// What Patroni's configuration is to be; `None` if no plugin wants anything of it.
    fn desired_of_patroni(plan: &Plan) -> Option<Desired> {
        let of_patroni = plan.actions.iter().filter_map(|requested| match &requested.action {
            Action::ConfigurePatroni(text) => Some(configuration(text).filter(|_| requested.is_granted())),
            _ => None,
        });
        let all: Vec<Option<Value>> = of_patroni.collect();
        if all.iter().all(Option::is_none) {
            return None;
        }
        let refuses = |requested: &RequestedAction| requested.action == Action::Promote && !requested.is_granted();
        Some(Desired {
            complete: !plan.degraded && all.iter().all(Option::is_some),
            parts: merged(all.into_iter().flatten()),
            standby: plan.cluster.standby,
            may_promote: !plan.degraded && !plan.actions.iter().any(refuses),
        })
    }

    /// Whether the status records that an action is done.
    fn is_done(&self, requested: &RequestedAction) -> bool {
        recorded(&self.status().actions, requested).is_some_and(|state| state.phase == ActionPhase::Done)
    }
}

/// How the promotion of a standby goes.
#[derive(Default)]
pub struct Promotion {
    /// The states of the promotions that are not recorded as done.
    pub actions: Vec<ActionStatus>,
    /// When it is due again.
    pub requeue: Requeue,
}

impl Promotion {
    /// Whether the cluster is to be promoted and is not yet.
    pub fn is_owed(&self) -> bool {
        self.actions.iter().any(|action| action.phase != ActionPhase::Done)
    }

    /// Whether it is owed and may be done.
    fn is_running(&self) -> bool {
        self.actions.iter().any(|action| !matches!(action.phase, ActionPhase::Done | ActionPhase::Refused))
    }

    /// The records of actions with these states in their place.
    pub fn recorded_in(&self, before: &[ActionStatus]) -> Vec<ActionStatus> {
        let is = |one: &ActionStatus, other: &ActionStatus| one.step == other.step && one.key == other.key;
        let others = before.iter().filter(|before| !self.actions.iter().any(|action| is(action, before)));
        others.chain(&self.actions).cloned().collect()
    }

    /// The state of a promotion.
    fn phase(&self, requested: &RequestedAction) -> Phase {
        match recorded(&self.actions, requested) {
            Some(action) => (action.phase, action.message.clone()),
            None => (ActionPhase::Done, String::new()),
        }
    }
}

/// How far the steps before the actions have come.
pub struct Progress<'a> {
    /// How the promotion of a standby goes.
    pub promotion: &'a Promotion,
    /// How the synchronisation of roles and databases goes.
    pub synchronized: &'a Synchronized,
    /// Whether no rolling update is under way.
    pub settled: bool,
    /// The Secrets for user lists that are not the cluster's; `None` if the Secrets were not written.
    pub foreign_lists: Option<&'a [String]>,
}

/// The job that changes Patroni's configuration.
struct PatroniJob {
    status: JobStatus<Configured>,
    /// When it is due again.
    requeue: Requeue,
}

/// The configuration that an action wants, as an object; `None` if it is none.
fn configuration(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// A job of Patroni's; a failure to reach it passes by itself.
async fn job<T>(fence: &Fence, work: impl Future<Output = Result<T, patroni::Error>>) -> Result<T, Failure> {
    let result = fence.guard(work).await.map_err(|closed| Failure::passing(closed.to_string()))?;
    result.map_err(|error| Failure { passing: error.is_passing(), ..Failure::new(error_chain(&error)) })
}

/// The phase of an action that configures Patroni: it is done when no member waits for a restart.
fn configured_phase(status: Option<&JobStatus<Configured>>) -> Phase {
    match status {
        Some(JobStatus::Done(Configured { restarts: Restarts::Wait(reason), .. })) => {
            (ActionPhase::Pending, reason.clone())
        }
        Some(JobStatus::Done(Configured { restarts: Restarts::Stuck(members), .. })) => {
            let members = members.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            (ActionPhase::Failed, format!("after a restart Patroni still reports a pending restart of {members}"))
        }
        status => phase_of(status, "Patroni is being configured", NOT_YET),
    }
}

/// The phase of an action that keeps a user list. No password is written to a Secret that others made.
fn list_phase(secret: &str, foreign: Option<&[String]>) -> Phase {
    match foreign {
        None => (ActionPhase::Pending, "the Secrets are not written yet".to_owned()),
        Some(foreign) if foreign.iter().any(|name| name == secret) => {
            let reason = "exists already and was not made for this cluster; delete it, or use another name";
            (ActionPhase::Refused, format!("Secret {secret} {reason}"))
        }
        Some(_) => (ActionPhase::Done, String::new()),
    }
}

fn refused(requested: &RequestedAction) -> Phase {
    (ActionPhase::Refused, requested.refusal.clone().unwrap_or_default())
}

pub(super) fn phase_of<T>(status: Option<&JobStatus<T>>, running: &str, pending: &str) -> Phase {
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
