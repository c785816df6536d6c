//! Roles and databases of a manifest: what is wrong with them. What is merely left out is told by who gathers the roles.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::role::{Flag, is_identifier, is_name, normalised};
use super::{Rules, did_you_mean, members};
use crate::postgresql::{PreparedDatabase, PreparedSchema};
use crate::problem::{Problem, member};

/// The schema of a prepared database that names none.
const DEFAULT_SCHEMA: &str = "data";
/// PostgreSQL cuts longer names off.
const MAX_IDENTIFIER: usize = 63;

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
    let prepared_roles = prepared_roles(prepared);
    known.extend(prepared_roles.iter().map(String::as_str));
    known.extend(rules.protected_roles.iter().chain(rules.other_roles.iter().flatten()).map(String::as_str));
    known.extend([rules.super_username.as_str(), rules.replication_username.as_str()]);

    let mut databases = BTreeMap::new();
    for (name, owner) in members(&spec["databases"]) {
        let path = member("spec.databases", name);
        let Some(owner) = owner.as_str() else { continue };
        if !is_identifier(name) {
            continue;
        }
        if name.len() > MAX_IDENTIFIER {
            problems.push(cut(path, name));
            continue;
        }
        // With roles from elsewhere, only who reads them knows.
        if !known.contains(owner) && rules.other_roles.is_some() {
            let message = format!("the owner {owner:?} of database {name:?} is defined nowhere");
            let remedy = did_you_mean(owner, known.iter().copied(), &format!("add {owner} to spec.users"));
            problems.push(Problem::error(path, message).remedy(remedy));
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
        let Ok(mut database) = serde_json::from_value::<PreparedDatabase>(value.clone()) else { continue };
        if !is_identifier(name) {
            continue;
        }
        database = with_schema(database);
        database.schemas.retain(|schema, _| is_identifier(schema));
        databases.insert(name.clone(), database);
    }
    for role in prepared_roles(&databases).iter().filter(|role| role.len() > MAX_IDENTIFIER) {
        problems.push(cut("spec.preparedDatabases".to_owned(), role));
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

/// The names of the roles that prepared databases bring: owner, reader and writer of each database and schema, and their users.
fn prepared_roles(databases: &BTreeMap<String, PreparedDatabase>) -> Vec<String> {
    let mut roles = Vec::new();
    let mut add = |prefix: &str, users: bool| {
        for kind in ["owner", "reader", "writer"] {
            roles.push(format!("{prefix}_{kind}"));
            roles.extend(users.then(|| format!("{prefix}_{kind}_user")));
        }
    };
    for (name, database) in databases {
        add(name, database.default_users);
        for (schema, settings) in &database.schemas {
            if settings.default_roles != Some(false) {
                add(&format!("{name}_{schema}"), settings.default_users);
            }
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles(section: Value, cluster: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let databases = prepared(&json!({"preparedDatabases": section}), cluster, &mut problems);
        assert_eq!(problems, []);
        prepared_roles(&databases)
    }

    #[test]
    fn an_empty_section_means_one_database_called_like_the_cluster() {
        assert_eq!(
            roles(json!({}), "acid-test"),
            [
                "acid_test_owner",
                "acid_test_reader",
                "acid_test_writer",
                "acid_test_data_owner",
                "acid_test_data_reader",
                "acid_test_data_writer"
            ]
        );
    }

    #[test]
    fn users_come_where_they_are_asked_for() {
        let schemas = json!({"bar": {"defaultUsers": true}, "baz": {"defaultRoles": false, "defaultUsers": true}});
        assert_eq!(
            roles(json!({"foo": {"schemas": schemas}}), "acid-x"),
            [
                "foo_owner",
                "foo_reader",
                "foo_writer",
                "foo_bar_owner",
                "foo_bar_owner_user",
                "foo_bar_reader",
                "foo_bar_reader_user",
                "foo_bar_writer",
                "foo_bar_writer_user",
            ]
        );
        assert!(roles(json!({"foo": {"defaultUsers": true}}), "acid-x").contains(&"foo_reader_user".to_owned()));
    }

    #[test]
    fn a_name_that_sql_would_quote_is_left_out() {
        let mut problems = Vec::new();
        let spec = json!({"preparedDatabases": {"foo-bar": {}, "ok": {"schemas": {"a-b": {}, "fine": {}}}}});
        let databases = prepared(&spec, "acid-x", &mut problems);
        assert_eq!(databases.keys().collect::<Vec<_>>(), ["ok"]);
        assert_eq!(databases["ok"].schemas.keys().collect::<Vec<_>>(), ["fine"]);
        assert_eq!(problems, []);
    }
}
