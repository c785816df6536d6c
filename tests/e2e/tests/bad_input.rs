//! A bad manifest is told by field and remedy, and touches nothing that runs.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use e2e::{ensure, eventually, has_cluster, kubectl_with, minimal, namespace};
use serde_json::{Value, json};

/// The goldens' bad manifests: each is changes to the minimal manifest. `UPDATE=1` rewrites what the API server says.
#[test]
fn what_the_schema_and_its_rules_can_judge_the_api_server_refuses() {
    if !has_cluster("refused") {
        return;
    }
    let namespace = namespace("refused");
    let file = |name: &str| format!("{}/../golden/bad/{name}", env!("CARGO_MANIFEST_DIR"));
    let changes = std::fs::read_to_string(file("rules.yaml")).unwrap();
    let changes: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(&changes).unwrap();
    let mut answers =
        String::from("# What the API server says of the manifests in rules.yaml, as far as it can judge them.\n");
    for (name, changes) in changes {
        let mut manifest = minimal("acid-bad", 1);
        manifest["metadata"]["namespace"] = json!(namespace.name);
        merge(&mut manifest, &serde_json::to_value(changes).unwrap());
        let dry = ["apply", "--dry-run=server", "--filename", "-"];
        let answer = match kubectl_with(&dry, &manifest.to_string()) {
            Ok(_) => "(accepted: the operator says it)".to_owned(),
            Err(reason) => reason.split_once(": ").map_or(reason.as_str(), |(_, said)| said).trim().to_owned(),
        };
        answers += &format!("{}:\n", name.as_str().unwrap());
        // The API server finds fields in no particular order.
        let mut lines: Vec<&str> = answer.lines().map(str::trim).collect();
        lines.sort_unstable_by_key(|line| (line.starts_with("* "), *line));
        answers.extend(lines.iter().map(|line| format!("  {line}\n")));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file("api-server.txt"), &answers).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file("api-server.txt")).unwrap_or_default(), answers, "UPDATE=1 rewrites it");
}

fn merge(into: &mut Value, changes: &Value) {
    for (key, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(into.as_object_mut().unwrap().remove(key)),
            Value::Object(_) if into[key].is_object() => merge(&mut into[key], change),
            other => into[key] = other.clone(),
        }
    }
}

#[test]
fn a_manifest_that_only_the_operator_can_judge_gets_a_condition_and_an_event_and_changes_nothing() {
    if !has_cluster("invalid") {
        return;
    }
    let namespace = namespace("invalid");
    namespace.apply(&minimal("acid-good", 1));
    namespace.running("acid-good");
    let before = namespace.get("statefulset", "acid-good").unwrap()["metadata"]["generation"].clone();

    namespace.patch("postgresql", "acid-good", &json!({"spec": {"users": {"Zalando": []}, "numberOfInstances": 3}}));
    let condition = eventually("the condition tells", || {
        let object = namespace.get("postgresql", "acid-good")?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let valid = conditions.into_iter().find(|condition| condition["type"] == "Valid").unwrap_or_default();
        ensure(valid["status"] == "False", &valid)?;
        Ok(valid)
    });
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("invalid username"), "{message}");
    eventually("an event tells", || {
        let events = namespace.kubectl(&["get", "events", "--field-selector", "type=Warning", "--output", "json"])?;
        ensure(events.contains("invalid username"), "no such event")
    });
    let after = namespace.get("statefulset", "acid-good").unwrap()["metadata"]["generation"].clone();
    assert_eq!(before, after, "a bad manifest touches the StatefulSet");

    namespace.patch("postgresql", "acid-good", &json!({"spec": {"users": {"Zalando": null}, "numberOfInstances": 1}}));
    namespace.running("acid-good");
}
