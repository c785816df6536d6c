//! Executes the actions that plugins asked for, and records the phase of each in the status.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use pgloom_common::error::error_chain;
use pgloom_decide::Plan;
use pgloom_decide::members::Members;
use pgloom_decide::patroni::{difference, lowers_a_limit, restart_next};
use pgloom_decide::status::{ACTIONS, Condition};
use pgloom_engine::{Action, RequestedAction};
use serde_json::{Value, json};

use super::Reconciliation;
use super::database::Synchronized;
use super::decide::Decided;
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

/// The phase of an action, as the status names it, and a message.
type Phase = (&'static str, String);

/// How the plugins' actions go.
pub struct Executed {
    /// The actions for the status.
    pub actions: Vec<Value>,
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
        let (mut actions, mut warnings) = (Vec::new(), Vec::new());
        for requested in &plan.actions {
            let phase = match requested.granted {
                true => self.execute_one(requested, synchronized.job.as_ref(), patroni.as_ref()).await,
                false => ("refused", format!("the pipeline does not grant {} to the step", kind(&requested.action))),
            };
            if matches!(phase.0, "refused" | "failed") {
                let note = format!("{}: {}: {}", requested.step, requested.key, phase.1);
                warnings.push(Event::warning("Action", note));
            }
            if matches!(requested.action, Action::ExpandClaim(_)) && phase.0 != "done" {
                // A claim also waits for what no watch reports, as for its StorageClass.
                requeue = requeue.min(Requeue::within(self.settings.repair()));
            }
            actions.push(self.record(requested, phase));
        }
        Executed { condition: condition(&actions), actions, warnings, requeue }
    }

    async fn execute_one(
        &self,
        requested: &RequestedAction,
        database: Option<&JobStatus<Synchronization>>,
        patroni: Option<&JobStatus<()>>,
    ) -> Phase {
        match &requested.action {
            Action::Credential(_) | Action::UserList(_) => ("done", String::new()),
            Action::PoolerAccess(_) => phase_of(
                database,
                "roles and databases are being synchronised",
                "roles and databases are not synchronised at the moment",
            ),
            Action::Promote if self.recorded(requested)["phase"] == "done" => ("done", String::new()),
            Action::ConfigurePatroni(text) if configuration(text).is_none() => {
                ("failed", "the configuration for Patroni is not a JSON object".to_owned())
            }
            Action::ConfigurePatroni(_) | Action::Promote => {
                phase_of(patroni, "Patroni is being configured", "waits for a leader that is ready")
            }
            Action::ExpandClaim(claim) => {
                let claims: Api<PersistentVolumeClaim> =
                    Api::namespaced(self.context.client.clone(), &self.key.namespace);
                volume_phase(volume::expand(&claims, &claim.claim, &claim.size).await)
            }
            other @ (Action::ModifyVolume(_) | Action::GrowFilesystem(_)) => volume_phase(volume::refused(kind(other))),
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
        let promote = granted()
            .any(|requested| requested.action == Action::Promote && self.recorded(requested)["phase"] != "done");
        if wanted.is_empty() && !promote {
            return None;
        }
        let leader = members.leader().filter(|(member, _)| member.ready).map(|(member, _)| member.pod.clone())?;
        let backoff = self.backoff_after(RETRY);
        let print = fingerprint(&(json!(wanted).to_string(), promote, &leader));
        let patroni = self.patroni(&leader, members);
        let members = members.all.iter().map(|member| (member.pod.clone(), self.patroni(&member.pod, members)));
        let members: Vec<(String, Patroni)> = members.collect();
        let status = self.state.patroni.ensure(print, DEADLINE, backoff, || async move {
            let result = configure(&patroni, &members, &wanted, promote).await;
            result.map_err(|error| Failure { passing: is_passing(&error), ..Failure::new(error_chain(&error)) })
        });
        let requeue = match &status {
            JobStatus::Failed(failure) => Requeue::within(backoff.delay(failure.times)),
            _ => Requeue::default(),
        };
        Some(PatroniJob { status, requeue })
    }

    /// The entry of an action in the status so far; `null` if there is none.
    fn recorded(&self, requested: &RequestedAction) -> &Value {
        let recorded = self.manifest["status"]["actions"].as_array().into_iter().flatten();
        let same =
            |record: &&Value| record["step"] == requested.step.as_str() && record["key"] == requested.key.as_str();
        recorded.into_iter().find(same).unwrap_or(&Value::Null)
    }

    fn record(&self, requested: &RequestedAction, (phase, message): Phase) -> Value {
        let before = self.recorded(requested);
        let since = Some(&before["since"]).filter(|since| before["phase"] == phase && since.is_string()).cloned();
        let now = || json!(jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string());
        json!({
            "step": requested.step, "key": requested.key, "phase": phase, "message": message,
            "since": since.unwrap_or_else(now),
        })
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

/// The condition `ActionsDone`, about the actions in the worst phase; `None` without actions.
fn condition(records: &[Value]) -> Option<Condition> {
    let of = |phase: &str| -> Vec<String> {
        let those = records.iter().filter(|record| record["phase"] == phase);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |record: &Value| {
            let message = text(&record["message"]);
            format!("{} of {}: {message}", text(&record["key"]), text(&record["step"]))
        };
        those.map(line).collect()
    };
    if records.is_empty() {
        return None;
    }
    for (phase, reason) in [("failed", "Failed"), ("refused", "Refused")] {
        let lines = of(phase);
        if !lines.is_empty() {
            return Some(Condition::fails(ACTIONS, reason, lines.join("; ")));
        }
    }
    let lines: Vec<String> = [of("running"), of("pending")].concat();
    Some(match lines.is_empty() {
        true => Condition::holds(ACTIONS, "Done", "what plugins asked for is done"),
        false => Condition::unknown(ACTIONS, "Running", lines.join("; ")),
    })
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
        Some(JobStatus::Done(_)) => ("done", String::new()),
        Some(JobStatus::Running) => ("running", running.to_owned()),
        Some(JobStatus::Failed(failure)) if failure.is_early() => ("running", failure.reason.clone()),
        Some(JobStatus::Failed(failure)) => ("failed", failure.reason.clone()),
        None => ("pending", pending.to_owned()),
    }
}

fn volume_phase(progress: volume::Progress) -> Phase {
    let word = match progress.phase {
        volume::Phase::Pending => "pending",
        volume::Phase::Running => "running",
        volume::Phase::Done => "done",
        volume::Phase::Failed => "failed",
        volume::Phase::Refused => "refused",
    };
    (word, progress.message)
}

/// The catalogue's name of an action.
fn kind(action: &Action) -> &'static str {
    match action {
        Action::Credential(_) => "credential",
        Action::UserList(_) => "user-list",
        Action::PoolerAccess(_) => "pooler-access",
        Action::ConfigurePatroni(_) => "configure-patroni",
        Action::Promote => "promote",
        Action::ExpandClaim(_) => "expand-claim",
        Action::ModifyVolume(_) => "modify-volume",
        Action::GrowFilesystem(_) => "grow-filesystem",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, phase: &str, message: &str) -> Value {
        json!({"step": "volume-resize", "key": key, "phase": phase, "message": message})
    }

    #[test]
    fn a_condition_names_every_action_that_is_not_done_and_the_worst_alone() {
        let (done, waits) = (record("a", "done", ""), record("b", "pending", "no volume yet"));
        let (failed, refused) = (record("c", "failed", "no such claim"), record("d", "refused", "not executed"));
        let of = |records: &[&Value]| {
            let records: Vec<Value> = records.iter().map(|record| (*record).clone()).collect();
            condition(&records).map(|condition| (condition.status, condition.reason, condition.message))
        };
        let condition_of = |status, reason: &str, message: &str| Some((status, reason.to_owned(), message.to_owned()));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&done]), condition_of("True", "Done", "what plugins asked for is done"));
        assert_eq!(of(&[&done, &waits]), condition_of("Unknown", "Running", "b of volume-resize: no volume yet"));
        assert_eq!(of(&[&waits, &refused]), condition_of("False", "Refused", "d of volume-resize: not executed"));
        assert_eq!(of(&[&refused, &failed]), condition_of("False", "Failed", "c of volume-resize: no such claim"));
    }
}
