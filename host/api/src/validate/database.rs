//! Roles and databases of a manifest: the errors. A role or database that is only left out is reported where roles are
//! gathered, in `host/decide/src/role`.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_common::role::{Attributes, MAX_IDENTIFIER, is_identifier, is_username};
use serde_json::Value;

use super::{Rules, members};
use crate::field::member;
use crate::finding::Finding;
use crate::postgresql::{PreparedDatabase, role_names, with_defaults};
use crate::suggest::nearest_or;

/// The manifest's roles with their attributes, reserved names included.
pub fn users(spec: &Value, findings: &mut Vec<Finding>) -> BTreeMap<String, Attributes> {
    let mut users = BTreeMap::new();
    for (name, words) in members(&spec["users"]) {
        let path = member("spec.users", name);
        if !is_username(name) {
            let finding = Finding::error(format!("invalid username: {name:?}")).at(path);
            findings
                .push(finding.remedy("use lower case letters, digits, - and _, first and last a letter or a digit"));
            continue;
        }
        if name.len() > MAX_IDENTIFIER {
            findings.push(truncated(path, name));
            continue;
        }
        match Attributes::parse(words.as_array().into_iter().flatten().filter_map(Value::as_str)) {
            Ok(attributes) => drop(users.insert(name.clone(), attributes)),
            Err(error) => {
                let finding = Finding::error(format!("invalid flags for user {name:?}: {error}")).at(path);
                findings.push(finding.remedy(
                    "use superuser, inherit, login, nologin, createrole, createdb, replication, bypassrls, or no before one",
                ));
            }
        }
    }
    users
}

/// Checks names and owners of `spec.databases`.
pub fn check_databases(
    spec: &Value,
    users: &BTreeMap<String, Attributes>,
    prepared: &BTreeMap<String, PreparedDatabase>,
    rules: &Rules,
    findings: &mut Vec<Finding>,
) {
    let prepared_roles = usable_roles(prepared);
    let mut known: BTreeSet<&str> = users.keys().chain(&prepared_roles).map(String::as_str).collect();
    known.extend(rules.protected_roles.iter().chain(rules.other_roles.iter().flatten()).map(String::as_str));
    known.extend([rules.super_username.as_str(), rules.replication_username.as_str()]);
    for (name, owner) in members(&spec["databases"]) {
        let path = member("spec.databases", name);
        let Some(owner) = owner.as_str().filter(|_| is_identifier(name)) else { continue };
        if name.len() > MAX_IDENTIFIER {
            findings.push(truncated(path, name));
            continue;
        }
        // Roles of a teams API or of Secrets are not known here: gathering them checks the owner, too.
        if !known.contains(owner) && rules.other_roles.is_some() {
            let message = format!("the owner {owner:?} of database {name:?} is not defined");
            let remedy = nearest_or(owner, known.iter().copied(), &format!("add {owner} to spec.users"));
            findings.push(Finding::error(message).at(path).remedy(remedy));
        }
    }
}

/// The prepared databases with their defaults, names that cannot be used included. None if the section is missing.
pub fn prepared(spec: &Value, cluster: &str, findings: &mut Vec<Finding>) -> BTreeMap<String, PreparedDatabase> {
    let Some(section) = spec["preparedDatabases"].as_object() else { return BTreeMap::new() };
    let read = |(name, value): (&String, &Value)| Some((name.clone(), serde_json::from_value(value.clone()).ok()?));
    let databases = with_defaults(section.iter().filter_map(read).collect(), cluster);
    for role in usable_roles(&databases).iter().filter(|role| role.len() > MAX_IDENTIFIER) {
        findings.push(truncated("spec.preparedDatabases".to_owned(), role));
    }
    databases
}

/// The roles of the prepared databases and schemas whose names can be used.
fn usable_roles(databases: &BTreeMap<String, PreparedDatabase>) -> Vec<String> {
    let mut roles = Vec::new();
    for (name, database) in databases.iter().filter(|(name, _)| is_identifier(name)) {
        let mut database = database.clone();
        database.schemas.retain(|schema, _| is_identifier(schema));
        roles.extend(role_names(name, &database));
    }
    roles
}

fn truncated(path: String, name: &str) -> Finding {
    let over = name.len() - MAX_IDENTIFIER;
    Finding::error(format!("{name:?} is longer than {MAX_IDENTIFIER} bytes, which PostgreSQL would truncate"))
        .at(path)
        .remedy(format!("shorten it by {over}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_sql_would_quote_defines_no_roles() {
        let mut findings = Vec::new();
        let spec = json!({"preparedDatabases": {"foo-bar": {}, "ok": {"schemas": {"a-b": {}, "fine": {}}}}});
        let databases = prepared(&spec, "acid-x", &mut findings);
        assert_eq!(databases.keys().collect::<Vec<_>>(), ["foo-bar", "ok"]);
        let roles = usable_roles(&databases);
        assert!(roles.contains(&"ok_fine_owner".to_owned()), "{roles:?}");
        assert!(roles.iter().all(|role| !role.contains('-')), "{roles:?}");
        assert_eq!(findings, []);
    }
}
