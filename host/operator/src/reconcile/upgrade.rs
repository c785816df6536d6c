//! Upgrades the data to the major version that the pods ask for.
//!
//! An upgrade takes minutes or hours. Before it begins it is recorded in the status, with the pod and the time, which is its
//! id. While the record is there, a reconcile of any operator waits for its end, no member is taken down, and a label of
//! the pods keeps them from being evicted.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use pgloom_api::Privilege;
use pgloom_api::postgresql::MajorUpgradeStatus;
use pgloom_common::error::error_chain;
use pgloom_common::label::CRITICAL_OPERATION;
use pgloom_common::major_version::{FAILURE, OF_DATA, Rules, SUCCESS, is_older, of_server};
use pgloom_decide::major_upgrade::{Asked, CONDITION, FAILED, Next, Seen, asked, condition, next};
use pgloom_decide::members::Members;
use pgloom_decide::status::Condition;
use serde_json::{Value, json};

use super::decide::Decided;
use super::hold::opening;
use super::progress::{Step, Underway};
use super::report::now;
use super::requeue::{PATRONI, Requeue};
use super::{Error, Reconciliation};
use crate::execute::command::Container;
use crate::execute::major_upgrade::{Ended, upgrade};
use crate::execute::task::{Backoff, Failure, JobStatus, fingerprint};
use crate::report::Event;

/// How long one upgrade is waited for. The replicas may have to copy much.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// When the end of an upgrade that could not be asked for is asked for again first.
const RETRY: Duration = Duration::from_secs(5);
/// The reason of events, as of the Zalando operator's.
const REASON: &str = "Major Version Upgrade";

/// How the upgrade goes.
#[derive(Default)]
pub struct Upgraded {
    /// The condition; `None` if it stays as it is.
    pub condition: Option<Condition>,
    /// Whether clusters like this one are not upgraded, so that there is no condition.
    pub off: bool,
    /// The upgrade, while it runs.
    pub underway: Option<Underway>,
    /// When to look again.
    pub requeue: Requeue,
}

