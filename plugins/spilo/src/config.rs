//! What the plugin reads of the operator configuration.

use pgloom_kit::metadata::{Map, Metadata};
use pgloom_kit::pod::Pods;
use pgloom_kit::resources::{Bounds, PodResources};
use pgloom_kit::service::Services;
use pgloom_kit::{container::Shared, operator_config, operator_config_groups};

operator_config_groups! {
    /// All keys, by topic.
    pub struct Config {
        pub metadata: Metadata,
        pub pods: Pods,
        pub services: Services,
        pub resources: PodResources,
        pub shared: Shared,
        pub bounds: ResourceBounds,
        pub exposure: Exposed,
        pub scale: Scale,
        pub pod: DatabasePod,
        pub access: Access,
        pub archive: Archive,
    }
}

operator_config! {
    /// What the platform allows the database's container.
    pub struct ResourceBounds {
        pub min_cpu_limit: String,
        pub min_memory_limit: String,
        pub max_cpu_request: String,
        pub max_memory_request: String,
        /// Clusters whose annotation of this name is `true` are free of these bounds.
        pub ignore_resources_limits_annotation_key: String,
    }
}

impl ResourceBounds {
    pub fn of(&self, annotations: &Map) -> Bounds<'_> {
        if is_true(annotations, &self.ignore_resources_limits_annotation_key) {
            return Bounds::default();
        }
        Bounds {
            min_cpu_limit: &self.min_cpu_limit,
            min_memory_limit: &self.min_memory_limit,
            max_cpu_request: &self.max_cpu_request,
            max_memory_request: &self.max_memory_request,
        }
    }
}

operator_config! {
    /// How the Services are reached where the manifest says nothing, and the names that earlier releases gave them.
    pub struct Exposed {
        pub enable_master_load_balancer: bool,
        pub enable_replica_load_balancer: bool,
        pub enable_master_node_port: bool,
        pub enable_replica_node_port: bool,
        pub master_legacy_dns_name_format: String,
        pub replica_legacy_dns_name_format: String,
    }
}

operator_config! {
    /// How many members a cluster has, and how they come, go and are protected.
    pub struct Scale {
        pub min_instances: i64,
        pub max_instances: i64,
        /// Clusters whose annotation of this name is `true` are free of these bounds.
        pub ignore_instance_limits_annotation_key: String,
        pub pod_management_policy: String,
        pub persistent_volume_claim_retention_policy: Map,
        /// Regular expressions: annotations of the manifest that the StatefulSet carries too.
        pub downscaler_annotations: Vec<String>,
        pub enable_pod_disruption_budget: bool,
        pub pdb_master_label_selector: bool,
        pub pdb_name_format: String,
    }
}

impl Scale {
    pub fn is_bounded(&self, annotations: &Map) -> bool {
        !is_true(annotations, &self.ignore_instance_limits_annotation_key)
    }
}

operator_config! {
    /// What a database pod is made of.
    pub struct DatabasePod {
        pub docker_image: String,
        pub enable_shm_volume: Option<bool>,
        pub pod_priority_class_name: String,
        pub enable_pod_antiaffinity: bool,
        pub pod_antiaffinity_topology_key: String,
        pub pod_antiaffinity_preferred_during_scheduling: bool,
        pub spilo_runasuser: Option<i64>,
        pub spilo_runasgroup: Option<i64>,
        pub spilo_fsgroup: Option<i64>,
        pub spilo_privileged: bool,
        pub spilo_allow_privilege_escalation: bool,
        pub additional_pod_capabilities: Vec<String>,
        pub enable_readiness_probe: bool,
        pub kube_iam_role: String,
        pub pod_environment_configmap: String,
        pub pod_environment_secret: String,
    }
}

operator_config! {
    /// Who may do what in the database, and where the members agree on their leader.
    pub struct Access {
        pub super_username: String,
        pub replication_username: String,
        pub secret_name_template: String,
        pub pam_configuration: String,
        pub pam_role_name: String,
        pub etcd_host: String,
        pub kubernetes_use_configmaps: bool,
        pub enable_pgversion_env_var: bool,
        pub enable_spilo_wal_path_compat: bool,
        pub enable_patroni_failsafe_mode: bool,
    }
}

impl Access {
    /// Whether the leader lock is in a ConfigMap: then nobody but Kubernetes writes the leader's endpoints.
    pub fn uses_config_maps(&self) -> bool {
        self.etcd_host.is_empty() && self.kubernetes_use_configmaps
    }
}

operator_config! {
    /// Where write-ahead logs and server logs are kept.
    pub struct Archive {
        pub wal_s3_bucket: String,
        pub wal_gs_bucket: String,
        pub wal_az_storage_account: String,
        pub gcp_credentials: String,
        pub log_s3_bucket: String,
    }
}

fn is_true(annotations: &Map, key: &str) -> bool {
    !key.is_empty() && annotations.get(key).is_some_and(|value| value == "true")
}
