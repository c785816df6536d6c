use std::sync::Arc;

use pgloom_engine::{Contribution, Description, ObjectKind, ObjectPermission, Plugin};

use super::*;

/// A pipeline without a step: only the host contributes.
fn pipeline() -> Pipeline {
    Pipeline::of(Vec::new()).unwrap()
}

fn config(data: Value) -> Config {
    Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config
}

fn manifest() -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "uid": "u", "labels": {"env": "test", "other": "x"}},
        "spec": {
            "teamId": "acid", "numberOfInstances": 2, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"},
            "users": {"foo_user": []}, "databases": {"foo": "foo_user"},
        }
    })
}

fn plan(manifest: &Value, config: &Config) -> Result<Plan, Error> {
    decide(manifest, config, &Observed::default(), &pipeline())
}

fn refusal(manifest: &Value) -> String {
    plan(manifest, &Config::defaults()).unwrap_err().to_string()
}

#[test]
fn every_role_that_logs_in_gets_a_secret_with_the_clusters_labels_and_what_they_inherit() {
    let config = config(json!({"inherited_labels": "env", "secret_name_template": "{username}.{cluster}.credentials"}));
    let plan = plan(&manifest(), &config).unwrap();
    let names: Vec<&str> = plan.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(
        names,
        ["foo-user.acid-orders.credentials", "postgres.acid-orders.credentials", "standby.acid-orders.credentials"]
    );
    let labels = serde_json::to_value(&plan.secrets[0].labels).unwrap();
    assert_eq!(labels, json!({"application": "spilo", "cluster-name": "acid-orders", "env": "test", "team": "acid"}));
}

#[test]
fn documents_come_in_the_order_of_applying_and_without_passwords() {
    let documents = plan(&manifest(), &Config::defaults()).unwrap().documents();
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "RoleBinding", "Secret", "Secret", "Secret"]);
    assert!(documents.iter().all(|document| document["data"].get("password").is_none()));
}

#[test]
fn owner_references_are_set_where_the_configuration_says_so() {
    let of = |config: &Config| plan(&manifest(), config).unwrap().secrets[0].owner.clone();
    assert_eq!(of(&Config::defaults()), None);
    let owner = of(&config(json!({"enable_owner_references": "true"}))).unwrap();
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("postgresql"), &json!("u")));
}

#[test]
fn a_manifest_that_cannot_be_used_is_refused_with_its_field_and_the_remedy() {
    let mut manifest = manifest();
    manifest["spec"]["volume"]["size"] = json!("large");
    let error = plan(&manifest, &Config::defaults()).unwrap_err();
    assert_eq!(error.category(), "InvalidManifest");
    assert!(error.to_string().starts_with("spec.volume.size: "), "{error}");
}

#[test]
fn a_user_cannot_read_a_credential_of_the_operator_by_writing_its_placeholder() {
    let mut manifest = manifest();
    let variable = json!({"name": "E", "value": "pgloom-placeholder:config:scalyr_api_key"});
    manifest["spec"]["sidecars"] = json!([{"name": "s", "image": "i", "env": [variable]}]);
    assert_eq!(
        refusal(&manifest),
        "spec.sidecars[0].env[0].value: pgloom-placeholder: is reserved for the operator's placeholders of credentials; \
         write another value"
    );
}

#[test]
fn a_credential_of_the_manifest_is_in_no_document_and_opens_when_applied() {
    let mut manifest = manifest();
    manifest["spec"]["clone"] = json!({
        "cluster": "acid-batman", "uid": "efd12e58-5786-11e8-b5a7-06148230260c", "timestamp": "2017-12-19T12:40:33+01:00",
        "s3_access_key_id": "AKIA", "s3_secret_access_key": "hunter2",
    });
    let plan = plan(&manifest, &Config::defaults()).unwrap();
    assert!(!format!("{plan:?}").contains("hunter2"));
    let mut object = json!({"value": "pgloom-placeholder:manifest:/spec/clone/s3_secret_access_key"});
    placeholder::fill(&mut object, &plan.credentials).unwrap();
    assert_eq!(object["value"], "hunter2");
}

#[test]
fn a_user_cannot_read_a_credential_of_the_operator_by_writing_its_placeholder_where_a_step_looks() {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "environment", "namespace": "shop"},
        "data": {"KEY": "pgloom-placeholder:config:scalyr_api_key"},
    });
    let observed = Observed::of(vec![map]);
    let error = decide(&manifest(), &Config::defaults(), &observed, &pipeline()).unwrap_err();
    assert_eq!(error.category(), "InvalidManifest");
    assert_eq!(
        error.to_string(),
        "ConfigMap environment data.KEY: pgloom-placeholder: is reserved for the operator's placeholders of credentials; write the value itself there"
    );
}

/// A pipeline whose only step writes one ConfigMap with this text.
fn writes(text: &'static str) -> Pipeline {
    let description = Description {
        name: "writer".into(),
        config_keys: vec!["scalyr_api_key".into()],
        objects: vec![ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["*"])],
        ..Description::default()
    };
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"K": text}});
    let response = Response {
        contributions: vec![Contribution::Apply(object.to_string())],
        actions: vec![],
        findings: vec![],
        conditions: vec![],
    };
    Pipeline::of(vec![Arc::new(Plugin::native(description, move |_| Ok(response.clone())))]).unwrap()
}

#[test]
fn a_step_that_writes_a_placeholder_that_cannot_be_filled_in_holds_the_cluster() {
    let config = config(json!({"scalyr_api_key": "hunter2"}));
    let of = |text| decide(&manifest(), &config, &Observed::default(), &writes(text));
    let filled = of("pgloom-placeholder:config:scalyr_api_key").unwrap().filled().unwrap();
    assert_eq!(filled[0]["data"]["K"], "hunter2");
    let error = of("key=pgloom-placeholder:config:scalyr_api_key").unwrap_err();
    assert_eq!(error.category(), "InvalidPlaceholder");
    assert!(
        error.to_string().starts_with("ConfigMap m cannot be applied: data.K holds a placeholder inside"),
        "{error}"
    );
}

#[test]
fn the_same_input_gives_the_same_plan_byte_for_byte() {
    let of = || format!("{:?}", plan(&manifest(), &Config::defaults()).unwrap().documents());
    assert_eq!(of(), of());
}

#[test]
fn an_annotation_that_others_may_change_is_left_out_once_they_have() {
    let annotated = |value: &str| json!({"metadata": {"name": "c", "annotations": {"theirs": value, "ours": value}}, "kind": "Service"});
    let left = |existing: &str, ignored: &[&str]| {
        let mut object = annotated("desired");
        object["spec"]["template"]["metadata"]["annotations"] = json!({"theirs": "desired"});
        let mut existing = annotated(existing);
        existing["spec"]["template"]["metadata"]["annotations"] = existing["metadata"]["annotations"].clone();
        let observed = Observed { objects: vec![existing], ..Observed::default() };
        leave_annotations(&mut object, &observed, ignored);
        (object["metadata"]["annotations"].clone(), object["spec"]["template"]["metadata"]["annotations"].clone())
    };
    assert_eq!(left("changed", &["theirs"]), (json!({"ours": "desired"}), json!({})));
    let all = json!({"theirs": "desired", "ours": "desired"});
    assert_eq!(left("changed", &[]).0, all);
    assert_eq!(left("desired", &["theirs"]).0, all);
}
