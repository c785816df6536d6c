//! Privileges: names for fields by which a pod leaves its own limits, or an object the cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A right beyond the permission for a field. A step needs it for the values that `host/engine/src/privilege.rs` lists; for `major-upgrade` see `docs/security.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// Files of the node.
    HostPath,
    /// The node's network, processes and inter-process communication.
    HostNamespaces,
    /// Ports of the node.
    HostPort,
    /// A container without the limits that the node's kernel sets.
    Privileged,
    /// A process that gains more rights than its parent.
    PrivilegeEscalation,
    /// Capabilities of the kernel that a container does not have by default.
    Capabilities,
    /// Another service account, or the token of one.
    ServiceAccount,
    /// Secrets that are not the cluster's.
    ForeignSecret,
    /// ConfigMaps that are not the cluster's.
    ForeignConfigMap,
    /// Claims in the volumes of a pod.
    Claim,
    /// Volumes of other kinds, as of drivers and of network storage.
    OtherVolume,
    /// A node of the plugin's choice, without the scheduler.
    NodeName,
    /// Services that are reached from outside the Kubernetes cluster.
    ExternalService,
    /// Services and endpoints with addresses or names of the plugin's choice.
    ExternalAddress,
    /// Priority classes of the system, for which other pods are evicted.
    SystemPriority,
    /// Another container runtime.
    RuntimeClass,
    /// The user `root`.
    RootUser,
    /// Labels by which Services and disruption budgets select the members.
    MemberLabels,
    /// What a container of the database that another step made runs.
    DatabaseCommand,
    /// An upgrade of the database to another major version, for which the operator runs a command in the leader's pod.
    MajorUpgrade,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Self; 20] = [
        Self::HostPath,
        Self::HostNamespaces,
        Self::HostPort,
        Self::Privileged,
        Self::PrivilegeEscalation,
        Self::Capabilities,
        Self::ServiceAccount,
        Self::ForeignSecret,
        Self::ForeignConfigMap,
        Self::Claim,
        Self::OtherVolume,
        Self::NodeName,
        Self::ExternalService,
        Self::ExternalAddress,
        Self::SystemPriority,
        Self::RuntimeClass,
        Self::RootUser,
        Self::MemberLabels,
        Self::DatabaseCommand,
        Self::MajorUpgrade,
    ];

    /// The name in descriptions and grants, as in `host-path`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostPath => "host-path",
            Self::HostNamespaces => "host-namespaces",
            Self::HostPort => "host-port",
            Self::Privileged => "privileged",
            Self::PrivilegeEscalation => "privilege-escalation",
            Self::Capabilities => "capabilities",
            Self::ServiceAccount => "service-account",
            Self::ForeignSecret => "foreign-secret",
            Self::ForeignConfigMap => "foreign-config-map",
            Self::Claim => "claim",
            Self::OtherVolume => "other-volume",
            Self::NodeName => "node-name",
            Self::ExternalService => "external-service",
            Self::ExternalAddress => "external-address",
            Self::SystemPriority => "system-priority",
            Self::RuntimeClass => "runtime-class",
            Self::RootUser => "root-user",
            Self::MemberLabels => "member-labels",
            Self::DatabaseCommand => "database-command",
            Self::MajorUpgrade => "major-upgrade",
        }
    }

    /// The privilege of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|privilege| privilege.name() == name)
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_back_its_privilege_and_is_the_one_in_documents() {
        for privilege in Privilege::ALL {
            assert_eq!(Privilege::from_name(privilege.name()), Some(privilege));
            assert_eq!(serde_json::to_value(privilege).unwrap(), privilege.name());
        }
        assert_eq!(Privilege::from_name("root"), None);
    }

    #[test]
    fn the_documentation_lists_every_privilege() {
        let text = include_str!("../../../docs/security.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let listed: Vec<&str> = rows.map(|(name, _)| name).collect();
        assert_eq!(listed, Privilege::ALL.map(Privilege::name));
    }
}
