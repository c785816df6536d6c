//! Databases that come with schemas, extensions and roles.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database with roles `{name}_owner`, `{name}_writer` and `{name}_reader`, none of which may log in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreparedDatabase {
    /// Whether each of the roles gets one that may log in: `{name}_owner_user` and so on. Default: `false`. Example: `true`.
    #[serde(default)]
    pub default_users: bool,
    /// Extensions and the schemas that they go to. Default: none. Example: `pgcrypto: public`.
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
    /// Whether the schema has roles of its own; else it belongs to those of the database. Default: `true`. Example: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_roles: Option<bool>,
    /// Whether each of these roles gets one that may log in. Default: `false`. Example: `true`.
    #[serde(default)]
    pub default_users: bool,
}
