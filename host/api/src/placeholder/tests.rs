//! What a step sees of credentials, and where the host fills them in.

use serde_json::json;

use super::*;

const KEY: &str = "pgloom-placeholder:sidecars:config:scalyr_api_key";

fn statefulset(env: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"},
        "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": env}]}}},
    })
}

fn scalyr() -> Credentials {
    take_from_config(&json!({"scalyr_api_key": "hunter2"})).1
}

#[test]
fn a_step_sees_a_placeholder_of_its_own_for_the_credentials_that_it_may_pass_on_and_no_others() {
    let manifest =
        json!({"spec": {"clone": {"cluster": "a", "s3_access_key_id": "id", "s3_secret_access_key": "hush"}}});
    let (mut rest, credentials) = take_from_manifest(&manifest);
    assert_eq!(rest, json!({"spec": {"clone": {"cluster": "a"}}}));
    let sources: Vec<&Source> = credentials.sources().collect();
    let of = |field: &str| Source::Manifest(format!("/spec/clone/{field}"));
    assert_eq!(sources, [&of("s3_access_key_id"), &of("s3_secret_access_key")]);
    show_in_manifest(&mut rest, "clone", [sources[1]]);
    let shown = "pgloom-placeholder:clone:manifest:/spec/clone/s3_secret_access_key";
    assert_eq!(rest, json!({"spec": {"clone": {"cluster": "a", "s3_secret_access_key": shown}}}));

    let config = json!({"logical_backup_s3_secret_access_key": "quiet", "scalyr_api_key": "key", "docker_image": "x"});
    let (mut rest, credentials) = take_from_config(&config);
    assert_eq!(rest, json!({"logical_backup_s3_secret_access_key": "", "scalyr_api_key": "", "docker_image": "x"}));
    assert_eq!(credentials.sources().count(), 2);
    show_in_config(&mut rest, "sidecars", [&Source::Config("scalyr_api_key".to_owned())]);
    assert_eq!(rest, json!({"logical_backup_s3_secret_access_key": "", "scalyr_api_key": KEY, "docker_image": "x"}));
}

#[test]
fn a_credential_that_is_not_set_is_none() {
    assert_eq!(take_from_config(&json!({"scalyr_api_key": ""})).1.sources().count(), 0);
    let manifest = json!({"spec": {"clone": {"s3_access_key_id": null}}});
    let (rest, credentials) = take_from_manifest(&manifest);
    assert_eq!((rest, credentials.sources().count()), (json!({"spec": {"clone": {}}}), 0));
}

#[test]
fn a_placeholder_is_filled_in_as_the_value_of_a_variable() {
    let mut object = statefulset(&json!([{"name": "A", "value": KEY}, {"name": "B", "value": "plain"}]));
    fill(&mut object, &scalyr()).unwrap();
    assert_eq!(object, statefulset(&json!([{"name": "A", "value": "hunter2"}, {"name": "B", "value": "plain"}])));

    let variable = json!([{"name": "c", "env": [{"name": "A", "value": KEY}]}]);
    let pod = json!({"spec": {"initContainers": variable}});
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod}}},
    });
    fill(&mut job, &scalyr()).unwrap();
    let filled = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"][0]["env"][0]["value"];
    assert_eq!(filled, "hunter2");
}

