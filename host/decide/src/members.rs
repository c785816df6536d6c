//! The members of a cluster: its database pods, with the answer of Patroni for the status.

use k8s_openapi::api::core::v1::{Endpoints, Pod};
use pgloom_api::config::Config;
use pgloom_api::postgresql::MemberStatus;
use serde::Deserialize as _;
use serde_json::Value;

use crate::patroni::Cluster;
use crate::patroni::LOCK_HOLDER;
use crate::rollout::{self, Member, Role, ordinal};
use crate::status::Condition;

/// The lowest lag that the status shows, in bytes: one segment of the write-ahead log.
const LAG_STEP: u64 = 16 << 20;

/// The members of a cluster, in the order of their ordinals.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// The members.
    pub all: Vec<Member>,
    /// Their pods, in the same order.
    pub pods: Vec<Pod>,
}

impl Members {
    /// The database pods among `pods`; `lock` is the Endpoints object with the leader's lock of Patroni.
    pub fn of(pods: impl IntoIterator<Item = Value>, lock: Option<&Value>, config: &Config) -> Self {
        let labels = config.map("cluster_labels");
        let is_database = |pod: &Pod| {
            let found = pod.metadata.labels.as_ref();
            labels
                .iter()
                .all(|(key, value)| found.and_then(|found| found.get(*key)).is_some_and(|found| found == value))
        };
        let pods = pods.into_iter().filter_map(|pod| Pod::deserialize(pod).ok());
        let mut pods: Vec<Pod> = pods.filter(is_database).collect();
        pods.sort_by_key(|pod| pod.metadata.name.as_deref().and_then(ordinal));
        let role_label = config.text("pod_role_label");
        let mut all: Vec<Member> = pods.iter().map(|pod| rollout::member(pod, role_label)).collect();
        if let Some(holder) = lock.and_then(holder) {
            demote(&mut all, &holder);
        }
        Self { all, pods }
    }

    /// The member that leads and its pod, if exactly one does.
    pub fn leader(&self) -> Option<(&Member, &Pod)> {
        let mut leaders =
            self.all.iter().zip(&self.pods).filter(|(member, _)| member.role == Some(Role::Leader) && !member.ending);
        let leader = leaders.next();
        leader.filter(|_| leaders.next().is_none())
    }

    /// The pod of that name.
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    /// The reason why fewer than `wanted` members are ready; `None` if that many are.
    pub fn missing(&self, wanted: usize) -> Option<String> {
        if wanted == 0 {
            return None;
        }
        if self.all.len() < wanted {
            return Some(format!("{} of {wanted} pods exist", self.all.len()));
        }
        if let Some(member) = self.all.iter().find(|member| member.role.is_none() || !member.ready) {
            let why = member.stuck.as_deref().unwrap_or(if member.role.is_none() {
                "it has no role yet"
            } else {
                "it is not ready"
            });
            return Some(format!("pod {} does not serve: {why}", member.pod));
        }
        self.leader().is_none().then(|| "no pod leads".to_owned())
    }

    /// The condition `Ready`: whether there is a leader that serves. `patroni` is the answer of its Patroni, or why there
    /// is none; `None` if it was not asked.
    pub fn condition(&self, wanted: Option<usize>, patroni: Option<Result<&Cluster, &str>>) -> Condition {
        match self.leader() {
            _ if wanted == Some(0) => Condition::fails("Ready", "NoInstances", "the manifest asks for no instance"),
            Some((leader, _)) if leader.ready => {
                if let Some(fault) = fault_of(&leader.pod, patroni) {
                    return fault;
                }
                Condition::holds("Ready", "LeaderReady", format!("{} leads", leader.pod))
            }
            Some((leader, _)) => {
                Condition::fails("Ready", "LeaderNotReady", format!("{} leads and is not ready", leader.pod))
            }
            None => Condition::fails("Ready", "NoLeader", self.missing(1).unwrap_or_else(|| "no pod leads".to_owned())),
        }
    }

    /// The members for the status. `patroni` is the answer of the leader's Patroni; `None` if it was not asked or did
    /// not answer, and then the role is that of the pod's label and Patroni's other fields are absent.
    ///
    /// An idle cluster has a constant status, although the lag changes all the time: [`shown_lag`] rounds it down.
    pub fn status(&self, patroni: Option<&Cluster>) -> Vec<MemberStatus> {
        self.all.iter().map(|member| status_of(member, patroni)).collect()
    }

    /// The number of pods that are ready and have a role.
    pub fn ready(&self) -> usize {
        self.all.iter().filter(|member| member.ready && member.role.is_some()).count()
    }
}

