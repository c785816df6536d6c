//! The pooler's Deployment.

use pgloom_kit::common::name::{secret_name, volume_name};
use pgloom_kit::container::{env, env_from_secret, port, secret_volume};
use pgloom_kit::json::{self, list, object, text, unless_empty};
use pgloom_kit::metadata::{object_meta, resource};
use pgloom_kit::pod::{anti_affinity, template_metadata};
use pgloom_kit::tls::Files;
use pgloom_kit::{Cluster, Result, Value};

use crate::config::{Config, Poolers};
use crate::section::Pooler;
use crate::spec::Spec;
use crate::target::Target;

/// [`max_client_conn`](https://www.pgbouncer.org/config.html#max_client_conn): so high that a client waits for a
/// connection instead of being refused.
const MAX_CLIENTS: &str = "10000";
/// The user and the group of PgBouncer's process in the image.
const USER: i64 = 100;
const GROUP: i64 = 101;
/// The default group of mounted private keys, as in the database's pods.
const KEY_GROUP: i64 = 103;

/// The Deployment in front of the pods of one role.
///
/// # Errors
/// If a key of the operator configuration has an invalid value.
pub fn build(cluster: &Cluster<Spec>, config: &Config, pooler: &Pooler, target: &Target) -> Result<Value> {
    let annotations = config.metadata.workload_annotations(cluster, &config.pooler.downscaler_annotations)?;
    let spec = object([
        ("replicas", pooler.instances.into()),
        ("selector", object([("matchLabels", json::map(target.selector.clone()))])),
        ("template", template(cluster, config, pooler, target)?),
    ]);
    Ok(resource("apps/v1", "Deployment", object_meta(&target.name, target.labels.clone(), annotations), spec))
}

fn template(cluster: &Cluster<Spec>, config: &Config, pooler: &Pooler, target: &Target) -> Result<Value> {
    let Config { pods, .. } = config;
    let tls = cluster.spec.tls.files();
    // Another order is another pod template, and replaces the pods of an adopted pooler.
    let mut volumes = vec![secret_volume(&target.user_list, None)];
    let mut mounts = vec![object([
        ("name", text(&volume_name(&target.user_list))),
        ("mountPath", text("/etc/pgbouncer/userlist.txt")),
        ("subPath", text("userlist.txt")),
        ("readOnly", true.into()),
    ])];
    let mut variables = variables(cluster, &config.pooler, pooler, target);
    if let Some(files) = &tls {
        variables.extend(tls_variables(files));
        volumes.extend(files.volumes());
        mounts.extend(files.mounts());
    }

    let group = cluster.spec.fs_group.or(config.pooler.spilo_fsgroup).or(tls.is_some().then_some(KEY_GROUP));
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
    let metadata = template_metadata(target.labels.clone(), annotations, &cluster.namespace);
    Ok(object([("metadata", metadata), ("spec", spec)]))
}

fn container(pooler: &Pooler, variables: Vec<Value>, mounts: Vec<Value>) -> Value {
    object([
        ("name", text("connection-pooler")),
        ("image", text(&pooler.image)),
        ("imagePullPolicy", text("IfNotPresent")),
        ("ports", list([port(5432)])),
        ("env", Value::Array(variables)),
        ("readinessProbe", object([("tcpSocket", object([("port", 5432.into())]))])),
        ("resources", pooler.resources.clone()),
        ("securityContext", object([("allowPrivilegeEscalation", false.into())])),
        ("volumeMounts", Value::Array(mounts)),
    ])
}

fn variables(cluster: &Cluster<Spec>, config: &Poolers, pooler: &Pooler, target: &Target) -> Vec<Value> {
    let secret = secret_name(&config.secret_name_template, &pooler.user, &cluster.name, &cluster.team);
    let size = &pooler.size;
    let mut variables = vec![
        env("PGHOST", target.host.as_str()),
        env("PGPORT", "5432"),
        env_from_secret("PGUSER", &secret, "username"),
        env("PGSCHEMA", pooler.schema.as_str()),
        env_from_secret("PGPASSWORD", &secret, "password"),
        env("CONNECTION_POOLER_PORT", "5432"),
        env("CONNECTION_POOLER_MODE", pooler.mode.as_str()),
        env("CONNECTION_POOLER_DEFAULT_SIZE", size.default_pool_size.to_string()),
        env("CONNECTION_POOLER_MIN_SIZE", size.min_pool_size.to_string()),
        env("CONNECTION_POOLER_RESERVE_SIZE", size.reserve_pool_size.to_string()),
        env("CONNECTION_POOLER_MAX_CLIENT_CONN", MAX_CLIENTS),
        env("CONNECTION_POOLER_MAX_DB_CONN", size.max_db_connections.to_string()),
    ];
    // `stats_users` of PgBouncer: the roles that may show its statistics. The host writes them into the list of users.
    if !config.infrastructure_roles.is_empty() {
        variables.push(env("INFRASTRUCTURE_ROLES", config.infrastructure_roles.join(",")));
    }
    variables
}

/// The variables by which the image finds the certificate that PgBouncer shows to clients.
fn tls_variables(files: &Files) -> Vec<Value> {
    let mut variables = vec![
        env("CONNECTION_POOLER_CLIENT_TLS_CRT", files.certificate.as_str()),
        env("CONNECTION_POOLER_CLIENT_TLS_KEY", files.key.as_str()),
    ];
    if let Some(ca) = &files.ca {
        variables.push(env("CONNECTION_POOLER_CLIENT_CA_FILE", ca.as_str()));
    }
    variables
}

/// Nodes that are ready; instances on different nodes if `enable_pod_antiaffinity` is true.
fn affinity(cluster: &Cluster<Spec>, config: &Config, target: &Target) -> Value {
    let Config { pooler, pods, .. } = config;
    let apart = if pooler.enable_pod_antiaffinity {
        let is_preferred = pooler.pod_antiaffinity_preferred_during_scheduling;
        anti_affinity(&target.selector, &pooler.pod_antiaffinity_topology_key, is_preferred)
    } else {
        Value::Null
    };
    object([
        ("nodeAffinity", pods.node_affinity(Some(&cluster.spec.node_affinity)).unwrap_or_default()),
        ("podAntiAffinity", apart),
    ])
}
