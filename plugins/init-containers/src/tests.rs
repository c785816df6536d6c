//! Tests of the plugin.

use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Failure, Value, json};

use crate::InitContainers;

fn manifest(spec: &Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid"},
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}

fn call(spec: Value) -> Result<Answer, Failure> {
    Call::new(&manifest(&spec)).operator_config(&operator_config(&json!({}))).mutate::<InitContainers>()
}

fn containers(answer: &Answer, cluster: &str) -> Value {
    let made = answer.object("StatefulSet", cluster);
    made.map_or(Value::Null, |made| made["spec"]["template"]["spec"]["initContainers"].clone())
}

#[test]
fn init_containers_are_as_recorded() {
    for case in cases("init_containers_are_as_recorded") {
        let answer = case.call().mutate::<InitContainers>().unwrap();
        let name = case.manifest["metadata"]["name"].as_str().unwrap();
        let recorded = case.created("StatefulSet", |made| made == name)[0]["spec"]["template"]["spec"]
            .get("initContainers")
            .cloned()
            .unwrap_or_default();
        assert_eq!(difference(&containers(&answer, name), &recorded), None, "{}", case.name);
    }
}

#[test]
fn any_field_of_a_container_is_kept() {
    let container = json!({
        "name": "date",
        "image": "busybox",
        "imagePullPolicy": "Never",
        "command": ["/bin/date"],
        "env": [{"name": "A", "value": "b"}],
        "resources": {"limits": {"cpu": "1"}},
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "pgdata", "mountPath": "/data"}],
    });
    let answer = call(json!({"initContainers": [container]})).unwrap();
    assert_eq!(containers(&answer, "acid-orders"), json!([container]));
}

#[test]
fn the_pull_policy_follows_the_image_unless_the_manifest_states_one() {
    let given = json!([
        {"name": "a", "image": "i"},
        {"name": "b", "image": "i:1"},
        {"name": "c", "image": "i", "imagePullPolicy": "Never"},
    ]);
    let answer = call(json!({"initContainers": given})).unwrap();
    let policies: Vec<Value> = containers(&answer, "acid-orders")
        .as_array()
        .unwrap()
        .iter()
        .map(|made| made["imagePullPolicy"].clone())
        .collect();
    assert_eq!(policies, ["Always", "IfNotPresent", "Never"]);
}

#[test]
fn of_both_spellings_the_current_one_is_used() {
    let one = |name: &str| json!([{"name": name, "image": "i", "imagePullPolicy": "Always"}]);
    let (current, old) = (one("a"), one("b"));
    let answer = call(json!({"init_containers": old})).unwrap();
    assert_eq!(containers(&answer, "acid-orders"), old);
    assert!(answer.response.findings.is_empty());

    let answer = call(json!({"init_containers": old, "initContainers": current})).unwrap();
    assert_eq!(containers(&answer, "acid-orders"), current);

    let answer = call(json!({"init_containers": old, "initContainers": null})).unwrap();
    assert_eq!(containers(&answer, "acid-orders"), old);
}

#[test]
fn if_init_containers_are_disabled_a_new_cluster_is_refused_and_a_running_one_continues_without() {
    let off = || {
        let manifest = manifest(&json!({"initContainers": [{"name": "a", "image": "i"}]}));
        Call::new(&manifest).operator_config(&operator_config(&json!({"enable_init_containers": false})))
    };
    let failure = off().mutate::<InitContainers>().unwrap_err();
    assert_eq!(reason(&failure), "spec.initContainers: initContainers specified but disabled in configuration");

    let running = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"}});
    let answer = off().observed("running", &running).mutate::<InitContainers>().unwrap();
    assert!(answer.objects.is_empty());
    assert_eq!(answer.messages(), ["initContainers specified but disabled in configuration"]);
}

#[test]
fn an_invalid_entry_is_refused_with_its_path() {
    for (list, expected) in [
        (json!([{"image": "i"}]), "spec.initContainers[0].name: the container has no name"),
        (
            json!([{"name": "my job", "image": "i"}]),
            "spec.initContainers[0].name: \"my job\" is not a valid name of a container",
        ),
        (json!([{"name": "a"}]), "spec.initContainers[0].image: the container a has no image"),
        (
            json!([{"name": "a", "image": "i"}, {"name": "a", "image": "j"}]),
            "spec.initContainers[1].name: a is the name of an earlier init container",
        ),
        (
            json!([{"name": "postgres", "image": "i"}]),
            "spec.initContainers[0].name: postgres is the name of the database's container",
        ),
    ] {
        assert_eq!(reason(&call(json!({"initContainers": list})).unwrap_err()), expected);
    }
}
