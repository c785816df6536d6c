//! A rolling update's next step, taken.

use std::collections::BTreeSet;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};
use serde_json::Value;
use tracing::{debug, info};

use super::policy::Switchover;
use super::{Error, Progress, Turn};
use crate::event::Announcement;
use crate::patroni::{self, Patroni, candidate};
use crate::report::Condition;
use crate::rollout::{self, Next, State, next};

/// The label that tells which template a pod was made from.
const REVISION: &str = "controller-revision-hash";

impl Turn<'_> {
    /// Takes the next step of a rolling update, if one is due, and notes what the members are still missing.
    pub async fn roll(&self, progress: &mut Progress) -> Result<(), Error> {
        let Some(set) = self.stateful_set() else {
            progress.wait("the StatefulSet is being made", true);
            return Ok(());
        };
        let status = &set["status"];
        if status["observedGeneration"].as_u64() < set["metadata"]["generation"].as_u64() {
            progress.wait("the StatefulSet's controller has not seen the change yet", true);
            return Ok(());
        }
        if let Some(missing) = progress.members.missing(self.wanted()) {
            progress.wait(missing, false);
        }
        if let Some((leader, among)) = progress.handover.take() {
            return self.switch_over(&leader, &among.into_iter().collect(), progress).await;
        }
        let revision = status["updateRevision"].as_str().unwrap_or_default();
        self.mark_outdated(&set, revision, progress).await?;
        if progress.members.all.iter().any(|member| member.outdated) {
            self.ask_patroni(progress).await;
        }
        let failed = self.context.recall(self.key).switchovers;
        let step = next(self.wanted(), &progress.members.all, failed);
        self.take(step, progress).await
    }

    /// Marks the members whose pods run another template.
    async fn mark_outdated(&self, set: &Value, revision: &str, progress: &mut Progress) -> Result<(), Error> {
        for index in 0..progress.members.all.len() {
            let Some(pod) = progress.members.pods.get(index) else { continue };
            let outdated = pod["metadata"]["labels"][REVISION] != revision && self.differs(set, revision, pod).await?;
            if let Some(member) = progress.members.all.get_mut(index) {
                member.outdated = outdated;
            }
        }
        Ok(())
    }

    /// Whether a pod of another revision really differs from the template.
    async fn differs(&self, set: &Value, revision: &str, pod: &Value) -> Result<bool, Error> {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        if self.context.recall(self.key).equals.get(uid).is_some_and(|equal| equal == revision) {
            return Ok(false);
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let found = self.pods().get_opt(name).await.map_err(|source| failed(name, source))?;
        let Some(whole) = found.and_then(|pod| serde_json::to_value(pod).ok()) else { return Ok(false) };
        let config = &self.settings.config;
        let lazy = config.flag("enable_lazy_spilo_upgrade");
        match rollout::difference(&set["spec"]["template"], &whole, config.text("pod_role_label"), lazy) {
            Some(field) => {
                debug!(pod = name, field, "the pod runs another template");
                Ok(true)
            }
            None => {
                self.context.remember(self.key, |recollection| {
                    recollection.equals.insert(uid.to_owned(), revision.to_owned());
                });
                Ok(false)
            }
        }
    }

    async fn take(&self, step: Next, progress: &mut Progress) -> Result<(), Error> {
        match step {
            Next::Done => {
                if self.context.recall(self.key).rolling {
                    self.happened(Announcement::normal("Update", "rolling update done")).await;
                }
                self.context.remember(self.key, |recollection| {
                    recollection.rolling = false;
                    recollection.switchovers = 0;
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
        if !self.context.recall(self.key).rolling {
            self.happened(Announcement::normal("Update", "rolling update begins")).await;
            self.context.remember(self.key, |recollection| recollection.rolling = true);
        }
        progress.conditions.push(Condition::fails("RolledOut", reason, message.clone()));
        progress.wait(message, true);
    }

    /// Deletes a pod, unless another of that name has taken its place.
    async fn replace(&self, name: &str, progress: &Progress) -> Result<(), Error> {
        let pod = progress.members.pods.iter().find(|pod| pod["metadata"]["name"] == name);
        let uid = pod.and_then(|pod| pod["metadata"]["uid"].as_str()).map(str::to_owned);
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
            self.happened(Announcement::normal("Switchover", format!("moving the leadership from {from} to {to}")))
                .await;
            patroni.switchover(from, &to).await.map_err(Switchover::Patroni)?;
            Ok(to)
        };
        match moved.await {
            Ok(to) => {
                self.context.remember(self.key, |recollection| recollection.switchovers = 0);
                self.happened(Announcement::normal("Switchover", format!("{to} leads"))).await;
                Ok(())
            }
            Err(source) => {
                self.context.remember(self.key, |recollection| recollection.switchovers += 1);
                Err(Error::Switchover { from: from.to_owned(), source })
            }
        }
    }

    /// The Patroni of a pod.
    pub fn patroni(&self, name: &str, progress: &Progress) -> Patroni {
        let pod = progress.members.pods.iter().find(|pod| pod["metadata"]["name"] == name);
        let address = pod.and_then(|pod| pod["status"]["podIP"].as_str()?.parse().ok());
        let pod = patroni::Pod { namespace: self.key.namespace.to_string(), name: name.to_owned(), address };
        Patroni::new(self.context.transport.clone(), pod)
    }

    async fn happened(&self, announcement: Announcement) {
        self.context.announcer.happened(&self.about, &announcement).await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
    }
}

fn failed(pod: &str, source: kube::Error) -> Error {
    Error::Roll { pod: pod.to_owned(), source: Box::new(source) }
}
