//! Roles and databases of a manifest: the errors. A role or database that is only left out is reported where roles are
//! gathered, in `host/decide/src/role`.

use std::collections::BTreeMap;

use pgloom_common::role::{Attributes, MAX_IDENTIFIER, is_identifier, is_username};
use serde_json::Value;

use super::members;
use crate::field::member;
use crate::finding::Finding;
use crate::postgresql::{PreparedDatabase, role_names, with_defaults};

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

/// Checks the names of `spec.databases`. Their owners are checked where the roles of all sources are known.
pub fn check_databases(spec: &Value, findings: &mut Vec<Finding>) {
    for (name, _) in members(&spec["databases"]).filter(|(name, _)| is_identifier(name)) {
        if name.len() > MAX_IDENTIFIER {
            findings.push(truncated(member("spec.databases", name), name));
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
