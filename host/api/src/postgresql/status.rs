//! The status of a cluster, which the operator writes.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::action::ActionPhase;

/// The status of a cluster. Objects of very old operators have a text instead; it is read as the first field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresqlStatus {
    /// How the last reconciliation went: `Creating`, `Updating`, `Running`, `CreateFailed`, `UpdateFailed`, `SyncFailed`, `Invalid`.
    #[serde(rename = "PostgresClusterStatus", skip_serializing_if = "ClusterStatus::is_unknown")]
    #[schemars(with = "Option<String>")]
    pub cluster_status: ClusterStatus,
    /// The `metadata.generation` that was reconciled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `ActionsDone`, `Applied`, `DatabaseSynced`, `Ready`, `RolledOut`, `Valid`, and the conditions of plugins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The pod that holds Patroni's leader lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_instances: Option<i32>,
    /// The number of pods that are ready and have a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_instances: Option<i32>,
    /// The labels of the pods, as `kubectl get pods -l` takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// The pods, and what Patroni reports of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub members: Vec<MemberStatus>,
    /// The actions that plugins request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["step", "key"]))]
    pub actions: Vec<ActionStatus>,
}

/// The result of the last reconciliation.
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
    /// The cluster is as desired.
    Running,
    /// The cluster could not be created.
    CreateFailed,
    /// The cluster could not be changed.
    UpdateFailed,
    /// A difference from the desired state could not be repaired.
    SyncFailed,
    /// The manifest cannot be used; the cluster was not changed.
    Invalid,
}

/// One pod of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The pod's name.
    pub name: String,
    /// `leader`, `replica`, `sync_standby` or `standby_leader`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The state in Patroni's words, as in `running`, `streaming`, `creating replica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The timeline of its WAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    /// The replication lag in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Whether a setting takes effect only after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_restart: Option<bool>,
}

/// An action that a plugin requests, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// The step of the pipeline that requests it.
    pub step: String,
    /// The key that the plugin gives the action.
    pub key: String,
    /// `pending`, `running`, `done`, `failed` or `refused`.
    #[schemars(with = "String")]
    pub phase: ActionPhase,
    /// Details for users.
    #[serde(default)]
    pub message: String,
    /// The time of the last change of the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl ClusterStatus {
    /// Whether there is no status yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Whether the last attempt failed, so that it is repaired before its time.
    #[must_use]
    pub fn has_failed(self) -> bool {
        matches!(self, Self::CreateFailed | Self::UpdateFailed | Self::SyncFailed)
    }

    /// The word in the status.
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

    /// The status of that word; an unknown word says nothing.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        let all = [
            Self::Creating,
            Self::Updating,
            Self::Running,
            Self::CreateFailed,
            Self::UpdateFailed,
            Self::SyncFailed,
            Self::Invalid,
        ];
        all.into_iter().find(|status| status.as_str() == word).unwrap_or_default()
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

/// The object as it is stored; a field of another shape than ours says nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(default, rename = "PostgresClusterStatus")]
    cluster_status: String,
    observed_generation: Option<i64>,
    #[serde(default)]
    conditions: Vec<Condition>,
    leader: Option<String>,
    number_of_instances: Option<i32>,
    ready_instances: Option<i32>,
    label_selector: Option<String>,
    #[serde(default)]
    members: Vec<MemberStatus>,
    #[serde(default)]
    actions: Vec<ActionStatus>,
}

impl<'de> Deserialize<'de> for PostgresqlStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Word(String),
            Object(Box<Stored>),
            Other(serde::de::IgnoredAny),
        }
        Ok(match Shape::deserialize(deserializer)? {
            Shape::Word(word) => Self { cluster_status: ClusterStatus::from_word(&word), ..Self::default() },
            Shape::Object(stored) => Self {
                cluster_status: ClusterStatus::from_word(&stored.cluster_status),
                observed_generation: stored.observed_generation,
                conditions: stored.conditions,
                leader: stored.leader,
                number_of_instances: stored.number_of_instances,
                ready_instances: stored.ready_instances,
                label_selector: stored.label_selector,
                members: stored.members,
                actions: stored.actions,
            },
            Shape::Other(_) => Self::default(),
        })
    }
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
