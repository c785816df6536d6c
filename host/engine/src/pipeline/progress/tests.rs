//! A run that goes on from what an earlier one had come to decides what one without decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgloom_api::pipeline::OnFailure;
use pgloom_api::{ActionKind, ActionPhase, Severity};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::input::ActionRecord;
use crate::model::{
    Action, ActionPermission, ActionRequest, ConditionStatus, Contribution, CredentialSource, Description, ExpandClaim,
    Failure, Finding, ObjectKind, ObjectPermission, ObjectRef, ObservedSelector, PluginCondition, Removal, Selection,
};
use crate::ownership::Ownership;
use crate::{Pipeline, Plugin, call};

const STEPS: [&str; 4] = ["one", "two", "three", "four"];

fn kind() -> ObjectKind {
    ObjectKind::new("v1", "ConfigMap")
}

fn config_map(name: &str, data: &Value) -> Contribution {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    Contribution::Apply(object.to_string())
}

/// A plugin that does what the observed ConfigMap of its name says, and reads what earlier steps desire.
fn actor(name: &'static str) -> Arc<Plugin> {
    let description = Description {
        name: name.to_owned(),
        observed: vec![ObservedSelector {
            id: "it".to_owned(),
            kind: kind(),
            from: Selection::Manifest(format!("/spec/{name}")),
            fields: vec!["data".to_owned()],
        }],
        desired: if name == "three" { vec![kind()] } else { Vec::new() },
        config_keys: vec!["key".to_owned()],
        objects: vec![
            ObjectPermission::creates(kind(), &["{cluster}-own-*"]),
            ObjectPermission {
                creates: true,
                removes: vec!["data.shared".to_owned()],
                ..ObjectPermission::sets(kind(), &["{cluster}-shared"], &["data"])
            },
        ],
        actions: vec![ActionPermission::new(ActionKind::ExpandClaim, &["*"])],
        ..Description::default()
    };
    Arc::new(Plugin::native(description, move |request| {
        let texts = request.observed.iter().map(|seen| seen.object.as_str());
        let act = texts.filter_map(|text| text.split("act-").nth(1)?.chars().next()).next();
        let seen: usize = request.desired.iter().map(|desired| desired.object.len()).sum();
        let mut response = Response::default();
        let own =
            config_map(&format!("c-own-{name}"), &json!({"config": request.operator_config, "seen": seen.to_string()}));
        match act {
            Some('1') => response.contributions = vec![own],
            Some('2') => response.contributions = vec![own, config_map("c-shared", &json!({ name: "x" }))],
            // Two steps that do so want the same, or disagree.
            Some('3') => response.contributions = vec![config_map("c-shared", &json!({"shared": "same"}))],
            Some('4') => response.contributions = vec![own, config_map("c-shared", &json!({ "shared": name }))],
            Some('5') => {
                let object = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "c-shared".into() };
                response.contributions = vec![Contribution::Remove(Removal { object, path: "data.shared".into() })];
            }
            Some('6') => {
                response.findings = vec![Finding {
                    severity: Severity::Warning,
                    message: format!("of {name}"),
                    path: None,
                    object: None,
                    remedy: None,
                }];
                response.conditions = vec![PluginCondition {
                    type_name: "Acting".into(),
                    status: ConditionStatus::True,
                    reason: "Asked".into(),
                    message: String::new(),
                }];
            }
            Some('7') => {
                let action = Action::ExpandClaim(ExpandClaim { claim: "claim".into(), size: "1Gi".into() });
                response.actions = vec![ActionRequest { key: "k".into(), action }];
            }
            Some('8') => return Err(call::Error::Refuse(Failure::Internal("not now".into()))),
            // What is merged before the refusal must not be kept.
            Some('9') => response.contributions = vec![own, config_map("stranger", &json!({}))],
            _ => {}
        }
        Ok(response)
    }))
}

/// An input: what each step does, whether an action was done, a key of the configuration, a field of the manifest.
#[derive(Clone, Debug)]
struct Case {
    acts: [u8; 4],
    is_done: bool,
    key: u8,
    field: u8,
}

