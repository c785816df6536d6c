//! The `spec` of a `postgresql` object. The fields are those of
//! [the Zalando operator](https://postgres-operator.readthedocs.io/en/latest/reference/cluster_manifest/).
#![allow(clippy::duplicated_attributes, reason = "two columns of one type are no duplicates")]

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use pgloom_common::role::Attribute;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kubernetes as of_kubernetes;
use super::{
    AdditionalVolume, Clone as CloneSource, ConnectionPooler, Patroni, PostgresqlParams, PostgresqlStatus,
    PreparedDatabase, Resources, Standby, Stream, Tls, Volume, alias, pattern,
};

/// The desired state of a cluster. Field names of older releases are accepted, too.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    crates(kube_core = "::kube_core"),
    group = "acid.zalan.do",
    version = "v1",
    kind = "postgresql",
    root = "Postgresql",
    plural = "postgresqls",
    singular = "postgresql",
    shortname = "pg",
    category = "all",
    namespaced,
    status = "PostgresqlStatus",
    derive = "PartialEq",
    doc = "A PostgreSQL cluster with high availability: its size, its roles and databases, and its poolers, sidecars and backups.",
    scale(
        spec_replicas_path = ".spec.numberOfInstances",
        status_replicas_path = ".status.numberOfInstances",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn(
        name = "Team",
        type_ = "string",
        json_path = ".spec.teamId",
        description = "The team that owns the cluster"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".spec.postgresql.version",
        description = "The PostgreSQL version that is asked for"
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        json_path = ".spec.numberOfInstances",
        description = "How many pods are asked for"
    ),
    printcolumn(
        name = "Volume",
        type_ = "string",
        json_path = ".spec.volume.size",
        description = "The size of each pod's volume"
    ),
    printcolumn(
        name = "CPU-Request",
        type_ = "string",
        json_path = ".spec.resources.requests.cpu",
        description = "CPU that each database container requests"
    ),
    printcolumn(
        name = "Memory-Request",
        type_ = "string",
        json_path = ".spec.resources.requests.memory",
        description = "Memory that each database container requests"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "How long the cluster has existed"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.PostgresClusterStatus",
        description = "How the last reconciliation went"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct PostgresqlSpec {
    /// The team that owns the cluster. The cluster's name starts with it and a hyphen, unless the operator is
    /// configured otherwise; every object carries it as the label `team`. Example: `acid`.
    pub team_id: String,

    /// How many pods the cluster has, its leader included. `0` stops the cluster and keeps its volumes. The operator
    /// configuration may set bounds (`min_instances`, `max_instances`). Example: `2`.
    #[schemars(range(min = 0))]
    pub number_of_instances: i32,

    /// Which PostgreSQL runs, and how. Example: `{version: "17"}`.
    pub postgresql: PostgresqlParams,

    /// The volume of each pod. Example: `{size: 5Gi}`.
    pub volume: Volume,

    /// Roles of this cluster and their options: `superuser`, `inherit`, `login`, `nologin`, `createrole`, `createdb`,
    /// `replication`, `bypassrls`, and each with `no` before it. A role may log in unless `nologin` is given; then its
    /// password is in the Secret `{username}.{cluster}.credentials.postgresql.acid.zalan.do`, or as
    /// `secret_name_template` of the operator configuration says. Nothing and `[]` both mean no options. Default: none.
    /// Example: `zalando: [superuser, createdb]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "users")]
    pub users: BTreeMap<String, Option<Vec<String>>>,

    /// Databases and the roles that own them. They are created if they are missing and given to the owner; none is ever
    /// dropped. Default: none. Example: `foo: zalando`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, String>,

    /// Databases with schemas, extensions and a set of owner, reader and writer roles. `{}` means one database with the
    /// cluster's name, `_` for `-`. Default: none. Example: `bar: {schemas: {data: {}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_databases: Option<BTreeMap<String, PreparedDatabase>>,

    /// Settings of Patroni, which keeps the cluster available. Default: those of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patroni: Option<Patroni>,

    /// What each database container requests and may use at most. Default: `default_cpu_request` and its like of the
    /// operator configuration, each for itself. A limit below `min_cpu_limit` or `min_memory_limit` is raised to it.
    /// Example: `{requests: {cpu: 100m, memory: 250Mi}, limits: {cpu: "1", memory: 500Mi}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The image of the database containers. Default: `docker_image` of the operator configuration. Example:
    /// `ghcr.io/zalando/spilo-18:4.1-p2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,

    /// The user id that the database container runs as. Default: `spilo_runasuser` of the operator configuration, else
    /// the image's. Example: `101`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spilo_run_as_user: Option<i64>,

    /// The group id that the database container runs as. Default: `spilo_runasgroup` of the operator configuration,
    /// else the image's. Example: `103`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spilo_run_as_group: Option<i64>,

    /// The group that owns the files of the pod's volumes. Default: `spilo_fsgroup` of the operator configuration, else
    /// `103` where `tls` is used. Example: `103`.
    #[serde(default, rename = "spiloFSGroup", skip_serializing_if = "Option::is_none")]
    pub spilo_fs_group: Option<i64>,

    /// Whether applications get a connection pooler in front of the leader. `false` means none even if the section is
    /// given.
    /// Default: whether `connectionPooler` is given. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_connection_pooler: Option<bool>,

    /// The older name of `enableConnectionPooler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_connection_pool: Option<bool>,

    /// Whether applications get a connection pooler in front of the replicas as well. Default: `false`. Example:
    /// `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_replica_connection_pooler: Option<bool>,

    /// The connection pooler. Default: none; for each of its fields `connection_pooler_*` of the operator
    /// configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pooler: Option<ConnectionPooler>,

    /// The older name of `connectionPooler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPooler>,

    /// Whether the leader's Service is a load balancer. Default: `enable_master_load_balancer` of the operator
    /// configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_master_load_balancer: Option<bool>,

    /// Whether the replicas' Service is a load balancer. Default: `enable_replica_load_balancer` of the operator
    /// configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_replica_load_balancer: Option<bool>,

    /// Whether the Service of the leader's pooler is a load balancer. Default: `enable_master_pooler_load_balancer` of
    /// the operator configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_master_pooler_load_balancer: Option<bool>,

    /// Whether the Service of the replicas' pooler is a load balancer. Default: `enable_replica_pooler_load_balancer`
    /// of the operator configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_replica_pooler_load_balancer: Option<bool>,

    /// Whether the leader's Service has a port on every node. Default: `enable_master_node_port` of the operator
    /// configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_master_node_port: Option<bool>,

    /// Whether the replicas' Service has a port on every node. Default: `enable_replica_node_port` of the operator
    /// configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_replica_node_port: Option<bool>,

    /// Whether the Service of the leader's pooler has a port on every node. Default: `enable_master_pooler_node_port`
    /// of the operator configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_master_pooler_node_port: Option<bool>,

    /// Whether the Service of the replicas' pooler has a port on every node. Default: `enable_replica_pooler_node_port`
    /// of the operator configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_replica_pooler_node_port: Option<bool>,

    /// The port on every node of the leader's Service. Default: one that Kubernetes picks. Example: `31543`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub master_node_port: Option<i32>,

    /// The port on every node of the replicas' Service. Default: one that Kubernetes picks. Example: `31544`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub replica_node_port: Option<i32>,

    /// The port on every node of the Service of the leader's pooler. Default: one that Kubernetes picks. Example:
    /// `31545`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub master_pooler_node_port: Option<i32>,

    /// The port on every node of the Service of the replicas' pooler. Default: one that Kubernetes picks. Example:
    /// `31546`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub replica_pooler_node_port: Option<i32>,

    /// Deprecated: `enableMasterLoadBalancer`. Read only if neither of the newer fields is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_load_balancer: Option<bool>,

    /// Deprecated: `enableReplicaLoadBalancer`. Read only if neither of the newer fields is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_load_balancer: Option<bool>,

    /// The source addresses that load balancers accept. Default: `127.0.0.1/32`, which refuses every client. Example:
    /// `[10.0.0.0/8]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "ranges")]
    pub allowed_source_ranges: Vec<String>,

    /// Roles whose Secret regularly gets a new login role, as in `foo_user240131`, that is a member of the role. Default:
    /// none; with `enable_password_rotation` of the operator configuration all but the owners of databases. Example:
    /// `[foo_user]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users_with_secret_rotation: Vec<String>,

    /// Roles whose password changes regularly, the role staying the same. It wins over `usersWithSecretRotation`.
    /// Default: none. Example: `[flyway]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users_with_in_place_secret_rotation: Vec<String>,

    /// Roles whose password never changes. It wins over the other lists and the operator configuration. Default: none.
    /// Example: `[bar_user]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users_ignoring_secret_rotation: Vec<String>,

    /// When rolling updates may continue, in UTC: `HH:MM-HH:MM` every day or `Sat:HH:MM-Sat:HH:MM`. It has an effect
    /// only if `enable_maintenance_windows` of the operator configuration is true. Default: its `maintenance_windows`,
    /// else any time.
    /// Example: `["01:00-06:00", "Sat:00:00-04:00"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "windows")]
    pub maintenance_windows: Vec<String>,

    /// Starts the cluster as a copy of another one. It has no effect on a cluster that holds data. Default: an empty
    /// cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<CloneSource>,

    /// Makes the cluster follow another one, read-only. Removing the section promotes it. Default: a cluster of its
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Standby>,

    /// The scheduler that places the pods. Default: that of Kubernetes. Example: `my-scheduler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,

    /// Which nodes the pods may or should run on. Default: `node_readiness_label` of the operator configuration, else
    /// any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "of_kubernetes::node_affinity")]
    pub node_affinity: Option<Value>,

    /// How the pods spread over zones or nodes. Default: none. Example: `[{maxSkew: 1, topologyKey:
    /// topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::topology_spread_constraints")]
    pub topology_spread_constraints: Vec<Value>,

    /// Taints that the pods tolerate, for nodes of their own. Default: `toleration` of the operator configuration.
    /// Example: `[{key: postgres, operator: Exists, effect: NoSchedule}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::tolerations")]
    pub tolerations: Vec<Value>,

    /// Additional containers of every database pod. Each gets the data directory at `/home/postgres/pgdata` and the
    /// variables `POD_NAME`, `POD_NAMESPACE`, `POSTGRES_USER` and `POSTGRES_PASSWORD`. Needs `enable_sidecars` of the
    /// operator configuration. Default: none. Example: `[{name: exporter, image: "quay.io/exporter:1"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::sidecars")]
    pub sidecars: Vec<Value>,

    /// Containers that run to their end before PostgreSQL and the sidecars start. Needs `enable_init_containers` of the
    /// operator configuration. Default: none. Example: `[{name: date, image: busybox, command: [/bin/date]}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::init_containers")]
    pub init_containers: Vec<Value>,

    /// Deprecated: `initContainers`, which wins if both are given.
    #[serde(default, rename = "init_containers", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::old_init_containers")]
    pub init_containers_old: Vec<Value>,

    /// The priority class of the pods. Default: `pod_priority_class_name` of the operator configuration. Example:
    /// `spilo-pod-priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_priority_class_name: Option<String>,

    /// Deprecated: `podPriorityClassName`, which wins if both are given.
    #[serde(default, rename = "pod_priority_class_name", skip_serializing_if = "Option::is_none")]
    pub pod_priority_class_name_old: Option<String>,

    /// Whether `/dev/shm` is a memory volume, so that PostgreSQL is not held to the container runtime's 64 MB of shared
    /// memory.
    /// Default: `enable_shm_volume` of the operator configuration. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_shm_volume: Option<bool>,

    /// Whether a CronJob dumps all databases regularly. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_logical_backup: Option<bool>,

    /// How long dumps are kept. Default: `logical_backup_s3_retention_time` of the operator configuration. Example:
    /// `3 months`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_backup_retention: Option<String>,

    /// When the dumps are made: minute, hour, day of the month, month, day of the week, in the time of the Kubernetes
    /// controller. Default: `logical_backup_schedule` of the operator configuration. Example: `30 00 * * *`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub logical_backup_schedule: Option<String>,

    /// Annotations of the pods, over `custom_pod_annotations` of the operator configuration. Default: none. Example:
    /// `prometheus.io/scrape: "true"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "of_kubernetes::annotations")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Annotations of the Services, over `custom_service_annotations` of the operator configuration. Default: none.
    /// Example: `annotation.key: value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "of_kubernetes::annotations")]
    pub service_annotations: BTreeMap<String, String>,

    /// Annotations of the leader's Service, over `serviceAnnotations`. Default: none. Example: `annotation.key: value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "of_kubernetes::annotations")]
    pub master_service_annotations: BTreeMap<String, String>,

    /// Annotations of the replicas' Service, over `serviceAnnotations`. Default: none. Example:
    /// `annotation.key: value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "of_kubernetes::annotations")]
    pub replica_service_annotations: BTreeMap<String, String>,

    /// A certificate of your own for client connections. Default: one that the image generates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// More volumes for the pods. Default: none. Example:
    /// `[{name: empty, mountPath: /opt/empty, volumeSource: {emptyDir: {}}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub additional_volumes: Vec<AdditionalVolume>,

    /// Event streams made of tables; nothing acts on them. Default: none.
    /// Example: `[{applicationId: app, database: foo, tables: {data.orders: {eventType: order}}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,

    /// More variables for the database container, over those of the operator configuration. Default: none. Example:
    /// `[{name: MY_VAR, value: x}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::env")]
    pub env: Vec<Value>,

    /// ConfigMaps and Secrets whose entries become variables of the database container. Default: none. Example:
    /// `[{configMapRef: {name: my-settings}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "of_kubernetes::env_from")]
    pub env_from: Vec<Value>,

    /// When Kubernetes restarts the database container because it no longer answers. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "of_kubernetes::liveness_probe")]
    pub liveness_probe: Option<Value>,
}

fn rules() -> Vec<Value> {
    let mut rules = alias::rules(None);
    rules.push(json!({
        "rule": "!(has(self.clone) && self.clone.cluster != '' && has(self.standby))",
        "message": "a cluster is either a clone or a standby; remove one of clone and standby",
    }));
    rules
}

fn users(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let words = Attribute::ALL.into_iter().flat_map(|attribute| [attribute.word(true), attribute.word(false)]);
    let flags: Vec<_> = words.flat_map(|word| [word.to_lowercase(), word]).collect();
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 1024,
        "additionalProperties": {
            "type": "array",
            "maxItems": 16,
            "items": {"type": "string", "maxLength": 16, "enum": flags},
            "x-kubernetes-validations": [{
                "rule": "!self.exists(option, self.exists(other, other.lowerAscii() == 'no' + option.lowerAscii()))",
                "message": "conflicting user flags: an option is given together with its opposite; remove one of them"
            }],
        },
    })
}

fn ranges(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "array", "items": {
        "type": "string",
        "maxLength": 64,
        "pattern": pattern::CIDR,
        "description": "Addresses with the length of their common start. Example: `10.0.0.0/8`.",
    }})
}

fn windows(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "array", "items": {"type": "string", "maxLength": 64, "pattern": pattern::WINDOW}})
}
