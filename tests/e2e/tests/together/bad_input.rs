//! An invalid manifest is reported with field and remedy, and changes nothing that runs.

use e2e::{ensure, eventually, has_cluster, kubectl, kubectl_with, minimal, namespace};
use serde_json::json;

#[test]
fn a_manifest_that_only_the_operator_can_judge_gets_a_condition_and_an_event_and_changes_nothing() {
    if !has_cluster("invalid") {
        return;
    }
    let namespace = namespace("invalid");
    // The webhook would refuse the change.
    kubectl(&["label", "namespace", &namespace.name, "pgloom.dev/admission=off"]).unwrap();
    namespace.apply(&minimal("acid-good", 1));
    namespace.running("acid-good");
    let before = namespace.get("statefulset", "acid-good").unwrap()["metadata"]["generation"].clone();

    namespace.patch("postgresql", "acid-good", &json!({"spec": {"users": {"Zalando": []}, "numberOfInstances": 3}}));
    let condition = eventually("the condition reports it", || {
        let valid = namespace.condition("acid-good", "Valid")?;
        ensure(valid["status"] == "False", &valid)?;
        Ok(valid)
    });
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("invalid username"), "{message}");
    eventually("an event reports it", || {
        let events = namespace.kubectl(&["get", "events", "--field-selector", "type=Warning", "--output", "json"])?;
        ensure(events.contains("invalid username"), "no such event")
    });
    let after = namespace.get("statefulset", "acid-good").unwrap()["metadata"]["generation"].clone();
    assert_eq!(before, after, "a bad manifest touches the StatefulSet");

    namespace.patch("postgresql", "acid-good", &json!({"spec": {"users": {"Zalando": null}, "numberOfInstances": 1}}));
    namespace.running("acid-good");
}

#[test]
fn a_manifest_that_only_the_operator_can_judge_is_refused_before_it_is_stored() {
    if !has_cluster("admission") {
        return;
    }
    let namespace = namespace("admission");
    let good = minimal("acid-door", 1);
    let mut bad = good.clone();
    bad["spec"]["users"] = json!({"Zalando": []});
    let dry_run = ["--namespace", &namespace.name, "apply", "--dry-run=server", "--filename", "-"];
    // At first the API server may not trust the certificate yet, and stores what it cannot ask about.
    eventually("a dry run is refused", || match kubectl_with(&dry_run, &bad.to_string()) {
        Ok(answer) => Err(answer),
        Err(refusal) => ensure(refusal.contains("spec.users") && refusal.contains("invalid username"), refusal),
    });
    assert!(namespace.try_apply(&bad).is_err());
    assert!(namespace.get("postgresql", "acid-door").is_err(), "a refused manifest is not stored");
    kubectl_with(&dry_run, &good.to_string()).unwrap();
}
