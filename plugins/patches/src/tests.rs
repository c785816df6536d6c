//! Tests of the plugin.

use pgloom_kit::testing::{Answer, Call, reason};
use pgloom_kit::{Failure, Plugin, Settings, Value, json, serde_json};

use crate::Patches;

fn call(patches: Value) -> Result<Answer, Failure> {
    Call::new(&json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "labels": {"environment": "prod"}},
        "spec": {"teamId": "acid", "numberOfInstances": 2},
    }))
    .settings(&json!({"patches": patches}))
    .mutate::<Patches>()
}

fn statefulset(fields: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "{cluster}"}, "spec": fields})
}

#[test]
fn fields_are_added_where_the_condition_is_true() {
    let answer = call(json!([
        {"when": "cluster.metadata.labels['environment'] == 'prod'", "apply": statefulset(json!({"replicas": 1}))},
        {"when": "cluster.spec.numberOfInstances > 2", "apply": statefulset(json!({"replicas": 2}))},
        {"apply": statefulset(json!({"minReadySeconds": 1}))},
    ]))
    .unwrap();
    let specs: Vec<&Value> = answer.objects.iter().map(|object| &object["spec"]).collect();
    assert_eq!(specs, [&json!({"replicas": 1}), &json!({"minReadySeconds": 1})]);
}

#[test]
fn placeholders_are_replaced_by_the_clusters_names() {
    let pod = |args: &str, value: &str| {
        json!({
            "replicas": 1,
            "template": {
                "metadata": {"annotations": {"{cluster}": value}},
                "spec": {"containers": [{"name": "postgres", "args": [args]}]},
            },
        })
    };
    let object = statefulset(pod("{cluster}.{namespace}.{team} {other} {", "{{cluster}}"));
    let answer = call(json!([{"apply": object}])).unwrap();
    assert_eq!(answer.objects[0]["metadata"]["name"], "acid-orders");
    assert_eq!(answer.objects[0]["spec"], pod("acid-orders.shop.acid {other} {", "{acid-orders}"));
}

#[test]
fn without_patches_the_answer_is_empty() {
    assert!(call(json!([])).unwrap().objects.is_empty());
    assert!(call(json!(null)).unwrap().objects.is_empty());
}

#[test]
fn a_bad_condition_is_reported_with_the_patch_and_the_position() {
    let failure = call(json!([
        {"apply": statefulset(json!({}))},
        {"when": "cluster.spec.tls.caFile == 'x'", "apply": statefulset(json!({}))},
    ]))
    .unwrap_err();
    let expected = "patches[1].when: cluster.spec.tls.caFile == 'x': at character 14: \
                    there is no field tls; test it with has() first, ";
    assert!(reason(&failure).starts_with(expected), "{failure:?}");
    assert!(matches!(failure, Failure::InvalidConfig(_)));
}

#[test]
fn a_patch_that_names_no_object_is_refused() {
    for apply in [json!(null), json!({"kind": "StatefulSet"}), json!({"apiVersion": "v1", "kind": "X", "metadata": {}})]
    {
        let failure = call(json!([{"apply": apply}])).unwrap_err();
        assert!(reason(&failure).contains("a partial object with apiVersion, kind and metadata.name"), "{failure:?}");
    }
}

#[test]
fn the_example_is_read_and_the_schema_is_json() {
    let example: Value = serde_json::from_str(&<Patches as Plugin>::Settings::example()).unwrap();
    let answer = call(example["patches"].clone()).unwrap();
    assert_eq!(answer.objects[0]["metadata"]["annotations"], json!({"example.org/owner": "acid"}));
    let schema: Value = serde_json::from_str(&<Patches as Plugin>::Settings::schema()).unwrap();
    assert_eq!(schema["properties"]["patches"]["items"]["required"], json!(["apply"]));
}
