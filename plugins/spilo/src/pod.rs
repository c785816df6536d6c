//! The pod of a member: the database's container, volumes, and scheduling.

use pgloom_kit::container::{self, DATABASE, memory_volume, mount, port};
use pgloom_kit::json::{self, field, list, map, object, text, texts, unless_empty};
use pgloom_kit::metadata::Map;
use pgloom_kit::pod::{IAM_ROLE_ANNOTATION, anti_affinity, template_metadata};
use pgloom_kit::resources::Rules;
use pgloom_kit::{Result, Value, Warnings};

use crate::{Request, env};

/// The pod template.
pub fn template(request: &Request, version: &str, warnings: &mut Warnings) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let labels = config.metadata.labels(cluster);
    let mut annotations = config.pods.annotations(&cluster.spec.pod_annotations, config.metadata.annotations(cluster));
    if !config.pod.kube_iam_role.is_empty() {
        annotations.insert(IAM_ROLE_ANNOTATION.to_owned(), config.pod.kube_iam_role.clone());
    }
    let spread = spread(request, &labels, warnings);
    let spec = object([
        ("containers", list([container(request, version, warnings)?])),
        ("volumes", unless_empty(volumes(request))),
        ("securityContext", unless_empty(security(request))),
        ("affinity", unless_empty(affinity(request, &labels))),
        ("tolerations", unless_empty(Value::Array(config.pods.tolerations(&cluster.spec.tolerations)))),
        ("topologySpreadConstraints", unless_empty(Value::Array(spread))),
        ("priorityClassName", unless_empty(text(priority_class(request)))),
        ("schedulerName", unless_empty(text(field::text(&cluster.spec.scheduler_name)))),
        ("serviceAccountName", text(&config.pods.pod_service_account_name)),
        ("terminationGracePeriodSeconds", config.pods.grace_seconds()?.into()),
    ]);
    let metadata = template_metadata(labels, annotations, &cluster.namespace);
    Ok(object([("metadata", metadata), ("spec", spec)]))
}

/// The image of the database's container: the manifest's, or else the platform's.
pub fn image(request: &Request) -> &str {
    let of_manifest = field::text(&request.cluster.spec.docker_image);
    if of_manifest.is_empty() { &request.config.pod.docker_image } else { of_manifest }
}

fn container(request: &Request, version: &str, warnings: &mut Warnings) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let spec = &cluster.spec;
    let image = container::image(image(request), "docker_image")?;
    let resources = Rules {
        path: "spec.resources",
        defaults: config.resources.defaults(),
        bounds: config.bounds.of(&cluster.annotations),
        memory_request_to_limit: config.resources.set_memory_request_to_limit,
    };
    let mut mounts = vec![spec.volume.mount()];
    if has_shm(request) {
        mounts.push(mount("dshm", "/dev/shm"));
    }
    mounts.extend(config.shared.mounts());
    Ok(object([
        ("name", text(DATABASE)),
        ("image", text(image)),
        ("imagePullPolicy", text("IfNotPresent")),
        ("ports", list([port(8008), port(5432), port(8080)])),
        ("env", Value::Array(env::variables(request, version, warnings)?)),
        ("envFrom", unless_empty(Value::Array(spec.env_from.clone()))),
        ("resources", unless_empty(resources.requirements(&spec.resources, warnings)?)),
        ("volumeMounts", Value::Array(mounts)),
        ("securityContext", container_security(request)),
        ("readinessProbe", if config.pod.enable_readiness_probe { readiness() } else { Value::Null }),
        ("livenessProbe", liveness(request)),
    ]))
}

/// The manifest's probe, or the configured one.
fn liveness(request: &Request) -> Value {
    let (own, configured) = (&request.cluster.spec.liveness_probe, &request.config.pod.liveness_probe);
    if own.is_null() { unless_empty(configured.clone()) } else { own.clone() }
}

/// The readiness probe:
/// [`GET /readiness`](https://patroni.readthedocs.io/en/latest/rest_api.html#health-check-endpoints) of Patroni.
fn readiness() -> Value {
    let request = object([("path", text("/readiness")), ("port", 8008.into()), ("scheme", text("HTTP"))]);
    object([
        ("httpGet", request),
        ("initialDelaySeconds", 6.into()),
        ("periodSeconds", 10.into()),
        ("timeoutSeconds", 5.into()),
        ("successThreshold", 1.into()),
        ("failureThreshold", 3.into()),
    ])
}

fn container_security(request: &Request) -> Value {
    let pod = &request.config.pod;
    let capabilities: Vec<_> = pod.additional_pod_capabilities.iter().map(|name| name.to_ascii_uppercase()).collect();
    let added = object([("add", unless_empty(texts(&capabilities)))]);
    object([
        ("allowPrivilegeEscalation", pod.spilo_allow_privilege_escalation.into()),
        ("privileged", pod.spilo_privileged.into()),
        ("readOnlyRootFilesystem", false.into()),
        ("capabilities", unless_empty(added)),
    ])
}

fn security(request: &Request) -> Value {
    let spec = &request.cluster.spec;
    request.config.users.security(spec.spilo_run_as_user, spec.spilo_run_as_group, spec.spilo_fs_group)
}

/// Whether `/dev/shm` is a volume of its own, without the container runtime's limit of 64 MB.
fn has_shm(request: &Request) -> bool {
    request.cluster.spec.enable_shm_volume.or(request.config.pod.enable_shm_volume).unwrap_or(true)
}

fn volumes(request: &Request) -> Value {
    let mut volumes = Vec::new();
    if has_shm(request) {
        volumes.push(memory_volume("dshm"));
    }
    volumes.extend(request.config.shared.volumes());
    Value::Array(volumes)
}

fn priority_class(request: &Request) -> &str {
    let spec = &request.cluster.spec;
    [&spec.pod_priority_class_name, &spec.old_pod_priority_class_name]
        .into_iter()
        .flatten()
        .find(|class| !class.is_empty())
        .unwrap_or(&request.config.pod.pod_priority_class_name)
}

/// The affinity: nodes that are ready and that the manifest selects; members on different nodes if
/// `enable_pod_antiaffinity` is true.
fn affinity(request: &Request, labels: &Map) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let pod = &config.pod;
    let apart = if pod.enable_pod_antiaffinity {
        let is_preferred = pod.pod_antiaffinity_preferred_during_scheduling;
        anti_affinity(labels, &pod.pod_antiaffinity_topology_key, is_preferred)
    } else {
        Value::Null
    };
    object([
        ("nodeAffinity", config.pods.node_affinity(cluster.spec.node_affinity.as_ref()).unwrap_or_default()),
        ("podAntiAffinity", apart),
    ])
}

/// The manifest's constraints, as they are written. A selector that is added to one would replace the pods of an adopted
/// cluster, so one without a selector, which counts no pods, is told.
fn spread(request: &Request, labels: &Map, warnings: &mut Warnings) -> Vec<Value> {
    let constraints = &request.cluster.spec.topology_spread_constraints;
    for (index, constraint) in constraints.iter().enumerate() {
        if constraint.get("labelSelector").is_none_or(Value::is_null) {
            let selector = object([("matchLabels", map(labels.clone()))]);
            warnings.warn(
                format!("spec.topologySpreadConstraints[{index}].labelSelector"),
                "without a selector the constraint counts no pods, and spreads none",
                format!("add labelSelector: {}", json::write(&selector)),
            );
        }
    }
    constraints.clone()
}
