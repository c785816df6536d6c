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
    /// The node that it runs on; `None` before it is scheduled.
    pub node: Option<String>,
    /// Whether it has to leave that node.
    pub leaving: bool,
    /// Why it cannot start, as in `ImagePullBackOff` or `Unschedulable`.
    pub stuck: Option<String>,
    /// Why its database container does not run, as Kubernetes reports it; `None` if it runs or nothing is reported.
    pub stopped: Option<String>,
    /// The state in Patroni's answer.
    pub state: State,
    /// The role in Patroni's answer, if PostgreSQL runs.
    pub answered: Option<Role>,
}

impl Member {
    /// The member with what its Patroni answered; `None` if it did not answer.
    #[must_use]
    pub fn with_answer(self, answer: Option<Status>) -> Self {
        let Some(answer) = answer else { return Self { state: State::Silent, answered: None, ..self } };
        let role = if answer.role.leads() { Role::Leader } else { Role::Replica };
        Self { answered: answer.is_running().then_some(role), state: State::from(answer), ..self }
    }

    /// Whether its database cannot start. A sidecar that fails while the database runs does not count.
    pub(super) fn cannot_start(&self) -> Option<&str> {
        self.stuck.as_deref().filter(|_| self.state != State::Running)
    }

    /// Whether it leads, by its label or by its Patroni.
    pub(super) fn leads(&self) -> bool {
        self.role == Some(Role::Leader) || self.answered == Some(Role::Leader)
    }

    /// Whether its PostgreSQL certainly does not run. A Patroni that does not answer proves nothing by itself: the
    /// network may be in the way. It does if the container does not run, or if Patroni has never given the pod a role.
    pub(super) fn is_down(&self) -> bool {
        match &self.state {
            State::Stopped(_) => true,
            State::Silent => self.stopped.is_some() || self.role.is_none(),
            State::Running | State::Bootstrapping(_) | State::Other(_) => false,
        }
    }

    /// Whether PostgreSQL runs and every container of the pod is ready.
    pub(super) fn is_well(&self) -> bool {
        self.ready && self.state == State::Running
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
    /// The data directory is being made, as by a base backup, in Patroni's words.
    Bootstrapping(String),
    /// PostgreSQL does not run and is not about to, in Patroni's words.
    Stopped(String),
    /// Patroni did not answer, or was not asked.
    #[default]
    Silent,
    /// Any other state, in Patroni's words.
    Other(String),
}

impl From<Status> for State {
    fn from(status: Status) -> Self {
        match status {
            // Something else than Patroni answered, as the API server for a pod that it does not reach.
            status if status.state.is_empty() => Self::Silent,
            status if status.is_running() => Self::Running,
            status if status.is_bootstrapping() => Self::Bootstrapping(status.state),
            status if status.is_stopped() => Self::Stopped(status.state),
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

/// The container that Patroni and PostgreSQL run in.
///
/// See the Zalando operator's
/// [sidecars](https://postgres-operator.readthedocs.io/en/latest/user/#sidecar-support): `postgres` is not a name for
/// one.
const DATABASE: &str = "postgres";

/// The member of a pod. Its state is not known: Patroni is not asked.
pub fn member(pod: &Pod, role_label: &str) -> Member {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(role_label));
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let unscheduled =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let unscheduled = unscheduled.map(|condition| condition.reason.as_deref().unwrap_or("Unscheduled"));
    let stuck = containers.iter().filter_map(waiting).find(|reason| !USUAL.contains(reason));
    let database = containers.iter().find(|container| container.name == DATABASE);
    Member {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        role: label.and_then(|value| Role::from_label(value)),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        ending: pod.metadata.deletion_timestamp.is_some(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        stuck: unscheduled.or(stuck).map(str::to_owned),
        stopped: unscheduled.or(database.and_then(not_running)).map(str::to_owned),
        ..Member::default()
    }
}

/// The reason why a container does not run.
fn not_running(container: &ContainerStatus) -> Option<&str> {
    let terminated = || {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        Some(ended.reason.as_deref().unwrap_or("Terminated"))
    };
    waiting(container).or_else(terminated)
}

/// The reason why a container waits.
fn waiting(container: &ContainerStatus) -> Option<&str> {
    container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patroni::Role as PatroniRole;
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
    fn the_database_container_alone_tells_whether_the_database_can_run() {
        let stopped = |name: &str, state: serde_json::Value| {
            let container = json!({"name": name, "state": state});
            read(json!({"metadata": {"name": "c-0"}, "status": {"containerStatuses": [container]}})).stopped
        };
        let waits = |reason: &str| json!({"waiting": {"reason": reason}});
        assert_eq!(stopped("postgres", waits("ContainerCreating")).as_deref(), Some("ContainerCreating"));
        let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        assert_eq!(stopped("postgres", ended).as_deref(), Some("OOMKilled"));
        assert_eq!(stopped("postgres", json!({"running": {}})), None);
        assert_eq!(stopped("exporter", waits("ImagePullBackOff")), None);
    }

    #[test]
    fn a_pod_that_no_node_takes_is_stuck_and_does_not_run() {
        let scheduled = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        let member = read(json!({"metadata": {"name": "c-0"}, "status": {"conditions": [scheduled]}}));
        let unschedulable = Some("Unschedulable".to_owned());
        assert_eq!((&member.stuck, &member.stopped), (&unschedulable, &unschedulable));
    }

    #[test]
    fn patronis_answer_tells_the_state_and_while_postgresql_runs_the_role() {
        let answer = |state: &str| Status { state: state.into(), role: PatroniRole::Leader, ..Status::default() };
        let after = |answer| {
            let member = Member::default().with_answer(answer);
            (member.state, member.answered)
        };
        assert_eq!(after(Some(answer("running"))), (State::Running, Some(Role::Leader)));
        assert_eq!(after(Some(answer("start failed"))), (State::Stopped("start failed".into()), None));
        let bootstrapping = State::Bootstrapping("creating replica".into());
        assert_eq!(after(Some(answer("creating replica"))), (bootstrapping, None));
        assert_eq!(after(Some(answer("starting"))), (State::Other("starting".into()), None));
        assert_eq!(after(None), (State::Silent, None));
    }

    #[test]
    fn an_answer_without_a_state_is_none_of_patroni() {
        // The API server answers for a pod that it does not reach.
        let failure = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503});
        let answer: Status = serde_json::from_value(failure).unwrap();
        assert_eq!(State::from(answer), State::Silent);
    }

    #[test]
    fn a_pod_with_a_deletion_timestamp_ends() {
        let pod = json!({"metadata": {"name": "c-0", "deletionTimestamp": "2031-05-14T12:00:00Z"}});
        assert!(read(pod).ending);
    }
}
