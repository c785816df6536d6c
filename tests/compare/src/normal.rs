//! Normalizes objects: with the API server's defaults, canonical quantities, and without empty values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgloom_common::api_default;
use pgloom_decide::normal::{canonical, complete, fill_all};
use serde_json::{Value, json};

/// The replacement of a password.
const HIDDEN: &str = "hidden";

/// The normalized object.
pub fn object(mut object: Value) -> Value {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    complete(&mut object);
    if kind == "Service" {
        complete_service(&mut object);
    }
    if kind == "Secret" {
        hide_passwords(&mut object);
    }
    if let Some(Value::Array(owners)) = object.pointer_mut("/metadata/ownerReferences") {
        owners.iter_mut().for_each(|owner| owner["uid"] = json!("REDACTED"));
    }
    canonical(&mut object);
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
