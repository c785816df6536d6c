//! A trace says of each step whether it was called, and what it changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgloom_api::pipeline::Document;
use serde_json::{Value, json};

use super::*;
use crate::model::{Contribution, Description, Failure, ObjectKind, ObjectPermission, Removal, Response};
use crate::{Plugin, call};

type Answer = Result<Response, call::Error>;

fn map(data: &Value) -> Contribution {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
    Contribution::Apply(object.to_string())
}

fn answer(contributions: Vec<Contribution>) -> Answer {
    Ok(Response { contributions, ..Response::default() })
}

fn plugin(name: &str, relevant: Vec<Trigger>, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Arc<Plugin> {
    let all = || vec!["data".to_owned()];
    let object = ObjectPermission {
        overrides: all(),
        removes: all(),
        ..ObjectPermission::sets(ObjectKind::new("v1", "ConfigMap"), &["c"], &["data"])
    };
    let object = ObjectPermission { creates: true, ..object };
    let description = Description { name: name.to_owned(), relevant, objects: vec![object], ..Description::default() };
    Arc::new(Plugin::native(description, move |_| answer()))
}

fn input() -> Input {
    let cluster = json!({"metadata": {"name": "c", "namespace": "ns", "labels": {"tier": "gold"}}, "spec": {}});
    Input { cluster, config: json!({}).into(), ..Input::default() }
}

/// The changes of a step as `path: before -> after`.
fn said(step: &StepTrace) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
    let line = |change: &Change| format!("{}: {} -> {}", change.path, text(&change.before), text(&change.after));
    step.changes.iter().filter(|change| change.path.starts_with("data")).map(line).collect()
}

#[test]
fn each_step_is_traced_with_what_it_set_overrode_and_removed() {
    let object = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "c".into() };
    let pipeline = Pipeline::of(vec![
        plugin("first", vec![], || answer(vec![map(&json!({"a": "1", "b": "2"}))])),
        plugin("second", vec![], || answer(vec![map(&json!({"a": "3"}))])),
        plugin("third", vec![], move || {
            answer(vec![Contribution::Remove(Removal { object: object.clone(), path: "data.b".into() })])
        }),
        plugin("fourth", vec![], || answer(vec![])),
    ])
    .unwrap();
    let trace = pipeline.trace(&input());
    assert!(trace.failure.is_none(), "{:?}", trace.failure);
    let said: Vec<_> = trace.steps.iter().map(said).collect();
    assert_eq!(said[0], ["data.a: - -> \"1\"", "data.b: - -> \"2\""]);
    assert_eq!(said[1], ["data.a: \"1\" -> \"3\""]);
    assert_eq!(said[2], ["data.b: \"2\" -> -"]);
    assert!(said[3].is_empty());
    assert_eq!(trace.steps[3].outcome, Outcome::Called(0));
    assert_eq!(trace.owners[0].leaves["data.a"], ["second"]);
}

#[test]
fn a_trace_decides_what_a_run_decides() {
    let pipeline = Pipeline::of(vec![plugin("first", vec![], || answer(vec![map(&json!({"a": "1"}))]))]).unwrap();
    let objects = |objects: Vec<Desired>| objects.into_iter().map(|desired| desired.object).collect::<Vec<_>>();
    assert_eq!(objects(pipeline.trace(&input()).objects), objects(pipeline.run(&input()).unwrap().objects));
}

#[test]
fn a_step_that_is_not_relevant_says_which_fields_have_no_value() {
    let triggers = vec![Trigger::Manifest("/spec/tls".into()), Trigger::Config("sidecars".into())];
    let pipeline = Pipeline::of(vec![plugin("tls", triggers, || answer(vec![]))]).unwrap();
    assert_eq!(
        pipeline.trace(&input()).steps[0].outcome.to_string(),
        "not called, the plugin is not asked for: spec.tls of the manifest has no value, and sidecars of the operator \
         configuration has no value"
    );
}

#[test]
fn a_step_for_other_clusters_names_the_rule_that_does_not_hold() {
    let step = |matches: Value| json!({"name": "it", "source": {"file": "it.wasm"}, "match": matches});
    for (matches, expected) in [
        (json!({"namespaces": ["shop", "bank"]}), "match.namespaces has only bank, shop"),
        (json!({"selector": {"matchLabels": {"tier": "free"}}}), "match.selector.matchLabels wants tier: free"),
        (
            json!({"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}}),
            "match.selector.matchExpressions wants tier NotIn (gold)",
        ),
    ] {
        let document = json!({
            "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "it"},
            "spec": {"steps": [step(matches)]},
        });
        let document = Document::read(&document).unwrap();
        let labels = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        let mismatch = document.steps[0].matches.mismatch("ns", &labels).map(|rule| rule.to_string());
        assert_eq!(mismatch.as_deref(), Some(expected));
    }
}

#[test]
fn a_step_that_fails_ends_the_trace_and_the_next_ones_are_not_reached() {
    let refuse = || Err(call::Error::Refuse(Failure::Internal("no".into())));
    let next = plugin("next", vec![], || answer(vec![]));
    let pipeline = Pipeline::of(vec![plugin("first", vec![], refuse), next]).unwrap();
    let trace = pipeline.trace(&input());
    assert!(matches!(&trace.steps[0].outcome, Outcome::Failed(error) if error.contains("the plugin refused: no")));
    assert_eq!(trace.steps[1].outcome, Outcome::NotReached);
    assert!(trace.failure.is_some());
}

#[test]
fn a_kept_answer_is_told_from_a_call() {
    let pipeline = Pipeline::of(vec![plugin("first", vec![], || answer(vec![]))]).unwrap().with_answer_cache();
    let outcome = || pipeline.trace(&input()).steps[0].outcome.clone();
    assert_eq!((outcome(), outcome()), (Outcome::Called(0), Outcome::Reused));
}

#[test]
fn a_pipeline_that_is_not_available_is_traced_as_the_failure() {
    let trace = Pipeline::unavailable("no file").unwrap().trace(&input());
    assert!(trace.failure.unwrap().to_string().contains("no file"));
}
