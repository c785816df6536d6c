//! What the plugin reads of the operator configuration.

use pgloom_kit::metadata::Metadata;
use pgloom_kit::pod::Pods;
use pgloom_kit::service::Services;
use pgloom_kit::{operator_config, operator_config_groups};

operator_config_groups! {
    /// All that it reads.
    pub struct Config {
        /// About poolers.
        pub pooler: Poolers,
        /// About labels and annotations.
        pub metadata: Metadata,
        /// About pods.
        pub pods: Pods,
        /// About Services.
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
        /// The image.
        pub connection_pooler_image: String,
        /// Connections to one database, of all instances together.
        pub connection_pooler_max_db_connections: i64,
        /// `transaction` or `session`.
        pub connection_pooler_mode: String,
        /// How many instances.
        pub connection_pooler_number_of_instances: i64,
        /// The schema of the look-up function.
        pub connection_pooler_schema: String,
        /// The role that looks passwords up.
        pub connection_pooler_user: String,
        /// Patterns of annotations that the Deployment takes over from the manifest.
        pub downscaler_annotations: Vec<String>,
        /// Whether the leader's pooler has a load balancer.
        pub enable_master_pooler_load_balancer: bool,
        /// Whether the leader's pooler has a port of every node.
        pub enable_master_pooler_node_port: bool,
        /// Whether instances are kept on different nodes.
        pub enable_pod_antiaffinity: bool,
        /// Whether the replicas' pooler has a load balancer.
        pub enable_replica_pooler_load_balancer: bool,
        /// Whether the replicas' pooler has a port of every node.
        pub enable_replica_pooler_node_port: bool,
        /// Whether instances are kept apart only where possible.
        pub pod_antiaffinity_preferred_during_scheduling: bool,
        /// What counts as different places.
        pub pod_antiaffinity_topology_key: String,
        /// Roles that nobody but a person may create.
        pub protected_role_names: Vec<String>,
        /// The role of replication.
        pub replication_username: String,
        /// How Secrets of roles are called.
        pub secret_name_template: String,
        /// Whether memory is requested as much as it is limited.
        pub set_memory_request_to_limit: bool,
        /// The group that owns a pod's volumes.
        pub spilo_fsgroup: Option<i64>,
        /// The superuser.
        pub super_username: String,
    }
}
