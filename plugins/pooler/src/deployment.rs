//! The pooler's Deployment.

use pgloom_kit::container::{env, env_from_secret};
use pgloom_kit::metadata::object_meta;
use pgloom_kit::object::{self, list, object, text, unless_empty};
use pgloom_kit::{Cluster, Result, Value, common};

use crate::config::Config;
use crate::section::Pooler;
use crate::spec::Spec;
use crate::target::Target;
use crate::tls;

/// More clients than a pooler will ever have: they wait for a connection instead of being turned away.
const MAX_CLIENTS: &str = "10000";
/// The user of the image, and its group.
const USER: i64 = 100;
const GROUP: i64 = 101;
/// The group that may read a mounted key if nobody says otherwise, as in the database's pods.
const KEY_GROUP: i64 = 103;

/// Builds it.
///
/// # Errors
/// If the operator configuration cannot be used.
pub fn build(cluster: &Cluster<Spec>, config: &Config, pooler: &Pooler, target: &Target) -> Result<Value> {
    let annotations = config.metadata.workload_annotations(cluster, &config.pooler.downscaler_annotations)?;
    let spec = object([
        ("replicas", pooler.instances.into()),
        ("selector", object([("matchLabels", object::map(target.selector.clone()))])),
        ("template", template(cluster, config, pooler, target)?),
    ]);
    Ok(object([
        ("apiVersion", text("apps/v1")),
        ("kind", text("Deployment")),
        ("metadata", object_meta(&target.name, target.labels.clone(), annotations)),
        ("spec", spec),
    ]))
}

fn template(cluster: &Cluster<Spec>, config: &Config, pooler: &Pooler, target: &Target) -> Result<Value> {
    let Config { pods, .. } = config;
    let tls = tls::Parts::of(&cluster.spec.tls);
    let has_key = !tls.volumes.is_empty();
    let list_of_users = text(&target.user_list);
    let mut volumes = tls.volumes;
    let source = object([("secretName", list_of_users.clone())]);
    volumes.push(object([("name", list_of_users.clone()), ("secret", source)]));
    let mut mounts = tls.mounts;
    mounts.push(object([
        ("name", list_of_users),
        ("mountPath", text("/etc/pgbouncer/userlist.txt")),
        ("subPath", text("userlist.txt")),
        ("readOnly", true.into()),
    ]));
    let mut variables = variables(cluster, &config.pooler.secret_name_template, pooler, target);
    variables.extend(tls.env);

    let group = cluster.spec.fs_group.or(config.pooler.spilo_fsgroup).or(has_key.then_some(KEY_GROUP));
    let security = object([("fsGroup", group.into()), ("runAsGroup", GROUP.into()), ("runAsUser", USER.into())]);
    let spec = object([
        ("affinity", unless_empty(affinity(cluster, config, target))),
        ("containers", list([container(pooler, variables, mounts)])),
        ("securityContext", security),
        ("serviceAccountName", text(&pods.pod_service_account_name)),
        ("terminationGracePeriodSeconds", pods.grace_seconds()?.into()),
        ("tolerations", unless_empty(Value::Array(pods.tolerations(&cluster.spec.tolerations)))),
        ("volumes", Value::Array(volumes)),
    ]);
    let annotations = pods.annotations(&cluster.spec.pod_annotations, config.metadata.annotations(cluster));
    let meta = object([
        ("labels", object::map(target.labels.clone())),
        ("annotations", unless_empty(object::map(annotations))),
        ("namespace", unless_empty(text(&cluster.namespace))),
    ]);
    Ok(object([("metadata", meta), ("spec", spec)]))
}

fn container(pooler: &Pooler, variables: Vec<Value>, mounts: Vec<Value>) -> Value {
    object([
        ("name", text("connection-pooler")),
        ("image", text(&pooler.image)),
        ("imagePullPolicy", text("IfNotPresent")),
        ("ports", list([object([("containerPort", 5432.into()), ("protocol", text("TCP"))])])),
        ("env", Value::Array(variables)),
        ("readinessProbe", object([("tcpSocket", object([("port", 5432.into())]))])),
        ("resources", pooler.resources.clone()),
        ("securityContext", object([("allowPrivilegeEscalation", false.into())])),
        ("volumeMounts", Value::Array(mounts)),
    ])
}

fn variables(cluster: &Cluster<Spec>, template: &str, pooler: &Pooler, target: &Target) -> Vec<Value> {
    let secret = common::name::secret_name(template, &pooler.user, &cluster.name, &cluster.team);
    let size = &pooler.size;
    vec![
        env("PGHOST", target.host.as_str()),
        env("PGPORT", "5432"),
        env_from_secret("PGUSER", &secret, "username"),
        env("PGSCHEMA", pooler.schema.as_str()),
        env_from_secret("PGPASSWORD", &secret, "password"),
        env("CONNECTION_POOLER_PORT", "5432"),
        env("CONNECTION_POOLER_MODE", pooler.mode.as_str()),
        env("CONNECTION_POOLER_DEFAULT_SIZE", size.usual.to_string()),
        env("CONNECTION_POOLER_MIN_SIZE", size.least.to_string()),
        env("CONNECTION_POOLER_RESERVE_SIZE", size.reserve.to_string()),
        env("CONNECTION_POOLER_MAX_CLIENT_CONN", MAX_CLIENTS),
        env("CONNECTION_POOLER_MAX_DB_CONN", size.most.to_string()),
    ]
}

/// Instances on different nodes if the platform wants so, and on nodes that are ready.
fn affinity(cluster: &Cluster<Spec>, config: &Config, target: &Target) -> Value {
    let nodes = config.pods.node_affinity(Some(&cluster.spec.node_affinity)).unwrap_or_default();
    let Config { pooler: config, .. } = config;
    if !config.enable_pod_antiaffinity {
        return object([("nodeAffinity", nodes)]);
    }
    let term = object([
        ("labelSelector", object([("matchLabels", object::map(target.selector.clone()))])),
        ("topologyKey", text(&config.pod_antiaffinity_topology_key)),
    ]);
    let apart = match config.pod_antiaffinity_preferred_during_scheduling {
        true => {
            let term = list([object([("podAffinityTerm", term), ("weight", 1.into())])]);
            object([("preferredDuringSchedulingIgnoredDuringExecution", term)])
        }
        false => object([("requiredDuringSchedulingIgnoredDuringExecution", list([term]))]),
    };
    object([("nodeAffinity", nodes), ("podAntiAffinity", apart)])
}
