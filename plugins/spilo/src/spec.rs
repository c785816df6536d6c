//! What the plugin reads of the manifest.

use std::collections::BTreeMap;

use pgloom_kit::Value;
use pgloom_kit::container::DataVolume;
use pgloom_kit::metadata::Map;
use pgloom_kit::nullable::or_default;
use pgloom_kit::resources::Resources;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    pub number_of_instances: i64,
    pub postgresql: Postgresql,
    #[serde(default, deserialize_with = "or_default")]
    pub patroni: Patroni,
    #[serde(default, deserialize_with = "or_default")]
    pub volume: DataVolume,
    #[serde(default, deserialize_with = "or_default")]
    pub resources: Resources,
    pub docker_image: Option<String>,

    pub enable_master_load_balancer: Option<bool>,
    pub enable_replica_load_balancer: Option<bool>,
    pub use_load_balancer: Option<bool>,
    pub replica_load_balancer: Option<bool>,
    pub enable_master_node_port: Option<bool>,
    pub enable_replica_node_port: Option<bool>,
    pub master_node_port: Option<u16>,
    pub replica_node_port: Option<u16>,
    #[serde(default, deserialize_with = "or_default")]
    pub allowed_source_ranges: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub service_annotations: Map,
    #[serde(default, deserialize_with = "or_default")]
    pub master_service_annotations: Map,
    #[serde(default, deserialize_with = "or_default")]
    pub replica_service_annotations: Map,

    #[serde(default, deserialize_with = "or_default")]
    pub pod_annotations: Map,
    pub pod_priority_class_name: Option<String>,
    #[serde(rename = "pod_priority_class_name")]
    pub old_pod_priority_class_name: Option<String>,
    pub scheduler_name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub tolerations: Vec<Value>,
    pub node_affinity: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub topology_spread_constraints: Vec<Value>,
    pub enable_shm_volume: Option<bool>,
    pub spilo_run_as_user: Option<i64>,
    pub spilo_run_as_group: Option<i64>,
    #[serde(rename = "spiloFSGroup")]
    pub spilo_fs_group: Option<i64>,
    pub liveness_probe: Option<Value>,

    #[serde(default, deserialize_with = "or_default")]
    pub env: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub env_from: Vec<Value>,
    pub clone: Option<CloneSection>,
    pub standby: Option<StandbySection>,
}

#[derive(Deserialize)]
pub struct Postgresql {
    pub version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub parameters: Map,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Patroni {
    #[serde(deserialize_with = "or_default")]
    pub initdb: Map,
    #[serde(deserialize_with = "or_default")]
    pub pg_hba: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub ttl: u32,
    #[serde(deserialize_with = "or_default")]
    pub loop_wait: u32,
    #[serde(deserialize_with = "or_default")]
    pub retry_timeout: u32,
    #[serde(deserialize_with = "or_default")]
    pub maximum_lag_on_failover: f32,
    #[serde(deserialize_with = "or_default")]
    pub slots: BTreeMap<String, Map>,
    #[serde(deserialize_with = "or_default")]
    pub synchronous_mode: bool,
    #[serde(deserialize_with = "or_default")]
    pub synchronous_mode_strict: bool,
    #[serde(deserialize_with = "or_default")]
    pub synchronous_node_count: u32,
    pub failsafe_mode: Option<bool>,
}

/// What of `clone` concerns the database's pod.
#[derive(Deserialize)]
pub struct CloneSection {
    #[serde(default, deserialize_with = "or_default")]
    pub cluster: String,
}

/// What of `standby` concerns the database's pod: that it is there.
#[derive(Deserialize)]
pub struct StandbySection {}
