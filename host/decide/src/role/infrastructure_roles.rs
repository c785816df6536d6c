//! Infrastructure roles: the same on every cluster, read from operator-wide Secrets and ConfigMaps. See
//! [infrastructure roles](https://postgres-operator.readthedocs.io/en/latest/user/#infrastructure-roles).

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_common::role::{self, is_username};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Attributes;
use crate::credential::Password;

/// How the roles of one Secret are read: an entry of `infrastructure_roles_secrets`, or the meaning of
/// `infrastructure_roles_secret_name` ([`Definition::numbered`]).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Definition {
    /// The Secret, as `name` or `namespace/name`. A ConfigMap of the same name may describe the roles further.
    #[serde(rename = "secretname")]
    pub secret: String,
    /// The key that holds the role's name.
    #[serde(rename = "userkey")]
    pub user_key: String,
    /// The key that holds the role's password.
    #[serde(rename = "passwordkey")]
    pub password_key: String,
    /// The key that holds the name of the role that it is a member of.
    #[serde(rename = "rolekey")]
    pub role_key: String,
    /// The role's name if the Secret has no such key.
    #[serde(rename = "defaultuservalue")]
    pub default_user: String,
    /// The name of the role that it is a member of if the Secret has no such key.
    #[serde(rename = "defaultrolevalue")]
    pub default_role: String,
    /// Options, memberships and settings as YAML, as in the ConfigMap.
    pub details: String,
    /// Whether the keys are numbered, as in `user1`, `user2`.
    #[serde(deserialize_with = "flag")]
    pub template: bool,
}

impl Definition {
    /// The keys of the Secret of `infrastructure_roles_secret_name`: `user1`, `password1`, `inrole1`, `user2`, …
    #[must_use]
    pub fn numbered(secret: &str) -> Self {
        Self {
            secret: secret.into(),
            user_key: "user".into(),
            password_key: "password".into(),
            role_key: "inrole".into(),
            template: true,
            ..Self::default()
        }
    }

    /// The namespace and the name of the Secret; `own` is the operator's namespace.
    #[must_use]
    pub fn place<'a>(&'a self, own: &'a str) -> (&'a str, &'a str) {
        self.secret.split_once('/').unwrap_or((own, &self.secret))
    }

    fn names_a_secret(&self) -> bool {
        !self.place("").1.is_empty()
    }
}

/// The definitions of the configuration: each entry of `infrastructure_roles_secrets`, then
/// `infrastructure_roles_secret_name`. Of two roles with one name the last is used, as by the Zalando operator. An entry
/// that names no Secret was reported when the configuration was read.
pub fn definitions(config: &Config) -> Vec<Definition> {
    let numbered =
        Some(config.text("infrastructure_roles_secret_name")).filter(|name| !name.is_empty()).map(Definition::numbered);
    let listed = config.values()["infrastructure_roles_secrets"].as_array().into_iter().flatten();
    let listed = listed.filter_map(|entry| serde_json::from_value(entry.clone()).ok());
    listed.chain(numbered).filter(Definition::names_a_secret).collect()
}

/// A definition with the data of its Secret and ConfigMap. It has no `Debug`, because it contains passwords.
#[derive(Clone, Default)]
pub struct Source {
    /// The definition.
    pub definition: Definition,
    /// The Secret's data; `None` if there is no such Secret.
    pub secret: Option<BTreeMap<String, Vec<u8>>>,
    /// The data of the ConfigMap of the same name, if there is one.
    pub details: Option<BTreeMap<String, String>>,
}

/// A role that every cluster has.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct InfrastructureRole {
    /// The name of the role.
    pub name: String,
    /// The password.
    pub password: Password,
    /// The attributes.
    pub attributes: Attributes,
    /// The names of the roles that it is a member of.
    pub member_of: BTreeSet<String>,
    /// The role that becomes a member of this one, with admin option, when this one is created.
    pub admin: Option<String>,
    /// Settings for its sessions.
    pub parameters: BTreeMap<String, String>,
}

/// A ConfigMap's entry about a role.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    inrole: Option<Vec<String>>,
    user_flags: Option<Vec<String>>,
    db_parameters: Option<BTreeMap<String, Value>>,
    admin_role: Option<String>,
}

/// Reads the roles of all sources, each name once. An invalid entry is left out with a warning, because it must not stop
/// every cluster.
#[must_use]
pub fn read(sources: &[Source]) -> (Vec<InfrastructureRole>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut roles: Vec<(InfrastructureRole, &str)> = Vec::new();
    for source in sources {
        let secret = source.definition.secret.as_str();
        for role in read_one(source, &mut findings) {
            if let Some(known) = roles.iter().position(|(known, _)| known.name == role.name) {
                findings.push(twice(&role.name, roles.remove(known).1, secret));
            }
            roles.push((role, secret));
        }
    }
    (roles.into_iter().map(|(role, _)| role).collect(), findings)
}

/// The finding about a role that two definitions have.
fn twice(name: &str, before: &str, last: &str) -> Finding {
    let places = match before == last {
        true => format!("by Secret {last} and the ConfigMap of its name, and the last definition is used"),
        false => format!("by Secret {before} and by Secret {last}, which is used"),
    };
    let message = format!("infrastructure role \"{name}\" is defined twice: {places}");
    Finding::warning(message).remedy("take it out of one of them")
}

