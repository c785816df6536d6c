//! Tests of the plugin, by topic.

use pgloom_kit::testing::{Answer, Call, operator_config};
use pgloom_kit::{Failure, Value, json};

use crate::Spilo;

mod archive;
mod environment;
mod network;
mod patroni;
mod placement;
mod pod;
mod resources;
mod scale;
mod upstream;

/// The smallest manifest, with changes to its `spec`.
fn manifest(spec: &Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-test", "namespace": "shop", "uid": "1234"},
        "spec": {
            "teamId": "acid",
            "numberOfInstances": 2,
            "postgresql": {"version": "17"},
            "volume": {"size": "1Gi"},
        },
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}

fn prepared(spec: Value, config: Value) -> Call {
    Call::new(&manifest(&spec)).operator_config(&operator_config(&config))
}

fn call(spec: Value, config: Value) -> Result<Answer, Failure> {
    prepared(spec, config).mutate::<Spilo>()
}

fn answer(spec: Value, config: Value) -> Answer {
    call(spec, config).unwrap()
}

fn statefulset(answer: &Answer) -> &Value {
    answer.object("StatefulSet", "acid-test").unwrap()
}

fn pod(answer: &Answer) -> &Value {
    &statefulset(answer)["spec"]["template"]["spec"]
}

fn container(answer: &Answer) -> &Value {
    &pod(answer)["containers"][0]
}

fn variables(answer: &Answer) -> Vec<&str> {
    container(answer)["env"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

fn variable<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let env = container(answer)["env"].as_array().unwrap();
    env.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} is missing"))
}

fn value<'a>(answer: &'a Answer, name: &str) -> &'a str {
    variable(answer, name)["value"].as_str().unwrap()
}
