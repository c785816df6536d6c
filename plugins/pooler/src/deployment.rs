//! The pooler's Deployment.

use pgloom_kit::container::{env, env_from_secret};
use pgloom_kit::metadata::object_meta;
use pgloom_kit::{Cluster, Result, Value, common, json};

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
const USER_LIST: &str = "userlist.txt";

/// Builds it.
///
/// # Errors
/// If the operator configuration cannot be used.
pub fn build(cluster: &Cluster<Spec>, config: &Config, pooler: &Pooler, target: &Target) -> Result<Value> {
    let annotations = config.metadata.workload_annotations(cluster, &config.pooler.downscaler_annotations)?;
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": object_meta(&target.name, target.labels.clone(), annotations),
        "spec": {
            "replicas": pooler.instances,
            "selector": {"matchLabels": target.selector},
            "template": template(cluster, config, pooler, target)?,
        },
    }))
}

fn template(cluster: &Cluster<Spec>, config: &Config, pooler: &Pooler, target: &Target) -> Result<Value> {
    let Config { pods, .. } = config;
    let tls = tls::Parts::of(&cluster.spec.tls);
    let has_key = !tls.volumes.is_empty();
    let mut volumes = tls.volumes;
    volumes.push(json!({"name": target.user_list, "secret": {"secretName": target.user_list}}));
    let mut mounts = tls.mounts;
    mounts.push(json!({
        "name": target.user_list,
        "mountPath": "/etc/pgbouncer/userlist.txt",
        "subPath": USER_LIST,
        "readOnly": true,
    }));
    let mut variables = variables(cluster, &config.pooler.secret_name_template, pooler, target);
    variables.extend(tls.env);

    let mut spec = json!({
        "containers": [container(pooler, &variables, &mounts)],
        "securityContext": {"runAsGroup": GROUP, "runAsUser": USER},
        "serviceAccountName": pods.pod_service_account_name,
        "terminationGracePeriodSeconds": pods.grace_seconds()?,
        "volumes": volumes,
    });
    let group = cluster.spec.fs_group.or(config.pooler.spilo_fsgroup).or(has_key.then_some(KEY_GROUP));
    if let Some(group) = group {
        spec["securityContext"]["fsGroup"] = json!(group);
    }
    let tolerations = pods.tolerations(&cluster.spec.tolerations);
    if !tolerations.is_empty() {
        spec["tolerations"] = json!(tolerations);
    }
    if let Some(affinity) = affinity(cluster, config, target) {
        spec["affinity"] = affinity;
    }

    let mut meta = json!({"labels": target.labels, "namespace": cluster.namespace});
    let annotations = pods.annotations(&cluster.spec.pod_annotations, config.metadata.annotations(cluster));
    if !annotations.is_empty() {
        meta["annotations"] = json!(annotations);
    }
    Ok(json!({"metadata": meta, "spec": spec}))
}

fn container(pooler: &Pooler, variables: &[Value], mounts: &[Value]) -> Value {
    json!({
        "name": "connection-pooler",
        "image": pooler.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 5432, "protocol": "TCP"}],
        "env": variables,
        "readinessProbe": {"tcpSocket": {"port": 5432}},
        "resources": pooler.resources,
        "securityContext": {"allowPrivilegeEscalation": false},
        "volumeMounts": mounts,
    })
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
fn affinity(cluster: &Cluster<Spec>, config: &Config, target: &Target) -> Option<Value> {
    let nodes = config.pods.node_affinity(cluster.spec.node_affinity.as_ref());
    let Config { pooler: config, .. } = config;
    let apart = config.enable_pod_antiaffinity.then(|| {
        let term = json!({
            "labelSelector": {"matchLabels": target.selector},
            "topologyKey": config.pod_antiaffinity_topology_key,
        });
        match config.pod_antiaffinity_preferred_during_scheduling {
            true => json!({
                "preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": term, "weight": 1}],
            }),
            false => json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]}),
        }
    });
    let mut affinity = json!({});
    if let Some(nodes) = nodes {
        affinity["nodeAffinity"] = nodes;
    }
    if let Some(apart) = apart {
        affinity["podAntiAffinity"] = apart;
    }
    affinity.as_object().is_some_and(|rules| !rules.is_empty()).then_some(affinity)
}
