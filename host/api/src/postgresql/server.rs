//! The PostgreSQL server: `spec.postgresql`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern;

/// Which PostgreSQL runs, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PostgresqlParams {
    /// The major version, in quotes. The image decides which versions it can run. Example: `"17"`.
    #[schemars(regex(pattern = pattern::VERSION))]
    pub version: String,
    /// Settings of PostgreSQL, values in quotes. Default: those of the image. Example: `max_connections: "100"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}
