//! Roles and databases of a manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::role::{Flag, is_identifier, is_name, normalised};
use super::{Rules, did_you_mean, members};
use crate::postgresql::{PreparedDatabase, PreparedSchema};
use crate::problem::{Problem, member};

/// A role of a prepared database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedRole {
    /// Its name, as in `foo_data_owner_user`.
    pub name: String,
    /// Whether it may log in, with a password and a Secret.
    pub login: bool,
    /// The role that it is a member of.
    pub member_of: Option<String>,
    /// The role that is its member, with the right to grant it.
    pub admin: String,
    /// The namespace of its Secret, if not the cluster's.
    pub secret_namespace: Option<String>,
}

/// The schema of a prepared database that names none.
const DEFAULT_SCHEMA: &str = "data";
/// PostgreSQL cuts longer names off.
const MAX_IDENTIFIER: usize = 63;
/// The role that may grant the owner of a prepared database.
const ADMIN: &str = "admin";

pub fn users(spec: &Value, rules: &Rules, problems: &mut Vec<Problem>) -> BTreeMap<String, Vec<Flag>> {
    let mut users = BTreeMap::new();
    for (name, flags) in members(&spec["users"]) {
        let path = member("spec.users", name);
        if !is_name(name) {
            let problem = Problem::error(path, format!("invalid username: {name:?}"));
            problems
                .push(problem.remedy("use lower case letters, digits, - and _, first and last a letter or a digit"));
            continue;
        }
        if name.len() > MAX_IDENTIFIER {
            problems.push(cut(path, name));
            continue;
        }
        if rules.reserves(name) {
            let problem = Problem::warning(path, format!("{name:?} is a system role or protected, and stays as it is"));
            problems.push(problem.remedy("choose another name, or remove it here"));
            continue;
        }
        let words = flags.as_array().into_iter().flatten().filter_map(Value::as_str);
        match normalised(words) {
            Ok(flags) => drop(users.insert(name.clone(), flags)),
            Err(error) => {
                let problem = Problem::error(path, format!("invalid flags for user {name:?}: {error}"));
                problems.push(problem.remedy(
                    "use superuser, inherit, login, nologin, createrole, createdb, replication, bypassrls, or no before one",
                ));
            }
        }
    }
    users
}

pub fn databases(
    spec: &Value,
    users: &BTreeMap<String, Vec<Flag>>,
    prepared: &BTreeMap<String, PreparedDatabase>,
    rules: &Rules,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut known: BTreeSet<&str> = users.keys().map(String::as_str).collect();
    let prepared_names: Vec<_> = prepared_roles(prepared).into_iter().map(|role| role.name).collect();
    known.extend(prepared_names.iter().map(String::as_str));
    known.extend(rules.protected_roles.iter().chain(rules.other_roles.iter().flatten()).map(String::as_str));
    known.extend([rules.super_username.as_str(), rules.replication_username.as_str()]);

    let mut databases = BTreeMap::new();
    for (name, owner) in members(&spec["databases"]) {
        let path = member("spec.databases", name);
        let Some(owner) = owner.as_str() else { continue };
        if !is_identifier(name) {
            problems.push(skipped(path, "database", name));
            continue;
        }
        if name.len() > MAX_IDENTIFIER {
            problems.push(cut(path, name));
            continue;
        }
        if !known.contains(owner) {
            let message = format!("the owner {owner:?} of database {name:?} is defined nowhere");
            let remedy = did_you_mean(owner, known.iter().copied(), &format!("add {owner} to spec.users"));
            let elsewhere = rules.other_roles.is_none();
            let problem = if elsewhere { Problem::warning(path, message) } else { Problem::error(path, message) };
            problems.push(problem.remedy(remedy));
        }
        databases.insert(name.clone(), owner.to_owned());
    }
    databases
}

