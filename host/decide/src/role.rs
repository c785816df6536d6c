//! The roles of a cluster: gathered from every source, with the origin that decided each of them.
//!
//! Pure: what the manifest, the operator configuration, the operator-wide Secrets and the plugins say becomes one
//! sorted list of [`Role`]s. [`crate::credential`] makes Secrets of it, the operator makes the database hold it.

mod gather;
mod infrastructure_roles;
mod prepared_database;

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_api::postgresql::PreparedDatabase;

use crate::credential::Password;

pub use gather::gather;
pub use infrastructure_roles::{
    Definition, InfrastructureRole, Source, definitions as infrastructure_definitions, read as read_infrastructure,
};
pub use pgloom_common::role::{Attribute, Attributes};
pub use prepared_database::{Prepared, Schema};

/// Where a role comes from. A later origin replaces an earlier one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `spec.users`.
    Manifest,
    /// The operator-wide infrastructure roles.
    Infrastructure,
    /// A member of a team, by the Teams API.
    Team,
    /// The superuser and the replication user: the database image creates them.
    System,
    /// `spec.preparedDatabases`.
    Prepared,
    /// A credential that a plugin asked for, as the pooler does.
    Credential,
}

impl Origin {
    /// The origin in words, as in "defined by …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Manifest => "the manifest's users",
            Self::Infrastructure => "the infrastructure roles",
            Self::Team => "the Teams API",
            Self::System => "the system users",
            Self::Prepared => "the prepared databases",
            Self::Credential => "a plugin's credential",
        }
    }
}

/// How a role gets its password.
#[derive(Clone, Debug, PartialEq)]
pub enum PasswordSource {
    /// It has none: the role cannot log in, or by PAM only.
    None,
    /// Generated once and kept in the role's Secret.
    Generated,
    /// Given by the operator-wide Secret, which the role's Secret follows.
    Given(Password),
}

/// The namespace and labels of a role's Secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretPlace {
    /// The namespace; the cluster's own unless the operator allows another.
    pub namespace: String,
    /// Labels beyond those of every Secret of the cluster; an empty value removes one.
    pub labels: BTreeMap<String, String>,
}

/// One role.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// Its name in the database.
    pub name: String,
    /// What decided it.
    pub origin: Origin,
    /// Its attributes.
    pub attributes: Attributes,
    /// The roles it is a member of.
    pub member_of: BTreeSet<String>,
    /// The role that becomes a member of this one, with admin option, when this one is created.
    pub admin: Option<String>,
    /// Settings for its sessions.
    pub parameters: BTreeMap<String, String>,
    /// How it gets its password.
    pub password: PasswordSource,
    /// The place of its Secret; `None` if it has none.
    pub secret: Option<SecretPlace>,
}

/// The roles of a cluster and what they own.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// Databases with their owners: those of the manifest and the prepared ones.
    pub databases: BTreeMap<String, String>,
    /// Prepared databases, by name.
    pub prepared: Vec<Prepared>,
    /// `additional_owner_roles`: the owners are members of these, so these must not be members of an owner.
    pub additional_owners: BTreeSet<String>,
    /// Findings. An error means that the manifest cannot be used.
    pub findings: Vec<Finding>,
}

/// All that says something about a cluster's roles.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The cluster's namespace.
    pub namespace: String,
    /// What the operator configuration says.
    pub settings: Settings,
    /// `spec.users`: attributes by name.
    pub users: BTreeMap<String, Attributes>,
    /// `spec.databases`: owners by name.
    pub databases: BTreeMap<String, String>,
    /// `spec.preparedDatabases` with its defaults; empty if the section is missing.
    pub prepared: BTreeMap<String, PreparedDatabase>,
    /// The infrastructure roles, as [`read_infrastructure`] gives them.
    pub infrastructure: Vec<InfrastructureRole>,
    /// Teams whose members get roles: superuser teams first, then the owning team unless it is one of those.
    pub teams: Vec<Team>,
    /// The credentials that plugins asked for.
    pub credentials: Vec<CredentialRequest>,
}

/// What the operator configuration says about roles. The keys are named in each field's words.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `super_username`.
    pub superuser: String,
    /// `replication_username`.
    pub replication: String,
    /// `protected_role_names`: names that no source may define.
    pub protected: BTreeSet<String>,
    /// `team_admin_role`.
    pub team_admin: String,
    /// `enable_admin_role_for_users`: whether the team admin role becomes a member of every manifest role.
    pub admin_for_users: bool,
    /// `pam_role_name`: the group of all human users.
    pub pam_role: String,
    /// `enable_team_superuser`: whether members of the owning team are superusers.
    pub team_superuser: bool,
    /// `team_api_role_configuration`: settings for human users' sessions.
    pub team_parameters: BTreeMap<String, String>,
    /// `additional_owner_roles`: roles that every database owner becomes a member of.
    pub additional_owner_roles: BTreeSet<String>,
    /// `enable_cross_namespace_secret`: whether a role's Secret may lie in another namespace.
    pub cross_namespace_secrets: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            superuser: "postgres".into(),
            replication: "standby".into(),
            protected: ["admin", "cron_admin"].map(String::from).into(),
            team_admin: "admin".into(),
            admin_for_users: true,
            pam_role: "zalandos".into(),
            team_superuser: false,
            team_parameters: [("log_statement".into(), "all".into())].into(),
            additional_owner_roles: BTreeSet::new(),
            cross_namespace_secrets: false,
        }
    }
}

/// A team and its members.
#[derive(Clone, Debug, Default, Hash)]
pub struct Team {
    /// The team's name.
    pub name: String,
    /// Login names.
    pub members: Vec<String>,
    /// Whether it is one of `postgres_superuser_teams`.
    pub superusers: bool,
}

/// A credential that a plugin asked for (the action `credential`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CredentialRequest {
    /// The role's name.
    pub username: String,
    /// Labels of its Secret beyond those of every Secret of the cluster; an empty value removes one.
    pub labels: BTreeMap<String, String>,
}