/// Why a leader whose pod is ready does not serve.
fn fault_of(leader: &str, patroni: Option<Result<&Cluster, &str>>) -> Option<Condition> {
    let cluster = match patroni? {
        Ok(cluster) => cluster,
        Err(error) => {
            let message = format!("{leader} leads and its Patroni does not answer: {error}");
            return Some(Condition::fails("Ready", "PatroniSilent", message));
        }
    };
    let state = &cluster.members.iter().find(|answer| answer.name == leader)?.state;
    let message = format!("{leader} leads and its PostgreSQL does not serve: {state}");
    (!serves(state)).then(|| Condition::fails("Ready", "LeaderNotServing", message))
}

/// Whether a leader in this state of Patroni serves; one that leads a standby cluster replays WAL.
///
/// The states: [Patroni's REST API](https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoints).
fn serves(state: &str) -> bool {
    matches!(state, "" | "running" | "streaming" | "in archive recovery")
}

fn status_of(member: &Member, patroni: Option<&Cluster>) -> MemberStatus {
    let answer = patroni.and_then(|cluster| cluster.members.iter().find(|answer| answer.name == member.pod));
    let of_label = member.role.map(|role| role.name().to_owned());
    let Some(answer) = answer else {
        return MemberStatus {
            name: member.pod.clone(),
            ready: member.ready,
            role: of_label,
            ..MemberStatus::default()
        };
    };
    MemberStatus {
        name: member.pod.clone(),
        ready: member.ready,
        role: answer.role.name().map(str::to_owned).or(of_label),
        state: Some(answer.state.clone()).filter(|state| !state.is_empty()),
        timeline: answer.timeline.and_then(|timeline| i64::try_from(timeline).ok()),
        lag: answer.lag.and_then(|lag| i64::try_from(shown_lag(lag)).ok()),
        pending_restart: answer.pending_restart.then_some(true),
    }
}

/// A lag in bytes, rounded down to 0 or to 16 MiB times a power of 16. The exact lag differs at every reconcile, and
/// each difference would be a write of the status; the rounded one changes only when a replica falls behind or catches
/// up.
fn shown_lag(bytes: u64) -> u64 {
    let mut step = LAG_STEP;
    if bytes < step {
        return 0;
    }
    while let Some(next) = step.checked_mul(16).filter(|next| *next <= bytes) {
        step = next;
    }
    step
}

/// The pod that holds the leader's lock.
///
/// See [Patroni on Kubernetes](https://patroni.readthedocs.io/en/latest/kubernetes.html#use-endpoints).
fn holder(lock: &Value) -> Option<String> {
    Endpoints::deserialize(lock).ok()?.metadata.annotations?.remove(LOCK_HOLDER)
}

