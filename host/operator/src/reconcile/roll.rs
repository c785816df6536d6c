//! Takes the next step of a rolling update.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};
use pgloom_api::validate::window::{MaintenanceWindow, Weekday};
use pgloom_decide::members::Members;
use pgloom_decide::patroni::candidate;
use pgloom_decide::rollout::{Member, Next, State, difference, next};
use pgloom_decide::status::Condition;
use tracing::{debug, info};

use super::apply::{Applied, Handover};
use super::decide::Decided;
use super::error::Switchover;
use super::steps::{Requeue, Step, Underway};
use super::{Error, Reconciliation};
use crate::execute::patroni::{self, Patroni};
use crate::report::Event;

/// The label that tells which template a pod was made from.
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
    /// Whether Patroni may restart members now: no pod is about to be replaced, and no maintenance window is waited for.
    pub may_restart: bool,
}

impl Rolled {
    fn wait(&mut self, underway: Underway) {
        self.underway = Underway::all(self.underway.take().into_iter().chain([underway]));
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
            rolled.wait(Underway::changing("the StatefulSet is being created"));
            return Ok(());
        };
        let status = set.status.clone().unwrap_or_default();
        if status.observed_generation < set.metadata.generation {
            rolled.wait(Underway::changing("the StatefulSet's controller has not observed the change yet"));
            return Ok(());
        }
        if let Some(missing) = members.missing(self.wanted()) {
            rolled.wait(Underway::waiting(missing));
        }
        if let Some(Handover { leader, candidates }) = &applied.handover {
            return self.switch_over(leader, candidates, members).await;
        }
        let revision = status.update_revision.unwrap_or_default();
        let with_state = self.with_state(&set, &revision, members).await?;
        let step = next(self.wanted(), &with_state, self.state.memory.lock().switchovers);
        let windows = self.settings.config.maintenance_windows(&decided.plan.cluster.maintenance_windows);
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        if matches!(step, Next::Replace(_) | Next::Switchover { .. }) && is_closed(&windows, &now) {
            let windows = windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("the rolling update waits for a maintenance window: {windows} (UTC)");
            rolled.condition = Some(Condition::fails("RolledOut", "MaintenanceWindow", message));
            rolled.requeue = Requeue::within(self.settings.repair());
            return Ok(());
        }
        rolled.may_restart = step == Next::Done && !is_closed(&windows, &now);
        self.take(step, members, rolled).await
    }

    /// The members, with what the cache does not hold: which of them run another template and, if any does, what
    /// Patroni says of each.
    async fn with_state(&self, set: &StatefulSet, revision: &str, members: &Members) -> Result<Vec<Member>, Error> {
        let mut with_state = members.all.clone();
        for (member, pod) in with_state.iter_mut().zip(&members.pods) {
            let made_from = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION));
            member.outdated =
                made_from.is_none_or(|made_from| made_from != revision) && self.differs(set, revision, pod).await?;
        }
        if with_state.iter().any(|member| member.outdated) {
            let patronis: Vec<Patroni> = with_state.iter().map(|member| self.patroni(&member.pod, members)).collect();
            let answers = join_all(patronis.iter().map(Patroni::status)).await;
            for (member, answer) in with_state.iter_mut().zip(answers) {
                member.state = answer.map_or(State::Silent, State::from);
            }
        }
        Ok(with_state)
    }

    /// Whether a pod of another revision really differs from the template. A revision changes with every edit of the
    /// template; defaults and fields that a pod takes up while it runs are no reason to replace it.
    async fn differs(&self, set: &StatefulSet, revision: &str, pod: &Pod) -> Result<bool, Error> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if self.state.memory.lock().same_template.get(uid).is_some_and(|equal| equal == revision) {
            return Ok(false);
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let found = self.pods().get_opt(name).await.map_err(|source| failed(name, source))?;
        let Some(found) = found else { return Ok(false) };
        let config = &self.settings.config;
        let lazy = config.flag("enable_lazy_spilo_upgrade");
        let template = set.spec.as_ref().map(|spec| &spec.template);
        match template.and_then(|template| difference(template, &found, config.text("pod_role_label"), lazy)) {
            Some(field) => {
                debug!(pod = name, field, "the pod runs another template");
                Ok(true)
            }
            None => {
                self.state.memory.lock().same_template.insert(uid.to_owned(), revision.to_owned());
                Ok(false)
            }
        }
    }

    async fn take(&self, step: Next, members: &Members, rolled: &mut Rolled) -> Result<(), Error> {
        match step {
            Next::Done => {
                if std::mem::take(&mut self.state.memory.lock().rolling) {
                    self.publish(Event::normal("Update", "rolling update done")).await;
                }
                self.state.memory.lock().switchovers = 0;
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
            Next::Switchover { from, among } => {
                self.begin(rolled, "Switchover", format!("the leadership moves away from {from}")).await;
                self.switch_over(&from, &among.into_iter().collect(), members).await
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
    async fn replace(&self, name: &str, members: &Members) -> Result<(), Error> {
        let uid = members.pod(name).and_then(|pod| pod.metadata.uid.clone());
        let how = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        match self.pods().delete(name, &how).await {
            Ok(_) => {
                self.context.metrics.wrote("Pod", "delete");
                info!(pod = name, "pod deleted for the rolling update");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(source) => Err(failed(name, source)),
        }
    }

    /// Moves the leadership to the best of the candidates.
    async fn switch_over(&self, from: &str, candidates: &BTreeSet<String>, members: &Members) -> Result<(), Error> {
        let patroni = self.patroni(from, members);
        let moved = async {
            let cluster = patroni.cluster().await.map_err(Switchover::Patroni)?;
            let to = candidate(&cluster, Some(candidates)).map_err(Switchover::Candidate)?.name.clone();
            self.publish(Event::normal("Switchover", format!("moving the leadership from {from} to {to}"))).await;
            patroni.switchover(from, &to).await.map_err(Switchover::Patroni)?;
            Ok(to)
        };
        match moved.await {
            Ok(to) => {
                self.state.memory.lock().switchovers = 0;
                self.publish(Event::normal("Switchover", format!("{to} leads"))).await;
                Ok(())
            }
            Err(source) => {
                self.state.memory.lock().switchovers += 1;
                Err(Error::Switchover { from: from.to_owned(), source })
            }
        }
    }

    /// The Patroni of a pod.
    pub fn patroni(&self, name: &str, members: &Members) -> Patroni {
        let pod = members.pod(name);
        let address = pod.and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        let pod = patroni::Pod { namespace: self.key.namespace.to_string(), name: name.to_owned(), address };
        Patroni::new(self.context.transport.clone(), pod).of_cluster(&self.key.name)
    }

    async fn publish(&self, event: Event) {
        self.context.recorder.publish(&self.about, &event).await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
    }
}

/// Whether there are maintenance windows and none is open.
fn is_closed(windows: &[MaintenanceWindow], now: &Zoned) -> bool {
    !windows.is_empty() && !is_open(windows, now)
}

/// Whether one of the windows holds this minute.
fn is_open(windows: &[MaintenanceWindow], now: &Zoned) -> bool {
    let weekday = usize::try_from(now.weekday().to_sunday_zero_offset()).map(Weekday::after_sunday);
    let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute()));
    let (Ok(weekday), Ok(minute)) = (weekday, minute) else { return false };
    windows.iter().any(|window| window.contains(weekday, minute))
}

fn failed(pod: &str, source: kube::Error) -> Error {
    Error::Roll { pod: pod.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_on_its_day_and_in_its_minutes() {
        let windows = ["Sat:01:00-04:00", "12:00-12:30"].map(|text| MaintenanceWindow::parse(text).unwrap());
        let open = |text: &str| is_open(&windows, &text.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC));
        // A Saturday and the Sunday after it.
        assert!(open("2031-05-17T01:00:00Z") && open("2031-05-17T04:00:59Z") && !open("2031-05-17T04:01:00Z"));
        assert!(!open("2031-05-18T01:00:00Z") && open("2031-05-18T12:15:00Z"));
        assert!(!is_open(&[], &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)));
        assert!(!is_closed(&[], &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)));
    }
}
