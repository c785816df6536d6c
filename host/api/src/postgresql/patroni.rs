//! Settings of Patroni, `spec.patroni`. See
//! [Patroni's dynamic configuration](https://patroni.readthedocs.io/en/latest/dynamic_configuration.html).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Patroni, which keeps the cluster available. `0` and `false` count as not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Patroni {
    /// Options of `initdb` for a new cluster; `"true"` for one that takes no value. Default: those of the image.
    /// Example: `data-checksums: "true"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub initdb: BTreeMap<String, String>,
    /// The lines of `pg_hba.conf`, in place of all lines of the image. Default: those of the image. Example:
    /// `["hostssl all all 0.0.0.0/0 md5"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pg_hba: Vec<String>,
    /// The seconds after which the leader's lock expires unless the leader renews it. Default: `30`. Example: `30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl: Option<i32>,
    /// The seconds between two runs of Patroni's loop. Default: `10`. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub loop_wait: Option<i32>,
    /// For how many seconds calls to Kubernetes and PostgreSQL are repeated. Default: `10`. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retry_timeout: Option<i32>,
    /// How many bytes a replica may be behind and still become the leader. A negative number counts as not given.
    /// Default: `33554432`. Example: `33554432`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_lag_on_failover: Option<i64>,
    /// Permanent replication slots and their settings; a switchover keeps them. Default: none. Example:
    /// `permanent_physical_1: {type: physical}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether a commit waits for a replica. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous_mode: Option<bool>,
    /// Whether the leader refuses to write while no replica can follow at once. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous_mode_strict: Option<bool>,
    /// How many replicas a commit waits for. Default: `1`. Example: `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub synchronous_node_count: Option<i32>,
    /// Whether the leader stays while Kubernetes does not answer but all members do. Default:
    /// `enable_patroni_failsafe_mode` of the operator configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failsafe_mode: Option<bool>,
}
