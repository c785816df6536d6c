//! The pod of a Job.

use pgloom_kit::container::{image, mount_secret, port, secret_volume};
use pgloom_kit::json::{list, object, text, unless_empty};
use pgloom_kit::metadata::Map;
use pgloom_kit::pod::{IAM_ROLE_ANNOTATION, affinity_term, preferred, template_metadata};
use pgloom_kit::{Result, Value};

use crate::{Request, env, resources};

/// The pod template, with these labels.
///
/// # Errors
/// If a quantity is invalid, or the Secret of variables does not exist.
pub fn template(request: &Request, labels: &Map) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let spec = &cluster.spec;
    let mut annotations = annotations(request);
    if !config.access.kube_iam_role.is_empty() {
        annotations.insert(IAM_ROLE_ANNOTATION.to_owned(), config.access.kube_iam_role.clone());
    }
    let secret = config.access.additional_secret_mount.as_str();
    let volumes = match secret {
        "" => Value::Null,
        _ => list([secret_volume(secret, None)]),
    };
    let pod = object([
        ("affinity", affinity(request, labels)),
        ("containers", list([container(request)?])),
        ("restartPolicy", text("Never")),
        ("securityContext", unless_empty(config.users.security(spec.run_as_user, spec.run_as_group, spec.fs_group))),
        ("serviceAccountName", text(&config.pods.pod_service_account_name)),
        ("terminationGracePeriodSeconds", config.pods.grace_seconds()?.into()),
        ("tolerations", unless_empty(Value::Array(config.pods.tolerations(&spec.tolerations)))),
        ("topologySpreadConstraints", unless_empty(Value::Array(spec.topology_spread_constraints.clone()))),
        ("volumes", volumes),
    ]);
    let metadata = template_metadata(labels.clone(), annotations, &cluster.namespace);
    Ok(object([("metadata", metadata), ("spec", pod)]))
}

/// The annotations of the CronJob and of its pods.
pub fn annotations(request: &Request) -> Map {
    let (cluster, config) = (&request.cluster, &request.config);
    config.pods.annotations(&cluster.spec.pod_annotations, config.metadata.annotations(cluster))
}

fn container(request: &Request) -> Result<Value> {
    let config = &request.config;
    let access = &config.access;
    let mounts = match access.additional_secret_mount.as_str() {
        "" => Value::Null,
        secret => list([mount_secret(secret, &access.additional_secret_mount_path)]),
    };
    Ok(object([
        ("name", text("logical-backup")),
        ("image", text(image(&config.job.logical_backup_docker_image, "logical_backup_docker_image")?)),
        ("imagePullPolicy", text("IfNotPresent")),
        ("ports", list([port(8008), port(5432), port(8080)])),
        ("env", Value::Array(env::variables(request)?)),
        ("resources", resources::resources(config)?),
        (
            "securityContext",
            object([
                ("allowPrivilegeEscalation", access.spilo_allow_privilege_escalation.into()),
                ("privileged", access.spilo_privileged.into()),
                ("readOnlyRootFilesystem", false.into()),
            ]),
        ),
        ("volumeMounts", mounts),
    ]))
}

/// The affinity: nodes that are ready; if possible, the nodes of the cluster's other Jobs.
fn affinity(request: &Request, labels: &Map) -> Value {
    object([
        ("nodeAffinity", request.config.pods.node_affinity(None).unwrap_or_default()),
        ("podAffinity", preferred(affinity_term(labels, ""))),
    ])
}
