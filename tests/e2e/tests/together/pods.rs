//! What a manifest and the operator configuration say about pods: resources, priority, nodes, and containers that are switched
//! off. The operator of this test has a configuration of its own.

use e2e::{
    Namespace, Operator, configuration, ensure, eventually, has_cluster, kubectl, minimal, namespace, of_operator,
};
use serde_json::{Value, json};

const ID: &str = "pods";
const CLUSTER: &str = "acid-pods";
const POD: &str = "acid-pods-0";
/// A cluster whose manifest says nothing about its pods.
const PLAIN: &str = "acid-plain";
/// A cluster that asks for containers that are switched off.
const LATE: &str = "acid-late";
const PRIORITY: &str = "e2e-database";
const IMAGE: &str = "localhost/pgloom/database:15";

/// The class exists until this goes, whatever happens.
struct PriorityClass;

impl PriorityClass {
    fn create() -> Self {
        let _ = kubectl(&["delete", "priorityclass", PRIORITY, "--ignore-not-found"]);
        kubectl(&["create", "priorityclass", PRIORITY, "--value=1000"]).unwrap();
        Self
    }
}

impl Drop for PriorityClass {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "priorityclass", PRIORITY, "--ignore-not-found"]);
    }
}

#[test]
fn pods_are_as_manifest_and_configuration_say() {
    if !has_cluster("pods") {
        return;
    }
    let nodes = kubectl(&["get", "nodes", "--output", "name"]).unwrap();
    let node = nodes.lines().last().unwrap().trim_start_matches("node/");
    let _class = PriorityClass::create();
    let namespace = namespace("pods");
    namespace.apply(&configuration(&pools()));
    let _operator = Operator::start(ID, &namespace.name, ["--config-map", "pgloom"], "info");
    namespace.apply(&with_containers(&manifest(node)));
    let mut plain = of_operator(minimal(PLAIN, 1), ID);
    plain["spec"]["enableConnectionPooler"] = json!(true);
    namespace.apply(&plain);
    namespace.running(CLUSTER);
    namespace.running(PLAIN);

    limits_below_the_minimum_are_raised(&namespace);
    without_resources_the_configured_ones_hold(&namespace);
    a_pool_of_which_nothing_is_said_is_as_configured(&namespace);
    the_pod_has_its_priority_and_runs_on_the_node_that_it_asks_for(&namespace, node);
    containers_that_are_switched_off_are_left_out_and_a_new_cluster_with_them_is_refused(&namespace);
}

/// Keys for pools, none with its default.
fn pools() -> Value {
    json!({
        "connection_pooler_number_of_instances": "3",
        "connection_pooler_mode": "session",
        "connection_pooler_default_cpu_request": "11m",
        "connection_pooler_default_memory_request": "17Mi",
        "connection_pooler_default_cpu_limit": "490m",
        "connection_pooler_default_memory_limit": "90Mi",
    })
}

fn manifest(node: &str) -> Value {
    let mut manifest = of_operator(minimal(CLUSTER, 1), ID);
    let node = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
    let spec = json!({
        "resources": {"requests": {"cpu": "10m", "memory": "100Mi"}, "limits": {"cpu": "100m", "memory": "200Mi"}},
        "podPriorityClassName": PRIORITY,
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [node]}]},
        },
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}

/// The manifest with an init container and a sidecar.
fn with_containers(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    manifest["spec"]["initContainers"] = json!([{"name": "before", "image": IMAGE, "command": ["true"]}]);
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "100Mi"}});
    let command = json!(["sh", "-c", "trap exit TERM; sleep infinity & wait"]);
    manifest["spec"]["sidecars"] =
        json!([{"name": "beside", "image": IMAGE, "command": command, "resources": resources}]);
    manifest
}

fn resources(namespace: &Namespace, pod: &str) -> Value {
    namespace.get("pod", pod).unwrap()["spec"]["containers"][0]["resources"].clone()
}

fn limits_below_the_minimum_are_raised(namespace: &Namespace) {
    let expected = json!({"requests": {"cpu": "10m", "memory": "100Mi"}, "limits": {"cpu": "250m", "memory": "250Mi"}});
    assert_eq!(resources(namespace, POD), expected);
}

fn without_resources_the_configured_ones_hold(namespace: &Namespace) {
    let expected = json!({"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "500Mi"}});
    assert_eq!(resources(namespace, &format!("{PLAIN}-0")), expected);
}

fn a_pool_of_which_nothing_is_said_is_as_configured(namespace: &Namespace) {
    let pool = format!("{PLAIN}-pooler");
    eventually("the pool has as many pods as configured", || {
        let status = namespace.get("deployment", &pool)?["status"].clone();
        ensure(status["readyReplicas"] == 3 && status["replicas"] == 3, status)
    });
    let selector = format!("connection-pooler={pool}");
    let text = namespace.kubectl(&["get", "pods", "--selector", &selector, "--output", "json"]).unwrap();
    let pods: Value = serde_json::from_str(&text).unwrap();
    let pods = pods["items"].as_array().unwrap();
    assert_eq!(pods.len(), 3);
    let resources = json!({"requests": {"cpu": "11m", "memory": "17Mi"}, "limits": {"cpu": "490m", "memory": "90Mi"}});
    for pod in pods {
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["resources"], resources);
        let variables = container["env"].as_array().unwrap();
        let mode = variables.iter().find(|variable| variable["name"] == "CONNECTION_POOLER_MODE").unwrap();
        assert_eq!(mode["value"], "session");
    }
}

fn the_pod_has_its_priority_and_runs_on_the_node_that_it_asks_for(namespace: &Namespace, node: &str) {
    let pod = namespace.get("pod", POD).unwrap();
    assert_eq!((&pod["spec"]["priority"], &pod["spec"]["nodeName"]), (&json!(1000), &json!(node)));
}

fn containers_that_are_switched_off_are_left_out_and_a_new_cluster_with_them_is_refused(namespace: &Namespace) {
    let containers = || {
        let pod = namespace.get("pod", POD)?;
        let names = |list: &Value| {
            let list = list.as_array().into_iter().flatten();
            list.map(|container| container["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        Ok::<_, String>((names(&pod["spec"]["initContainers"]), names(&pod["spec"]["containers"])))
    };
    assert_eq!(containers().unwrap(), (vec!["before".to_owned()], vec!["postgres".to_owned(), "beside".to_owned()]));
    let off = json!({"enable_sidecars": "false", "enable_init_containers": "false"});
    namespace.patch("configmap", "pgloom", &json!({"data": off}));
    eventually("the pod has neither", || {
        let (before, beside) = containers()?;
        ensure(before.is_empty() && beside == ["postgres"], format!("{before:?} {beside:?}"))
    });
    namespace.warned(CLUSTER, "sidecar containers specified but disabled in configuration");
    namespace.warned(CLUSTER, "initContainers specified but disabled in configuration");
    namespace.running(CLUSTER);

    namespace.apply(&with_containers(&of_operator(minimal(LATE, 1), ID)));
    namespace.warned(LATE, "disabled in configuration");
    assert!(namespace.get("statefulset", LATE).is_err(), "a refused cluster has no StatefulSet");
}
