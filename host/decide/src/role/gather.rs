//! Gathers roles from all sources, in order of precedence.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_api::postgresql::owner_of;
use pgloom_api::suggest::nearest_or;
use pgloom_common::name::secret_name;
use pgloom_common::role::{MAX_IDENTIFIER, is_identifier, is_reserved};

use super::{
    Attribute, Attributes, CredentialRequest, Departure, InfrastructureRole, Origin, PasswordSource, Role, Roles,
    Rotation, SecretPlace, Sources, Team, prepared_database, rotation,
};

/// All roles of a cluster. The same sources give the same roles and findings, in the same order.
#[must_use]
pub fn gather(sources: &Sources) -> Roles {
    let mut gathering = Gathering { sources, roles: BTreeMap::new(), findings: Vec::new(), refused: BTreeMap::new() };
    gathering.system();
    for role in &sources.infrastructure {
        gathering.infrastructure(role);
    }
    let prepared = gathering.prepared();
    for (name, attributes) in &sources.users {
        gathering.user(name, attributes);
    }
    for team in &sources.teams {
        gathering.team(team);
    }
    for credential in &sources.credentials {
        gathering.credential(credential);
    }
    let databases = gathering.databases(&prepared);
    let only_prepared = |name: &&String| !sources.databases.contains_key(*name);
    let created_with_owner =
        prepared.iter().map(|one| &one.database).filter(only_prepared).cloned().collect::<BTreeSet<_>>();
    let Gathering { roles, findings, refused, .. } = gathering;
    let additional_owners = sources.settings.additional_owner_roles.clone();
    let suffix = sources.settings.deletion_suffix.clone().filter(|suffix| !suffix.is_empty());
    let departure = suffix.map(|suffix| Departure { suffix, is_known: sources.knows_teams });
    let mut roles =
        Roles { roles, databases, created_with_owner, prepared, additional_owners, refused, departure, findings };
    rotation::set(sources, &mut roles);
    roles
}

/// A role's name as it is in the name of its Secret.
fn in_name(role: &str) -> String {
    secret_name("{username}", role, "", "")
}

struct Gathering<'a> {
    sources: &'a Sources,
    roles: BTreeMap<String, Role>,
    findings: Vec<Finding>,
    refused: BTreeMap<String, String>,
}

