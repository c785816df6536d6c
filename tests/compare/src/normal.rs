//! Normalizes objects: with the API server's defaults, canonical quantities, and without empty values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgloom_common::api_default::{self, Defaults};
use pgloom_common::quantity::Quantity;
use serde_json::{Map, Value, json};

/// What stands for a password.
const HIDDEN: &str = "hidden";

/// The normalized object.
pub fn object(mut object: Value) -> Value {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    fill_all(&mut object, api_default::of_kind(&kind));
    if kind == "Service" {
        complete_service(&mut object);
    }
    for pointer in ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        object.pointer_mut(pointer).into_iter().for_each(complete_pod);
    }
    if kind == "Secret" {
        hide_passwords(&mut object);
    }
    if let Some(Value::Array(owners)) = object.pointer_mut("/metadata/ownerReferences") {
        owners.iter_mut().for_each(|owner| owner["uid"] = json!("REDACTED"));
    }
    quantities(&mut object);
    prune(&mut object);
    object
}

fn complete_service(service: &mut Value) {
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["targetPort"].is_null() {
            port["targetPort"] = port["port"].clone();
        }
    }
    let filled = match service["spec"]["type"].as_str() {
        Some("LoadBalancer") => api_default::LOAD_BALANCER,
        Some("NodePort") => &api_default::LOAD_BALANCER[..1],
        _ => return,
    };
    fill_all(service, filled);
}

fn complete_pod(pod: &mut Value) {
    fill_all(pod, api_default::POD);
    if pod["serviceAccount"].is_null() {
        pod["serviceAccount"] = pod["serviceAccountName"].clone();
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

fn fill_all(value: &mut Value, defaults: Defaults) {
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

/// Passwords are generated, so only the keys of a Secret and the user's name can be compared.
fn hide_passwords(secret: &mut Value) {
    let Some(Value::Object(data)) = secret.get_mut("data") else {
        // A user list, as `pgloom render` prints it.
        secret["data"] = json!({"userlist.txt": HIDDEN});
        return;
    };
    if data.contains_key("username") {
        data.insert("password".to_owned(), json!(HIDDEN));
    }
    for (key, value) in data {
        let text = value.as_str().unwrap_or_default();
        let plain = text.strip_prefix("PLAIN:").map(str::to_owned);
        *value = if key == "username" { json!(plain.unwrap_or_else(|| decode(text))) } else { json!(HIDDEN) };
    }
}

/// Decodes base64.
fn decode(text: &str) -> String {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Converts quantities to canonical form: those of resources, of claims and of memory volumes.
fn quantities(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                match key.as_str() {
                    "requests" | "limits" => child.as_object_mut().into_iter().for_each(by_value),
                    "sizeLimit" => quantity(child),
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
        *value = json!(parsed.canonical());
    }
}

/// Boolean fields that the API server does not store if they are false.
const OFF: &[&str] = &["hostIPC", "hostNetwork", "hostPID", "readOnly", "stdin", "stdinOnce", "tty"];

/// Removes null, empty values and false booleans; an empty `emptyDir` is kept, because it has a meaning.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|key, child| key == "emptyDir" || !(is_empty(child) || is_off(key, child)));
        }
        Value::Array(entries) => entries.iter_mut().for_each(prune),
        _ => {}
    }
}

/// A false boolean, or the `value` of an environment variable that is an empty string.
fn is_off(key: &str, value: &Value) -> bool {
    OFF.contains(&key) && value == &Value::Bool(false) || key == "value" && value == ""
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

    fn pod(container: &Value) -> Value {
        json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}})
    }

    fn container(written: &Value) -> Value {
        object(pod(written))["spec"]["template"]["spec"]["containers"][0].take()
    }

    #[test]
    fn what_the_api_server_adds_makes_no_difference() {
        let short = json!({"name": "c", "image": "i:1", "ports": [{"containerPort": 1}], "env": [
            {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]});
        let long = json!({"name": "c", "image": "i:1", "imagePullPolicy": "IfNotPresent", "resources": {},
            "ports": [{"containerPort": 1, "protocol": "TCP"}],
            "env": [{"name": "E", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"});
        assert_eq!(container(&short), container(&long));
    }

    #[test]
    fn a_limit_is_the_request_and_quantities_are_compared_by_value() {
        let with = |resources: Value| container(&json!({"image": "i", "resources": resources}))["resources"].clone();
        let said = with(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}}));
        assert_eq!(with(json!({"limits": {"cpu": "1000m"}})), said);
    }

    #[test]
    fn of_a_secret_its_keys_and_its_user_remain() {
        let recorded = json!({"kind": "Secret", "data": {"password": "REDACTED", "username": "PLAIN:foo_user"}});
        let decided = json!({"kind": "Secret", "type": "Opaque", "data": {"username": "Zm9vX3VzZXI="}});
        assert_eq!(object(recorded)["data"], json!({"password": "hidden", "username": "foo_user"}));
        assert_eq!(object(decided)["data"], json!({"password": "hidden", "username": "foo_user"}));
    }
}
