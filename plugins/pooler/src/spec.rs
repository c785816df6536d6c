//! The fields of the manifest that the plugin reads, in every spelling that there ever was.

use pgloom_kit::metadata::{Map, Role};
use pgloom_kit::nullable::or_default;
use pgloom_kit::resources::Resources;
use pgloom_kit::service::Exposure;
use pgloom_kit::{Notes, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::Poolers;

/// `spec` of the manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    enable_connection_pooler: Option<bool>,
    enable_connection_pool: Option<bool>,
    enable_replica_connection_pooler: Option<bool>,
    connection_pooler: Option<Section>,
    connection_pool: Option<Section>,
    enable_master_pooler_load_balancer: Option<bool>,
    enable_replica_pooler_load_balancer: Option<bool>,
    enable_master_pooler_node_port: Option<bool>,
    enable_replica_pooler_node_port: Option<bool>,
    master_pooler_node_port: Option<u16>,
    replica_pooler_node_port: Option<u16>,
    standby: Option<IgnoredAny>,
    /// Networks that reach a load balancer.
    #[serde(default, deserialize_with = "or_default")]
    pub allowed_source_ranges: Vec<String>,
    /// Annotations of every Service.
    #[serde(default, deserialize_with = "or_default")]
    pub service_annotations: Map,
    #[serde(default, deserialize_with = "or_default")]
    master_service_annotations: Map,
    #[serde(default, deserialize_with = "or_default")]
    replica_service_annotations: Map,
    /// Annotations of every pod.
    #[serde(default, deserialize_with = "or_default")]
    pub pod_annotations: Map,
    /// Which taints of nodes pods bear.
    #[serde(default, deserialize_with = "or_default")]
    pub tolerations: Vec<Value>,
    /// On which nodes pods are put.
    pub node_affinity: Option<Value>,
    /// The group that owns a pod's volumes.
    #[serde(rename = "spiloFSGroup")]
    pub fs_group: Option<i64>,
    /// The cluster's own certificate.
    #[serde(default, deserialize_with = "or_default")]
    pub tls: Tls,
}

/// `spec.connectionPooler`. Empty texts count as left out.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    number_of_instances: Option<i64>,
    #[serde(rename = "number_of_instances")]
    number_of_instances_guide: Option<i64>,
    /// The role that looks passwords up.
    #[serde(default, deserialize_with = "or_default")]
    pub user: String,
    /// The schema of the look-up function.
    #[serde(default, deserialize_with = "or_default")]
    pub schema: String,
    /// `transaction` or `session`.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: String,
    /// The image.
    #[serde(default, deserialize_with = "or_default")]
    pub docker_image: String,
    /// Connections to one database, of all instances together.
    #[serde(rename = "maxDBConnections")]
    pub max_db_connections: Option<i64>,
    /// What each instance may take.
    #[serde(default, deserialize_with = "or_default")]
    pub resources: Resources,
}

/// `spec.tls`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// The Secret of certificate and key; without it there is no own certificate.
    #[serde(deserialize_with = "or_default")]
    pub secret_name: String,
    /// The certificate's file.
    #[serde(deserialize_with = "or_default")]
    pub certificate_file: String,
    /// The key's file.
    #[serde(deserialize_with = "or_default")]
    pub private_key_file: String,
    /// The certificate authority's file.
    #[serde(deserialize_with = "or_default")]
    pub ca_file: String,
    /// The Secret of that file, if it is another.
    #[serde(deserialize_with = "or_default")]
    pub ca_secret_name: String,
}

const SECTION: &str = "spec.connectionPooler";
const OLD_SECTION: &str = "spec.connectionPool";

impl Spec {
    /// In front of whom there is a pooler: for the leader the flag decides, or without one the presence of the section; for
    /// the replicas a flag of their own.
    pub fn roles(&self, notes: &mut Notes) -> Vec<Role> {
        let flag = self.enable_connection_pooler.or(self.enable_connection_pool);
        if self.enable_connection_pooler.is_some_and(|flag| self.enable_connection_pool.is_some_and(|old| old != flag))
        {
            notes.warn(
                "spec.enableConnectionPool",
                "enableConnectionPool and enableConnectionPooler contradict each other; the latter counts",
                "keep enableConnectionPooler only",
            );
        }
        let master = flag.unwrap_or(self.connection_pooler.is_some() || self.connection_pool.is_some());
        let replica = self.enable_replica_connection_pooler.unwrap_or_default();
        [(Role::Master, master), (Role::Replica, replica)]
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(role, _)| role)
            .collect()
    }

    /// The section, and how the manifest spells it; the current spelling counts if there are both.
    pub fn section(&self, notes: &mut Notes) -> (Option<&Section>, &'static str) {
        match (&self.connection_pooler, &self.connection_pool) {
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
                self.enable_master_pooler_load_balancer.unwrap_or(config.enable_master_pooler_load_balancer),
                self.enable_master_pooler_node_port.unwrap_or(config.enable_master_pooler_node_port),
                self.master_pooler_node_port,
            ),
            Role::Replica => Exposure::of(
                self.enable_replica_pooler_load_balancer.unwrap_or(config.enable_replica_pooler_load_balancer),
                self.enable_replica_pooler_node_port.unwrap_or(config.enable_replica_pooler_node_port),
                self.replica_pooler_node_port,
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
        self.standby.is_some()
    }
}

impl Section {
    /// How many instances, in either spelling.
    pub fn instances(&self) -> Option<i64> {
        self.number_of_instances.or(self.number_of_instances_guide)
    }
}
