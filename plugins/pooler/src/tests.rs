//! Tests of the plugin, by topic.

use pgloom_kit::testing::{Answer, Call, operator_config};
use pgloom_kit::{Failure, Value, json};

use crate::ConnectionPooler;

mod deployment;
mod role;
mod service;
mod settings;
mod upstream;

fn manifest(spec: Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid"},
    });
    for (key, value) in spec.as_object().unwrap() {
        manifest["spec"][key] = value.clone();
    }
    manifest
}

fn call(spec: Value, config: Value) -> Result<Answer, Failure> {
    Call::new(&manifest(spec)).operator_config(&operator_config(&config)).mutate::<ConnectionPooler>()
}

fn answer(spec: Value) -> Answer {
    call(spec, json!({})).unwrap()
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
}

fn deployment(answer: &Answer) -> &Value {
    answer.object("Deployment", "acid-orders-pooler").unwrap()
}

fn container(answer: &Answer) -> &Value {
    &deployment(answer)["spec"]["template"]["spec"]["containers"][0]
}

fn variable<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let env = container(answer)["env"].as_array().unwrap();
    env.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} is missing"))
}
