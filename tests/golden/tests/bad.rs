//! Every rule for manifests holds through the shipped pipeline, and says what it says. `UPDATE=1` rewrites the sentences.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fmt::Write as _;

use golden::{config, config_of, decided, differs, here, pipeline, read, report, repository, yaml};
use serde_json::{Value, json};

/// Merges changes into a manifest, a null removing.
fn merge(into: &mut Value, changes: &Value) {
    for (key, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(into.as_object_mut().unwrap().remove(key)),
            Value::Object(_) if into[key].is_object() => merge(&mut into[key], change),
            other => into[key] = other.clone(),
        }
    }
}

fn minimal_with(changes: &Value) -> Value {
    let mut manifest = read(&repository("manifests/examples/minimal.yaml"));
    merge(&mut manifest, changes);
    manifest
}

#[test]
fn every_bad_manifest_is_refused_with_the_field_and_the_remedy() {
    let rules = std::fs::read_to_string(here("bad/rules.yaml")).unwrap();
    let rules: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(&rules).unwrap();
    let mut messages = String::new();
    for (name, changes) in rules {
        let manifest = minimal_with(&serde_json::to_value(changes).unwrap());
        let decided = decided(manifest, &config(None), Vec::new(), pipeline());
        let name = name.as_str().unwrap();
        assert!(decided["error"].is_array(), "{name} is not refused");
        _ = write!(messages, "{name}:\n{}", yaml(&decided["error"]));
    }
    report(&differs(&here("bad/messages.yaml"), &messages).into_iter().collect::<Vec<_>>());
}

/// The rules for names, as a table: name, team, whether it is one.
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
