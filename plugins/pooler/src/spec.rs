//! The fields of the manifest that the plugin reads, in every spelling that there ever was.

use pgloom_kit::metadata::{Map, Role};
use pgloom_kit::resources::Resources;
use pgloom_kit::service::Exposure;
use pgloom_kit::{Notes, Value, fields, spec};

use crate::config::Poolers;
use crate::tls::Tls;

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
        standby: Value = "standby",
        /// Networks that reach a load balancer.
        pub allowed_source_ranges: Vec<String> = "allowedSourceRanges",
        /// Annotations of every Service.
        pub service_annotations: Map = "serviceAnnotations",
        master_service_annotations: Map = "masterServiceAnnotations",
        replica_service_annotations: Map = "replicaServiceAnnotations",
        /// Annotations of every pod.
        pub pod_annotations: Map = "podAnnotations",
        /// Which taints of nodes pods bear.
        pub tolerations: Vec<Value> = "tolerations",
        /// On which nodes pods are put.
        pub node_affinity: Value = "nodeAffinity",
        /// The group that owns a pod's volumes.
        pub fs_group: Option<i64> = "spiloFSGroup",
        /// The cluster's own certificate.
        pub tls: Tls = "tls",
    }
}

fields! {
    /// `spec.connectionPooler`. Empty texts count as left out.
    pub struct Section {
        number_of_instances: Option<i64> = "numberOfInstances",
        number_of_instances_guide: Option<i64> = "number_of_instances",
        /// The role that looks passwords up.
        pub user: Option<String> = "user",
        /// The schema of the look-up function.
        pub schema: Option<String> = "schema",
        /// `transaction` or `session`.
        pub mode: Option<String> = "mode",
        /// The image.
        pub docker_image: Option<String> = "dockerImage",
        /// Connections to one database, of all instances together.
        pub max_db_connections: Option<i64> = "maxDBConnections",
        /// What each instance may take.
        pub resources: Resources = "resources",
    }
}

const SECTION: &str = "spec.connectionPooler";
const OLD_SECTION: &str = "spec.connectionPool";

impl Spec {
    /// In front of whom there is a pooler: for the leader the flag decides, or without one the presence of the section; for
    /// the replicas a flag of their own.
    pub fn roles(&self, notes: &mut Notes) -> Vec<Role> {
        let flag = self.enabled.or(self.enabled_old);
        if self.enabled.is_some_and(|flag| self.enabled_old.is_some_and(|old| old != flag)) {
            notes.warn(
                "spec.enableConnectionPool",
                "enableConnectionPool and enableConnectionPooler contradict each other; the latter counts",
                "keep enableConnectionPooler only",
            );
        }
        let master = flag.unwrap_or(self.section.is_some() || self.section_old.is_some());
        let replica = self.enabled_replica.unwrap_or_default();
        [(Role::Master, master), (Role::Replica, replica)]
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(role, _)| role)
            .collect()
    }

    /// The section, and how the manifest spells it; the current spelling counts if there are both.
    pub fn section(&self, notes: &mut Notes) -> (Option<&Section>, &'static str) {
        match (&self.section, &self.section_old) {
            (Some(section), old) => {
                if old.is_some() {
                    notes.warn(
                        OLD_SECTION,
                        "connectionPool is ignored, because there is connectionPooler too",
                        "keep connectionPooler only",
                    );
                }
                (Some(section), SECTION)
            }
            (None, Some(section)) => (Some(section), OLD_SECTION),
            (None, None) => (None, SECTION),
        }
    }

    /// From where the pooler of a role is reached.
    pub fn exposure(&self, role: Role, config: &Poolers) -> Exposure {
        match role {
            Role::Master => Exposure::of(
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

    /// Annotations of the Services of a role.
    pub fn role_service_annotations(&self, role: Role) -> &Map {
        match role {
            Role::Master => &self.master_service_annotations,
            Role::Replica => &self.replica_service_annotations,
        }
    }

    /// Whether the cluster follows another one.
    pub fn is_standby(&self) -> bool {
        !self.standby.is_null()
    }
}

impl Section {
    /// How many instances, in either spelling.
    pub fn instances(&self) -> Option<i64> {
        self.number_of_instances.or(self.number_of_instances_guide)
    }
}
