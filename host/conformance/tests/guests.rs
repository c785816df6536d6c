//! Every check can fail: for each there is a plugin that fails it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conformance::script::Script;
use conformance::{engine, guest};
use pgloom_conformance::checks::ALL;
use pgloom_conformance::{Profile, Report, Setup, State, check, run};
use pgloom_engine::{Contribution, Description, Failure, ObjectKind, ObjectPermission, Plugin, Response, call};
use serde_json::{Value, json};

fn report(component: &[u8]) -> Report {
    run(&engine(), component, Profile::Full, common::setup())
}

fn failed(report: &Report) -> Vec<(&str, &str)> {
    let rows = report.checks.iter().filter(|row| row.result == State::Failed);
    rows.map(|row| (row.id.as_str(), row.detail.as_str())).collect()
}

/// Checks that a check fails alone, with a detail that has this text and with its remedy.
#[track_caller]
fn fails(report: &Report, id: &str, detail: &str) {
    let failed = failed(report);
    assert!(failed.len() == 1 && failed[0].0 == id && failed[0].1.contains(detail), "{failed:#?}");
    assert!(!report.is_passed());
    let remedy = ALL.iter().find(|check| check.id == id).unwrap().remedy;
    assert_eq!(report.row(id).unwrap().remedy, remedy);
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// A plugin that makes a ConfigMap for each cluster.
fn sound(name: &str) -> Script {
    Script::new(name).creates("v1 ConfigMap", &["{cluster}-note"])
}

fn note() -> Value {
    config_map("{cluster}-note", json!({"a": "b"}))
}

#[test]
fn a_plugin_that_keeps_every_promise_passes_every_check() {
    let report = report(&sound("sound").applies(&note()).component());
    assert_eq!(failed(&report), []);
    assert!(report.is_passed());
    let ids: Vec<&str> = report.checks.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ALL.map(|check| check.id), "every check has its row");
}

#[test]
fn load_fails_for_bytes_that_are_no_component() {
    let bytes = guest("echo.wasm");
    fails(&report(&bytes[..bytes.len() / 2]), "load", "");
}

#[test]
fn description_fails_for_a_version_that_is_none() {
    let script = sound("description").describes("version", json!("newest"));
    fails(&report(&script.component()), "description", "version \"newest\" is not semver");
}

#[test]
fn description_fails_without_a_summary() {
    let script = sound("description").describes("summary", json!(""));
    fails(&report(&script.component()), "description", "the summary is empty");
}

#[test]
fn configuration_fails_for_a_plugin_that_panics_at_a_value_that_its_schema_allows() {
    let schema =
        json!({"type": "object", "properties": {"greeting": {"type": "string"}}, "additionalProperties": false});
    let script = sound("configuration")
        .describes("config_schema", json!(schema.to_string()))
        .acts("panic-on-config", ("no greeting", "\"greeting\":\"\"", 0, ""));
    fails(&report(&script.component()), "configuration", "{\"greeting\":\"\"}: step configuration");
}

#[test]
fn scope_fails_for_an_object_that_the_description_does_not_ask_for() {
    let other = config_map("{cluster}-other", json!({}));
    fails(&report(&sound("scope").applies(&note()).applies(&other).component()), "scope", "ConfigMap acid-case-other");
}

/// No component can be impure: the engine gives it no time, no random number and no memory of an earlier call. So the
/// plugin is a native function, which the host calls in the same way.
#[test]
fn purity_fails_for_a_plugin_that_counts_its_calls() {
    let description = Description {
        name: "purity".to_owned(),
        summary: "Counts its calls.".to_owned(),
        objects: vec![ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["{cluster}-note"])],
        ..Description::default()
    };
    let calls = AtomicUsize::new(0);
    let plugin = Plugin::native(description, move |_| {
        let count = calls.fetch_add(1, Ordering::Relaxed).to_string();
        let object = config_map("acid-case-note", json!({"count": count}));
        Ok(Response { contributions: vec![Contribution::Apply(object.to_string())], ..Response::default() })
    });
    let report = check(Arc::new(plugin), Profile::Core, common::setup());
    let failed = failed(&report);
    assert!(failed.iter().any(|(id, detail)| *id == "purity" && detail.contains("gives another answer")), "{failed:?}");
}

#[test]
fn robustness_fails_for_a_plugin_that_panics_at_a_large_manifest() {
    let script = sound("robustness").acts("panic-on-large", ("it is too large", "", 8 << 10, ""));
    let report = report(&script.component());
    fails(
        &report,
        "robustness",
        "the plugin trapped: wasm trap: wasm `unreachable` instruction executed: it is too large",
    );
    assert!(report.row("robustness").unwrap().detail.starts_with("case huge: "), "the smaller ones are answered");
}

#[test]
fn robustness_fails_for_an_answer_that_breaks_the_contract_in_every_case() {
    let report = report(&guest("broken-json.wasm"));
    let row = report.row("robustness").unwrap();
    assert_eq!(row.result, State::Failed, "{}", report.lines());
    let sentence = "case minimal: the answer violates the contract: a contribution is not JSON";
    assert!(row.detail.starts_with(sentence), "{}", row.detail);
}