fn read_one(source: &Source, findings: &mut Vec<Finding>) -> Vec<InfrastructureRole> {
    let definition = &source.definition;
    let Some(secret) = &source.secret else {
        let message = format!("there is no Secret {} for infrastructure roles", definition.secret);
        findings.push(
            Finding::warning(message).remedy(
                "create it, or take it out of infrastructure_roles_secret_name and infrastructure_roles_secrets",
            ),
        );
        return Vec::new();
    };
    let mut reader = Reader {
        definition,
        rest: secret.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect(),
        findings,
    };
    let mut roles = if definition.template { reader.numbered() } else { reader.single() };
    roles.extend(reader.detailed(source.details.as_ref()));
    reader.report_rest();
    roles
}

struct Reader<'a> {
    definition: &'a Definition,
    /// The keys of the Secret that have not been used yet.
    rest: BTreeMap<&'a str, &'a [u8]>,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    /// `user1`, `password1`, `inrole1`, … up to the first missing `userN`.
    fn numbered(&mut self) -> Vec<InfrastructureRole> {
        let mut roles = Vec::new();
        for number in 1_u32.. {
            let key = |name: &str| format!("{name}{number}");
            let Some(name) = self.take(&key(&self.definition.user_key)) else { break };
            let password = self.take(&key(&self.definition.password_key));
            let member_of = self.take(&key(&self.definition.role_key));
            if name.is_empty() {
                continue;
            }
            roles.extend(self.role(name, password, member_of, Details::default()));
        }
        roles
    }

    /// One role under fixed keys.
    fn single(&mut self) -> Vec<InfrastructureRole> {
        let definition = self.definition;
        let or = |value: Option<String>, default: &String| {
            value.filter(|value| !value.is_empty()).unwrap_or_else(|| default.clone())
        };
        let name = or(self.take(&definition.user_key), &definition.default_user);
        let password = self.take(&definition.password_key);
        let member_of = or(self.take(&definition.role_key), &definition.default_role);
        if name.is_empty() {
            self.warn(
                format!("has no key \"{}\" for the name of an infrastructure role", definition.user_key),
                "add the key, or set defaultuservalue",
            );
            return Vec::new();
        }
        let Some(details) = self.details(&name, &definition.details) else { return Vec::new() };
        self.role(name, password, Some(member_of), details).into_iter().collect()
    }

    /// Roles that the ConfigMap describes and whose passwords are in the Secret.
    fn detailed(&mut self, details: Option<&BTreeMap<String, String>>) -> Vec<InfrastructureRole> {
        let mut roles = Vec::new();
        for (name, text) in details.into_iter().flatten() {
            let password = self.take(name);
            let Some(details) = self.details(name, text) else { continue };
            roles.extend(self.role(name.clone(), password, None, details));
        }
        roles
    }

    fn role(
        &mut self,
        name: String,
        password: Option<String>,
        member_of: Option<String>,
        details: Details,
    ) -> Option<InfrastructureRole> {
        let Some(password) = password.filter(|password| !password.is_empty()) else {
            self.warn(
                format!("has no password in UTF-8 for infrastructure role \"{name}\", which is left out"),
                "add the password",
            );
            return None;
        };
        if !is_username(&name) {
            self.warn(
                format!("names an infrastructure role \"{name}\", which cannot be used"),
                "use lower case letters, digits, '-', '_' and '.'",
            );
            return None;
        }
        let attributes = match Attributes::parse(details.user_flags.unwrap_or_default()) {
            Ok(attributes) => attributes,
            Err(error) => {
                self.warn_attributes(&name, &error);
                return None;
            }
        };
        let member_of = member_of.into_iter().chain(details.inrole.unwrap_or_default());
        Some(InfrastructureRole {
            password: Password::new(password),
            attributes,
            member_of: member_of.filter(|role| !role.is_empty()).collect(),
            admin: details.admin_role.filter(|role| !role.is_empty()),
            parameters: details.db_parameters.into_iter().flatten().map(|(key, value)| (key, plain(&value))).collect(),
            name,
        })
    }

    fn details(&mut self, name: &str, text: &str) -> Option<Details> {
        if text.trim().is_empty() {
            return Some(Details::default());
        }
        match serde_yaml_ng::from_str::<Option<Details>>(text) {
            Ok(details) => Some(details.unwrap_or_default()),
            Err(error) => {
                self.warn(
                    format!("describes infrastructure role \"{name}\" in a way that cannot be read: {error}"),
                    "write YAML with inrole, user_flags, db_parameters and admin_role",
                );
                None
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<String> {
        String::from_utf8(self.rest.remove(key)?.to_vec()).ok()
    }

    fn report_rest(&mut self) {
        let count = self.rest.len();
        if count > 0 {
            self.warn(
                format!("has {count} keys that say nothing about infrastructure roles"),
                "number old-style keys from 1 without a gap; describe other roles in the ConfigMap of the same name",
            );
        }
    }

    fn warn(&mut self, what: String, remedy: &str) {
        let message = format!("Secret {} {what}", self.definition.secret);
        self.findings.push(Finding::warning(message).remedy(remedy));
    }

    fn warn_attributes(&mut self, name: &str, error: &role::Error) {
        self.warn(
            format!("gives infrastructure role \"{name}\" options that cannot be used: {error}"),
            "use the options of the manifest's users",
        );
    }
}

/// A boolean, or a string that holds one, as in the ConfigMap form of the configuration.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value == true || value == "true")
}

/// The text of a setting, as PostgreSQL parses it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