impl Gathering<'_> {
    fn system(&mut self) {
        let settings = &self.sources.settings;
        for name in [&settings.superuser, &settings.replication] {
            let mut role = self.role(name, Origin::System);
            role.password = PasswordSource::Generated;
            role.secret = Some(self.secret());
            self.roles.insert(name.clone(), role);
        }
    }

    fn infrastructure(&mut self, given: &InfrastructureRole) {
        if self.is_reserved(&given.name, Origin::Infrastructure, None) {
            return;
        }
        let mut role = self.role(&given.name, Origin::Infrastructure);
        if given.attributes.grants(Attribute::Login) {
            role.password = PasswordSource::Given(given.password.clone());
            role.secret = Some(self.secret());
        }
        role.attributes = given.attributes.clone();
        role.member_of = given.member_of.clone();
        role.admin = given.admin.clone();
        role.parameters = given.parameters.clone();
        self.put(role, None);
    }

    fn prepared(&mut self) -> Vec<prepared_database::Prepared> {
        let Sources { namespace, settings, prepared, .. } = self.sources;
        let (prepared, roles) = prepared_database::expand(namespace, settings, prepared, &mut self.findings);
        for role in roles {
            let path = Some("spec.preparedDatabases".to_string());
            if !self.is_reserved(&role.name, Origin::Prepared, path.clone()) {
                self.put(role, path);
            }
        }
        prepared
    }

    fn user(&mut self, name: &str, attributes: &Attributes) {
        let path = format!("spec.users.{name}");
        if self.is_reserved(name, Origin::Manifest, Some(path.clone())) {
            return;
        }
        let settings = &self.sources.settings;
        let mut role = self.role(name, Origin::Manifest);
        if attributes.grants(Attribute::Login) {
            role.password = PasswordSource::Generated;
            role.secret = Some(SecretPlace { namespace: self.namespace_of(name), labels: BTreeMap::new() });
        }
        role.attributes = attributes.clone();
        if settings.admin_for_users && !settings.team_admin.is_empty() {
            role.admin = Some(settings.team_admin.clone());
        }
        if self.sources.databases.values().any(|owner| owner == name) {
            role.member_of = settings.additional_owner_roles.clone();
        }
        self.put(role, Some(path));
    }

    fn team(&mut self, team: &Team) {
        let settings = &self.sources.settings;
        let superusers = team.superusers || settings.team_superuser;
        for name in &team.members {
            if name.is_empty() {
                continue;
            }
            if self.is_reserved(name, Origin::Team, None) {
                continue;
            }
            let mut role = self.role(name, Origin::Team);
            let groups = [&settings.pam_role, &settings.team_admin];
            let groups = groups.into_iter().take(if superusers { 1 } else { 2 });
            role.member_of = groups.filter(|group| !group.is_empty()).cloned().collect();
            role.attributes = if superusers {
                Attributes::of(&[Attribute::Login, Attribute::Superuser])
            } else {
                Attributes::of(&[Attribute::Login])
            };
            role.parameters = settings.team_parameters.clone();
            self.put(role, None);
        }
    }

    /// A plugin gets a role of its own, never one that someone else defines.
    fn credential(&mut self, wanted: &CredentialRequest) {
        if let Some(reason) = self.refusal(&wanted.username) {
            let message =
                format!("role \"{}\" of {} is left out: {reason}", wanted.username, Origin::Credential.words());
            self.findings.push(Finding::warning(message).remedy("use another name"));
            self.refused.insert(wanted.username.clone(), reason);
            return;
        }
        let mut role = self.role(&wanted.username, Origin::Credential);
        role.attributes = Attributes::of(&[Attribute::Login]);
        role.password = PasswordSource::Generated;
        role.secret = Some(SecretPlace { labels: wanted.labels.clone(), ..self.secret() });
        self.put(role, None);
    }

    /// The databases whose owner is known. A prepared database belongs to its own owner role unless `spec.databases` names
    /// another one.
    fn databases(&mut self, prepared: &[prepared_database::Prepared]) -> BTreeMap<String, String> {
        let mut databases: BTreeMap<_, _> =
            prepared.iter().map(|one| (one.database.clone(), owner_of(&one.database))).collect();
        for (name, owner) in &self.sources.databases {
            let path = format!("spec.databases.{name}");
            let finding = if !is_identifier(name) {
                Finding::warning(format!("database \"{name}\" is left out: its name cannot be used"))
                    .remedy("start with a letter or an underscore and continue with letters, digits and underscores")
            } else if !self.roles.contains_key(owner) {
                self.unknown_owner(name, owner)
            } else {
                let prepared_owner = databases.insert(name.clone(), owner.clone()).filter(|other| other != owner);
                let Some(other) = prepared_owner else { continue };
                let message = format!(
                    "database \"{name}\" is also a prepared database, and belongs to {owner:?}, not to {other:?}"
                );
                Finding::warning(message)
                    .remedy(format!("name {other:?} as its owner, or take it out of one of the two"))
            };
            self.findings.push(finding.at(path));
        }
        databases
    }

    /// The database is left out, so that a mistake in a part, or a role that cannot be read now, does not stop the cluster.
    fn unknown_owner(&self, database: &str, owner: &str) -> Finding {
        if is_reserved(owner) {
            let message =
                format!("database {database:?} is left out: PostgreSQL reserves the name of its owner {owner:?}");
            return Finding::warning(message).remedy("name another owner");
        }
        let known = self.roles.keys().map(String::as_str);
        let otherwise = format!("add {owner:?} to spec.users, or name another owner");
        let message = format!("database {database:?} is left out: its owner {owner:?} is not a role of this cluster");
        Finding::warning(message).remedy(nearest_or(owner, known, &otherwise))
    }

    /// Why a plugin may not have a role of the name; `None` if it may.
    fn refusal(&self, name: &str) -> Option<String> {
        if let Some(reason) = self.reservation(name) {
            return Some(reason.to_owned());
        }
        if let Some(known) = self.roles.get(name) {
            let is_of_another = known.origin != Origin::Credential;
            return is_of_another.then(|| format!("the role is one of {}", known.origin.words()));
        }
        let is_taken = |known: &&Role| known.secret.is_some() && in_name(&known.name) == in_name(name);
        let known = self.roles.values().find(is_taken)?;
        Some(format!("its Secret would have the name of that of role {:?}", known.name))
    }

    /// Why no source may define the name; `None` if any may.
    fn reservation(&self, name: &str) -> Option<&'static str> {
        let settings = &self.sources.settings;
        if settings.protected.contains(name) {
            Some("the name is protected by protected_role_names")
        } else if *name == settings.superuser || *name == settings.replication {
            Some("the name belongs to a system user")
        } else if name.len() > MAX_IDENTIFIER {
            Some("the name is longer than the 63 bytes that PostgreSQL keeps")
        } else if name.is_empty() || is_reserved(name) || name.chars().any(char::is_control) {
            Some("PostgreSQL reserves the name, or cannot have it")
        } else {
            None
        }
    }

    /// Whether no source may define the name; adds a finding if so.
    fn is_reserved(&mut self, name: &str, origin: Origin, path: Option<String>) -> bool {
        let Some(why) = self.reservation(name) else { return false };
        let message = format!("role \"{name}\" of {} is left out: {why}", origin.words());
        self.findings.push(Finding { path, ..Finding::warning(message).remedy("use another name") });
        true
    }

    /// Adds a role; of two with the same name the one of the later origin is used.
    fn put(&mut self, role: Role, path: Option<String>) {
        let Some(known) = self.roles.get(&role.name) else {
            self.roles.insert(role.name.clone(), role);
            return;
        };
        let (stays, goes) =
            if role.origin >= known.origin { (role.origin, known.origin) } else { (known.origin, role.origin) };
        if stays != Origin::Team || goes != Origin::Team {
            let message =
                format!("role \"{}\" is defined twice: {} replace {}", role.name, stays.words(), goes.words());
            self.findings.push(Finding { path, ..Finding::warning(message).remedy("rename one of them") });
        }
        if role.origin >= known.origin {
            self.roles.insert(role.name.clone(), role);
        }
    }

    fn role(&self, name: &str, origin: Origin) -> Role {
        Role {
            name: name.into(),
            origin,
            attributes: Attributes::default(),
            member_of: BTreeSet::new(),
            admin: None,
            parameters: BTreeMap::new(),
            password: PasswordSource::None,
            secret: None,
            rotation: Rotation::Never,
            settings_of: None,
        }
    }

    fn secret(&self) -> SecretPlace {
        SecretPlace { namespace: self.sources.namespace.clone(), labels: BTreeMap::new() }
    }

    /// The namespace of a manifest role's Secret: that of `namespace.name` if `enable_cross_namespace_secret` is set.
    ///
    /// See [`users`](https://postgres-operator.readthedocs.io/en/latest/user/#manifest-roles).
    fn namespace_of(&self, name: &str) -> String {
        match name.split_once('.') {
            Some((namespace, _)) if self.sources.settings.cross_namespace_secrets => namespace.into(),
            _ => self.sources.namespace.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
