//! The roles of a cluster: gathered from every source, each with its origin.
//!
//! Pure: the manifest, the operator configuration, the operator-wide Secrets and the plugins give one sorted list of
//! [`Role`]s. [`crate::credential`] derives Secrets from it, and the operator creates the roles in the database.

mod gather;
mod infrastructure_roles;
mod postgres_team;
mod prepared_database;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_api::postgresql::PreparedDatabase;
use pgloom_api::validate::UserRotation;

use crate::credential::Password;

pub use gather::gather;
pub use infrastructure_roles::{
    Definition, InfrastructureRole, Source, definitions as infrastructure_definitions, read as read_infrastructure,
};
pub use pgloom_common::role::{Attribute, Attributes};
pub use postgres_team::AdditionalTeams;
pub use prepared_database::{Prepared, Schema};
pub use rotation::{Rotation, rotated_name, rotation_date};

/// The origin of a role. Of several roles with one name, that of the later origin is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `spec.users`.
    Manifest,
    /// The operator-wide infrastructure roles.
    Infrastructure,
    /// A member of a team, from the Teams API.
    Team,
    /// The superuser and the replication user: the database image creates them.
    System,
    /// `spec.preparedDatabases`.
    Prepared,
    /// A credential that a plugin requests, as the pooler does. It never replaces a role of another origin.
    Credential,
}

impl Origin {
    /// The origin for a message, after "defined by".
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

/// The source of a role's password.
#[derive(Clone, Debug, PartialEq)]
pub enum PasswordSource {
    /// No password: the role cannot log in, or only by PAM.
    None,
    /// Generated once and kept in the role's Secret.
    Generated,
    /// Given by the operator-wide Secret; the role's Secret is kept equal to it.
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
    /// The name in the database.
    pub name: String,
    /// The origin.
    pub origin: Origin,
    /// The attributes.
    pub attributes: Attributes,
    /// The names of the roles that it is a member of.
    pub member_of: BTreeSet<String>,
    /// The role that becomes a member of this one, with admin option, when this one is created.
    pub admin: Option<String>,
    /// Settings for its sessions.
    pub parameters: BTreeMap<String, String>,
    /// The source of its password.
    pub password: PasswordSource,
    /// The namespace and labels of its Secret; `None` if it has none.
    pub secret: Option<SecretPlace>,
    /// How its password changes regularly.
    pub rotation: Rotation,
    /// The role whose settings in the database it has as well; only of a login role of a rotation.
    pub settings_of: Option<String>,
}

/// The roles and databases of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// The roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Databases with their owners: those of the manifest and the prepared ones.
    pub databases: BTreeMap<String, String>,
    /// Those of them that are only prepared: one that exists keeps its owner.
    pub created_with_owner: BTreeSet<String>,
    /// Prepared databases, by name.
    pub prepared: Vec<Prepared>,
    /// The roles that plugins asked for and do not get, by name, each with the reason.
    pub refused: BTreeMap<String, String>,
    /// `additional_owner_roles`: the owners are members of these roles, so these must not be members of an owner.
    pub additional_owners: BTreeSet<String>,
    /// What becomes of the roles of members who have left; `None` if nothing does.
    pub departure: Option<Departure>,
    /// Findings. An error means that the manifest cannot be used.
    pub findings: Vec<Finding>,
}

/// What becomes of the roles of members who have left their team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// `role_deletion_suffix`: what their names get.
    pub suffix: String,
    /// Whether all members of all teams are known, so that the others have left.
    pub is_known: bool,
}

/// The input of [`gather`].
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The cluster's namespace.
    pub namespace: String,
    /// The settings of the operator configuration.
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
    /// Whether all members of these teams are known.
    pub knows_teams: bool,
    /// The credentials that plugins request.
    pub credentials: Vec<CredentialRequest>,
    /// The fields of the manifest about the rotation of passwords.
    pub rotation: UserRotation,
    /// Whether the roles are those of another cluster.
    pub is_standby: bool,
}

/// The settings of the operator configuration about roles. Each field names its key, see the
/// [reference](https://postgres-operator.readthedocs.io/en/latest/reference/operator_parameters/#postgres-users).
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
    /// `enable_cross_namespace_secret`: whether a role's Secret may be in another namespace.
    pub cross_namespace_secrets: bool,
    /// `role_deletion_suffix`, if `enable_team_member_deprecation` is set.
    pub deletion_suffix: Option<String>,
    /// `enable_password_rotation`: whether passwords change regularly.
    pub rotation: bool,
    /// `enable_database_access`: whether a password can be changed at all.
    pub rotation_possible: bool,
}

impl Settings {
    /// Those of an operator configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let set = |key: &str| config.list(key).into_iter().map(str::to_owned).collect();
        let parameters = config.map("team_api_role_configuration").into_iter();
        Self {
            superuser: config.text("super_username").to_owned(),
            replication: config.text("replication_username").to_owned(),
            protected: set("protected_role_names"),
            team_admin: config.text("team_admin_role").to_owned(),
            admin_for_users: config.flag("enable_admin_role_for_users"),
            pam_role: config.text("pam_role_name").to_owned(),
            team_superuser: config.flag("enable_team_superuser"),
            team_parameters: parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            additional_owner_roles: set("additional_owner_roles"),
            cross_namespace_secrets: config.flag("enable_cross_namespace_secret"),
            deletion_suffix: config
                .flag("enable_team_member_deprecation")
                .then(|| config.text("role_deletion_suffix").to_owned()),
            rotation: config.flag("enable_password_rotation"),
            rotation_possible: config.flag("enable_database_access"),
        }
    }
}

impl Default for Settings {
    /// Those of the default configuration.
    fn default() -> Self {
        Self::of(&Config::defaults())
    }
}

/// A team and its members.
#[derive(Clone, Debug, Default, Hash)]
pub struct Team {
    /// The name of the team.
    pub name: String,
    /// Login names.
    pub members: Vec<String>,
    /// Whether it is one of `postgres_superuser_teams`.
    pub superusers: bool,
}

/// A credential that a plugin requests (the action `credential`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CredentialRequest {
    /// The name of the role.
    pub username: String,
    /// Labels of its Secret, in addition to those of every Secret of the cluster; an empty value removes a label.
    pub labels: BTreeMap<String, String>,
}
