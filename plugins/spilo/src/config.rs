//! The keys of the operator configuration that the plugin reads.

use pgloom_kit::metadata::{Map, Metadata};
use pgloom_kit::pod::{Pods, Users};
use pgloom_kit::resources::{Bounds, PerResource, PodResources};
use pgloom_kit::service::Services;
use pgloom_kit::{Value, container::SharedVolumes, operator_config, operator_config_groups};

operator_config_groups! {
    /// All keys, by topic.
    pub struct Config {
        pub metadata: Metadata,
        pub pods: Pods,
        pub users: Users,
        pub services: Services,
        pub resources: PodResources,
        pub shared: SharedVolumes,
        pub bounds: ResourceBounds,
        pub exposure: ServiceExposure,
        pub scale: Scale,
        pub pod: DatabasePod,
        pub access: Access,
        pub archive: Archive,
    }
}

operator_config! {
    /// The bounds of the database container's resources.
    pub struct ResourceBounds {
        pub min_cpu_limit: String,
        pub min_memory_limit: String,
        pub max_cpu_request: String,
        pub max_memory_request: String,
        /// The bounds do not apply to a cluster whose annotation of this name is `true`.
        pub ignore_resources_limits_annotation_key: String,
    }
}

impl ResourceBounds {
    pub fn of(&self, annotations: &Map) -> PerResource<Bounds<'_>> {
        if is_true(annotations, &self.ignore_resources_limits_annotation_key) {
            return PerResource::default();
        }
        PerResource {
            cpu: Bounds { min_limit: &self.min_cpu_limit, max_request: &self.max_cpu_request },
            memory: Bounds { min_limit: &self.min_memory_limit, max_request: &self.max_memory_request },
        }
    }
}

operator_config! {
    /// The exposure of Services whose manifest does not set it, and the DNS names of earlier releases.
    pub struct ServiceExposure {
        pub enable_master_load_balancer: bool,
        pub enable_replica_load_balancer: bool,
        pub enable_master_node_port: bool,
        pub enable_replica_node_port: bool,
        pub master_legacy_dns_name_format: String,
        pub replica_legacy_dns_name_format: String,
    }
}

operator_config! {
    /// The number of members, their start and stop, and their protection.
    pub struct Scale {
        pub min_instances: i64,
        pub max_instances: i64,
        /// The bounds do not apply to a cluster whose annotation of this name is `true`.
        pub ignore_instance_limits_annotation_key: String,
        pub pod_management_policy: String,
        pub persistent_volume_claim_retention_policy: Map,
        /// Regular expressions: annotations of the manifest that the StatefulSet inherits.
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
    /// The pod of a member.
    pub struct DatabasePod {
        pub docker_image: String,
        pub enable_shm_volume: Option<bool>,
        pub pod_priority_class_name: String,
        pub enable_pod_antiaffinity: bool,
        pub pod_antiaffinity_topology_key: String,
        pub pod_antiaffinity_preferred_during_scheduling: bool,
        pub spilo_privileged: bool,
        pub spilo_allow_privilege_escalation: bool,
        pub additional_pod_capabilities: Vec<String>,
        pub enable_readiness_probe: bool,
        pub liveness_probe: Value,
        pub kube_iam_role: String,
        pub pod_environment_configmap: String,
        pub pod_environment_secret: String,
    }
}

operator_config! {
    /// The roles of the database, and where Patroni keeps the leader lock.
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
    /// Whether the leader lock is in a ConfigMap. Then Kubernetes, not Patroni, writes the leader's Endpoints.
    pub fn uses_config_maps(&self) -> bool {
        self.etcd_host.is_empty() && self.kubernetes_use_configmaps
    }
}

operator_config! {
    /// The storage of write-ahead logs and server logs.
    pub struct Archive {
        pub wal_s3_bucket: String,
        pub wal_gs_bucket: String,
        pub wal_az_storage_account: String,
        pub gcp_credentials: String,
        pub log_s3_bucket: String,
        pub irsa_role_arn: String,
    }
}

fn is_true(annotations: &Map, key: &str) -> bool {
    !key.is_empty() && annotations.get(key).is_some_and(|value| value == "true")
}