/// Patroni writes the role onto its own pod, so a Patroni that hangs leaves the label of the leader on its pod after
/// another member has taken over. If the holder of the lock has the label too, the label of all others is ignored.
fn demote(members: &mut [Member], holder: &str) {
    if members.iter().any(|member| member.pod == holder && member.role == Some(Role::Leader)) {
        let others = members.iter_mut().filter(|member| member.pod != holder);
        others.filter(|member| member.role == Some(Role::Leader)).for_each(|member| member.role = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(pod: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": pod}})).unwrap()
    }

    fn members(pods: &[(&str, Option<Role>, bool)]) -> Members {
        let all = pods.iter().map(|(pod, role, ready)| Member {
            pod: (*pod).into(),
            role: *role,
            ready: *ready,
            ..Member::default()
        });
        Members { all: all.collect(), pods: pods.iter().map(|(pod, _, _)| named(pod)).collect() }
    }

    #[test]
    fn a_cluster_is_ready_when_its_leader_serves() {
        let ready = members(&[("c-0", Some(Role::Leader), true), ("c-1", None, false)]).condition(None, None);
        assert_eq!((ready.status, ready.message.as_str()), ("True", "c-0 leads"));
        assert_eq!(members(&[("c-0", Some(Role::Leader), false)]).condition(None, None).reason, "LeaderNotReady");
        assert_eq!(members(&[]).condition(None, None).reason, "NoLeader");
    }

    #[test]
    fn two_pods_that_say_they_lead_are_no_leader() {
        assert!(members(&[("c-0", Some(Role::Leader), true), ("c-1", Some(Role::Leader), true)]).leader().is_none());
    }

    #[test]
    fn of_two_pods_that_say_they_lead_the_one_that_holds_the_lock_does() {
        let mut both = members(&[("c-0", Some(Role::Leader), true), ("c-1", Some(Role::Leader), true)]);
        demote(&mut both.all, "c-1");
        assert_eq!(both.condition(None, None).message, "c-1 leads");
        assert_eq!(both.missing(2).as_deref(), Some("pod c-0 does not serve: it has no role yet"));

        let mut before = members(&[("c-0", Some(Role::Leader), true), ("c-1", Some(Role::Replica), true)]);
        demote(&mut before.all, "c-1");
        assert_eq!(before.condition(None, None).message, "c-0 leads");
    }

    #[test]
    fn what_is_missing_is_told_of_the_first_pod_that_does_not_serve() {
        let both = members(&[("c-0", Some(Role::Leader), true), ("c-1", Some(Role::Replica), false)]);
        assert_eq!(both.missing(2).as_deref(), Some("pod c-1 does not serve: it is not ready"));
        assert_eq!(both.missing(3).as_deref(), Some("2 of 3 pods exist"));
        assert_eq!(both.missing(0), None);
    }

    #[test]
    fn database_pods_are_those_with_the_clusters_labels_in_the_order_of_their_ordinals() {
        let pod = |name: &str, application: &str, role: &str| json!({"metadata": {"name": name, "labels": {"application": application, "spilo-role": role}}});
        let pods = [pod("c-10", "spilo", "replica"), pod("c-2", "spilo", "master"), pod("c-pooler-1", "pooler", "")];
        let lock = json!({"metadata": {"name": "c", "annotations": {"leader": "c-2"}}});
        let members = Members::of(pods, Some(&lock), &Config::defaults());
        let names: Vec<_> = members.all.iter().map(|member| member.pod.as_str()).collect();
        assert_eq!(names, ["c-2", "c-10"]);
        assert_eq!(members.leader().map(|(member, _)| member.pod.as_str()), Some("c-2"));
        assert!(members.pod("c-10").is_some() && members.pod("c-pooler-1").is_none());
    }

    #[test]
    fn the_status_of_a_member_is_that_of_patroni_and_the_readiness_that_of_its_pod() {
        let members = members(&[
            ("c-0", Some(Role::Leader), true),
            ("c-1", Some(Role::Replica), true),
            ("c-2", Some(Role::Replica), false),
            ("c-3", None, false),
        ]);
        let answer: Cluster = serde_json::from_value(json!({"members": [
            {"name": "c-0", "role": "leader", "state": "running", "timeline": 3, "pending_restart": true},
            {"name": "c-1", "role": "quorum_standby", "state": "streaming", "timeline": 3, "lag": 20_000_000},
            {"name": "c-2", "role": "replica", "state": "creating replica", "lag": "unknown"},
        ]}))
        .unwrap();
        assert_eq!(
            json!(members.status(Some(&answer))),
            json!([
                {"name": "c-0", "role": "leader", "state": "running", "ready": true, "timeline": 3,
                    "pendingRestart": true},
                {"name": "c-1", "role": "sync_standby", "state": "streaming", "ready": true, "timeline": 3,
                    "lag": 16_777_216},
                {"name": "c-2", "role": "replica", "state": "creating replica", "ready": false},
                {"name": "c-3", "ready": false},
            ])
        );
    }

    #[test]
    fn the_leader_of_a_standby_cluster_is_named_as_such() {
        let members = members(&[("c-0", Some(Role::Leader), true)]);
        let answer: Cluster =
            serde_json::from_value(json!({"members": [{"name": "c-0", "role": "standby_leader"}]})).unwrap();
        assert_eq!(members.status(Some(&answer))[0].role.as_deref(), Some("standby_leader"));
    }

    #[test]
    fn without_an_answer_of_patroni_the_role_is_that_of_the_label() {
        let members = members(&[("c-0", Some(Role::Leader), true), ("c-1", Some(Role::Replica), false)]);
        assert_eq!(
            json!(members.status(None)),
            json!([{"name": "c-0", "role": "leader", "ready": true}, {"name": "c-1", "role": "replica", "ready": false}])
        );
    }

    #[test]
    fn a_lag_that_changes_within_a_step_changes_nothing_in_the_status() {
        const MIB: u64 = 1 << 20;
        for (bytes, shown) in [
            (0, 0),
            (16 * MIB - 1, 0),
            (16 * MIB, 16 * MIB),
            (255 * MIB, 16 * MIB),
            (256 * MIB, 256 * MIB),
            (5 * 1024 * MIB, 4 * 1024 * MIB),
        ] {
            assert_eq!(shown_lag(bytes), shown, "{bytes}");
        }
        assert!(i64::try_from(shown_lag(u64::MAX)).is_ok());
    }

    #[test]
    fn a_leader_is_ready_only_while_its_patroni_answers_that_postgresql_serves() {
        let leading = members(&[("c-0", Some(Role::Leader), true)]);
        let state = |state: &str| {
            let member = serde_json::json!({"name": "c-0", "role": "leader", "state": state});
            serde_json::from_value::<Cluster>(serde_json::json!({"members": [member]})).unwrap()
        };
        let of = |answer: Result<&Cluster, &str>| {
            let condition = leading.condition(None, Some(answer));
            (condition.status, condition.reason)
        };
        assert_eq!(of(Ok(&state("running"))), ("True", "LeaderReady".to_owned()));
        assert_eq!(of(Ok(&state("streaming"))), ("True", "LeaderReady".to_owned()), "of a standby cluster");
        assert_eq!(of(Ok(&state("start failed"))), ("False", "LeaderNotServing".to_owned()));
        assert_eq!(of(Err("timed out")), ("False", "PatroniSilent".to_owned()));
        assert_eq!(leading.condition(None, None).status, "True");
    }
}