#[test]
fn robustness_fails_for_an_answer_that_breaks_the_contract_in_one_case() {
    let broken = ("{\"apiVersion\": \"v1\", ", "\"clone\":", 0, "");
    let report = report(&sound("robustness").acts("contribute-on-manifest", broken).component());
    fails(&report, "robustness", "case clone: the answer violates the contract: a contribution is not JSON");
}

#[test]
fn a_case_of_another_cluster_is_tried_with_the_objects_of_that_cluster() {
    let mut case = pgloom_conformance::corpus::cases().remove(0);
    case.name = "other".to_owned();
    case.manifest["metadata"]["name"] = json!("acid-other");
    let description = Description {
        name: "other".to_owned(),
        summary: "Reads the StatefulSet of the cluster.".to_owned(),
        config_schema: "{}".to_owned(),
        config_example: "{}".to_owned(),
        desired: vec![ObjectKind::new("apps/v1", "StatefulSet")],
        ..Description::default()
    };
    let plugin = Plugin::native(description, |request| {
        let cluster: Value = serde_json::from_str(&request.cluster).unwrap_or_default();
        let is_own =
            |object: &pgloom_engine::DesiredObject| cluster["metadata"]["name"] == object.identity.name.as_str();
        match request.desired.iter().any(is_own) {
            true => Ok(Response::default()),
            false => Err(call::Error::Refuse(Failure::Internal("the cluster has no StatefulSet".to_owned()))),
        }
    });
    let setup = Setup { cases: vec![case], ..common::setup() };
    let report = check(Arc::new(plugin), Profile::Core, setup);
    assert_eq!(report.row("robustness").unwrap().result, State::Passed, "{}", report.lines());
}

#[test]
fn relevance_fails_for_a_plugin_that_acts_without_its_trigger() {
    let script = sound("relevance").when("/spec/tls/secretName").applies(&note());
    fails(&report(&script.component()), "relevance", "no trigger holds, but the plugin would answer with 1 objects");
}

#[test]
fn actions_fails_for_a_plugin_whose_key_depends_on_what_was_asked_before() {
    let script = sound("actions").action("configure-patroni", &["ttl"]).requests(
        "ttl-{states}",
        "configure-patroni",
        json!({"configuration": "{\"ttl\":20}"}),
    );
    fails(&report(&script.component()), "actions", "is asked for again as \"ttl-1\", before as \"ttl-0\"");
}

#[test]
fn fixpoint_fails_for_a_plugin_that_writes_what_it_reads() {
    let counted = config_map("{cluster}-note", json!({"existing": "{observed}"}));
    let script = sound("fixpoint").observes("v1 ConfigMap").applies(&counted);
    let report = report(&script.component());
    let failed = failed(&report);
    assert!(
        failed.contains(&("fixpoint", "case minimal: once it exists, ConfigMap acid-case-note is different")),
        "{failed:?}"
    );
}

#[test]
fn removal_fails_for_a_plugin_that_keeps_what_it_made() {
    // It never makes the object by itself, so that the cluster is as if it had never been there; once it is, it stays.
    let script = Script::new("removal")
        .creates("v1 Service", &["{cluster}-pooler"])
        .observes("apps/v1 StatefulSet")
        .applies(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "{cluster}-pooler"},
            "spec": {"type": "ClusterIP"},
        }))
        .only_if_observed();
    let report = report(&script.component());
    let failed = failed(&report);
    assert!(
        failed
            .iter()
            .any(|(id, detail)| *id == "removal" && detail.contains("is there, too because of what was there")),
        "{failed:?}"
    );
}

#[test]
fn composition_fails_for_a_plugin_that_wants_another_value_than_a_shipped_one() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "{cluster}-pooler"},
        "spec": {
            "ports": [{"name": "{cluster}-pooler", "port": 1, "protocol": "TCP", "targetPort": 1}],
            "type": "ClusterIP",
        },
    });
    let script = Script::new("composition").creates("v1 Service", &["{cluster}-pooler"]).applies(&service);
    fails(&report(&script.component()), "composition", "with pooler: case complete: step ");
}

#[test]
fn compatibility_fails_for_an_older_contract() {
    let bytes = std::fs::read(golden::repository("tests/conformance/canned/0.1.wasm")).unwrap();
    let report = report(&bytes);
    let failed = failed(&report);
    assert!(failed.iter().any(|(id, detail)| *id == "compatibility" && detail.contains("contract 0.1")), "{failed:?}");
}

#[test]
fn compatibility_fails_for_a_requirement_that_the_pipeline_does_not_meet_and_what_needs_a_pipeline_is_skipped() {
    let script = sound("compatibility").asks("requires", json!({"plugin": "spilo", "version": "^9"})).applies(&note());
    let report = report(&script.component());
    fails(&report, "compatibility", "the plugin requires plugin spilo ^9");
    assert_eq!(report.row("scope").unwrap().result, State::Skipped);
}
