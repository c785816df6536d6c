//! What Patroni says of its members.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What a member says of itself (`GET /patroni`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Status {
    /// As in `running`, `starting`, `creating replica`.
    pub state: String,
    /// Its role.
    pub role: Role,
    /// Its timeline.
    pub timeline: Option<u64>,
    /// PostgreSQL's version, as in `150018`.
    pub server_version: Option<u64>,
    /// Whether its configuration waits for a restart.
    pub pending_restart: bool,
}

impl Status {
    /// Whether PostgreSQL runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        is_running(&self.state)
    }

    /// Whether it copies the leader's data.
    #[must_use]
    pub fn is_creating_replica(&self) -> bool {
        self.state == "creating replica"
    }
}

/// What a member is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Leader,
    /// It leads a standby cluster.
    StandbyLeader,
    /// A replica that the leader waits for.
    SyncStandby,
    /// Another replica.
    #[default]
    Replica,
    /// Something else, in Patroni's words.
    Other(String),
}

impl Role {
    /// Whether it leads, a standby cluster included.
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

/// What a member knows of all of them (`GET /cluster`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Cluster {
    /// The members.
    pub members: Vec<Member>,
    /// Whether Patroni is told to keep its hands off.
    pub pause: bool,
}

impl Cluster {
    /// The member that leads.
    #[must_use]
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.role.leads())
    }
}

/// A member, as others see it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Member {
    /// Its pod's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// As in `running`, `streaming`, `stopped`.
    pub state: String,
    /// Its timeline.
    pub timeline: Option<u64>,
    /// How many bytes it is behind the leader; `None` if nobody knows.
    #[serde(deserialize_with = "number")]
    pub lag: Option<u64>,
    /// Whether its configuration waits for a restart.
    pub pending_restart: bool,
    /// What it is told about itself.
    pub tags: Tags,
}

impl Member {
    /// Whether PostgreSQL runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        is_running(&self.state)
    }
}

/// What a member is told about itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Tags {
    /// Whether it must not lead.
    pub nofailover: bool,
}

fn is_running(state: &str) -> bool {
    matches!(state, "running" | "streaming" | "in archive recovery")
}

/// A number, or `unknown`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64())
}
