//! The same input gives the same bytes: in a second run, with maps in another order, and with independent steps in
//! another order.

use golden::{Input, cases, config_of, examples, load, pipeline, shipped, shuffled, yaml};
use serde_json::{Value, json};

fn inputs() -> Vec<Input> {
    let mut inputs = examples();
    inputs.extend(cases());
    inputs
}

/// The same document, read from a text whose maps have their keys in the opposite order.
fn reordered(document: &Value) -> Value {
    serde_yaml_ng::from_str(&shuffled(document)).unwrap()
}

#[test]
fn a_second_run_gives_the_same_bytes() {
    let again = load(&shipped());
    for input in inputs() {
        assert_eq!(yaml(&input.decided(pipeline())), yaml(&input.decided(&again)), "{}", input.name);
    }
}

#[test]
fn the_order_of_keys_in_manifests_and_objects_gives_the_same_bytes() {
    for input in inputs() {
        assert_ne!(shuffled(&input.manifest), input.manifest.to_string());
        let other = Input {
            manifest: reordered(&input.manifest),
            observed: input.observed.iter().rev().map(reordered).collect(),
            ..input.clone()
        };
        assert_eq!(yaml(&other.decided(pipeline())), yaml(&input.decided(pipeline())), "{}", input.name);
    }
}

#[test]
fn the_order_of_keys_in_the_configuration_gives_the_same_bytes() {
    let keys =
        json!({"custom_pod_annotations": "a:b,c:d", "inherited_labels": "environment,x", "wal_s3_bucket": "wal"});
    for input in examples() {
        let bytes = |keys: &Value| yaml(&Input { config: config_of(keys), ..input.clone() }.decided(pipeline()));
        assert_eq!(bytes(&reordered(&keys)), bytes(&keys), "{}", input.name);
    }
}

/// The shipped pipeline with these two steps swapped.
fn swapped(one: &str, other: &str) -> Value {
    let mut document = shipped();
    let steps = document["spec"]["steps"].as_array_mut().unwrap();
    let at = |name: &str| steps.iter().position(|step| step["name"] == name).unwrap();
    let (one, other) = (at(one), at(other));
    steps.swap(one, other);
    document
}

/// A decision with sorted lists of objects and sentences, so that the order of steps is not visible.
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
        for input in inputs() {
            let of = |pipeline| unordered(input.decided(pipeline));
            assert_eq!(of(&pipeline_swapped), of(pipeline()), "{one} and {other}: {}", input.name);
        }
    }
}
