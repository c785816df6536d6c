//! The fields of the manifest that the plugin reads, in all spellings that the Zalando operator accepts.

use pgloom_kit::metadata::{Map, Role};
use pgloom_kit::resources::Resources;
use pgloom_kit::service::Exposure;
use pgloom_kit::tls::Tls;
use pgloom_kit::{Result, Value, fields, invalid, spec};

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
        standby: Value = "standby",
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

const FLAG: &str = "spec.enableConnectionPooler";
const OLD_FLAG: &str = "spec.enableConnectionPool";
const SECTION: &str = "spec.connectionPooler";
const OLD_SECTION: &str = "spec.connectionPool";

impl Spec {
    /// The roles that have a pooler. The leader has one if the flag says so, or without a flag if there is the section;
    /// the replicas have a flag of their own.
    ///
    /// # Errors
    /// If the flag is given in two spellings.
    pub fn roles(&self) -> Result<Vec<Role>> {
        let flag = one_of((FLAG, &self.enabled), (OLD_FLAG, &self.enabled_old))?;
        let leader = flag.copied().unwrap_or(self.section.is_some() || self.section_old.is_some());
        let replica = self.enabled_replica.unwrap_or_default();
        Ok([(Role::Leader, leader), (Role::Replica, replica)]
            .into_iter()
            .filter(|(_, is_on)| *is_on)
            .map(|(role, _)| role)
            .collect())
    }

    /// The section, and its path in the manifest.
    ///
    /// # Errors
    /// If it is given in two spellings.
    pub fn section(&self) -> Result<(Option<&Section>, &'static str)> {
        let section = one_of((SECTION, &self.section), (OLD_SECTION, &self.section_old))?;
        Ok((section, if self.section_old.is_some() { OLD_SECTION } else { SECTION }))
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

    /// The manifest's annotations for Services of a role.
    pub fn role_service_annotations(&self, role: Role) -> &Map {
        match role {
            Role::Leader => &self.master_service_annotations,
            Role::Replica => &self.replica_service_annotations,
        }
    }

    /// Whether the cluster is a standby of another one.
    pub fn is_standby(&self) -> bool {
        !self.standby.is_null()
    }
}

impl Section {
    /// The number of instances; `path` is that of the section.
    ///
    /// # Errors
    /// If it is given in two spellings.
    pub fn instances(&self, path: &str) -> Result<Option<i64>> {
        let (current, old) = (format!("{path}.numberOfInstances"), format!("{path}.number_of_instances"));
        Ok(one_of((&current, &self.number_of_instances), (&old, &self.number_of_instances_old))?.copied())
    }
}

/// The value of a field that has a current and an old spelling, each with its path.
///
/// # Errors
/// If the manifest has both: which one is meant is not known.
fn one_of<'a, T>(current: (&str, &'a Option<T>), old: (&str, &'a Option<T>)) -> Result<Option<&'a T>> {
    match (current.1, old.1) {
        (Some(_), Some(_)) => Err(invalid(
            old.0,
            format!("{} and {} are two spellings of one field", old.0, current.0),
            format!("remove {}", old.0),
        )),
        (value, None) | (None, value) => Ok(value.as_ref()),
    }
}
