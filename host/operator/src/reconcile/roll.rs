//! Takes the next step of a rolling update.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use pgloom_common::error::error_chain;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::members::Members;
use pgloom_decide::patroni::{Report, is_synchronous};
use pgloom_decide::rollout::{Member, Next, Role, State, Switchover, difference, metadata_patch, next};
use pgloom_decide::status::Condition;
use serde_json::Value;
use tracing::{debug, info};

use super::apply::Applied;
use super::decide::Decided;
use super::departure::Departed;
use super::hold::{closed, opening};
use super::marks::is_marked;
use super::progress::{Step, Underway};
use super::requeue::Requeue;
use super::{Error, Reconciliation};
use crate::execute::patroni::{self, Patroni};
use crate::report::Event;
use crate::state::Refusal;

/// The label with the revision of the template that a pod was made from.
const REVISION: &str = "controller-revision-hash";

/// How the rolling update goes.
#[derive(Default)]
pub struct Rolled {
    /// What the members are waited for.
    pub underway: Option<Underway>,
    /// The condition `RolledOut`; `None` if it stays as it is.
    pub condition: Option<Condition>,
    /// When the next step may be due.
    pub requeue: Requeue,
    /// Whether every pod runs the template.
    pub settled: bool,
    /// How the leader leaves its node, if it has to.
    pub departed: Departed,
}

impl Rolled {
    pub fn wait(&mut self, underway: Underway) {
        self.underway = Underway::all(self.underway.take().into_iter().chain([underway]));
    }

    /// Patroni refused a switchover, which is tried again after the time.
    fn refused(&mut self, reason: String, again: Duration) {
        self.condition = Some(Condition::fails("RolledOut", "SwitchoverFailed", reason.clone()));
        self.wait(Underway::changing(reason));
        self.requeue = self.requeue.min(Requeue::within(again));
    }
}

