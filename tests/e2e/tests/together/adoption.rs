//! A running cluster of the Zalando operator is adopted: no pod restarts, and its objects become pgloom's.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use compare::case::{Case, FOLDER, identity, read_all, release};
use e2e::{Namespace, Operator, ensure, eventually, has_cluster};
use serde_json::{Value, json};

/// The field manager of the Zalando operator.
const PREDECESSOR: &str = "postgres-operator";
/// The controller id of the clusters: they belong to the operator of this test, not to the one in the cluster.
const ID: &str = "adoption";
const KINDS: &str = "statefulset,service,poddisruptionbudget,deployment,cronjob,endpoints,secret,pod,pvc";
/// Kinds that are created once and never changed: there are no fields to take over.
const NEVER_WRITTEN: [&str; 2] = ["Endpoints", "Secret"];

/// Kinds that pgloom marks when it adopts a cluster.
const WRITTEN: [&str; 5] = ["StatefulSet", "Service", "PodDisruptionBudget", "Deployment", "CronJob"];
/// The mark, `pgloom_decide::ownership::MARK`.
const MARK: &str = "pgloom.dev/cluster-uid";
/// What an object was created as; it is on the kinds that may be replaced.
const CREATED_AS: &str = "pgloom.dev/created-as";

/// Objects by kind and name.
type Objects = BTreeMap<String, Value>;

