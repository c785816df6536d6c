//! A rolling update's next step, taken.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};
use pgloom_api::validate::window::{MaintenanceWindow, Weekday};
use pgloom_decide::patroni::candidate;
use pgloom_decide::rollout::{Next, State, difference, next};
use pgloom_decide::status::Condition;
use tracing::{debug, info};

use super::error::Switchover;
use super::{Error, Progress, Reconciliation};
use crate::execute::patroni::{self, Patroni};
use crate::report::Event;

/// The label that tells which template a pod was made from.
const REVISION: &str = "controller-revision-hash";

impl Reconciliation<'_> {
    /// Takes the next step of a rolling update, if one is due, and notes what the members are still missing.
    pub async fn roll(&self, progress: &mut Progress) -> Result<(), Error> {
        let Some(set) = self.stateful_set() else {
            progress.wait("the StatefulSet is being made", true);
            return Ok(());
        };
        let status = set.status.clone().unwrap_or_default();
        if status.observed_generation < set.metadata.generation {
            progress.wait("the StatefulSet's controller has not seen the change yet", true);
            return Ok(());
        }
        if let Some(missing) = progress.members.missing(self.wanted()) {
            progress.wait(missing, false);
        }
        if let Some((leader, among)) = progress.handover.take() {
            return self.switch_over(&leader, &among.into_iter().collect(), progress).await;
        }
        let revision = status.update_revision.unwrap_or_default();
        self.mark_outdated(&set, &revision, progress).await?;
        if progress.members.all.iter().any(|member| member.outdated) {
            self.ask_patroni(progress).await;
        }
        let failed = self.context.state(self.key).switchovers;
        let step = next(self.wanted(), &progress.members.all, failed);
        if matches!(step, Next::Replace(_) | Next::Switchover { .. })
            && let Some(windows) = self.closed(progress)
        {
            let message = format!("the rolling update waits for a maintenance window: {windows} (UTC)");
            progress.conditions.push(Condition::fails("RolledOut", "MaintenanceWindow", message));
            progress.requeue_within(self.settings.repair());
            return Ok(());
        }
        self.take(step, progress).await
    }

    /// The maintenance windows, if there are any and none is open.
    fn closed(&self, progress: &Progress) -> Option<String> {
        let of_manifest = progress.plan.as_ref().map(|plan| plan.cluster.maintenance_windows.clone());
        let windows = self.settings.config.maintenance_windows(&of_manifest.unwrap_or_default());
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        (!windows.is_empty() && !is_open(&windows, &now))
            .then(|| windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    /// Marks the members whose pods run another template.
    async fn mark_outdated(&self, set: &StatefulSet, revision: &str, progress: &mut Progress) -> Result<(), Error> {
        for index in 0..progress.members.all.len() {
            let Some(pod) = progress.members.pods.get(index) else { continue };
            let made_from = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION));
            let outdated =
                made_from.is_none_or(|made_from| made_from != revision) && self.differs(set, revision, pod).await?;
            if let Some(member) = progress.members.all.get_mut(index) {
                member.outdated = outdated;
            }
        }
        Ok(())
    }

    /// Whether a pod of another revision really differs from the template.
    async fn differs(&self, set: &StatefulSet, revision: &str, pod: &Pod) -> Result<bool, Error> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if self.context.state(self.key).equals.get(uid).is_some_and(|equal| equal == revision) {
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
                self.context.update_state(self.key, |state| {
                    state.equals.insert(uid.to_owned(), revision.to_owned());
                });
                Ok(false)
            }
        }
    }

    async fn take(&self, step: Next, progress: &mut Progress) -> Result<(), Error> {
        match step {
            Next::Done => {
                if self.context.state(self.key).rolling {
                    self.publish(Event::normal("Update", "rolling update done")).await;
                }
                self.context.update_state(self.key, |state| {
                    state.rolling = false;
                    state.switchovers = 0;
                });
                progress.conditions.push(Condition::holds("RolledOut", "UpToDate", "every pod runs the template"));
                return Ok(());
            }
            Next::Wait(reason) => {
                self.rolling(progress, "Waiting", format!("the rolling update waits: {reason}")).await
            }
            Next::Replace(pod) => {
                self.rolling(progress, "RollingUpdate", format!("pod {pod} is being replaced")).await;
                self.replace(&pod, progress).await?;
            }
            Next::Switchover { from, among } => {
                self.rolling(progress, "Switchover", format!("the leadership moves away from {from}")).await;
                self.switch_over(&from, &among.into_iter().collect(), progress).await?;
            }
        }
        Ok(())
    }

    async fn rolling(&self, progress: &mut Progress, reason: &str, message: String) {
        if !self.context.state(self.key).rolling {
            self.publish(Event::normal("Update", "rolling update begins")).await;
            self.context.update_state(self.key, |state| state.rolling = true);
        }
        progress.conditions.push(Condition::fails("RolledOut", reason, message.clone()));
        progress.wait(message, true);
    }

    /// Deletes a pod, unless another of that name has taken its place.
    async fn replace(&self, name: &str, progress: &Progress) -> Result<(), Error> {
        let uid = progress.members.pod(name).and_then(|pod| pod.metadata.uid.clone());
        let how = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        match self.pods().delete(name, &how).await {
            Ok(_) => {
                self.context.metrics.wrote("Pod", "delete");
                info!(pod = name, "deleted, so that it takes up the template");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(source) => Err(failed(name, source)),
        }
    }

    /// Asks Patroni of every member how it stands.
    async fn ask_patroni(&self, progress: &mut Progress) {
        let names = progress.members.all.iter().map(|member| member.pod.clone());
        let patronis: Vec<Patroni> = names.map(|pod| self.patroni(&pod, progress)).collect();
        let answers = join_all(patronis.iter().map(Patroni::status)).await;
        for (member, answer) in progress.members.all.iter_mut().zip(answers) {
            member.state = answer.map_or(State::Silent, State::from);
        }
    }

    /// Moves the leadership to the replica that is best fit for it.
    async fn switch_over(&self, from: &str, among: &BTreeSet<String>, progress: &Progress) -> Result<(), Error> {
        let patroni = self.patroni(from, progress);
        let moved = async {
            let cluster = patroni.cluster().await.map_err(Switchover::Patroni)?;
            let to = candidate(&cluster, Some(among)).map_err(Switchover::Candidate)?.name.clone();
            self.publish(Event::normal("Switchover", format!("moving the leadership from {from} to {to}"))).await;
            patroni.switchover(from, &to).await.map_err(Switchover::Patroni)?;
            Ok(to)
        };
        match moved.await {
            Ok(to) => {
                self.context.update_state(self.key, |state| state.switchovers = 0);
                self.publish(Event::normal("Switchover", format!("{to} leads"))).await;
                Ok(())
            }
            Err(source) => {
                self.context.update_state(self.key, |state| state.switchovers += 1);
                Err(Error::Switchover { from: from.to_owned(), source })
            }
        }
    }

    /// The Patroni of a pod.
    pub fn patroni(&self, name: &str, progress: &Progress) -> Patroni {
        let pod = progress.members.pod(name);
        let address = pod.and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        let pod = patroni::Pod { namespace: self.key.namespace.to_string(), name: name.to_owned(), address };
        Patroni::new(self.context.transport.clone(), pod)
    }

    async fn publish(&self, event: Event) {
        self.context.recorder.publish(&self.about, &event).await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
    }
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
    }
}
