//! The keys of the operator configuration that the plugin reads.

use pgloom_kit::metadata::Metadata;
use pgloom_kit::pod::Pods;
use pgloom_kit::service::Services;
use pgloom_kit::{operator_config, operator_config_groups};

operator_config_groups! {
    /// All keys, by topic.
    pub struct Config {
        /// Keys about poolers.
        pub pooler: Poolers,
        /// Keys about labels and annotations.
        pub metadata: Metadata,
        /// Keys about pods.
        pub pods: Pods,
        /// Keys about Services.
        pub services: Services,
    }
}

operator_config! {
    /// The operator configuration's keys about poolers.
    pub struct Poolers {
        /// CPU limit of a pooler whose manifest has none.
        pub connection_pooler_default_cpu_limit: String,
        /// CPU request of a pooler whose manifest has none.
        pub connection_pooler_default_cpu_request: String,
        /// Memory limit of a pooler whose manifest has none.
        pub connection_pooler_default_memory_limit: String,
        /// Memory request of a pooler whose manifest has none.
        pub connection_pooler_default_memory_request: String,
        /// The container's image.
        pub connection_pooler_image: String,
        /// [`max_db_connections`](https://www.pgbouncer.org/config.html#max_db_connections) of all instances together.
        pub connection_pooler_max_db_connections: i64,
        /// [`pool_mode`](https://www.pgbouncer.org/config.html#pool_mode): `transaction` or `session`.
        pub connection_pooler_mode: String,
        /// The number of instances.
        pub connection_pooler_number_of_instances: i64,
        /// The schema of the lookup function.
        pub connection_pooler_schema: String,
        /// The role that PgBouncer logs in as.
        pub connection_pooler_user: String,
        /// Regular expressions: annotations of the manifest that the Deployment inherits.
        pub downscaler_annotations: Vec<String>,
        /// Whether the leader's pooler has a load balancer.
        pub enable_master_pooler_load_balancer: bool,
        /// Whether the leader's pooler has a node port.
        pub enable_master_pooler_node_port: bool,
        /// Whether instances run on different nodes.
        pub enable_pod_antiaffinity: bool,
        /// Whether the replicas' pooler has a load balancer.
        pub enable_replica_pooler_load_balancer: bool,
        /// Whether the replicas' pooler has a node port.
        pub enable_replica_pooler_node_port: bool,
        /// The names of the infrastructure roles.
        pub infrastructure_roles: Vec<String>,
        /// Whether the anti-affinity of instances is preferred, not required.
        pub pod_antiaffinity_preferred_during_scheduling: bool,
        /// The `topologyKey` of the anti-affinity: a node label whose values are the places.
        pub pod_antiaffinity_topology_key: String,
        /// Roles that a manifest may not name.
        pub protected_role_names: Vec<String>,
        /// The replication role.
        pub replication_username: String,
        /// The template of the names of roles' Secrets.
        pub secret_name_template: String,
        /// Whether the memory request is set to the memory limit.
        pub set_memory_request_to_limit: bool,
        /// `fsGroup` of pods.
        pub spilo_fsgroup: Option<i64>,
        /// The superuser role.
        pub super_username: String,
    }
}
