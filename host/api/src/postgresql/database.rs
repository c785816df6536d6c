//! Databases that come with schemas, extensions and roles.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema of a prepared database that names none.
const DEFAULT_SCHEMA: &str = "data";

/// A database with roles `{name}_owner`, `{name}_writer` and `{name}_reader`, none of which may log in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreparedDatabase {
    /// Whether each of the roles has a login role as a member: `{name}_owner_user` and so on. Default: `false`.
    /// Example: `true`.
    #[serde(default)]
    pub default_users: bool,
    /// Extensions and the schemas that they are created in. Default: none. Example: `pgcrypto: public`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// Schemas. Default: one that is called `data`. Example: `data: {}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, PreparedSchema>,
    /// The namespace of the Secrets of its users. Default: that of the cluster. Example: `appspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_namespace: Option<String>,
}

/// A schema with roles `{database}_{name}_owner`, `{database}_{name}_writer` and `{database}_{name}_reader`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreparedSchema {
    /// Whether the schema has its own roles; else the roles of the database own it. Default: `true`. Example: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_roles: Option<bool>,
    /// Whether each of these roles has a login role as a member. Default: `false`. Example: `true`.
    #[serde(default)]
    pub default_users: bool,
}

impl PreparedSchema {
    /// Whether the schema has an owner, a reader and a writer of its own.
    #[must_use]
    pub fn has_own_roles(&self) -> bool {
        self.default_roles != Some(false)
    }
}

/// `spec.preparedDatabases` with its defaults: an empty section means one database with the cluster's name, `_` for
/// `-`, and a database without schemas has the schema `data`.
#[must_use]
pub fn with_defaults(section: BTreeMap<String, PreparedDatabase>, cluster: &str) -> BTreeMap<String, PreparedDatabase> {
    let mut databases = section;
    if databases.is_empty() {
        databases.insert(cluster.replace('-', "_"), PreparedDatabase::default());
    }
    for database in databases.values_mut().filter(|database| database.schemas.is_empty()) {
        database.schemas.insert(DEFAULT_SCHEMA.to_owned(), PreparedSchema::default());
    }
    databases
}

/// The owner of a prepared database `foo`, or of its schema `bar` by `foo_bar`.
#[must_use]
pub fn owner_of(prefix: &str) -> String {
    format!("{prefix}_owner")
}

/// The role that reads a prepared database `foo`, or its schema `bar` by `foo_bar`.
#[must_use]
pub fn reader_of(prefix: &str) -> String {
    format!("{prefix}_reader")
}

/// The role that writes to a prepared database `foo`, or to its schema `bar` by `foo_bar`.
#[must_use]
pub fn writer_of(prefix: &str) -> String {
    format!("{prefix}_writer")
}

/// The login role that is a member of a role of a prepared database.
#[must_use]
pub fn user_of(role: &str) -> String {
    format!("{role}_user")
}

/// The names of the roles that a prepared database brings: owner, reader and writer of itself and of its schemas, and
/// their login roles.
#[must_use]
pub fn role_names(name: &str, database: &PreparedDatabase) -> Vec<String> {
    let mut prefixes = vec![(name.to_owned(), database.default_users)];
    let own = database.schemas.iter().filter(|(_, schema)| schema.has_own_roles());
    prefixes.extend(own.map(|(schema, settings)| (format!("{name}_{schema}"), settings.default_users)));
    let mut roles = Vec::new();
    for (prefix, users) in prefixes {
        for role in [owner_of(&prefix), reader_of(&prefix), writer_of(&prefix)] {
            let user = users.then(|| user_of(&role));
            roles.push(role);
            roles.extend(user);
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn roles(section: Value, cluster: &str) -> Vec<String> {
        let databases = with_defaults(serde_json::from_value(section).unwrap(), cluster);
        databases.iter().flat_map(|(name, database)| role_names(name, database)).collect()
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
    fn login_roles_come_where_they_are_requested() {
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
}
