//! Actions that plugins request, and the state of requested ones.

use pgloom_api::{ActionKind, ActionPhase};
use serde::{Deserialize, Serialize};

/// An action that the host executes after the call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActionRequest {
    /// The idempotency key: requests with the same key are the same action.
    pub key: String,
    /// The action and its parameters.
    pub action: Action,
}

/// The catalogue of actions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Keep a login role, its generated password and its Secret.
    Credential(Credential),
    /// Keep the user list of a pooler.
    UserList(UserList),
    /// Let a pooler look up passwords.
    PoolerAccess(PoolerAccess),
    /// Keep these parts of Patroni's dynamic configuration: a JSON object as text.
    ConfigurePatroni(String),
    /// Turn a standby cluster into one that accepts writes.
    Promote,
    /// Grow a volume claim.
    ExpandClaim(ExpandClaim),
    /// Change a cloud volume.
    ModifyVolume(ModifyVolume),
    /// Grow a filesystem to the size of its volume.
    GrowFilesystem(GrowFilesystem),
}

impl Action {
    /// The kind of the action.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Credential(_) => ActionKind::Credential,
            Self::UserList(_) => ActionKind::UserList,
            Self::PoolerAccess(_) => ActionKind::PoolerAccess,
            Self::ConfigurePatroni(_) => ActionKind::ConfigurePatroni,
            Self::Promote => ActionKind::Promote,
            Self::ExpandClaim(_) => ActionKind::ExpandClaim,
            Self::ModifyVolume(_) => ActionKind::ModifyVolume,
            Self::GrowFilesystem(_) => ActionKind::GrowFilesystem,
        }
    }
}

/// A login role, its generated password and its Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credential {
    /// The role's name.
    pub username: String,
    /// Labels of the Secret, in addition to those of every Secret of the cluster; an empty value removes a label.
    pub labels: Vec<(String, String)>,
}

/// A Secret with a `userlist.txt` for PgBouncer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserList {
    /// The Secret's name.
    pub secret_name: String,
    /// The role whose name and password are in the list.
    pub username: String,
    /// Labels of the Secret; an empty value removes a label.
    pub labels: Vec<(String, String)>,
}

/// The function of PgBouncer's `auth_query` in every database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PoolerAccess {
    /// The role that may call the function.
    pub username: String,
    /// The schema with the function.
    pub schema: String,
}

/// A volume claim to grow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExpandClaim {
    /// The claim's name.
    pub claim: String,
    /// A Kubernetes quantity, as in `5Gi`.
    pub size: String,
}

/// A cloud volume to change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModifyVolume {
    /// The claim's name.
    pub claim: String,
    /// A Kubernetes quantity.
    pub size: Option<String>,
    /// Input and output operations per second.
    pub iops: Option<u32>,
    /// MiB per second.
    pub throughput: Option<u32>,
    /// The provider's name of the type.
    pub volume_type: Option<String>,
}

/// A filesystem to grow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrowFilesystem {
    /// The claim's name.
    pub claim: String,
    /// The pod that mounts it.
    pub pod: String,
}

/// The state of a requested action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActionState {
    /// The idempotency key.
    pub key: String,
    /// The phase that the action has reached.
    pub phase: ActionPhase,
    /// One sentence on the phase.
    pub message: String,
}