fn some_case() -> impl Strategy<Value = Case> {
    let most = prop_oneof![8 => 0..8_u8, 1 => 8..10_u8];
    ([most.clone(), most.clone(), most.clone(), most], any::<bool>(), 0..2_u8, 0..2_u8)
        .prop_map(|(acts, is_done, key, field)| Case { acts, is_done, key, field })
}

/// Cases of which each differs from the one before in one place only.
fn some_changes() -> impl Strategy<Value = Vec<Case>> {
    let change = (0..9_usize, some_case());
    (some_case(), prop::collection::vec(change, 1..12)).prop_map(|(first, changes)| {
        let mut cases = vec![first];
        for (place, other) in changes {
            let mut next = cases[cases.len() - 1].clone();
            match place {
                0..4 => next.acts[place] = other.acts[place],
                4 => next.is_done = other.is_done,
                5 => next.key = other.key,
                6 => next.field = other.field,
                // The same again.
                7 => {}
                _ => next = cases[0].clone(),
            }
            cases.push(next);
        }
        cases
    })
}

fn input(case: &Case, configs: &[Arc<Value>; 2], last: BTreeMap<String, Response>) -> Input {
    let names: serde_json::Map<String, Value> = STEPS.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    let mut spec = Value::Object(names);
    spec["field"] = json!(case.field);
    let observed = STEPS.iter().zip(case.acts).map(|(name, act)| {
        let metadata = json!({"name": name, "namespace": "ns"});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": format!("act-{act}")}})
    });
    let phase = if case.is_done { ActionPhase::Done } else { ActionPhase::Pending };
    Input {
        cluster: json!({"metadata": {"name": "c", "namespace": "ns"}, "spec": spec}),
        config: Arc::clone(&configs[usize::from(case.key)]),
        observed: observed.collect(),
        actions: vec![ActionRecord { step: "two".into(), key: "k".into(), phase, message: String::new() }],
        last,
        ..Input::default()
    }
}

fn pipeline() -> Pipeline {
    Pipeline::of(STEPS.into_iter().map(actor).collect()).unwrap()
}

/// The objects and their owners, or the error; and the last answers.
type Outcome = (Result<(String, Vec<Ownership>), String>, BTreeMap<String, Response>);

/// What is decided, without the fuel, which is what was spent; and the last answers.
fn decided(pipeline: &Pipeline, input: &Input) -> Outcome {
    match pipeline.run(input) {
        Ok(decision) => {
            let decision = Decision { fuel: BTreeMap::new(), ..decision };
            let owners = pipeline.owners(input).unwrap();
            (Ok((format!("{decision:?}"), owners)), decision.last)
        }
        Err(error) => (Err(error.to_string()), BTreeMap::new()),
    }
}

proptest! {
    #[test]
    fn runs_that_go_on_from_an_earlier_one_decide_what_a_run_without_decides(
        cases in some_changes(),
        on_failure in prop::sample::select(vec![OnFailure::Hold, OnFailure::Ignore, OnFailure::KeepLast]),
    ) {
        let configs = [Arc::new(json!({"key": "a"})), Arc::new(json!({"key": "b"}))];
        let fresh = pipeline().with_on_failure(on_failure);
        let reusing = fresh.clone().with_answer_cache();
        let mut last = BTreeMap::new();
        for case in cases {
            let input = input(&case, &configs, last.clone());
            let (expected, answers) = decided(&fresh, &input);
            for round in ["first", "second"] {
                let (found, found_answers) = decided(&reusing, &input);
                prop_assert_eq!(&found, &expected, "{} run of {:?}", round, case);
                prop_assert_eq!(&found_answers, &answers);
            }
            last = answers;
        }
    }
}

fn quiet() -> Case {
    Case { acts: [2, 1, 1, 6], is_done: false, key: 0, field: 0 }
}

