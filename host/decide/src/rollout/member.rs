//! A member as its pod shows it.

use serde_json::Value;

use crate::patroni::Status;

/// A pod of the cluster, as far as a rolling update goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// The pod's name.
    pub pod: String,
    /// Whether it runs another template than the StatefulSet's.
    pub outdated: bool,
    /// The value of its role label.
    pub role: Option<Role>,
    /// Whether it passes its readiness check.
    pub ready: bool,
    /// Whether it is being deleted.
    pub ending: bool,
    /// Why its containers cannot start, as in `ImagePullBackOff`.
    pub stuck: Option<String>,
    /// What Patroni says of itself.
    pub state: State,
}

impl Member {
    /// Whether its database cannot come up by itself; a sidecar that fails beside a running database does not count.
    pub(super) fn cannot_start(&self) -> bool {
        self.stuck.is_some() && self.state != State::Running
    }
}

/// The role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The leader, of a standby cluster too.
    Master,
    /// All others.
    Replica,
}

/// What Patroni says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It answers and PostgreSQL runs.
    Running,
    /// It copies the leader's data.
    CreatingReplica,
    /// It does not answer, and why.
    #[default]
    Silent,
    /// Anything else, in Patroni's words.
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

/// What the pods themselves show; Patroni has not been asked.
pub fn member(pod: &Value, role_label: &str) -> Member {
    let metadata = &pod["metadata"];
    let role = match metadata["labels"][role_label].as_str() {
        Some("master" | "primary" | "standby_leader") => Some(Role::Master),
        Some("replica") => Some(Role::Replica),
        _ => None,
    };
    let status = &pod["status"];
    let ready = list(&status["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let waiting = list(&status["containerStatuses"])
        .iter()
        .filter_map(|container| container["state"]["waiting"]["reason"].as_str());
    let stuck = waiting
        .into_iter()
        .find(|reason| !matches!(*reason, "ContainerCreating" | "PodInitializing"))
        .map(str::to_owned);
    Member {
        pod: metadata["name"].as_str().unwrap_or_default().to_owned(),
        role,
        ready,
        ending: metadata["deletionTimestamp"].is_string(),
        stuck,
        ..Member::default()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_is_read_from_its_pod() {
        let pod = json!({
            "metadata": {"name": "c-1", "labels": {"spilo-role": "replica"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []}
        });
        let member = member(&pod, "spilo-role");
        assert_eq!((member.pod.as_str(), member.role, member.ready), ("c-1", Some(Role::Replica), true));
    }
}
