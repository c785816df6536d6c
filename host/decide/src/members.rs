//! The members of a cluster, as their pods show them.

use pgloom_api::config::Config;
use serde_json::{Value, json};

use crate::rollout::{self, Member, Role, ordinal};
use crate::status::Condition;
use crate::transform::LOCK_HOLDER;

/// The members of a cluster, by their ordinals.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// The members.
    pub all: Vec<Member>,
    /// Their pods, in the same order.
    pub pods: Vec<Value>,
}

impl Members {
    /// The database pods among `pods`; `lock` is the Endpoints object in which Patroni keeps the leader's lock.
    pub fn of(pods: impl IntoIterator<Item = Value>, lock: Option<&Value>, config: &Config) -> Self {
        let labels = config.map("cluster_labels");
        let is_database = |pod: &Value| labels.iter().all(|(key, value)| pod["metadata"]["labels"][*key] == *value);
        let mut pods: Vec<Value> = pods.into_iter().filter(is_database).collect();
        pods.sort_by_key(|pod| pod["metadata"]["name"].as_str().and_then(ordinal));
        let role_label = config.text("pod_role_label");
        let mut all: Vec<Member> = pods.iter().map(|pod| rollout::member(pod, role_label)).collect();
        if let Some(holder) = lock.and_then(holder) {
            demote(&mut all, &holder);
        }
        Self { all, pods }
    }

    /// The pod that leads, if there is exactly one.
    pub fn leader(&self) -> Option<(&Member, &Value)> {
        let mut leaders =
            self.all.iter().zip(&self.pods).filter(|(member, _)| member.role == Some(Role::Master) && !member.ending);
        let leader = leaders.next();
        leader.filter(|_| leaders.next().is_none())
    }

    /// What is still missing until `wanted` members serve; `None` if nothing is.
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

    /// The condition `Ready`: whether there is a leader that serves.
    pub fn condition(&self, wanted: Option<usize>) -> Condition {
        match self.leader() {
            _ if wanted == Some(0) => Condition::fails("Ready", "NoInstances", "the manifest asks for no instance"),
            Some((leader, _)) if leader.ready => {
                Condition::holds("Ready", "LeaderReady", format!("{} leads", leader.pod))
            }
            Some((leader, _)) => {
                Condition::fails("Ready", "LeaderNotReady", format!("{} leads and is not ready", leader.pod))
            }
            None => Condition::fails("Ready", "NoLeader", self.missing(1).unwrap_or_else(|| "no pod leads".to_owned())),
        }
    }

    /// The members for the status.
    pub fn status(&self) -> Vec<Value> {
        let entries = self.all.iter().zip(&self.pods).map(|(member, pod)| {
            let state = match &member.stuck {
                Some(reason) => reason.as_str(),
                None if member.ready => "running",
                None => "starting",
            };
            let role = member.role.map(|role| if role == Role::Master { "leader" } else { "replica" });
            let mut entry = json!({"name": pod["metadata"]["name"], "state": state});
            if let Some(role) = role {
                entry["role"] = json!(role);
            }
            entry
        });
        entries.collect()
    }

    /// How many serve.
    pub fn ready(&self) -> usize {
        self.all.iter().filter(|member| member.ready && member.role.is_some()).count()
    }
}

/// Who holds the leader's lock.
fn holder(lock: &Value) -> Option<String> {
    lock["metadata"]["annotations"][LOCK_HOLDER].as_str().map(str::to_owned)
}

/// A member writes its role onto its own pod, so one that hangs still claims to lead when another has taken over. Where
/// the holder of the lock leads, nobody else does.
fn demote(members: &mut [Member], holder: &str) {
    if members.iter().any(|member| member.pod == holder && member.role == Some(Role::Master)) {
        let others = members.iter_mut().filter(|member| member.pod != holder);
        others.filter(|member| member.role == Some(Role::Master)).for_each(|member| member.role = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(pods: &[(&str, Option<Role>, bool)]) -> Members {
        let all = pods.iter().map(|(pod, role, ready)| Member {
            pod: (*pod).into(),
            role: *role,
            ready: *ready,
            ..Member::default()
        });
        Members {
            all: all.collect(),
            pods: pods.iter().map(|(pod, _, _)| json!({"metadata": {"name": pod}})).collect(),
        }
    }

    #[test]
    fn a_cluster_is_ready_when_its_leader_serves() {
        let ready = members(&[("c-0", Some(Role::Master), true), ("c-1", None, false)]).condition(None);
        assert_eq!((ready.status, ready.message.as_str()), ("True", "c-0 leads"));
        assert_eq!(members(&[("c-0", Some(Role::Master), false)]).condition(None).reason, "LeaderNotReady");
        assert_eq!(members(&[]).condition(None).reason, "NoLeader");
    }

    #[test]
    fn two_pods_that_say_they_lead_are_no_leader() {
        assert!(members(&[("c-0", Some(Role::Master), true), ("c-1", Some(Role::Master), true)]).leader().is_none());
    }

    #[test]
    fn of_two_pods_that_say_they_lead_the_one_that_holds_the_lock_does() {
        let mut both = members(&[("c-0", Some(Role::Master), true), ("c-1", Some(Role::Master), true)]);
        demote(&mut both.all, "c-1");
        assert_eq!(both.condition(None).message, "c-1 leads");
        assert_eq!(both.missing(2).as_deref(), Some("pod c-0 does not serve: it has no role yet"));

        let mut before = members(&[("c-0", Some(Role::Master), true), ("c-1", Some(Role::Replica), true)]);
        demote(&mut before.all, "c-1");
        assert_eq!(before.condition(None).message, "c-0 leads");
    }

    #[test]
    fn what_is_missing_is_told_of_the_first_pod_that_does_not_serve() {
        let both = members(&[("c-0", Some(Role::Master), true), ("c-1", Some(Role::Replica), false)]);
        assert_eq!(both.missing(2).as_deref(), Some("pod c-1 does not serve: it is not ready"));
        assert_eq!(both.missing(3).as_deref(), Some("2 of 3 pods exist"));
        assert_eq!(both.missing(0), None);
    }
}