fn configs() -> [Arc<Value>; 2] {
    [Arc::new(json!({"key": "a"})), Arc::new(json!({"key": "b"}))]
}

/// The stages of a pipeline that are kept of the cluster.
fn kept(pipeline: &Pipeline) -> Vec<Arc<Stage>> {
    let kept = pipeline.reused.as_ref().unwrap().progress.kept.lock().unwrap();
    kept.clusters.values().flat_map(|cluster| cluster.stages.to_vec()).collect()
}

#[test]
fn the_stages_before_a_changed_step_stay_and_those_behind_it_are_made_again() {
    let (pipeline, configs) = (pipeline().with_answer_cache(), configs());
    pipeline.run(&input(&quiet(), &configs, BTreeMap::new())).unwrap();
    let before = kept(&pipeline);
    let changed = Case { acts: [2, 1, 2, 6], ..quiet() };
    pipeline.run(&input(&changed, &configs, BTreeMap::new())).unwrap();
    let same: Vec<bool> =
        before.iter().zip(&kept(&pipeline)).map(|(before, after)| Arc::ptr_eq(before, after)).collect();
    assert_eq!(same, [true, true, false, false]);
}

#[test]
fn a_run_under_other_rules_goes_on_from_nothing() {
    let configs = configs();
    let reusing = pipeline().with_answer_cache();
    reusing.run(&input(&quiet(), &configs, BTreeMap::new())).unwrap();
    assert_eq!(kept(&reusing).len(), STEPS.len());
    assert!(kept(&reusing.clone().with_on_failure(OnFailure::Ignore)).is_empty());
    let schemas = reusing.schemas().clone();
    assert!(kept(&reusing.with_schemas(schemas)).is_empty());
}

#[test]
fn all_that_a_run_depends_on_makes_another_digest() {
    let configs = configs();
    let one = input(&quiet(), &configs, BTreeMap::new());
    let with = |change: &dyn Fn(&mut Input)| {
        let mut other = one.clone();
        change(&mut other);
        begun(&other)
    };
    let changed = [
        with(&|_| {}),
        with(&|input| input.cluster["spec"]["field"] = json!(7)),
        with(&|input| assert!(input.secrets.names.insert("s".into()))),
        with(&|input| input.secrets.template = "{username}".into()),
        with(&|input| drop(input.labels.insert("a".into(), "b".into()))),
        with(&|input| drop(input.members.insert("a".into(), "b".into()))),
        with(&|input| input.role_label = "role".into()),
        with(&|input| assert!(input.credentials.insert(CredentialSource::Config("key".into())))),
    ];
    let distinct: std::collections::BTreeSet<Digest> = changed.iter().copied().collect();
    assert_eq!(distinct.len(), changed.len());
    assert_eq!(changed[0], begun(&one));
}

#[test]
fn the_cluster_that_was_not_decided_for_the_longest_time_gives_way() {
    let configs = configs();
    let one = input(&quiet(), &configs, BTreeMap::new());
    let stages = |progress: &Progress| {
        let state = State {
            merger: Merger::new(pipeline().schemas, crate::scope::Scope::default()),
            decision: Decision::default(),
        };
        let mut stages = progress.begin(&("ns".into(), "new".into()), &one);
        let answer = Response { contributions: vec![Contribution::Apply("x".repeat(1000))], ..Response::default() };
        stages.push([0; 32], "it", &answer, &state);
        stages
    };
    let progress = Progress { capacity: 10_000, ..Progress::default() };
    let name = |number: usize| ("ns".to_owned(), number.to_string());
    for number in 0..100 {
        progress.keep(name(number), &one, stages(&progress));
        progress.begin(&name(0), &one);
    }
    let kept = progress.kept.lock().unwrap();
    assert!((4..10).contains(&kept.clusters.len()) && kept.size <= 10_000, "{}", kept.clusters.len());
    assert!(kept.clusters.contains_key(&name(0)) && kept.clusters.contains_key(&name(99)));
    assert!(!kept.clusters.contains_key(&name(1)));
}
