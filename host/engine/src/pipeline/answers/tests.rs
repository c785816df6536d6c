//! Answers are reused for the same request and for no other, and a run with them decides the same as one without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pgloom_api::ActionPhase;
use serde_json::{Value, json};

use super::*;
use crate::input::{ActionRecord, Input};
use crate::model::{Contribution, Description, Failure, ObjectKind, ObjectPermission, ObservedSelector, Selection};
use crate::{Decision, Pipeline, Plugin, call};

/// The requests that a plugin received.
type Received = Arc<Mutex<Vec<Request>>>;

fn config_map(name: &str, data: &Value) -> Contribution {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    Contribution::Apply(object.to_string())
}

/// A plugin that sees the Secret that the manifest names at `/spec/NAME`, and writes what it saw to a ConfigMap.
fn reader(name: &'static str, received: &Received) -> Arc<Plugin> {
    let received = Arc::clone(received);
    let description = Description {
        name: name.to_owned(),
        observed: vec![ObservedSelector {
            id: "it".to_owned(),
            kind: ObjectKind::new("v1", "Secret"),
            from: Selection::Manifest(format!("/spec/{name}")),
            fields: vec!["data".to_owned()],
        }],
        config_keys: vec![format!("of_{name}")],
        objects: vec![ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["{cluster}-*"])],
        ..Description::default()
    };
    Arc::new(Plugin::native(description, move |request| {
        received.lock().unwrap().push(request.clone());
        let seen: Vec<&str> = request.observed.iter().map(|object| object.object.as_str()).collect();
        let contributions = vec![config_map(&format!("c-{name}"), &json!({"seen": seen.join(",")}))];
        Ok(Response { contributions, ..Response::default() })
    }))
}

fn secret(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ns"}, "data": {"k": value}})
}

fn input(left: &str, right: &str) -> Input {
    Input {
        cluster: json!({
            "metadata": {"name": "c", "namespace": "ns"}, "spec": {"left": "secret-left", "right": "secret-right"},
        }),
        config: json!({"of_left": 1, "of_right": 1, "of_neither": 1}).into(),
        observed: vec![secret("secret-left", left), secret("secret-right", right)],
        ..Input::default()
    }
}

/// A pipeline of two steps, and how often each was called since the last question.
struct Two {
    pipeline: Pipeline,
    left: Received,
    right: Received,
}

impl Two {
    fn without_cache() -> Self {
        let (left, right) = (Received::default(), Received::default());
        let plugins = vec![reader("left", &left), reader("right", &right)];
        Self { pipeline: Pipeline::of(plugins).unwrap(), left, right }
    }

    fn new() -> Self {
        let two = Self::without_cache();
        Self { pipeline: two.pipeline.with_answer_cache(), ..two }
    }

    /// How often the steps are called for this input.
    fn calls(&self, input: &Input) -> (usize, usize) {
        self.pipeline.run(input).unwrap();
        let taken = |received: &Received| std::mem::take(&mut *received.lock().unwrap()).len();
        (taken(&self.left), taken(&self.right))
    }
}

#[test]
fn a_step_with_the_same_request_is_not_called_again() {
    let two = Two::new();
    assert_eq!(two.calls(&input("a", "b")), (1, 1));
    assert_eq!(two.calls(&input("a", "b")), (0, 0));
    assert_eq!(two.pipeline.steps()[0].usage().calls, 1, "what is reused is no call");
    assert!(two.pipeline.run(&input("a", "b")).unwrap().fuel.is_empty(), "and takes no fuel");
}

#[test]
fn a_changed_secret_calls_the_steps_that_see_it_and_no_other() {
    let two = Two::new();
    two.calls(&input("a", "b"));
    assert_eq!(two.calls(&input("a", "changed")), (0, 1));
    assert_eq!(two.calls(&input("changed", "changed")), (1, 0));
    assert_eq!(two.calls(&input("a", "b")), (0, 0), "what was asked before is still known");
}

#[test]
fn all_that_a_step_sees_calls_it_again() {
    let two = Two::new();
    let before = input("a", "b");
    two.calls(&before);
    let with = |change: &dyn Fn(&mut Input)| {
        let mut changed = before.clone();
        change(&mut changed);
        two.calls(&changed)
    };
    assert_eq!(with(&|input| input.cluster["spec"]["numberOfInstances"] = json!(2)), (1, 1), "the manifest");
    assert_eq!(
        with(&|input| Arc::make_mut(&mut input.config)["of_left"] = json!(2)),
        (1, 0),
        "a key of the configuration"
    );
    assert_eq!(
        with(&|input| Arc::make_mut(&mut input.config)["of_neither"] = json!(2)),
        (0, 0),
        "a key that no step reads"
    );
    let record = |phase| ActionRecord { step: "right".into(), key: "k".into(), phase, message: String::new() };
    assert_eq!(with(&|input| input.actions = vec![record(ActionPhase::Pending)]), (0, 1), "an action");
    assert_eq!(with(&|input| input.actions = vec![record(ActionPhase::Done)]), (0, 1), "the phase of an action");
}

