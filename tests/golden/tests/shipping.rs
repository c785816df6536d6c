//! The patches in docs/shipping.md are ones that the API server takes for the Deployment of manifests/, and lead to the folder
//! of its plugins.

use golden::{read_all, repository};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::Value;

/// The blocks of YAML that patch a Deployment.
fn patches() -> Vec<Value> {
    let text = std::fs::read_to_string(repository("docs/shipping.md")).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let documents = blocks.map(|block| serde_yaml_ng::from_str::<Value>(block).unwrap());
    documents.filter(|document| document.pointer("/spec/template").is_some()).collect()
}

/// Whether the value has all of the other, in lists at the same places.
fn has(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => {
            other.iter().all(|(key, other)| value.get(key).is_some_and(|value| has(value, other)))
        }
        (Value::Array(value), Value::Array(other)) => {
            value.len() == other.len() && value.iter().zip(other).all(|(value, other)| has(value, other))
        }
        (value, other) => value == other,
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> Vec<&'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten().collect()
}

#[test]
fn each_patch_has_only_fields_of_a_deployment() {
    let patches = patches();
    assert_eq!(patches.len(), 3, "a ConfigMap, an image volume and an image");
    for patch in patches {
        let typed: Deployment = serde_json::from_value(patch.clone()).unwrap();
        let written = serde_json::to_value(typed).unwrap();
        assert!(has(&written, &patch), "a field that a Deployment does not have: {patch}");
    }
}

#[test]
fn each_patch_is_for_the_operators_container_and_mounts_its_volume_below_the_folder_of_the_plugins() {
    let shipped = read_all(&repository("manifests/deployment.yaml"));
    let shipped = shipped.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let [container] = list(shipped, "/spec/template/spec/containers")[..] else { panic!("one container") };
    let arguments = list(container, "/args").into_iter().filter_map(Value::as_str);
    let folder = arguments.filter_map(|flag| flag.strip_prefix("--plugins=")).next().unwrap();
    for patch in patches() {
        let [patched] = list(&patch, "/spec/template/spec/containers")[..] else { panic!("one container: {patch}") };
        assert_eq!(patched["name"], container["name"]);
        let volumes: Vec<&Value> =
            list(&patch, "/spec/template/spec/volumes").into_iter().map(|volume| &volume["name"]).collect();
        for mount in list(patched, "/volumeMounts") {
            assert!(volumes.contains(&&mount["name"]), "{mount}");
            assert!(mount["mountPath"].as_str().unwrap().starts_with(&format!("{folder}/")), "{mount}");
        }
    }
}
