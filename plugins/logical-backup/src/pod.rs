//! The pod of a dump.

use pgloom_kit::container::mount;
use pgloom_kit::metadata::Map;
use pgloom_kit::object::{self, list, object, text, unless_empty};
use pgloom_kit::{Result, Value};

use crate::{Request, env, resources};

/// The annotation by which pods get a role of AWS.
const IAM_ROLE: &str = "iam.amazonaws.com/role";

/// Builds the template of pods with these labels.
///
/// # Errors
/// If a resource cannot be used, or the Secret of variables is missing.
pub fn template(request: &Request, labels: &Map) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let mut annotations = config.pods.annotations(&cluster.spec.pod_annotations, config.metadata.annotations(cluster));
    if !config.access.kube_iam_role.is_empty() {
        annotations.insert(IAM_ROLE.to_owned(), config.access.kube_iam_role.clone());
    }
    let secret = config.access.additional_secret_mount.as_str();
    let volumes = match secret {
        "" => Value::Null,
        _ => list([object([("name", text(secret)), ("secret", object([("secretName", text(secret))]))])]),
    };
    let spec = object([
        ("affinity", affinity(request, labels)),
        ("containers", list([container(request)?])),
        ("restartPolicy", text("Never")),
        ("serviceAccountName", text(&config.pods.pod_service_account_name)),
        ("terminationGracePeriodSeconds", config.pods.grace_seconds()?.into()),
        ("tolerations", unless_empty(Value::Array(config.pods.tolerations(&cluster.spec.tolerations)))),
        ("volumes", volumes),
    ]);
    let meta = object([
        ("labels", object::map(labels.clone())),
        ("annotations", unless_empty(object::map(annotations))),
        ("namespace", unless_empty(text(&cluster.namespace))),
    ]);
    Ok(object([("metadata", meta), ("spec", spec)]))
}

fn container(request: &Request) -> Result<Value> {
    let config = &request.config;
    let access = &config.access;
    let port = |number: i64| object([("containerPort", number.into()), ("protocol", text("TCP"))]);
    let mounts = match access.additional_secret_mount.as_str() {
        "" => Value::Null,
        secret => list([mount(secret, &access.additional_secret_mount_path)]),
    };
    Ok(object([
        ("name", text("logical-backup")),
        ("image", text(&config.job.logical_backup_docker_image)),
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

/// On a node that is ready, and near other dumps where possible.
fn affinity(request: &Request, labels: &Map) -> Value {
    let term = object([
        ("labelSelector", object([("matchLabels", object::map(labels.clone()))])),
        ("topologyKey", text("kubernetes.io/hostname")),
    ]);
    let near = list([object([("podAffinityTerm", term), ("weight", 1.into())])]);
    object([
        ("nodeAffinity", request.config.pods.node_affinity(None).unwrap_or_default()),
        ("podAffinity", object([("preferredDuringSchedulingIgnoredDuringExecution", near)])),
    ])
}