#[test]
fn a_placeholder_in_any_other_place_is_refused_with_its_field() {
    let annotated = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": {"a": KEY}},
    });
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"K": KEY}});
    let mut template = statefulset(&json!([]));
    template["spec"]["template"]["metadata"] = json!({"labels": {"a": KEY}});
    let mut command = statefulset(&json!([]));
    command["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["curl", KEY]);
    let mut named = statefulset(&json!([]));
    named["metadata"]["annotations"] = json!({KEY: "a"});
    // The path of a variable, in an object that has no pod there.
    let mut custom = statefulset(&json!([{"name": "A", "value": KEY}]));
    custom["apiVersion"] = json!("example.com/v1");
    for (object, path) in [
        (annotated, "metadata.annotations.a"),
        (map, "data.K"),
        (template, "spec.template.metadata.labels.a"),
        (command, "spec.template.spec.containers[0].command[1]"),
        (named, "metadata.annotations[\"pgloom-placeholder:sidecars:config:scalyr_api_key\"]"),
        (custom, "spec.template.spec.containers[0].env[0].value"),
        (statefulset(&json!([{"name": KEY}])), "spec.template.spec.containers[0].env[0].name"),
    ] {
        let expected = Err(Error::Misplaced { path: path.to_owned() });
        assert_eq!(check(&object, &scalyr()), expected);
        assert_eq!(check_contribution(&object, &BTreeSet::from([KEY.to_owned()])), expected);
        assert_eq!(fill(&mut object.clone(), &scalyr()), expected);
    }
}

#[test]
fn a_step_cannot_use_a_placeholder_that_it_was_not_shown() {
    let path = "spec.template.spec.containers[0].env[0].value".to_owned();
    let object = statefulset(&json!([{"name": "A", "value": KEY}]));
    assert_eq!(check_contribution(&object, &BTreeSet::from([KEY.to_owned()])), Ok(()));
    for shown in [BTreeSet::new(), BTreeSet::from([Source::Config("scalyr_api_key".to_owned()).placeholder("thief")])] {
        let expected = Error::NotShown { path: path.clone(), placeholder: KEY.to_owned() };
        assert_eq!(check_contribution(&object, &shown), Err(expected));
    }
}

#[test]
fn a_credential_is_never_printed() {
    assert_eq!(format!("{:?}", scalyr()), r#"{"config:scalyr_api_key"}"#);
}

#[test]
fn a_placeholder_without_a_credential_or_inside_a_text_is_refused() {
    let path = "spec.template.spec.containers[0].env[0].value".to_owned();
    for (text, expected) in [
        (
            "pgloom-placeholder:sidecars:config:nothing",
            Error::Unknown { path: path.clone(), placeholder: "pgloom-placeholder:sidecars:config:nothing".to_owned() },
        ),
        // Without a step.
        (
            "pgloom-placeholder:config:scalyr_api_key",
            Error::Unknown { path: path.clone(), placeholder: "pgloom-placeholder:config:scalyr_api_key".to_owned() },
        ),
        ("key=pgloom-placeholder:sidecars:config:scalyr_api_key", Error::Inside { path: path.clone() }),
    ] {
        let object = statefulset(&json!([{"name": "A", "value": text}]));
        assert_eq!(check(&object, &scalyr()), Err(expected.clone()));
        assert_eq!(fill(&mut object.clone(), &scalyr()), Err(expected));
    }
}

#[test]
fn a_forged_placeholder_is_found_in_texts_and_in_names() {
    assert_eq!(
        forged(&json!({"spec": {"env": [{"value": "pgloom-placeholder:config:scalyr_api_key"}]}})),
        Some("spec.env[0].value".to_owned())
    );
    assert_eq!(
        forged(&json!({"labels": {"pgloom-placeholder:x": ""}})),
        Some(r#"labels["pgloom-placeholder:x"]"#.to_owned())
    );
    assert_eq!(forged(&json!({"spec": {"teamId": "acid", "n": 1, "list": [null, true]}})), None);
}

#[test]
fn a_credential_in_an_existing_object_is_emptied_wherever_it_is() {
    let (_, credentials) =
        take_from_config(&json!({"scalyr_api_key": "hush", "logical_backup_s3_access_key_id": "0123456789"}));
    let mut object = json!({"data": {"a": "hush", "b": "hushed", "c": ["x 0123456789 y"], "d": "0123"}});
    credentials.hide_in(&mut object);
    assert_eq!(object, json!({"data": {"a": "", "b": "hushed", "c": [""], "d": "0123"}}));
}
