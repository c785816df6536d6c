//! The parameters of the rules for manifests.

use std::collections::BTreeSet;

/// The parameters of the rules for manifests, from the operator configuration and the infrastructure roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `enable_team_id_clustername_prefix`: names start with the team and a hyphen.
    pub team_prefix: bool,
    /// `enable_maintenance_windows`: rolling updates wait for a window.
    pub maintenance_windows: bool,
    /// `super_username`.
    pub super_username: String,
    /// `replication_username`.
    pub replication_username: String,
    /// `protected_role_names`.
    pub protected_roles: BTreeSet<String>,
    /// The infrastructure roles. `None` if they are not known completely, or if roles come from a teams API.
    pub other_roles: Option<BTreeSet<String>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            team_prefix: true,
            maintenance_windows: false,
            super_username: "postgres".to_owned(),
            replication_username: "standby".to_owned(),
            protected_roles: ["admin", "cron_admin"].map(str::to_owned).into(),
            other_roles: Some(BTreeSet::new()),
        }
    }
}

impl Rules {
    /// Whether a role belongs to the system or is protected, so that no manifest may define it.
    #[must_use]
    pub fn reserves(&self, role: &str) -> bool {
        role == self.super_username || role == self.replication_username || self.protected_roles.contains(role)
    }
}