pub fn prepared(spec: &Value, cluster: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, PreparedDatabase> {
    let Some(section) = spec["preparedDatabases"].as_object() else { return BTreeMap::new() };
    let mut databases = BTreeMap::new();
    if section.is_empty() {
        databases.insert(cluster.replace('-', "_"), with_schema(PreparedDatabase::default()));
    }
    for (name, value) in section {
        let path = member("spec.preparedDatabases", name);
        let Ok(mut database) = serde_json::from_value::<PreparedDatabase>(value.clone()) else { continue };
        if !is_identifier(name) {
            problems.push(skipped(path, "database", name));
            continue;
        }
        for schema in database.schemas.keys().filter(|schema| !is_identifier(schema)) {
            problems.push(skipped(member(&format!("{path}.schemas"), schema), "schema", schema));
        }
        database = with_schema(database);
        database.schemas.retain(|schema, _| is_identifier(schema));
        databases.insert(name.clone(), database);
    }
    for role in prepared_roles(&databases).iter().filter(|role| role.name.len() > MAX_IDENTIFIER) {
        problems.push(cut("spec.preparedDatabases".to_owned(), &role.name));
    }
    databases
}

fn with_schema(mut database: PreparedDatabase) -> PreparedDatabase {
    if database.schemas.is_empty() {
        database.schemas.insert(DEFAULT_SCHEMA.to_owned(), PreparedSchema::default());
    }
    database
}

fn cut(path: String, name: &str) -> Problem {
    let over = name.len() - MAX_IDENTIFIER;
    Problem::error(path, format!("{name:?} is longer than {MAX_IDENTIFIER} bytes, which PostgreSQL would cut off"))
        .remedy(format!("shorten it by {over}"))
}

/// Upstream leaves such a name out silently; a running cluster is not stopped for it, but its user is told.
fn skipped(path: String, what: &str, name: &str) -> Problem {
    Problem::warning(path, format!("{what} {name:?} is left out: its name would need quotes in SQL"))
        .remedy("use letters, digits and _, first no digit")
}

/// The roles that prepared databases bring: owner, reader and writer of each database and schema, and their users.
#[must_use]
pub fn prepared_roles(databases: &BTreeMap<String, PreparedDatabase>) -> Vec<PreparedRole> {
    let mut roles = Vec::new();
    for (name, database) in databases {
        let owner = format!("{name}_owner");
        let mut trio = Trio { prefix: name, owner_admin: ADMIN, admin: &owner, users: database.default_users };
        trio.add(database, &mut roles);
        for (schema, settings) in &database.schemas {
            if settings.default_roles != Some(false) {
                let prefix = format!("{name}_{schema}");
                let schema_owner = format!("{prefix}_owner");
                trio =
                    Trio { prefix: &prefix, owner_admin: &owner, admin: &schema_owner, users: settings.default_users };
                trio.add(database, &mut roles);
            }
        }
    }
    roles
}

/// Owner, reader and writer of a database or a schema.
struct Trio<'a> {
    prefix: &'a str,
    owner_admin: &'a str,
    admin: &'a str,
    users: bool,
}

impl Trio<'_> {
    fn add(&self, database: &PreparedDatabase, roles: &mut Vec<PreparedRole>) {
        let kinds =
            [("owner", self.owner_admin, None), ("reader", self.admin, None), ("writer", self.admin, Some("reader"))];
        for (kind, admin, member_of) in kinds {
            roles.push(PreparedRole {
                name: format!("{}_{kind}", self.prefix),
                login: false,
                member_of: member_of.map(|role| format!("{}_{role}", self.prefix)),
                admin: admin.to_owned(),
                secret_namespace: None,
            });
        }
        for (kind, admin, _) in kinds.iter().filter(|_| self.users) {
            roles.push(PreparedRole {
                name: format!("{}_{kind}_user", self.prefix),
                login: true,
                member_of: Some(format!("{}_{kind}", self.prefix)),
                admin: (*admin).to_owned(),
                secret_namespace: database.secret_namespace.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles(section: Value, cluster: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let databases = prepared(&json!({"preparedDatabases": section}), cluster, &mut problems);
        assert_eq!(problems, []);
        let line = |role: PreparedRole| {
            let login = if role.login { " login" } else { "" };
            let member_of = role.member_of.map(|role| format!(" in {role}")).unwrap_or_default();
            format!("{}{login}{member_of} admin {}", role.name, role.admin)
        };
        prepared_roles(&databases).into_iter().map(line).collect()
    }

    #[test]
    fn an_empty_section_means_one_database_called_like_the_cluster() {
        assert_eq!(
            roles(json!({}), "acid-test"),
            [
                "acid_test_owner admin admin",
                "acid_test_reader admin acid_test_owner",
                "acid_test_writer in acid_test_reader admin acid_test_owner",
                "acid_test_data_owner admin acid_test_owner",
                "acid_test_data_reader admin acid_test_data_owner",
                "acid_test_data_writer in acid_test_data_reader admin acid_test_data_owner",
            ]
        );
    }

    #[test]
    fn users_come_where_they_are_asked_for() {
        assert_eq!(
            roles(
                json!({"foo": {"defaultUsers": true, "schemas": {"bar": {"defaultUsers": true}, "baz": {"defaultRoles": false, "defaultUsers": true}}}}),
                "acid-x"
            ),
            [
                "foo_owner admin admin",
                "foo_reader admin foo_owner",
                "foo_writer in foo_reader admin foo_owner",
                "foo_owner_user login in foo_owner admin admin",
                "foo_reader_user login in foo_reader admin foo_owner",
                "foo_writer_user login in foo_writer admin foo_owner",
                "foo_bar_owner admin foo_owner",
                "foo_bar_reader admin foo_bar_owner",
                "foo_bar_writer in foo_bar_reader admin foo_bar_owner",
                "foo_bar_owner_user login in foo_bar_owner admin foo_owner",
                "foo_bar_reader_user login in foo_bar_reader admin foo_bar_owner",
                "foo_bar_writer_user login in foo_bar_writer admin foo_bar_owner",
            ]
        );
    }

    #[test]
    fn a_name_that_sql_would_quote_is_left_out_and_said() {
        let mut problems = Vec::new();
        let spec = json!({"preparedDatabases": {"foo-bar": {}, "ok": {"schemas": {"a-b": {}, "fine": {}}}}});
        let databases = prepared(&spec, "acid-x", &mut problems);
        assert_eq!(databases.keys().collect::<Vec<_>>(), ["ok"]);
        assert_eq!(databases["ok"].schemas.keys().collect::<Vec<_>>(), ["fine"]);
        let said: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(said, ["spec.preparedDatabases.foo-bar", "spec.preparedDatabases.ok.schemas.a-b"]);
        assert!(!problems.iter().any(Problem::is_error));
    }
}
