//! A field is explained by the steps that set it and by what its value depends on.

use std::sync::Arc;

use pgloom_engine::{Contribution, Description, ObjectKind, ObjectPermission, Plugin, Response};
use serde_json::json;

use super::*;

/// A plugin that writes one key of a ConfigMap from what `value` makes of the manifest, the operator's and the step's
/// configuration.
fn writes(
    name: &str,
    key: &'static str,
    value: impl Fn(&Value, &Value, &Value) -> Value + Send + Sync + 'static,
) -> Arc<Plugin> {
    let permission = ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["{cluster}"]);
    let permission = ObjectPermission { fields: vec!["data".into()], overrides: vec!["data".into()], ..permission };
    let description = Description {
        name: name.to_owned(),
        config_keys: vec!["docker_image".to_owned()],
        config_schema: json!({"properties": {"tone": {"default": "low"}}}).to_string(),
        objects: vec![permission],
        ..Description::default()
    };
    Arc::new(Plugin::native(description, move |request| {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let data = value(&read(&request.cluster), &read(&request.operator_config), &read(&request.config));
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acid-orders"}, "data": {key: data},
        });
        Ok(Response { contributions: vec![Contribution::Apply(object.to_string())], ..Response::default() })
    }))
}

fn manifest() -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "labels": {"tier": "gold"}},
        "spec": {
            "teamId": "acid", "numberOfInstances": 2, "volume": {"size": "1Gi"},
            "postgresql": {"version": "17", "parameters": {"work_mem": "4MB"}},
        },
    })
}

fn explained(plugins: Vec<Arc<Plugin>>, path: &str) -> Result<Explanation, Error> {
    let target = Target { kind: "configmap".into(), name: "acid-orders".into(), path: path.into() };
    let pipeline = Pipeline::of(plugins).unwrap();
    explain(&manifest(), &Config::defaults(), &Observed::default(), &pipeline, &target)
}

/// What a value depends on.
fn origins(explanation: &Explanation) -> Vec<String> {
    explanation.origins.iter().map(|origin| origin.source.to_string()).collect()
}

#[test]
fn a_value_is_traced_to_the_field_of_the_manifest_that_it_comes_from() {
    let plugin = writes("first", "a", |cluster, _, _| cluster["spec"]["postgresql"]["parameters"]["work_mem"].clone());
    let found = explained(vec![plugin], ".data.a").unwrap();
    assert_eq!(origins(&found), ["spec.postgresql.parameters.work_mem of the manifest"]);
    assert_eq!((found.origins[0].tried, &found.origins[0].then), (Tried::Without, &None));
    assert_eq!((found.fields[0].set_by.as_slice(), found.created_by.as_str()), (&["first".to_owned()][..], "first"));
}

#[test]
fn a_field_that_the_manifest_must_have_is_tried_with_another_value() {
    let plugin = writes("first", "a", |cluster, _, _| cluster["spec"]["volume"]["size"].clone());
    let found = explained(vec![plugin], "data.a").unwrap();
    assert_eq!(origins(&found), ["spec.volume.size of the manifest"]);
    assert_eq!((found.origins[0].tried, &found.origins[0].then), (Tried::Other, &Some(json!("2Gi"))));
}

#[test]
fn a_default_of_the_operator_configuration_and_of_a_step_is_found_as_well() {
    let plugin = writes("first", "a", |_, config, _| config["docker_image"].clone());
    assert_eq!(origins(&explained(vec![plugin], "data.a").unwrap()), ["docker_image of the operator configuration"]);
    let plugin = writes("first", "a", |_, _, config| config["tone"].clone());
    assert_eq!(origins(&explained(vec![plugin], "data.a").unwrap()), ["config.tone of step first"]);
}

#[test]
fn a_constant_of_a_plugin_depends_on_nothing_and_what_cannot_be_tried_is_named() {
    let found = explained(vec![writes("first", "a", |_, _, _| json!("always"))], "data.a").unwrap();
    assert!(found.origins.is_empty());
    let unknown: Vec<String> = found.unknown.iter().map(|unknown| unknown.source.to_string()).collect();
    assert!(unknown.contains(&"spec.teamId of the manifest".to_owned()), "{unknown:?}");
}

#[test]
fn a_value_that_a_later_step_replaced_is_shown_with_the_step_that_set_it() {
    let plugins = vec![writes("first", "a", |_, _, _| json!("1")), writes("second", "a", |_, _, _| json!("2"))];
    let found = explained(plugins, "data").unwrap();
    assert_eq!(
        (found.fields[0].value.clone(), found.fields[0].set_by.as_slice()),
        (Some(json!("2")), &["second".to_owned()][..])
    );
    assert_eq!(found.fields[0].before, [Past { step: "first".into(), value: Some(json!("1")) }]);
    assert_eq!(found.steps.len(), 2);
}

#[test]
fn what_the_host_sets_is_said_to_be_of_the_host() {
    let found = explained(vec![writes("first", "a", |_, _, _| json!("1"))], "metadata.labels.cluster-name").unwrap();
    assert_eq!(found.fields[0].set_by, [HOST]);
}

#[test]
fn an_object_or_a_field_that_does_not_exist_is_refused_with_what_exists() {
    let plugin = || vec![writes("first", "a", |_, _, _| json!("1"))];
    let error = explained(plugin(), "data.b").unwrap_err().to_string();
    assert!(error.starts_with("ConfigMap acid-orders has no field data.b"), "{error}");
    let target = Target { kind: "Pod".into(), name: "x".into(), path: String::new() };
    let pipeline = Pipeline::of(plugin()).unwrap();
    let error = explain(&manifest(), &Config::defaults(), &Observed::default(), &pipeline, &target).unwrap_err();
    assert!(
        error.to_string().contains("the cluster has no Pod x; it has ")
            && error.to_string().contains("ConfigMap/acid-orders")
    );
}
