//! Objects in one form, so that they can be compared: with the API server's defaults, quantities by value, and without
//! empty values.

use pgloom_common::api_default::{self, Defaults};
use pgloom_common::quantity::Quantity;
use serde_json::{Map, Value, json};

use crate::kind::ObjectKey;

/// Sets what the API server adds to an object and to its pod template.
pub fn complete(object: &mut Value) {
    let defaults = api_default::of_kind(ObjectKey::of(object).kind);
    fill_all(object, defaults);
    for pointer in ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        object.pointer_mut(pointer).into_iter().for_each(complete_pod);
    }
}

/// Writes quantities in one notation, and removes what is empty.
pub fn canonical(object: &mut Value) {
    quantities(object);
    prune(object);
}

fn complete_pod(pod: &mut Value) {
    fill_all(pod, api_default::POD);
    if pod["serviceAccount"].is_null() {
        pod["serviceAccount"] = pod["serviceAccountName"].clone();
    }
    for volume in pod.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(image) = volume.get_mut("image").filter(|image| image.is_object() && image["pullPolicy"].is_null())
        {
            image["pullPolicy"] = json!(api_default::pull_policy(image["reference"].as_str().unwrap_or_default()));
        }
    }
    for list in ["containers", "initContainers"] {
        if let Some(Value::Array(containers)) = pod.get_mut(list) {
            containers.iter_mut().for_each(complete_container);
        }
    }
}

fn complete_container(container: &mut Value) {
    fill_all(container, api_default::CONTAINER);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            fill_all(&mut container[probe], api_default::PROBE);
        }
    }
    if container["imagePullPolicy"].is_null() {
        container["imagePullPolicy"] = json!(api_default::pull_policy(container["image"].as_str().unwrap_or_default()));
    }
    // A missing request gets the value of the limit.
    for (name, limit) in container["resources"]["limits"].as_object().cloned().unwrap_or_default() {
        if container["resources"]["requests"][&name].is_null() {
            container["resources"]["requests"][&name] = limit;
        }
    }
}

/// Sets defaults where fields are missing.
pub fn fill_all(value: &mut Value, defaults: Defaults) {
    defaults.iter().for_each(|(path, default)| fill(value, path, default));
}

/// Sets a default where the field is missing and its parent exists.
fn fill(value: &mut Value, path: &str, default: &str) {
    let (step, rest) = path.split_once('.').map_or((path, None), |(step, rest)| (step, Some(rest)));
    let (step, each) = step.strip_suffix("[]").map_or((step, false), |step| (step, true));
    let Some(map) = value.as_object_mut() else { return };
    match (rest, map.get_mut(step)) {
        (Some(rest), Some(Value::Array(entries))) if each => {
            entries.iter_mut().for_each(|entry| fill(entry, rest, default));
        }
        (Some(rest), Some(child)) if !each => fill(child, rest, default),
        // The API server adds the policies of a StatefulSet if they are missing.
        (Some(rest), None) if step.ends_with("Policy") || step == "updateStrategy" => {
            let mut child = json!({});
            fill(&mut child, rest, default);
            map.insert(step.to_owned(), child);
        }
        (None, None | Some(Value::Null)) => {
            map.insert(step.to_owned(), serde_json::from_str(default).unwrap_or_else(|_| json!(default)));
        }
        _ => {}
    }
}

/// Writes quantities in one notation, so that the same amount is the same text: those of resources, of claims and of memory
/// volumes. The API server keeps the notation of an amount, and takes `104857600` for `100Mi`.
pub fn quantities(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                match key.as_str() {
                    "requests" | "limits" => child.as_object_mut().into_iter().for_each(by_value),
                    "sizeLimit" | "divisor" => quantity(child),
                    _ => quantities(child),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(quantities),
        _ => {}
    }
}

fn by_value(amounts: &mut Map<String, Value>) {
    amounts.values_mut().for_each(quantity);
}