#[test]
fn another_cluster_with_the_same_spec_has_answers_of_its_own() {
    let two = Two::new();
    two.calls(&input("a", "b"));
    let mut other = input("a", "b");
    other.cluster["metadata"]["uid"] = json!("another");
    assert_eq!(two.calls(&other), (1, 1));
}

#[test]
fn a_changed_desired_object_of_an_earlier_step_calls_the_step_that_reads_it() {
    let (left, late) = (Received::default(), Received::default());
    let description = Description {
        name: "late".to_owned(),
        desired: vec![ObjectKind::new("v1", "ConfigMap")],
        ..Description::default()
    };
    let received = Arc::clone(&late);
    let reads = Plugin::native(description, move |request| {
        received.lock().unwrap().push(request.clone());
        Ok(Response::default())
    });
    let pipeline = Pipeline::of(vec![reader("left", &left), Arc::new(reads)]).unwrap().with_answer_cache();
    for value in ["a", "a", "b"] {
        pipeline.run(&input(value, "")).unwrap();
    }
    assert_eq!((left.lock().unwrap().len(), late.lock().unwrap().len()), (2, 2));
}

#[test]
fn a_run_that_reuses_answers_decides_what_one_without_decides() {
    let two = Two::new();
    let without = Two::without_cache().pipeline;
    for input in [input("a", "b"), input("a", "b"), input("a", "c"), input("a", "b")] {
        // The fuel is what was spent: for an answer that is reused, nothing.
        let decided = |pipeline: &Pipeline| Decision { fuel: BTreeMap::new(), ..pipeline.run(&input).unwrap() };
        assert_eq!(format!("{:?}", decided(&two.pipeline)), format!("{:?}", decided(&without)));
    }
}

#[test]
fn a_pipeline_without_the_cache_calls_each_time() {
    let two = Two::without_cache();
    two.calls(&input("a", "b"));
    assert_eq!(two.calls(&input("a", "b")), (1, 1));
}

#[test]
fn a_new_pipeline_calls_each_step_again() {
    let mut two = Two::new();
    two.calls(&input("a", "b"));
    let plugins = two.pipeline.steps().iter().map(|step| Arc::clone(&step.plugin));
    two.pipeline = Pipeline::of(plugins.collect()).unwrap().with_answer_cache();
    assert_eq!(two.calls(&input("a", "b")), (1, 1), "its configuration and grants may be others");
}

/// How often a plugin is called in three runs, if its answer is this one.
fn calls_of(answer: impl Fn() -> Result<Response, call::Error> + Send + Sync + 'static) -> u64 {
    let plugin = Plugin::native(Description { name: "it".to_owned(), ..Description::default() }, move |_| answer());
    let pipeline = Pipeline::of(vec![Arc::new(plugin)]).unwrap().with_answer_cache();
    for _ in 0..3 {
        let _ = pipeline.run(&input("a", "b"));
    }
    pipeline.steps()[0].usage().calls
}

#[test]
fn only_an_answer_that_was_merged_is_reused() {
    assert_eq!(calls_of(|| Ok(Response::default())), 1);
    assert_eq!(calls_of(|| Err(call::Error::Refuse(Failure::Internal("not today".into())))), 3);
    assert_eq!(calls_of(|| Err(call::Error::Trap("it".into()))), 3);
    let not_permitted = || vec![config_map("c-it", &json!({}))];
    assert_eq!(calls_of(move || Ok(Response { contributions: not_permitted(), ..Response::default() })), 3);
}

#[test]
fn the_answers_that_were_not_used_for_the_longest_time_give_way() {
    let answer = |length: usize| {
        let contributions = vec![Contribution::Apply("x".repeat(length))];
        Arc::new(Response { contributions, ..Response::default() })
    };
    let key = |number: u8| Key([number; 32]);
    let each = size(&answer(1000));
    assert!((1000..1300).contains(&each), "{each}");
    let cache = AnswerCache::new(each * 8);
    for number in 0..100 {
        cache.insert(key(number), answer(1000));
        assert!(cache.get(&key(0)).is_some(), "an answer in use stays");
    }
    let kept = (0..100).filter(|number| cache.get(&key(*number)).is_some()).count();
    assert!((4..=8).contains(&kept), "{kept}");
    assert!(cache.get(&key(99)).is_some());
    assert!(cache.get(&key(50)).is_none());
}
