//! The fields of the manifest that the plugin reads.

use pgloom_kit::container::DataVolume;
use pgloom_kit::metadata::Map;
use pgloom_kit::resources::Resources;
use pgloom_kit::{Value, fields, spec};

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        pub number_of_instances: i64 = "numberOfInstances",
        pub postgresql: Postgresql = "postgresql",
        pub patroni: Patroni = "patroni",
        pub volume: DataVolume = "volume",
        pub resources: Resources = "resources",
        pub docker_image: Option<String> = "dockerImage",

        pub enable_master_load_balancer: Option<bool> = "enableMasterLoadBalancer",
        pub enable_replica_load_balancer: Option<bool> = "enableReplicaLoadBalancer",
        pub use_load_balancer: Option<bool> = "useLoadBalancer",
        pub replica_load_balancer: Option<bool> = "replicaLoadBalancer",
        pub enable_master_node_port: Option<bool> = "enableMasterNodePort",
        pub enable_replica_node_port: Option<bool> = "enableReplicaNodePort",
        pub master_node_port: Option<u16> = "masterNodePort",
        pub replica_node_port: Option<u16> = "replicaNodePort",
        pub allowed_source_ranges: Vec<String> = "allowedSourceRanges",
        pub service_annotations: Map = "serviceAnnotations",
        pub master_service_annotations: Map = "masterServiceAnnotations",
        pub replica_service_annotations: Map = "replicaServiceAnnotations",

        pub pod_annotations: Map = "podAnnotations",
        pub pod_priority_class_name: Option<String> = "podPriorityClassName",
        pub old_pod_priority_class_name: Option<String> = "pod_priority_class_name",
        pub scheduler_name: Option<String> = "schedulerName",
        pub tolerations: Vec<Value> = "tolerations",
        pub node_affinity: Option<Value> = "nodeAffinity",
        pub topology_spread_constraints: Vec<Value> = "topologySpreadConstraints",
        pub enable_shm_volume: Option<bool> = "enableShmVolume",
        pub spilo_run_as_user: Option<i64> = "spiloRunAsUser",
        pub spilo_run_as_group: Option<i64> = "spiloRunAsGroup",
        pub spilo_fs_group: Option<i64> = "spiloFSGroup",
        pub liveness_probe: Value = "livenessProbe",

        pub env: Vec<Value> = "env",
        pub env_from: Vec<Value> = "envFrom",
        pub clone: Value = "clone",
        pub standby: Value = "standby",
    }
}

fields! {
    /// `spec.postgresql`.
    pub struct Postgresql {
        pub version: String = "version",
        pub parameters: Map = "parameters",
    }
}

fields! {
    /// `spec.patroni`. A number that is missing or 0 means Patroni's default.
    pub struct Patroni {
        pub initdb: Map = "initdb",
        pub pg_hba: Vec<String> = "pg_hba",
        pub ttl: Option<i64> = "ttl",
        pub loop_wait: Option<i64> = "loop_wait",
        pub retry_timeout: Option<i64> = "retry_timeout",
        pub maximum_lag_on_failover: Value = "maximum_lag_on_failover",
        pub slots: Value = "slots",
        pub synchronous_mode: Option<bool> = "synchronous_mode",
        pub synchronous_mode_strict: Option<bool> = "synchronous_mode_strict",
        pub synchronous_node_count: Option<i64> = "synchronous_node_count",
        pub failsafe_mode: Option<bool> = "failsafe_mode",
    }
}
