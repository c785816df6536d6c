//! A member, read from its pod.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::patroni::Status;

/// A pod of the cluster, as far as a rolling update goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// The pod's name.
    pub pod: String,
    /// Whether it runs another template than the StatefulSet's.
    pub outdated: bool,
    /// The role by its pod's label; `None` before Patroni has set one.
    pub role: Option<Role>,
    /// Whether it passes its readiness check.
    pub ready: bool,
    /// Whether it is being deleted.
    pub ending: bool,
    /// Why its containers cannot start, as in `ImagePullBackOff`.
    pub stuck: Option<String>,
    /// The state in Patroni's answer.
    pub state: State,
}

impl Member {
    /// Whether its database cannot start. A sidecar that fails while the database runs does not count.
    pub(super) fn cannot_start(&self) -> bool {
        self.stuck.is_some() && self.state != State::Running
    }
}

/// The role of a member by its pod's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The leader, of a standby cluster too.
    Leader,
    /// Any other member.
    Replica,
}

impl Role {
    /// The name in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Replica => "replica",
        }
    }

    /// The role by the value of the label. Patroni before 4.0 and images that set `leader_label_value` write `master`
    /// for the leader; the operator reads it and does not use the word otherwise.
    ///
    /// See
    /// [`kubernetes.leader_label_value`](https://patroni.readthedocs.io/en/latest/yaml_configuration.html#kubernetes).
    fn from_label(value: &str) -> Option<Self> {
        match value {
            "master" | "primary" | "standby_leader" => Some(Self::Leader),
            "replica" => Some(Self::Replica),
            _ => None,
        }
    }
}

/// The state of a member in Patroni's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// PostgreSQL runs.
    Running,
    /// The member makes its base backup.
    CreatingReplica,
    /// Patroni did not answer, or was not asked.
    #[default]
    Silent,
    /// Any other state, in Patroni's words.
    Other(String),
}

impl From<Status> for State {
    fn from(status: Status) -> Self {
        match status {
            status if status.is_creating_replica() => Self::CreatingReplica,
            status if status.is_running() => Self::Running,
            status => Self::Other(status.state),
        }
    }
}

/// The number at the end of a pod's name.
pub fn ordinal(pod: &str) -> Option<u32> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// Why a container waits while its pod starts as usual.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The member of a pod. Its state is not known: Patroni is not asked.
pub fn member(pod: &Pod, role_label: &str) -> Member {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(role_label));
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    Member {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        role: label.and_then(|value| Role::from_label(value)),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        ending: pod.metadata.deletion_timestamp.is_some(),
        stuck: containers.iter().filter_map(waiting).find(|reason| !USUAL.contains(reason)).map(str::to_owned),
        ..Member::default()
    }
}

/// The reason why a container waits.
fn waiting(container: &ContainerStatus) -> Option<&str> {
    container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(pod: serde_json::Value) -> Member {
        member(&serde_json::from_value(pod).unwrap(), "spilo-role")
    }

    #[test]
    fn a_member_is_read_from_its_pod() {
        let member = read(json!({
            "metadata": {"name": "c-1", "labels": {"spilo-role": "replica"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []}
        }));
        assert_eq!((member.pod.as_str(), member.role, member.ready), ("c-1", Some(Role::Replica), true));
        assert!(!member.ending && member.stuck.is_none());
    }

    #[test]
    fn every_word_for_the_leader_is_understood() {
        for (value, role) in [
            ("master", Some(Role::Leader)),
            ("primary", Some(Role::Leader)),
            ("standby_leader", Some(Role::Leader)),
            ("replica", Some(Role::Replica)),
            ("", None),
        ] {
            assert_eq!(read(json!({"metadata": {"labels": {"spilo-role": value}}})).role, role, "{value}");
        }
    }

    #[test]
    fn a_pod_is_stuck_if_a_container_waits_for_another_reason_than_its_start() {
        let waits = |reason: &str| {
            let container = json!({"name": "postgres", "state": {"waiting": {"reason": reason}}});
            read(json!({"metadata": {"name": "c-0"}, "status": {"containerStatuses": [container]}})).stuck
        };
        assert_eq!(waits("ContainerCreating"), None);
        assert_eq!(waits("ImagePullBackOff").as_deref(), Some("ImagePullBackOff"));
    }

    #[test]
    fn a_pod_with_a_deletion_timestamp_ends() {
        let pod = json!({"metadata": {"name": "c-0", "deletionTimestamp": "2031-05-14T12:00:00Z"}});
        assert!(read(pod).ending);
    }
}
