//! The status of a `postgresql` object, as the operator writes it.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::action::ActionPhase;

/// The status of a cluster. Very old operators stored a bare string; it is read as `PostgresClusterStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresqlStatus {
    /// The result of the last reconcile: `Creating`, `Updating`, `Running`, `CreateFailed`, `UpdateFailed`,
    /// `SyncFailed`, `Invalid`.
    #[serde(rename = "PostgresClusterStatus", skip_serializing_if = "ClusterStatus::is_unknown")]
    #[schemars(with = "Option<String>")]
    pub cluster_status: ClusterStatus,
    /// The `metadata.generation` of the manifest that was reconciled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions of the operator, `ActionsDone`, `Applied`, `DatabaseSynced`, `DeletionAllowed`,
    /// `LeaderPlaced`, `MajorVersionUpgraded`, `Ready`, `RolledOut` and `Valid`, and those of plugins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The pod that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_instances: Option<i32>,
    /// The number of pods that are ready and have a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_instances: Option<i32>,
    /// The labels of the pods, in the form of `kubectl get pods -l`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// The pods, with the answer of the leader's Patroni at the last reconcile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub members: Vec<MemberStatus>,
    /// The actions that plugins request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["step", "key"]))]
    pub actions: Vec<ActionStatus>,
    /// The upgrade to another major version that was begun and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_upgrade: Option<MajorUpgradeStatus>,
}

/// An upgrade to another major version that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MajorUpgradeStatus {
    /// The version of the data before, as in `15`.
    pub from: String,
    /// The version that it is upgraded to.
    pub to: String,
    /// The pod that it runs in.
    pub pod: String,
    /// The pod's `metadata.uid`.
    pub uid: String,
    /// The number of members.
    pub members: i32,
    /// When it was begun.
    pub since: Time,
}

/// The result of the last reconcile, with the names of the Zalando operator.
///
/// See
/// [`PostgresClusterStatus`](https://github.com/zalando/postgres-operator/blob/master/pkg/apis/acid.zalan.do/v1/const.go).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterStatus {
    /// There is no status yet.
    #[default]
    #[serde(rename = "")]
    Unknown,
    /// The cluster is created.
    Creating,
    /// The cluster is changed.
    Updating,
    /// Everything is as desired.
    Running,
    /// The creation failed.
    CreateFailed,
    /// A change of the manifest failed.
    UpdateFailed,
    /// A reconcile without a change of the manifest failed.
    SyncFailed,
    /// The manifest cannot be used; nothing was changed.
    Invalid,
}

/// One pod of the cluster.
///
/// All fields but `name` and `ready` are those of
/// [Patroni's `GET /cluster`](https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoint).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The pod's name.
    pub name: String,
    /// `leader`, `standby_leader`, `sync_standby` or `replica`: from Patroni, or from the pod's label if Patroni does
    /// not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Patroni's state of the member, as in `running`, `streaming`, `creating replica`; absent if Patroni does not
    /// answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether the pod is ready.
    #[serde(default)]
    pub ready: bool,
    /// The timeline of the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    /// How far the member is behind the leader in bytes, rounded down to 0, 16 MiB, 256 MiB, 4 GiB and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// `true` if a setting takes effect only after a restart of the member; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_restart: Option<bool>,
}

/// The state of an action that a plugin requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// The step of the pipeline that requests the action.
    pub step: String,
    /// The plugin's key of the action.
    pub key: String,
    /// `pending`, `running`, `done`, `failed` or `refused`.
    #[serde(deserialize_with = "phase")]
    #[schemars(with = "String")]
    pub phase: ActionPhase,
    /// The reason, or more about the phase.
    #[serde(default)]
    pub message: String,
    /// The time since when the phase holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl ClusterStatus {
    /// Whether there is no status yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Whether the last attempt failed, so that the next one comes at the repair period.
    #[must_use]
    pub fn has_failed(self) -> bool {
        matches!(self, Self::CreateFailed | Self::UpdateFailed | Self::SyncFailed)
    }

    /// The name in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::Running => "Running",
            Self::CreateFailed => "CreateFailed",
            Self::UpdateFailed => "UpdateFailed",
            Self::SyncFailed => "SyncFailed",
            Self::Invalid => "Invalid",
        }
    }

    /// The status of that name; [`Self::Unknown`] for any other name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let all = [
            Self::Creating,
            Self::Updating,
            Self::Running,
            Self::CreateFailed,
            Self::UpdateFailed,
            Self::SyncFailed,
            Self::Invalid,
        ];
        all.into_iter().find(|status| status.as_str() == name).unwrap_or_default()
    }
}

impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn conditions(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::Schema::try_from(crate::schema::conditions()).unwrap_or_default()
}

/// A phase. An unknown one is read as `pending`, so that the action is executed.
fn phase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ActionPhase, D::Error> {
    let name = String::deserialize(deserializer)?;
    Ok(ActionPhase::from_name(&name).unwrap_or_default())
}

/// Never fails: a field or a list entry of another shape is read as absent. Else one such field would hide the rest of
/// the status, and the operator would report a cluster that runs as a new one.
impl<'de> Deserialize<'de> for PostgresqlStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = |name: &str| ClusterStatus::from_name(name);
        Ok(match Value::deserialize(deserializer)? {
            Value::String(text) => Self { cluster_status: status(&text), ..Self::default() },
            Value::Object(mut fields) => Self {
                cluster_status: status(&field::<String>(&mut fields, "PostgresClusterStatus").unwrap_or_default()),
                observed_generation: field(&mut fields, "observedGeneration"),
                conditions: list(&mut fields, "conditions"),
                leader: field(&mut fields, "leader"),
                number_of_instances: field(&mut fields, "numberOfInstances"),
                ready_instances: field(&mut fields, "readyInstances"),
                label_selector: field(&mut fields, "labelSelector"),
                members: list(&mut fields, "members"),
                actions: list(&mut fields, "actions"),
                major_upgrade: field(&mut fields, "majorUpgrade"),
            },
            _ => Self::default(),
        })
    }
}

fn field<T: DeserializeOwned>(fields: &mut Map<String, Value>, key: &str) -> Option<T> {
    serde_json::from_value(fields.remove(key)?).ok()
}

fn list<T: DeserializeOwned>(fields: &mut Map<String, Value>, key: &str) -> Vec<T> {
    let entries: Vec<Value> = field(fields, key).unwrap_or_default();
    entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_read_from_an_object_and_from_a_bare_string() {
        for (stored, expected) in [
            (json!({"PostgresClusterStatus": "Running"}), ClusterStatus::Running),
            (json!("Running"), ClusterStatus::Running),
            (json!(""), ClusterStatus::Unknown),
            (json!({"PostgresClusterStatus": ""}), ClusterStatus::Unknown),
            (json!({"PostgresClusterStatus": "Dancing"}), ClusterStatus::Unknown),
            (json!({}), ClusterStatus::Unknown),
            (json!(7), ClusterStatus::Unknown),
        ] {
            let status: PostgresqlStatus = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(status.cluster_status, expected, "{stored}");
        }
    }

    #[test]
    fn a_part_of_another_shape_hides_no_other_part() {
        let stored = json!({
            "PostgresClusterStatus": "Running", "leader": 7,
            "conditions": [{"type": "Ready"}, {
                "type": "Valid", "status": "True", "reason": "Valid", "message": "",
                "lastTransitionTime": "2031-05-14T12:00:00Z",
            }],
            "members": [{"role": "leader"}, {"name": "c-0"}],
            "actions": [{"step": "s", "key": "k", "phase": "dancing"}],
        });
        let status: PostgresqlStatus = serde_json::from_value(stored).unwrap();
        assert_eq!((status.cluster_status, status.leader), (ClusterStatus::Running, None));
        assert!(status.conditions.iter().any(|condition| condition.type_ == "Valid"));
        assert_eq!(status.members, [MemberStatus { name: "c-0".into(), ..MemberStatus::default() }]);
        assert_eq!(status.actions[0].phase, ActionPhase::Pending);
    }

    #[test]
    fn an_untouched_status_is_written_as_nothing_and_a_set_one_keeps_its_zalando_name() {
        assert_eq!(serde_json::to_value(PostgresqlStatus::default()).unwrap(), json!({}));
        let status = PostgresqlStatus {
            cluster_status: ClusterStatus::CreateFailed,
            leader: Some("acid-a-0".into()),
            ..Default::default()
        };
        assert_eq!(
            serde_json::to_value(&status).unwrap(),
            json!({"PostgresClusterStatus": "CreateFailed", "leader": "acid-a-0"})
        );
        assert!(status.cluster_status.has_failed() && !ClusterStatus::Invalid.has_failed());
    }
}