impl Reconciliation<'_> {
    /// Whether an upgrade was begun and its end is not recorded.
    pub fn is_upgrading(&self) -> bool {
        self.recorded_status().major_upgrade.is_some()
    }

    /// Begins the upgrade if it is due, or waits for the end of one that was begun. `settled` is whether every pod runs the
    /// template.
    pub async fn upgrade(&self, decided: &Decided, settled: bool, members: &Members) -> Step<Upgraded> {
        let mut upgraded = Upgraded::default();
        let result = match self.status().major_upgrade {
            Some(record) => self.wait_for_end(&record, members, &mut upgraded).await,
            None if !self.may_upgrade() => {
                upgraded.off = true;
                Ok(())
            }
            None => self.begin_if_due(decided, settled, members, &mut upgraded).await,
        };
        Step { found: upgraded, result }
    }

    /// What the pods ask for, or will when the rolling update is done: the cache keeps no variables of pods.
    fn asked(&self) -> Option<Asked> {
        let template = self.stateful_set()?.spec?.template;
        asked(&Pod { spec: template.spec, ..Pod::default() })
    }

    fn may_upgrade(&self) -> bool {
        let config = &self.settings.config;
        let team = self.manifest["spec"]["teamId"].as_str().unwrap_or_default();
        let rules = Rules {
            mode: config.text("major_version_upgrade_mode"),
            minimal: config.text("minimal_major_version"),
            target: config.text("target_major_version"),
            is_team_allowed: config.list("major_version_upgrade_team_allow_list").contains(&team),
        };
        rules.allow()
    }

    async fn begin_if_due(
        &self,
        decided: &Decided,
        settled: bool,
        members: &Members,
        upgraded: &mut Upgraded,
    ) -> Result<(), Error> {
        let Some((leader, pod)) = members.leader().filter(|(member, _)| member.ready) else { return Ok(()) };
        let Some(Asked { version, container: _ }) = self.asked() else { return Ok(()) };
        let Some(data) = self.version_of_data(&version, &leader.pod, members).await else { return Ok(()) };
        self.record_version(&data, &version).await?;
        let (held, failed) = (self.hold(decided), self.annotation(FAILURE));
        let report = match is_older(&data, &version) {
            true => self.patroni_report(&leader.pod, members).await,
            false => None,
        };
        let seen = Seen {
            asked: &version,
            data: &data,
            granted: self.settings.pipeline.steps().iter().any(|step| step.has(Privilege::MajorUpgrade)),
            failed: failed.as_deref(),
            settled,
            held: held.as_deref(),
            wanted: self.wanted(),
            leader: &leader.pod,
            report: report.as_ref().map(|report| &report.cluster),
        };
        let step = next(&seen);
        upgraded.condition = condition(&seen, &step, self.told_failure().as_deref());
        match step {
            Next::UpToDate => {}
            Next::Wait("Held", _) => upgraded.requeue = opening(&self.windows(decided)).min(Requeue::asking(PATRONI)),
            Next::Wait("PatroniSilent" | "Members" | "RollingUpdate", _) => upgraded.requeue = Requeue::asking(PATRONI),
            Next::Wait(..) => {}
            Next::Begin => {
                let (pod, uid) = (leader.pod.clone(), pod.metadata.uid.clone().unwrap_or_default());
                let members_now = i32::try_from(self.wanted()).unwrap_or(i32::MAX);
                let record =
                    MajorUpgradeStatus { from: data, to: version, pod, uid, members: members_now, since: now() };
                self.begin_upgrade(&record, members, upgraded).await?;
            }
        }
        Ok(())
    }

    async fn begin_upgrade(
        &self,
        record: &MajorUpgradeStatus,
        members: &Members,
        upgraded: &mut Upgraded,
    ) -> Result<(), Error> {
        let MajorUpgradeStatus { from, to, pod, members: number, .. } = record;
        // Before it begins: an operator that starts now has to find it.
        self.write_status(&json!({"status": {"majorUpgrade": record}})).await?;
        let note = format!("starting the major version upgrade from {from} to {to} on pod {pod} of {number} pods");
        self.tell(Event::normal(REASON, note)).await;
        self.wait_for_end(record, members, upgraded).await
    }

    async fn wait_for_end(
        &self,
        record: &MajorUpgradeStatus,
        members: &Members,
        upgraded: &mut Upgraded,
    ) -> Result<(), Error> {
        let MajorUpgradeStatus { from, to, pod, .. } = record;
        let message = format!("the data is upgraded from {from} to {to} on pod {pod}");
        upgraded.underway = Some(Underway::changing(&message).watched());
        upgraded.condition = Some(Condition::unknown(CONDITION, "Running", &message));
        let found = members.pod(pod).filter(|found| found.metadata.uid.as_deref() == Some(&record.uid));
        let Some(asked) = found.and_then(|_| self.asked()) else {
            let lost = Ended { code: None, last: format!("pod {pod} is gone") };
            return self.finish(record, &lost, members, upgraded).await;
        };
        // Before the script is started.
        self.label_critical(members, true).await?;
        let backoff =
            Backoff { after_success: DEADLINE, after_failure: RETRY, at_most: self.settings.repair().max(RETRY) };
        match self.run_upgrade(record, asked.container, backoff) {
            JobStatus::Running => Ok(()),
            JobStatus::Failed(failure) => {
                let reason = format!("{message}; it could not be asked how far it is: {}", failure.reason);
                upgraded.condition = Some(Condition::unknown(CONDITION, "Unreachable", reason));
                upgraded.requeue = Requeue::within(backoff.delay(failure.times));
                Ok(())
            }
            JobStatus::Done(ended) => self.finish(record, &ended, members, upgraded).await,
        }
    }

    fn run_upgrade(&self, record: &MajorUpgradeStatus, container: String, backoff: Backoff) -> JobStatus<Ended> {
        let container =
            Container { namespace: self.key.namespace.to_string(), pod: record.pod.clone(), name: container };
        let id = u64::try_from(record.since.0.as_second()).unwrap_or_default();
        let members = usize::try_from(record.members).unwrap_or_default();
        let (commands, fence) = (self.context.commands.clone(), self.context.fence.clone());
        self.state.upgrade.ensure(fingerprint(&(&record.uid, id)), DEADLINE, backoff, || async move {
            let work = upgrade(commands.as_ref(), &container, id, members);
            let result = fence.guard(work).await.map_err(|closed| Failure::passing(closed.to_string()))?;
            result.map_err(|error| Failure::passing(error_chain(&error)))
        })
    }

    /// Records how an upgrade ended: by the version of the data, and not by what the script says, which may have ended after
    /// the data was upgraded.
    async fn finish(
        &self,
        record: &MajorUpgradeStatus,
        ended: &Ended,
        members: &Members,
        upgraded: &mut Upgraded,
    ) -> Result<(), Error> {
        let MajorUpgradeStatus { from, to, .. } = record;
        let leader = members.leader().filter(|(member, _)| member.ready);
        let version = match leader {
            Some((leader, _)) => self.ask_version(&leader.pod, members).await,
            None => None,
        };
        let Some(version) = version else {
            let message = format!("the upgrade from {from} to {to} ended, and no leader tells its version yet");
            upgraded.condition = Some(Condition::unknown(CONDITION, "Running", &message));
            upgraded.underway = Some(Underway::changing(message));
            return Ok(());
        };
        let is_done = !is_older(&version, to);
        let last = if ended.last.is_empty() { "it ended without a result" } else { &ended.last };
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let annotations = match is_done {
            true => json!({SUCCESS: time, FAILURE: null, OF_DATA: null}),
            false => json!({FAILURE: time, OF_DATA: version}),
        };
        self.annotate(annotations).await?;
        self.state.memory.lock().data_version = Some(version.clone());
        upgraded.underway = None;
        upgraded.condition = Some(match (is_done, ended.code) {
            (true, code) => {
                self.tell(Event::normal(REASON, format!("upgrade from {from} to {to} finished"))).await;
                if code != Some(0) {
                    let note = format!("the data is of {version}, and the upgrade did not end well: {last}");
                    self.tell(Event::warning(REASON, note)).await;
                }
                Condition::holds(CONDITION, "UpToDate", format!("the data is of {version}"))
            }
            (false, _) => {
                let message = format!(
                    "the upgrade from {from} to {to} failed, and the data is of {version} as before: {last}; to try it again, remove the annotation {FAILURE}"
                );
                self.tell(Event::warning(REASON, &message)).await;
                Condition::fails(CONDITION, FAILED, message)
            }
        });
        self.label_critical(members, false).await?;
        // Last: until then the end would be found again.
        self.write_status(&json!({"status": {"majorUpgrade": null}})).await
    }

    /// Gives every pod the label by which a disruption budget keeps it from being evicted, or takes it away.
    async fn label_critical(&self, members: &Members, is_critical: bool) -> Result<(), Error> {
        let is_labelled = |pod: &&Pod| pod.labels().contains_key(CRITICAL_OPERATION);
        for pod in members.pods.iter().filter(|pod| is_labelled(pod) != is_critical) {
            let patch = json!({"metadata": {"labels": {CRITICAL_OPERATION: is_critical.then_some("true")}}});
            self.patch_pod(&pod.name_any(), pod.metadata.uid.as_deref().unwrap_or_default(), patch).await?;
        }
        Ok(())
    }

    /// The version of the data, as its server says. While it is what the pods ask for, it is asked for once.
    async fn version_of_data(&self, asked: &str, leader: &str, members: &Members) -> Option<String> {
        let known = self.state.memory.lock().data_version.clone();
        if let Some(known) = known.filter(|known| !is_older(known, asked)) {
            return Some(known);
        }
        let version = self.ask_version(leader, members).await?;
        self.state.memory.lock().data_version = Some(version.clone());
        Some(version)
    }

    async fn ask_version(&self, leader: &str, members: &Members) -> Option<String> {
        let status = self.patroni(leader, members).status().await.ok()?;
        status.server_version.filter(|_| status.is_running()).map(of_server)
    }

    /// Keeps the annotations of the manifest: the version of the data while it is older than what is asked for, and no failure
    /// when nothing is owed any more.
    async fn record_version(&self, data: &str, asked: &str) -> Result<(), Error> {
        let is_owed = is_older(data, asked);
        let recorded = self.annotation(OF_DATA);
        if is_owed && recorded.as_deref() != Some(data) {
            return self.annotate(json!({OF_DATA: data})).await;
        }
        if !is_owed && (recorded.is_some() || self.annotation(FAILURE).is_some()) {
            return self.annotate(json!({OF_DATA: null, FAILURE: null})).await;
        }
        Ok(())
    }

    async fn annotate(&self, annotations: Value) -> Result<(), Error> {
        self.patch_manifest(json!({"metadata": {"annotations": annotations}}), "annotations").await.map(drop)
    }

    fn annotation(&self, name: &str) -> Option<String> {
        self.manifest["metadata"]["annotations"][name].as_str().map(str::to_owned)
    }

    /// The message of the condition after a failure.
    fn told_failure(&self) -> Option<String> {
        let conditions = self.status().conditions;
        let told = conditions.into_iter().find(|condition| condition.type_ == CONDITION && condition.reason == FAILED);
        told.map(|condition| condition.message)
    }

    async fn tell(&self, event: Event) {
        self.context.recorder.publish(&self.about, &event).await;
    }
}
