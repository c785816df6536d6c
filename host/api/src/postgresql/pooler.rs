//! The connection pooler, `spec.connectionPooler`: [PgBouncer](https://www.pgbouncer.org/config.html).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Resources, alias};

/// The connection pooler. What is not given is `connection_pooler_*` of the operator configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = alias::rules(Some("connectionPooler"))))]
pub struct ConnectionPooler {
    /// How many pods pool connections. Default: `2`. Example: `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub number_of_instances: Option<i32>,
    /// The older name of `numberOfInstances`.
    #[serde(default, rename = "number_of_instances", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub number_of_instances_old: Option<i32>,
    /// The schema that holds the function by which the pooler looks up passwords, in every database. Default: `pooler`.
    /// Example: `pooler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The role that the pooler logs in with. Not the superuser and no system role. Default: `pooler`. Example:
    /// `pooler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `pool_mode` of PgBouncer: whether a server connection is released after each `session` or each `transaction`.
    /// Default: `transaction`. Example: `session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["session", "transaction"]))]
    pub mode: Option<String>,
    /// The image of the pooler. Default: `connection_pooler_image` of the operator configuration. Example:
    /// `ghcr.io/zalando/postgres-operator/pgbouncer:v2.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,
    /// The most server connections to one database, of all pods together. Default: `60`. Example: `60`.
    #[serde(default, rename = "maxDBConnections", skip_serializing_if = "Option::is_none")]
    pub max_db_connections: Option<i32>,
    /// What each pod requests and may use at most. PgBouncer uses one core; more pods serve better than more cores.
    /// Default: `connection_pooler_default_*` of the operator configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}
