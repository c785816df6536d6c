//! Native tests: the plugin is called as the host calls its component. What the description does not ask for fails here.

use pgloom_kit::json;
use pgloom_kit::testing::{Call, golden, operator_config, reason};

use super::*;

fn call(text: &str) -> Call {
    let manifest = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "annotations": {ANNOTATION: text}},
        "spec": {"teamId": "acid", "numberOfInstances": 2},
    });
    Call::new(&manifest)
        .operator_config(&operator_config(&json!({"cluster_domain": "db.example.com"})))
        .settings(&json!(Settings::default()))
}

#[test]
fn the_text_of_the_annotation_is_in_the_config_map() {
    let answer = call("on time").mutate::<MottoPlugin>().unwrap();
    let object = answer.object("ConfigMap", &format!("acid-orders-{NAME}")).unwrap();
    assert_eq!(object["data"], json!({"text": "on time", "team": "acid", "domain": "db.example.com"}));
}

#[test]
fn a_long_text_is_refused_with_its_path() {
    let failure = call(&"x".repeat(81)).mutate::<MottoPlugin>().unwrap_err();
    let place = format!("metadata.annotations[\"{ANNOTATION}\"]");
    assert_eq!(reason(&failure), format!("{place}: has 81 bytes, more than 80"));
}

#[test]
fn every_case_of_the_golden_folder_is_answered_as_expected() {
    golden::replay::<MottoPlugin>(env!("CARGO_MANIFEST_DIR"));
}
