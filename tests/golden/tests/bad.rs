//! Every rule for manifests, checked with the shipped pipeline: the findings equal the committed ones. `UPDATE=1`
//! rewrites them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use golden::{config, config_of, decided, differs, here, pipeline, read, report, repository, yaml};
use serde_json::{Value, json};

fn minimal_with(changes: &Value) -> Value {
    let mut manifest = read(&repository("manifests/examples/minimal.yaml"));
    json_patch::merge(&mut manifest, changes);
    manifest
}

/// The decision for every entry of a file of changes, in the file's order.
fn all(file: &str) -> Vec<(String, Value)> {
    let changes = std::fs::read_to_string(here(file)).unwrap();
    let changes: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(&changes).unwrap();
    let decide = |(name, changes): (serde_yaml_ng::Value, serde_yaml_ng::Value)| {
        let manifest = minimal_with(&serde_json::to_value(changes).unwrap());
        (name.as_str().unwrap().to_owned(), decided(manifest, &config(None), Vec::new(), pipeline()))
    };
    changes.into_iter().map(decide).collect()
}

/// Compares the sentences under `part` of every decision with a file.
fn compare(decisions: &[(String, Value)], part: &str, file: &str) {
    let mut messages = String::new();
    for (name, decided) in decisions {
        assert!(decided[part].is_array(), "{name}: nothing is said; {}", decided["error"]);
        _ = write!(messages, "{name}:\n{}", yaml(&decided[part]));
    }
    report(&differs(&here(file), &messages).into_iter().collect::<Vec<_>>());
}

#[test]
fn every_bad_manifest_is_refused_with_the_field_and_the_remedy() {
    compare(&all("bad/rules.yaml"), "error", "bad/messages.yaml");
}

#[test]
fn every_rule_of_a_feature_is_a_rule_of_its_plugin() {
    compare(&all("bad/features.yaml"), "error", "bad/feature-messages.yaml");
}

#[test]
fn what_is_not_used_of_a_manifest_is_told() {
    compare(&all("bad/warnings.yaml"), "findings", "bad/findings.yaml");
}

/// The field that a finding is about: `warning from STEP: FIELD: …`.
fn field(finding: &str) -> &str {
    finding.split(": ").nth(1).unwrap()
}

#[test]
fn nothing_is_told_twice() {
    let cases = [all("bad/warnings.yaml"), switched_off()].concat();
    for (name, decided) in cases {
        let findings: Vec<&str> =
            decided["findings"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        let mut fields = BTreeSet::new();
        for finding in &findings {
            assert!(fields.insert(field(finding)), "{name}: {findings:#?}");
        }
    }
}

/// A running cluster whose containers the operator configuration no longer allows.
fn switched_off() -> Vec<(String, Value)> {
    let of = |key: &str, section: &str| {
        let manifest = minimal_with(&json!({"spec": {section: [{"name": "a", "image": "b"}]}}));
        let running = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": manifest["metadata"]["name"], "namespace": "default", "labels": {"cluster-name": manifest["metadata"]["name"], "application": "spilo"}},
        });
        let decided = decided(manifest, &config_of(&json!({key: "false"})), vec![running], pipeline());
        assert!(decided["findings"].to_string().contains("disabled in configuration"), "{section}: {decided}");
        (section.to_owned(), decided)
    };
    vec![of("enable_sidecars", "sidecars"), of("enable_init_containers", "initContainers")]
}

/// The rules for names, as a table: name, team, whether the name is valid.
#[test]
fn names_begin_with_their_team_whatever_the_case_unless_the_platform_frees_them() {
    let free = json!({"enable_team_id_clustername_prefix": "false"});
    for (name, team, prefixed, freed) in [
        ("acid-test", "acid", true, true),
        ("acid-test", "ACID", true, true),
        ("test-my-name", "test", true, true),
        ("my-team-another-test", "my-team", true, true),
        ("acid-test", "test", false, true),
        ("acid-Test", "acid", false, false),
    ] {
        let manifest = minimal_with(&json!({"metadata": {"name": name}, "spec": {"teamId": team}}));
        let accepted = |config| decided(manifest.clone(), config, Vec::new(), pipeline())["error"].is_null();
        assert_eq!((accepted(&config(None)), accepted(&config_of(&free))), (prefixed, freed), "{name} of {team}");
    }
}