impl Reconciliation<'_> {
    /// Takes the next step of a change of leader or a rolling update, if one is due.
    pub async fn roll(&self, decided: &Decided, applied: &Applied, members: &Members) -> Step<Rolled> {
        let mut rolled = Rolled::default();
        let result = self.roll_one(decided, applied, members, &mut rolled).await;
        Step { found: rolled, result }
    }

    async fn roll_one(
        &self,
        decided: &Decided,
        applied: &Applied,
        members: &Members,
        rolled: &mut Rolled,
    ) -> Result<(), Error> {
        let Some(set) = self.stateful_set() else {
            rolled.wait(Underway::changing("the StatefulSet is being created").watched());
            return Ok(());
        };
        let status = set.status.clone().unwrap_or_default();
        if status.observed_generation < set.metadata.generation {
            let reason = "the StatefulSet's controller has not observed the change yet";
            rolled.wait(Underway::changing(reason).watched());
            return Ok(());
        }
        if let Some(missing) = members.missing(self.wanted()) {
            rolled.wait(Underway::waiting(missing).watched());
        }
        if let Some(handover) = &applied.handover {
            self.switch_over(handover, members, rolled).await;
            return Ok(());
        }
        let revision = status.update_revision.unwrap_or_default();
        let mut with_state = self.with_state(&set, &revision, members).await?;
        self.mark_leaving(&set, &mut with_state);
        let (asked, report) = self.report_of_any(&with_state, members).await.unzip();
        let of_leader = report.as_ref().filter(|_| asked.as_ref() == leader_of(members));
        if self.leave_node(&set, &with_state, members, of_leader, rolled).await? {
            return Ok(());
        }
        let step = next(self.wanted(), &with_state, report.as_ref());
        let windows = self.windows(decided);
        let acts = matches!(step, Next::Replace(_) | Next::Switchover(_));
        if let Some(closed) = closed(&windows).filter(|_| acts) {
            let message = format!("the rolling update waits for {closed}");
            rolled.condition = Some(Condition::fails("RolledOut", "MaintenanceWindow", message));
            rolled.requeue = rolled.requeue.min(opening(&windows));
            return Ok(());
        }
        if let Some(busy) = self.busy().filter(|_| acts) {
            return self.take(Next::Wait(busy.to_owned()), members, rolled).await;
        }
        rolled.settled = step == Next::Done;
        self.take(step, members, rolled).await
    }

    /// What Patroni reports of all members, and the pod that was asked, if a pod runs another template or the leader has to
    /// leave its node. The leader is asked, or else the first member that answered.
    async fn report_of_any(&self, with_state: &[Member], members: &Members) -> Option<(String, Report)> {
        let asked = match with_state.iter().any(|member| member.outdated) {
            true => {
                let answered = with_state.iter().filter(|member| member.state != State::Silent);
                &answered.min_by_key(|member| member.answered != Some(Role::Leader))?.pod
            }
            false => {
                let leaves = |pod: &&String| with_state.iter().any(|member| member.leaving && member.pod == **pod);
                leader_of(members).filter(leaves)?
            }
        };
        Some((asked.clone(), self.patroni_report(asked, members).await?))
    }

    /// What the Patroni of a pod reports of all members; `None` if it does not answer.
    pub async fn patroni_report(&self, pod: &str, members: &Members) -> Option<Report> {
        let patroni = self.patroni(pod, members);
        let report = async {
            let cluster = patroni.cluster().await?;
            let synchronous = is_synchronous(&patroni.configuration().await?);
            Ok::<_, patroni::Error>(Report { cluster, synchronous })
        };
        let log = |error: &patroni::Error| debug!(error = %error_chain(error), "Patroni does not report the members");
        report.await.inspect_err(log).ok()
    }

    /// The members, with what the cache does not hold: which of them run another template, or are marked for a replacement, and, if any does, what
    /// Patroni says of each.
    async fn with_state(&self, set: &StatefulSet, revision: &str, members: &Members) -> Result<Vec<Member>, Error> {
        let mut with_state = members.all.clone();
        let uids: HashSet<&String> = members.pods.iter().filter_map(|pod| pod.metadata.uid.as_ref()).collect();
        self.state.memory.lock().same_template.retain(|uid, _| uids.contains(uid));
        for (member, pod) in with_state.iter_mut().zip(&members.pods) {
            let made_from = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION));
            let is_of_another = made_from.is_none_or(|made_from| made_from != revision);
            member.outdated = is_marked(&pod.metadata) || is_of_another && self.differs(set, revision, pod).await?;
        }
        if with_state.iter().any(|member| member.outdated) {
            let patronis: Vec<Patroni> = with_state.iter().map(|member| self.patroni(&member.pod, members)).collect();
            let answers = join_all(patronis.iter().map(Patroni::status)).await;
            with_state =
                with_state.into_iter().zip(answers).map(|(member, answer)| member.with_answer(answer.ok())).collect();
        }
        Ok(with_state)
    }

    /// Whether a pod of another revision really differs from the template. A revision changes with every edit of the
    /// template; defaults and fields that a pod takes up while it runs are no reason to replace it. Labels and
    /// annotations are patched onto a pod that does not differ.
    async fn differs(&self, set: &StatefulSet, revision: &str, pod: &Pod) -> Result<bool, Error> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let lazy = self.settings.config.flag("enable_lazy_spilo_upgrade");
        let compared = (revision.to_owned(), lazy);
        if self.state.memory.lock().same_template.get(uid) == Some(&compared) {
            return Ok(false);
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let found = self.pods().get_opt(name).await.map_err(|source| failed(name, source))?;
        let Some(found) = found else { return Ok(false) };
        let Some(template) = set.spec.as_ref().map(|spec| &spec.template) else { return Ok(false) };
        if let Some(field) = difference(template, &found, lazy) {
            debug!(pod = name, field, "the pod runs another template");
            return Ok(true);
        }
        if let Some(patch) = metadata_patch(template, &found, self.settings.config.text("pod_role_label")) {
            self.patch_pod(name, uid, patch).await?;
        }
        self.state.memory.lock().same_template.insert(uid.to_owned(), compared);
        Ok(false)
    }

    /// Patches the metadata of a pod, unless another of that name has taken its place.
    pub(super) async fn patch_pod(&self, name: &str, uid: &str, mut patch: Value) -> Result<(), Error> {
        // The API server refuses a patch that names another uid than the object has.
        patch["metadata"]["uid"] = uid.into();
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match self.pods().patch_metadata(name, &params, &Patch::Merge(patch)).await {
            Ok(_) => {
                self.context.metrics.wrote("Pod", "patch");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(source) => Err(failed(name, source)),
        }
    }

    async fn take(&self, step: Next, members: &Members, rolled: &mut Rolled) -> Result<(), Error> {
        match step {
            Next::Done => {
                if std::mem::take(&mut self.state.memory.lock().rolling) {
                    self.publish(Event::normal("Update", "rolling update done")).await;
                }
                self.state.memory.lock().refused = None;
                rolled.condition = Some(Condition::holds("RolledOut", "UpToDate", "every pod runs the template"));
                Ok(())
            }
            Next::Wait(reason) => {
                self.begin(rolled, "Waiting", format!("the rolling update waits: {reason}")).await;
                Ok(())
            }
            Next::Replace(pod) => {
                self.begin(rolled, "RollingUpdate", format!("pod {pod} is being replaced")).await;
                self.replace(&pod, members).await
            }
            Next::Switchover(switchover) => {
                let message = format!("the leadership moves from {} to {}", switchover.from, switchover.to);
                self.begin(rolled, "Switchover", message).await;
                self.switch_over(&switchover, members, rolled).await;
                Ok(())
            }
        }
    }

    /// Reports a step of the rolling update, and its begin if it is the first.
    async fn begin(&self, rolled: &mut Rolled, reason: &str, message: String) {
        if !std::mem::replace(&mut self.state.memory.lock().rolling, true) {
            self.publish(Event::normal("Update", "rolling update begins")).await;
        }
        rolled.condition = Some(Condition::fails("RolledOut", reason, message.clone()));
        rolled.wait(Underway::changing(message));
    }

    /// Deletes a pod, unless another of that name has taken its place.
    pub async fn replace(&self, name: &str, members: &Members) -> Result<(), Error> {
        let uid = members.pod(name).and_then(|pod| pod.metadata.uid.clone());
        let how = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        match self.pods().delete(name, &how).await {
            Ok(_) => {
                self.context.metrics.wrote("Pod", "delete");
                info!(pod = name, "pod deleted, to be made again");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(source) => Err(failed(name, source)),
        }
    }

    /// Moves the leadership. One that Patroni refused is tried again after the repair period: a replica that replays,
    /// or lags, is fit a while later.
    pub async fn switch_over(&self, switchover: &Switchover, members: &Members, rolled: &mut Rolled) {
        let Switchover { from, to } = switchover;
        let repair = self.settings.repair();
        let refused = self.state.memory.lock().refused.clone();
        if let Some(refusal) = refused.filter(|refusal| refusal.switchover == *switchover)
            && let Some(left) = repair.checked_sub(refusal.since.elapsed())
        {
            rolled.refused(refusal.reason, left);
            return;
        }
        self.publish(Event::normal("Switchover", format!("moving the leadership from {from} to {to}"))).await;
        match self.patroni(from, members).switchover(from, to).await {
            Ok(()) => {
                self.state.memory.lock().refused = None;
                self.publish(Event::normal("Switchover", format!("{to} leads"))).await;
            }
            Err(error) => {
                let reason = format!("the leadership stays with {from}: {}", error_chain(&error));
                self.publish(Event::warning("Switchover", &reason)).await;
                let refusal = Refusal { switchover: switchover.clone(), since: Instant::now(), reason: reason.clone() };
                self.state.memory.lock().refused = Some(refusal);
                rolled.refused(reason, repair);
            }
        }
    }

    /// The Patroni of a pod.
    pub fn patroni(&self, name: &str, members: &Members) -> Patroni {
        self.context.patroni(self.key, name, members)
    }

    async fn publish(&self, event: Event) {
        self.context.recorder.publish(&self.about, &event).await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
    }
}

/// The pod that leads by its label.
fn leader_of(members: &Members) -> Option<&String> {
    members.leader().map(|(leader, _)| &leader.pod)
}

fn failed(pod: &str, source: kube::Error) -> Error {
    Error::Roll { pod: pod.to_owned(), source: Box::new(source) }
}
