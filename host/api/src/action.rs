//! The catalogue of actions that a plugin may request, and the phases of a requested action.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of action. The contract (`wit/0.2/mutate-resources.wit`) describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Keep a login role, its generated password and its Secret.
    Credential,
    /// Keep the Secret with a pooler's `userlist.txt`.
    UserList,
    /// Let a pooler look up passwords in every database.
    PoolerAccess,
    /// Keep parts of Patroni's dynamic configuration.
    ConfigurePatroni,
    /// Turn a standby cluster into one that accepts writes.
    Promote,
    /// Raise the storage request of a `PersistentVolumeClaim`.
    ExpandClaim,
    /// Change the cloud volume behind a `PersistentVolumeClaim`.
    ModifyVolume,
    /// Grow a filesystem to the size of its volume.
    GrowFilesystem,
}

impl ActionKind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::Credential,
        Self::UserList,
        Self::PoolerAccess,
        Self::ConfigurePatroni,
        Self::Promote,
        Self::ExpandClaim,
        Self::ModifyVolume,
        Self::GrowFilesystem,
    ];

    /// The contract's name, as in `expand-claim`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::UserList => "user-list",
            Self::PoolerAccess => "pooler-access",
            Self::ConfigurePatroni => "configure-patroni",
            Self::Promote => "promote",
            Self::ExpandClaim => "expand-claim",
            Self::ModifyVolume => "modify-volume",
            Self::GrowFilesystem => "grow-filesystem",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The phase of a requested action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionPhase {
    /// The action waits for something else.
    #[default]
    Pending,
    /// The action is in progress.
    Running,
    /// The action is done.
    Done,
    /// The action failed and is retried.
    Failed,
    /// The host does not execute it, or the pipeline does not grant it to the step.
    Refused,
}

impl ActionPhase {
    /// Every phase, in the contract's order.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Done, Self::Failed, Self::Refused];

    /// The name in the contract and in the status, as in `running`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    /// The phase of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

impl fmt::Display for ActionPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that the contract lists in an enum, in its order.
    fn names_in_contract(enumeration: &str) -> Vec<&'static str> {
        let contract = include_str!("../../../wit/0.2/mutate-resources.wit");
        let (_, rest) = contract.split_once(&format!("enum {enumeration} {{")).unwrap();
        let (body, _) = rest.split_once('}').unwrap();
        let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        lines.map(|line| line.trim_end_matches(',')).collect()
    }

    #[test]
    fn the_catalogue_is_that_of_the_contract() {
        assert_eq!(ActionKind::ALL.map(ActionKind::name).as_slice(), names_in_contract("action-kind"));
        assert_eq!(ActionPhase::ALL.map(ActionPhase::name).as_slice(), names_in_contract("action-phase"));
    }

    #[test]
    fn a_name_gives_back_its_kind_or_phase() {
        for kind in ActionKind::ALL {
            assert_eq!(ActionKind::from_name(kind.name()), Some(kind));
        }
        for phase in ActionPhase::ALL {
            assert_eq!(ActionPhase::from_name(phase.name()), Some(phase));
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
        assert_eq!((ActionKind::from_name("dance"), ActionPhase::from_name("dancing")), (None, None));
    }
}
