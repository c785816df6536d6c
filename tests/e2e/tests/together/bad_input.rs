//! An invalid manifest is reported with field and remedy, and changes nothing that runs.

use e2e::{Namespace, ensure, eventually, has_cluster, kubectl, kubectl_with, minimal, namespace};
use serde_json::{Value, json};

/// What is said about a version that the image does not have.
const NO_SUCH_VERSION: &str = "the image ghcr.io/zalando/spilo-18:4.1-p2 has PostgreSQL 14 to 18, not 12; write a version \
    that it has, or name an image that has this one in spec.dockerImage or docker_image";

/// The manifest of a new cluster with a version that its image does not have. The name of the image says which it has.
fn of_an_old_version(name: &str) -> Value {
    let mut manifest = minimal(name, 1);
    manifest["spec"]["postgresql"]["version"] = json!("12");
    manifest["spec"]["dockerImage"] = json!("ghcr.io/zalando/spilo-18:4.1-p2");
    manifest
}

#[test]
fn a_manifest_that_only_the_operator_can_judge_gets_a_condition_and_an_event_and_changes_nothing() {
    if !has_cluster("invalid") {
        return;
    }
    let namespace = namespace("invalid");
    // The webhook would refuse the change.
    kubectl(&["label", "namespace", &namespace.name, "pgloom.dev/admission=off"]).unwrap();
    namespace.apply(&minimal("acid-good", 1));
    namespace.apply(&of_an_old_version("acid-old"));
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
    a_new_cluster_with_a_version_that_its_image_does_not_have_is_not_made(&namespace);
}

fn a_new_cluster_with_a_version_that_its_image_does_not_have_is_not_made(namespace: &Namespace) {
    let message = eventually("the condition has the versions of the image", || {
        let valid = namespace.condition("acid-old", "Valid")?;
        ensure(valid["status"] == "False", &valid)?;
        Ok(valid["message"].to_string())
    });
    assert!(message.contains("spec.postgresql.version") && message.contains(NO_SUCH_VERSION), "{message}");
    assert_eq!(namespace.names("statefulsets,pods,services,secrets", "acid-old"), [""; 0]);
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

    let refusal = kubectl_with(&dry_run, &of_an_old_version("acid-door").to_string()).unwrap_err();
    assert!(refusal.contains("spec.postgresql.version") && refusal.contains(NO_SUCH_VERSION), "{refusal}");
    what_is_only_warned_about_is_told_by_kubectl_and_accepted(&dry_run, good);
}

fn what_is_only_warned_about_is_told_by_kubectl_and_accepted(dry_run: &[&str], mut manifest: Value) {
    manifest["spec"]["sidecars"] = json!([{"name": "a", "image": "b", "imagePulPolicy": "Always"}]);
    // kubectl fails for the warnings alone, so it returns what it has printed.
    let strict = [dry_run, &["--warnings-as-errors"]].concat();
    let printed = kubectl_with(&strict, &manifest.to_string()).unwrap_err();
    let warnings: Vec<&str> = printed.lines().filter(|line| line.starts_with("Warning: ")).collect();
    let warning =
        "spec.sidecars[0].imagePulPolicy: this field does not exist; it is ignored; did you mean imagePullPolicy?";
    assert!(matches!(warnings[..], [only] if only.ends_with(warning)), "{printed}");
    assert!(printed.contains("acid-door created (server dry run)"), "{printed}");
    kubectl_with(dry_run, &manifest.to_string()).unwrap();
}
