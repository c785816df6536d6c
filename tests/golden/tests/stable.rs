//! The same input gives the same bytes: twice, with its maps in another order, with free steps in another order.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use golden::{config, config_of, decided, entries, load, pipeline, read, repository, shipped, shuffled, yaml};
use serde_json::{Value, json};

fn examples() -> Vec<Value> {
    let documents = entries(&repository("manifests/examples")).into_iter().map(|file| read(&file));
    documents.filter(|document| document["kind"] == "postgresql").collect()
}

#[test]
fn a_second_run_gives_the_same_bytes() {
    let again = load(&shipped());
    for manifest in examples() {
        let first = yaml(&decided(manifest.clone(), &config(None), Vec::new(), pipeline()));
        assert_eq!(first, yaml(&decided(manifest, &config(None), Vec::new(), &again)));
    }
}

#[test]
fn the_order_of_keys_in_a_manifest_gives_the_same_bytes() {
    for manifest in examples() {
        let text = shuffled(&manifest);
        assert_ne!(text, manifest.to_string());
        let other: Value = serde_yaml_ng::from_str(&text).unwrap();
        let bytes = |manifest| yaml(&decided(manifest, &config(None), Vec::new(), pipeline()));
        assert_eq!(bytes(other), bytes(manifest));
    }
}

#[test]
fn the_order_of_keys_in_the_configuration_gives_the_same_bytes() {
    let keys =
        json!({"custom_pod_annotations": "a:b,c:d", "inherited_labels": "environment,x", "wal_s3_bucket": "wal"});
    let other: Value = serde_yaml_ng::from_str(&shuffled(&keys)).unwrap();
    for manifest in examples() {
        let bytes = |keys: &Value| yaml(&decided(manifest.clone(), &config_of(keys), Vec::new(), pipeline()));
        assert_eq!(bytes(&other), bytes(&keys));
    }
}

/// The shipped pipeline with these steps in each other's place.
fn swapped(one: &str, other: &str) -> Value {
    let mut document = shipped();
    let steps = document["spec"]["steps"].as_array_mut().unwrap();
    let at = |name: &str| steps.iter().position(|step| step["name"] == name).unwrap();
    let (one, other) = (at(one), at(other));
    steps.swap(one, other);
    document
}

/// A decision whose lists of objects and sentences do not tell which step came first.
fn unordered(mut decided: Value) -> Value {
    for part in decided.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut) {
        part.sort_by_key(|entry| format!("{} {} {entry}", entry["kind"], entry["metadata"]["name"]));
    }
    decided
}

#[test]
fn steps_whose_order_is_free_give_the_same_objects_in_any() {
    let free = [
        ("logical-backup", "pooler"),
        ("pooler", "volume-resize"),
        ("clone", "standby"),
        ("tls", "clone"),
        ("standby", "logical-backup"),
    ];
    for (one, other) in free {
        let pipeline_swapped = load(&swapped(one, other));
        for manifest in examples() {
            let of = |pipeline| unordered(decided(manifest.clone(), &config(None), Vec::new(), pipeline));
            assert_eq!(of(&pipeline_swapped), of(pipeline()), "{one} and {other}: {}", manifest["metadata"]["name"]);
        }
    }
}
