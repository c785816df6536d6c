//! The answers of Patroni's REST API.
//!
//! See [Patroni REST API](https://patroni.readthedocs.io/en/latest/rest_api.html).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The annotation of a cluster's Endpoints in which Patroni names the member that holds the leader's lock.
pub const LOCK_HOLDER: &str = "leader";

/// The state of one member (`GET /patroni`).
///
/// See [monitoring endpoint](https://patroni.readthedocs.io/en/latest/rest_api.html#monitoring-endpoint).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Status {
    /// As in `running`, `starting`, `creating replica`.
    pub state: String,
    /// The role.
    pub role: Role,
    /// The timeline.
    pub timeline: Option<u64>,
    /// PostgreSQL's version, as in `150018`.
    pub server_version: Option<u64>,
    /// Whether a setting takes effect only after a restart.
    pub pending_restart: bool,
    /// Which Patroni answers.
    pub patroni: Identity,
}

/// Which Patroni answers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Identity {
    /// The cluster's name; `None` if Patroni does not give it.
    pub scope: Option<String>,
    /// The member's name; `None` if Patroni does not give it.
    pub name: Option<String>,
}

impl Status {
    /// Whether PostgreSQL runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        is_running(&self.state)
    }

    /// Whether the member's data directory is being made. What interrupts that lets it begin again.
    ///
    /// See the states of
    /// [`PostgresqlState`](https://github.com/patroni/patroni/blob/master/patroni/postgresql/misc.py).
    #[must_use]
    pub fn is_bootstrapping(&self) -> bool {
        matches!(
            self.state.as_str(),
            "creating replica"
                | "initializing new cluster"
                | "running custom bootstrap script"
                | "starting after custom bootstrap"
        )
    }

    /// Whether PostgreSQL does not run, and nothing that Patroni has begun will change that.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state.as_str(), "stopped" | "crashed") || self.state.ends_with("failed")
    }
}

/// The role of a member. Patroni writes the leader as `leader` in `/cluster` and as `primary` (before 4.0 `master`) in
/// `/patroni`; both are read as [`Role::Leader`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The leader of the cluster: it accepts writes.
    Leader,
    /// The leader of a standby cluster: it replicates from another cluster.
    StandbyLeader,
    /// A synchronous replica.
    SyncStandby,
    /// Another replica.
    #[default]
    Replica,
    /// Any other text.
    Other(String),
}

impl Role {
    /// The name in the status; `None` for a role that Patroni does not document.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Leader => Some("leader"),
            Self::StandbyLeader => Some("standby_leader"),
            Self::SyncStandby => Some("sync_standby"),
            Self::Replica => Some("replica"),
            Self::Other(_) => None,
        }
    }

    /// Whether it leads the cluster or a standby cluster.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self, Self::Leader | Self::StandbyLeader)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "leader" | "master" | "primary" | "promoted" => Self::Leader,
            "standby_leader" => Self::StandbyLeader,
            "sync_standby" | "quorum_standby" => Self::SyncStandby,
            "replica" => Self::Replica,
            _ => Self::Other(text),
        })
    }
}

/// The state of all members (`GET /cluster`).
///
/// See [cluster status endpoints](https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoints).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Cluster {
    /// The members.
    pub members: Vec<Member>,
    /// Whether Patroni is paused: it does not fail over by itself.
    pub pause: bool,
}

impl Cluster {
    /// The member that leads.
    #[must_use]
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.role.leads())
    }
}

/// A member in the answer to `GET /cluster`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Member {
    /// The member's name, which is its pod's.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// As in `running`, `streaming`, `stopped`.
    pub state: String,
    /// Its timeline.
    pub timeline: Option<u64>,
    /// How many bytes the member is behind the leader; `None` for the leader and where Patroni says `unknown`.
    #[serde(deserialize_with = "number")]
    pub lag: Option<u64>,
    /// Whether a setting takes effect only after a restart.
    pub pending_restart: bool,
    /// The settings that take effect only after a restart, by name; empty if Patroni does not name them.
    #[serde(deserialize_with = "changes")]
    pub pending_restart_reason: BTreeMap<String, Change>,
    /// The tags of the member's configuration.
    pub tags: Tags,
}

/// A setting that changes with a restart.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Change {
    /// The value in use.
    pub old_value: String,
    /// The value after the restart.
    pub new_value: String,
}

impl Member {
    /// Whether PostgreSQL runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        is_running(&self.state)
    }
}

/// The tags of a member.
///
/// See [tags](https://patroni.readthedocs.io/en/latest/yaml_configuration.html#tags).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Tags {
    /// Whether it must not lead.
    pub nofailover: bool,
}

fn is_running(state: &str) -> bool {
    matches!(state, "running" | "streaming" | "in archive recovery")
}

/// Changes by name; what has another shape is left out.
fn changes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Change>, D::Error> {
    let Value::Object(changes) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    Ok(changes.into_iter().filter_map(|(name, change)| Some((name, serde_json::from_value(change).ok()?))).collect())
}

/// A number, or `unknown`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64())
}
