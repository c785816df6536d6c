//! The pod of a member: the database's container, what it shares with other containers, and where it may run.

use pgloom_kit::container::{DATABASE, mount};
use pgloom_kit::metadata::{Map, object_meta};
use pgloom_kit::resources::Rules;
use pgloom_kit::{Notes, Result, Value, json};

use crate::{Request, env};

/// The pod template.
pub fn template(request: &Request, version: &str, notes: &mut Notes) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let labels = config.metadata.labels(cluster);
    let mut pod = json!({
        "serviceAccountName": config.pods.pod_service_account_name,
        "terminationGracePeriodSeconds": config.pods.grace_seconds()?,
        "containers": [container(request, version, notes)?],
    });
    put(&mut pod, "volumes", volumes(request));
    put(&mut pod, "securityContext", security(request));
    put(&mut pod, "affinity", affinity(request, &labels));
    put(&mut pod, "tolerations", Value::Array(config.pods.tolerations(&cluster.spec.tolerations)));
    put(&mut pod, "topologySpreadConstraints", spread(&cluster.spec.topology_spread_constraints, &labels));
    put(&mut pod, "priorityClassName", json!(priority_class(request)));
    put(&mut pod, "schedulerName", json!(cluster.spec.scheduler_name.as_deref().unwrap_or_default()));

    let mut annotations = config.pods.annotations(&cluster.spec.pod_annotations, config.metadata.annotations(cluster));
    if !config.pod.kube_iam_role.is_empty() {
        annotations.insert("iam.amazonaws.com/role".to_owned(), config.pod.kube_iam_role.clone());
    }
    let mut metadata = object_meta("", labels, annotations);
    if let Some(metadata) = metadata.as_object_mut() {
        // A template has no name; its namespace says nothing new, but what runs has it, and another template restarts it.
        metadata.remove("name");
        if !cluster.namespace.is_empty() {
            metadata.insert("namespace".to_owned(), json!(cluster.namespace));
        }
    }
    Ok(json!({"metadata": metadata, "spec": pod}))
}

/// Sets a field unless the value is empty.
fn put(object: &mut Value, field: &str, value: Value) {
    let is_empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if !is_empty {
        object[field] = value;
    }
}

fn container(request: &Request, version: &str, notes: &mut Notes) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let spec = &cluster.spec;
    let image = spec.docker_image.as_deref().filter(|image| !image.is_empty()).unwrap_or(&config.pod.docker_image);
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
    let mut container = json!({
        "name": DATABASE,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [port(8008), port(5432), port(8080)],
        "env": env::variables(request, version, notes)?,
        "volumeMounts": mounts,
        "securityContext": container_security(request),
    });
    put(&mut container, "resources", resources.requirements(&spec.resources, notes)?);
    put(&mut container, "envFrom", Value::Array(spec.env_from.clone()));
    put(&mut container, "livenessProbe", spec.liveness_probe.clone().unwrap_or_default());
    if config.pod.enable_readiness_probe {
        container["readinessProbe"] = json!({
            "httpGet": {"path": "/readiness", "port": 8008, "scheme": "HTTP"},
            "initialDelaySeconds": 6,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 3,
        });
    }
    Ok(container)
}

fn port(number: u16) -> Value {
    json!({"containerPort": number, "protocol": "TCP"})
}

fn container_security(request: &Request) -> Value {
    let pod = &request.config.pod;
    let mut security = json!({
        "allowPrivilegeEscalation": pod.spilo_allow_privilege_escalation,
        "privileged": pod.spilo_privileged,
        "readOnlyRootFilesystem": false,
    });
    if !pod.additional_pod_capabilities.is_empty() {
        security["capabilities"] = json!({"add": pod.additional_pod_capabilities});
    }
    security
}

fn security(request: &Request) -> Value {
    let (spec, pod) = (&request.cluster.spec, &request.config.pod);
    let mut security = json!({});
    for (field, value) in [
        ("runAsUser", spec.spilo_run_as_user.or(pod.spilo_runasuser)),
        ("runAsGroup", spec.spilo_run_as_group.or(pod.spilo_runasgroup)),
        ("fsGroup", spec.spilo_fs_group.or(pod.spilo_fsgroup)),
    ] {
        put(&mut security, field, json!(value));
    }
    security
}

/// Whether shared memory gets a volume of its own, without the container runtime's limit of 64 MB.
fn has_shm(request: &Request) -> bool {
    request.cluster.spec.enable_shm_volume.or(request.config.pod.enable_shm_volume).unwrap_or(true)
}

fn volumes(request: &Request) -> Value {
    let mut volumes = Vec::new();
    if has_shm(request) {
        volumes.push(json!({"name": "dshm", "emptyDir": {"medium": "Memory"}}));
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

/// Nodes that are ready and asked for; and no two members on one node, if the platform wants that.
fn affinity(request: &Request, labels: &Map) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let mut affinity = json!({});
    put(&mut affinity, "nodeAffinity", json!(config.pods.node_affinity(cluster.spec.node_affinity.as_ref())));
    if config.pod.enable_pod_antiaffinity {
        let term = json!({
            "labelSelector": {"matchLabels": labels},
            "topologyKey": config.pod.pod_antiaffinity_topology_key,
        });
        affinity["podAntiAffinity"] = if config.pod.pod_antiaffinity_preferred_during_scheduling {
            json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]})
        } else {
            json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]})
        };
    }
    affinity
}

/// The manifest's constraints; one without a selector means the cluster's own pods.
fn spread(constraints: &[Value], labels: &Map) -> Value {
    let mut constraints = constraints.to_vec();
    for constraint in constraints.iter_mut().filter_map(Value::as_object_mut) {
        let selector = constraint.entry("labelSelector").or_insert(Value::Null);
        if selector.is_null() {
            *selector = json!({"matchLabels": labels});
        }
    }
    Value::Array(constraints)
}