#[test]
fn a_recorded_cluster_is_taken_over_without_a_restart() {
    if !has_cluster("adoption") {
        return;
    }
    let Some(folder) = release("newest") else {
        println!("SKIPPED: adoption: {FOLDER} names no folder with recorded cases");
        return;
    };
    let cases = read_all(&folder).unwrap();
    assert!(!cases.is_empty());
    // Concurrently, because most of the time is spent waiting.
    let faults: Vec<String> = std::thread::scope(|scope| {
        let halves = cases.chunks(cases.len().div_ceil(2));
        let halves: Vec<_> =
            halves.map(|half| scope.spawn(|| half.iter().flat_map(judge).collect::<Vec<_>>())).collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn judge(case: &Case) -> Vec<String> {
    match &case.refused {
        Some(what) => {
            println!("SKIPPED: adoption: {}: the API server refused {what} of the Zalando operator", case.name);
            Vec::new()
        }
        None => adopt(case).into_iter().map(|fault| format!("{}: {fault}", case.name)).collect(),
    }
}

/// Adopts the recorded objects; returns the faults.
fn adopt(case: &Case) -> Vec<String> {
    let name = case.manifest["metadata"]["name"].as_str().unwrap();
    let namespace = Namespace::named(case.manifest["metadata"]["namespace"].as_str().unwrap());
    create_recorded(case, &namespace, name);
    let before = objects(&namespace);
    assert!(managers(&before[&format!("StatefulSet/{name}")]).contains(&PREDECESSOR));
    let operator = Operator::start(ID, &namespace.name, configuration(case, &namespace), "info");
    eventually(&format!("{} is taken over", case.name), || {
        let manifest = namespace.get("postgresql", name)?;
        let status = &manifest["status"];
        let applied = status["conditions"].as_array().into_iter().flatten().find(|entry| entry["type"] == "Applied");
        ensure(applied.is_some_and(|applied| applied["status"] == "True"), format!("{status}\n{}", operator.log()))
    });
    let after = objects(&namespace);
    operator.stop();
    let uid = namespace.get("postgresql", name).unwrap()["metadata"]["uid"].clone();
    namespace.patch("postgresql", name, &json!({"metadata": {"finalizers": null}}));
    faults(&before, after, &uid)
}

/// The faults of a takeover: forbidden changes of objects, and missing ones.
fn faults(before: &Objects, mut after: Objects, uid: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (identity, before) in before {
        let Some(after) = after.get_mut(identity) else {
            faults.push(format!("{identity} is gone"));
            continue;
        };
        let mark = take_mark(after);
        if WRITTEN.contains(&after["kind"].as_str().unwrap()) && mark.as_ref() != Some(uid) {
            faults.push(format!("{identity} has the mark {mark:?}"));
        }
        let places = ["/metadata/uid", "/metadata/labels", "/metadata/annotations", "/metadata/generation", "/spec"];
        // The scheduler changes the `spec` of a pod; a replaced pod has another uid.
        for place in if before["kind"] == "Pod" { &places[..1] } else { &places } {
            // Kubernetes counts the mark, an annotation, as a new generation of a Deployment; its template is in
            // `/spec`.
            if before["kind"] == "Deployment" && *place == "/metadata/generation" {
                continue;
            }
            let (before, after) = (before.pointer(place), after.pointer(place));
            if before != after {
                faults.push(format!("{identity}: {place}: {before:?} became {after:?}"));
            }
        }
        if before.pointer("/status/updateRevision") != after.pointer("/status/updateRevision") {
            faults.push(format!("{identity} has another revision of its template"));
        }
        if !NEVER_WRITTEN.contains(&after["kind"].as_str().unwrap()) && managers(after).contains(&PREDECESSOR) {
            faults.push(format!("{identity} is still owned by {PREDECESSOR}"));
        }
    }
    faults.extend(after.keys().filter(|identity| !before.contains_key(*identity)).map(|new| format!("{new} is new")));
    faults
}

/// Removes the annotations that pgloom adds to what it writes, and returns the mark.
fn take_mark(object: &mut Value) -> Option<Value> {
    let metadata = object["metadata"].as_object_mut().unwrap();
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let mark = annotations.remove(MARK);
    annotations.remove(CREATED_AS);
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    mark
}

/// Who owns fields, apart from those of the status.
fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.filter(|entry| entry.get("subresource").is_none()).filter_map(|entry| entry["manager"].as_str()).collect()
}

/// Creates the recorded objects. The local cluster lacks their images, so the claims of the pods are never bound and
/// the pods stay pending.
fn create_recorded(case: &Case, namespace: &Namespace, name: &str) {
    namespace.create_as("the test", [case.prerequisites.clone(), case.made.iter().flat_map(claims).collect()].concat());
    let mut manifest = case.manifest.clone();
    manifest["metadata"]["annotations"]["acid.zalan.do/controller"] = json!(ID);
    manifest["metadata"].as_object_mut().unwrap().remove("uid");
    namespace.apply(&manifest);
    let uid = namespace.get("postgresql", name).unwrap()["metadata"]["uid"].clone();
    let uid = uid.as_str().unwrap();
    namespace.create_as(PREDECESSOR, case.made.iter().map(|object| revived(object, uid)).collect());
    for object in case.made.iter().filter(|object| object["kind"] == "StatefulSet") {
        let name = object["metadata"]["name"].as_str().unwrap();
        // With `OrderedReady` only the first pod exists until it is ready.
        eventually(&format!("a pod of {name} exists"), || {
            let status = &namespace.get("statefulset", name)?["status"];
            ensure(status["replicas"].as_u64() >= Some(1), status)
        });
    }
}

/// A recorded object with a password and the uid of the manifest, which the recording replaces.
fn revived(object: &Value, uid: &str) -> Value {
    let mut object: Value = serde_json::from_str(&object.to_string().replace("CLUSTER-UID", uid)).unwrap();
    for owner in object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut).into_iter().flatten() {
        owner["uid"] = json!(uid);
    }
    for value in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(serde_json::Map::values_mut)
    {
        let text = value.as_str().unwrap();
        match text.strip_prefix("PLAIN:") {
            Some(plain) => *value = json!(STANDARD.encode(plain)),
            None if text == "REDACTED" => *value = json!(STANDARD.encode("x".repeat(64))),
            None => {}
        }
    }
    object
}

/// The claims of a StatefulSet's members, of a storage class without a provisioner.
fn claims(set: &Value) -> Vec<Value> {
    let members = set["spec"]["replicas"].as_u64().unwrap_or_default();
    let templates = set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let claim = |template: &Value, member: u64| {
        let set = set["metadata"]["name"].as_str().unwrap();
        let mut claim = template.clone();
        claim["apiVersion"] = json!("v1");
        claim["kind"] = json!("PersistentVolumeClaim");
        let name = format!("{}-{set}-{member}", template["metadata"]["name"].as_str().unwrap());
        claim["metadata"]["name"] = json!(name);
        claim["spec"]["storageClassName"] = json!("out-of-reach");
        claim.as_object_mut().unwrap().remove("status");
        claim
    };
    templates.flat_map(|template| (0..members).map(move |member| claim(template, member))).collect()
}

/// Applies the operator configuration of a case; returns its flag and its name.
fn configuration(case: &Case, namespace: &Namespace) -> [&'static str; 2] {
    let mut config = case.config.clone();
    config["metadata"] = json!({"name": "recorded"});
    namespace.apply(&config);
    [if config["kind"] == "ConfigMap" { "--config-map" } else { "--config-object" }, "recorded"]
}

fn objects(namespace: &Namespace) -> Objects {
    let text = namespace.kubectl(&["get", KINDS, "--show-managed-fields", "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    // Kubernetes creates and changes these objects itself.
    let is_kept = |object: &&Value| object["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"].is_string();
    let items = list["items"].as_array().unwrap().iter().filter(|object| !is_kept(object));
    items.map(|object| (identity(object), object.clone())).collect()
}