fn quantity(value: &mut Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Ok(parsed) = Quantity::parse(&text) {
        *value = json!(parsed.decimal());
    }
}

/// Boolean fields that the API server does not store if they are false.
const OFF: &[&str] = &["hostIPC", "hostNetwork", "hostPID", "readOnly", "stdin", "stdinOnce", "tty"];

/// Fields that the API server does not store, or fills in, if they are an empty string.
const EMPTY: &[&str] =
    &["effect", "fsType", "hostIP", "key", "medium", "operator", "service", "subPath", "subPathExpr", "type", "value"];
/// Fields that the API server does not store, or fills in, if they are zero.
const ZERO: &[&str] = &["divisor", "hostPort", "initialDelaySeconds"];

/// Removes null, empty values, false booleans and zeros; an empty `emptyDir` is kept, because it has a meaning.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|key, child| key == "emptyDir" || !(is_empty(child) || is_not_stored(key, child)));
        }
        Value::Array(entries) => entries.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Whether the API server does not store a field because of its value, which is the one that it has by default.
pub fn is_not_stored(key: &str, value: &Value) -> bool {
    match value {
        Value::Bool(false) => OFF.contains(&key),
        Value::String(text) if text.is_empty() => EMPTY.contains(&key),
        value => ZERO.contains(&key) && (value == 0 || value == "0"),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(mut object: Value) -> Value {
        complete(&mut object);
        canonical(&mut object);
        object
    }

    fn pod(spec: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"template": {"spec": spec}}})
    }

    /// What is stored is written as the API server of Kubernetes 1.36 answers.
    #[test]
    fn a_pod_is_the_same_as_written_and_as_the_api_server_stores_it() {
        let token = json!({"serviceAccountToken": {"path": "token"}});
        let written = json!({
            "tolerations": [{"key": "", "operator": "Exists", "effect": ""}],
            "volumes": [
                {"name": "a", "hostPath": {"path": "/a"}},
                {"name": "b", "projected": {"sources": [token]}},
                {"name": "c", "emptyDir": {"medium": ""}},
                {"name": "d", "image": {"reference": "quay.io/x:1"}},
                {"name": "e", "rbd": {"monitors": ["m"], "image": "i"}},
            ],
            "containers": [{
                "name": "postgres", "image": "spilo:1",
                "env": [
                    {"name": "EMPTY", "value": ""},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                ],
                "ports": [{"containerPort": 5432, "hostPort": 0}],
                "livenessProbe": {"initialDelaySeconds": 0, "grpc": {"port": 1}},
                "lifecycle": {"preStop": {"httpGet": {"port": 1}}},
            }],
        });
        let token = json!({"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}});
        let stored = json!({
            "tolerations": [{"operator": "Exists"}],
            "volumes": [
                {"name": "a", "hostPath": {"path": "/a", "type": ""}},
                {"name": "b", "projected": {"defaultMode": 420, "sources": [token]}},
                {"name": "c", "emptyDir": {}},
                {"name": "d", "image": {"reference": "quay.io/x:1", "pullPolicy": "IfNotPresent"}},
                {"name": "e", "rbd": {
                    "monitors": ["m"], "image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"
                }},
            ],
            "containers": [{
                "name": "postgres", "image": "spilo:1", "imagePullPolicy": "IfNotPresent",
                "env": [
                    {"name": "EMPTY"},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
                ],
                "ports": [{"containerPort": 5432, "protocol": "TCP"}],
                "livenessProbe": {
                    "grpc": {"port": 1, "service": ""}, "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1,
                    "timeoutSeconds": 1
                },
                "lifecycle": {"preStop": {"httpGet": {"port": 1, "scheme": "HTTP"}}},
            }],
        });
        assert_eq!(normal(pod(&written)), normal(pod(&stored)));
    }

    #[test]
    fn a_user_of_zero_is_not_no_user() {
        let user = |user: Value| normal(pod(&json!({"securityContext": user})));
        assert_ne!(user(json!({"runAsUser": 0})), user(json!({})));
    }
}
