//! The fields of the manifest that the plugin reads, in all spellings that the Zalando operator accepts.

use pgloom_kit::common::name::secret_name;
use pgloom_kit::metadata::{Map, Role};
use pgloom_kit::resources::Resources;
use pgloom_kit::service::Exposure;
use pgloom_kit::tls::Tls;
use pgloom_kit::{Value, fields, spec};

use crate::config::Poolers;

spec! {
    /// `spec` of the manifest.
    pub struct Spec {
        enabled: Option<bool> = "enableConnectionPooler",
        enabled_old: Option<bool> = "enableConnectionPool",
        enabled_replica: Option<bool> = "enableReplicaConnectionPooler",
        section: Option<Section> = "connectionPooler",
        section_old: Option<Section> = "connectionPool",
        master_load_balancer: Option<bool> = "enableMasterPoolerLoadBalancer",
        replica_load_balancer: Option<bool> = "enableReplicaPoolerLoadBalancer",
        master_node_port: Option<bool> = "enableMasterPoolerNodePort",
        replica_node_port: Option<bool> = "enableReplicaPoolerNodePort",
        master_port: Option<u16> = "masterPoolerNodePort",
        replica_port: Option<u16> = "replicaPoolerNodePort",
        users: Value = "users",
        /// `loadBalancerSourceRanges` of Services.
        pub allowed_source_ranges: Vec<String> = "allowedSourceRanges",
        /// The manifest's annotations for all Services.
        pub service_annotations: Map = "serviceAnnotations",
        master_service_annotations: Map = "masterServiceAnnotations",
        replica_service_annotations: Map = "replicaServiceAnnotations",
        /// The manifest's annotations for pods.
        pub pod_annotations: Map = "podAnnotations",
        /// As in `PodSpec.tolerations`.
        pub tolerations: Vec<Value> = "tolerations",
        /// As in `Affinity.nodeAffinity`.
        pub node_affinity: Value = "nodeAffinity",
        /// `fsGroup` of pods.
        pub fs_group: Option<i64> = "spiloFSGroup",
        /// The cluster's own certificate.
        pub tls: Tls = "tls",
    }
}

fields! {
    /// `spec.connectionPooler`. An empty string means a missing field.
    pub struct Section {
        number_of_instances: Option<i64> = "numberOfInstances",
        number_of_instances_old: Option<i64> = "number_of_instances",
        /// The role that PgBouncer logs in as.
        pub user: Option<String> = "user",
        /// The schema of the lookup function.
        pub schema: Option<String> = "schema",
        /// `transaction` or `session`.
        pub mode: Option<String> = "mode",
        /// The container's image.
        pub docker_image: Option<String> = "dockerImage",
        /// Server connections to one database, of all instances together.
        pub max_db_connections: Option<i64> = "maxDBConnections",
        /// `resources` of each instance's container.
        pub resources: Resources = "resources",
    }
}

const SECTION: &str = "spec.connectionPooler";
const OLD_SECTION: &str = "spec.connectionPool";

// The host refuses a manifest with both spellings of a field, so each of these has at most one.
impl Spec {
    /// The roles that have a pooler. The leader has one if the flag is true, or without a flag if there is the section;
    /// the replicas have their own flag.
    pub fn roles(&self) -> Vec<Role> {
        let has_section = self.section().0.is_some();
        let leader = self.enabled.or(self.enabled_old).unwrap_or(has_section);
        let replica = self.enabled_replica.unwrap_or_default();
        [(Role::Leader, leader), (Role::Replica, replica)]
            .into_iter()
            .filter(|(_, is_on)| *is_on)
            .map(|(role, _)| role)
            .collect()
    }

    /// The section, and its path in the manifest.
    pub fn section(&self) -> (Option<&Section>, &'static str) {
        match (&self.section, &self.section_old) {
            (None, Some(old)) => (Some(old), OLD_SECTION),
            (current, _) => (current.as_ref(), SECTION),
        }
    }

    /// The exposure of the Service of a role's pooler.
    pub fn exposure(&self, role: Role, config: &Poolers) -> Exposure {
        match role {
            Role::Leader => Exposure::of(
                self.master_load_balancer.unwrap_or(config.enable_master_pooler_load_balancer),
                self.master_node_port.unwrap_or(config.enable_master_pooler_node_port),
                self.master_port,
            ),
            Role::Replica => Exposure::of(
                self.replica_load_balancer.unwrap_or(config.enable_replica_pooler_load_balancer),
                self.replica_node_port.unwrap_or(config.enable_replica_pooler_node_port),
                self.replica_port,
            ),
        }
    }

    /// The manifest's annotations for Services of a role, and their field.
    pub fn role_service_annotations(&self, role: Role) -> (&'static str, &Map) {
        match role {
            Role::Leader => ("spec.masterServiceAnnotations", &self.master_service_annotations),
            Role::Replica => ("spec.replicaServiceAnnotations", &self.replica_service_annotations),
        }
    }

    /// Whether the manifest defines the role, or one whose Secret has the same name.
    pub fn defines(&self, role: &str) -> bool {
        let in_name = |role: &str| secret_name("{username}", role, "", "");
        self.users.as_object().is_some_and(|users| users.keys().any(|user| in_name(user) == in_name(role)))
    }
}

impl Section {
    /// The number of instances.
    pub fn instances(&self) -> Option<i64> {
        self.number_of_instances.or(self.number_of_instances_old)
    }
}
