//! Each hostile guest is refused by name, and neither the other steps nor the other clusters notice it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conformance::hostile::{By, Case, STEP, cases, database, monitor};
use pgloom_api::config::Config;
use pgloom_api::pipeline::Document;
use pgloom_decide::ownership::{Identity, Origin};
use pgloom_decide::{Observed, Plan, decide};
use pgloom_engine::{Compiler, Engine, EngineConfig, Pipeline};
use serde_json::{Value, json};

/// A credential of the operator configuration, which no guest may get.
const CREDENTIAL: &str = "hunter2+of/the?operator";

/// An operator with the pipeline without a hostile step.
struct Host {
    place: tempfile::TempDir,
    engine: Arc<Engine>,
    config: Config,
    quiet: Pipeline,
    /// What is decided without a hostile step.
    expected: [String; 2],
}

/// The binary that compiles, which `make build` builds.
fn compiler() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("pgloom");
    assert!(program.exists(), "{} is not built: make build", program.display());
    program
}

impl Host {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("plugins")).unwrap();
        std::fs::write(place.path().join("plugins/database.wasm"), database().component()).unwrap();
        std::fs::write(place.path().join("plugins/monitor.wasm"), monitor().component()).unwrap();
        let compiler = Compiler::new(compiler());
        let engine = EngineConfig {
            cache: Some(place.path().join("code")),
            compiler: Some(compiler),
            max_component: 16 << 20,
            ..EngineConfig::default()
        };
        let engine = Arc::new(Engine::new(&engine).unwrap());
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"scalyr_api_key": CREDENTIAL}});
        let config = Config::read(&config).unwrap().config;
        let document = Document::read(&pipeline(None)).unwrap();
        let quiet = Pipeline::load(&engine, &document, &place.path().join("plugins"), None).unwrap();
        let mut host = Self { place, engine, config, quiet, expected: Default::default() };
        host.expected = ["acid-orders", "acid-other"].map(|name| essence(&host.decide(&host.quiet, name).unwrap()));
        host
    }

    fn decide(&self, pipeline: &Pipeline, name: &str) -> Result<Plan, pgloom_decide::Error> {
        decide(&manifest(name), &self.config, &Observed::default(), pipeline)
    }

    /// The pipeline with the step of a case.
    fn load(&self, case: &Case, policy: Option<&str>) -> Result<Pipeline, (By, String)> {
        let folder = self.place.path().join("plugins");
        std::fs::write(folder.join("hostile.wasm"), &case.component).unwrap();
        let document = Document::read(&pipeline(Some((case, policy)))).map_err(|findings| {
            (By::Document, findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        Pipeline::load(&self.engine, &document, &folder, Some(&self.quiet))
            .map_err(|error| (By::Load, error.to_string()))
    }
}

fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "labels": {"cluster": name}},
        "spec": {
            "teamId": "acid", "numberOfInstances": 2, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"},
            "users": {"foo_user": []}, "databases": {"foo": "foo_user"},
        }
    })
}

/// The document of the pipeline; the hostile step is for the cluster `acid-orders` alone.
fn pipeline(hostile: Option<(&Case, Option<&str>)>) -> Value {
    let step =
        |name: &str, grants: Value| json!({"name": name, "source": {"file": format!("{name}.wasm")}, "grants": grants});
    let mut steps = vec![step("database", database().grants()), step("monitor", monitor().grants())];
    if let Some((case, policy)) = hostile {
        let mut last = step(STEP, json!({}));
        last["match"] = json!({"selector": {"matchLabels": {"cluster": "acid-orders"}}});
        for (field, value) in case.step.as_object().unwrap() {
            last[field] = value.clone();
        }
        if let Some(policy) = policy {
            last["onFailure"] = json!(policy);
            last["allowRestarts"] = json!(true);
        }
        steps.push(last);
    }
    json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "test"}, "spec": {"steps": steps},
    })
}

/// All of a plan that is applied or executed, but for what the hostile step adds.
fn essence(plan: &Plan) -> String {
    let added: BTreeSet<String> = contributed(plan).iter().map(Value::to_string).collect();
    let documents = plan.documents().into_iter().map(|document| document.to_string());
    let documents: Vec<String> = documents.filter(|document| !added.contains(document)).collect();
    let actions: Vec<_> = plan.actions.iter().filter(|action| action.step != STEP).collect();
    format!("{documents:?} {actions:?} {:?} {:?}", plan.roles.roles, plan.secrets)
}

fn contributed(plan: &Plan) -> Vec<Value> {
    plan.objects.iter().filter(|desired| desired.step == STEP).map(|desired| desired.object.clone()).collect()
}

/// What the hostile step adds to a plan.
fn additions(plan: &Plan) -> String {
    let objects: Vec<String> = contributed(plan).iter().map(Value::to_string).collect();
    let of_step = |step: &Option<String>| step.as_deref() == Some(STEP);
    let findings: Vec<String> =
        plan.findings.iter().filter(|finding| of_step(&finding.step)).map(ToString::to_string).collect();
    let conditions = plan.conditions.iter().filter(|condition| condition.type_name.starts_with(STEP));
    let conditions: Vec<String> = conditions.map(|condition| condition.type_name.clone()).collect();
    [objects, findings, conditions].concat().join("\n")
}

/// Who refuses the guest, and what is said.
fn outcome(host: &Host, case: &Case) -> (By, String) {
    let pipeline = match host.load(case, None) {
        Ok(pipeline) => pipeline,
        Err(refused) => return refused,
    };
    assert_eq!(essence(&host.decide(&pipeline, "acid-other").unwrap()), host.expected[1], "the other cluster");
    let first = host.decide(&pipeline, "acid-orders");
    let plan = match first {
        Ok(plan) => plan,
        Err(error) => {
            let by = match &error {
                pgloom_decide::Error::Pipeline(run) if run.phase == "call" => By::Call,
                pgloom_decide::Error::Pipeline(run) if run.phase == "answer" => By::Answer,
                _ => By::Merge,
            };
            // Without the step, the rest of the cluster is decided as if it had never been there.
            let ignoring = host.load(case, Some("ignore")).map_err(|(_, error)| error).unwrap();
            let plan = host.decide(&ignoring, "acid-orders").unwrap();
            assert_eq!(essence(&plan), host.expected[0], "the other steps");
            assert!(plan.degraded && contributed(&plan).is_empty());
            return (by, error.to_string());
        }
    };
    assert_eq!(essence(&plan), host.expected[0], "the other steps");
    let again = host.decide(&pipeline, "acid-orders").unwrap();
    assert_eq!(additions(&again), additions(&plan), "one request, two answers");
    let mut refusals =
        plan.actions.iter().filter(|action| action.step == STEP).filter_map(|action| action.refusal.clone());
    if let Some(refusal) = refusals.next() {
        return (By::Action, format!("step {STEP}: {refusal}"));
    }
    if case.by == By::Owner
        && let Some(object) = contributed(&plan).first()
        && let Origin::Foreign(reason) =
            Identity::of(&manifest("acid-orders"), &host.config).origin(&bare(object), |_| true)
    {
        return (By::Owner, format!("step {STEP}: {reason}"));
    }
    (By::Harmless, format!("step {STEP}: {}", additions(&plan)))
}

/// The object as its owner had created it: of the same kind and name, without what the host adds.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"] = json!({"app": "webapp"});
    object
}

/// What is wrong with the outcome of a case.
fn fault(host: &Host, case: &Case) -> Option<String> {
    let (by, text) = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| outcome(host, case))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            return Some(format!("a guest that {}: {}", case.name, &text[..text.len().min(1500)]));
        }
    };
    let missing = case.says.iter().find(|says| !text.contains(**says));
    let is_named = by == By::Document || text.starts_with(&format!("step {STEP}"));
    // The lines to add to the grants are lines.
    let has_control = by != By::Load && text.contains(|letter: char| letter.is_control());
    let is_right = by == case.by && missing.is_none() && is_named && !has_control && text.len() < 4 << 10;
    let shown: String = text.chars().take(1000).collect();
    (!is_right).then(|| format!("a guest that {} ({:?}): {by:?} {shown:?}; missing: {missing:?}", case.name, case.by))
}

#[test]
fn every_hostile_guest_is_refused_by_name_and_harms_no_other_step_and_no_other_cluster() {
    let host = Host::new();
    let mut faults: Vec<String> = cases().iter().filter_map(|case| fault(&host, case)).collect();
    for (name, expected) in ["acid-orders", "acid-other"].iter().zip(&host.expected) {
        let plan = host.decide(&host.quiet, name).unwrap();
        assert_eq!(essence(&plan), *expected, "after all guests");
        assert!(!format!("{plan:?}").contains(CREDENTIAL));
    }
    let count = faults.len();
    faults.push(format!("{count} faults"));
    assert!(count == 0, "{}", faults.join("\n\n"));
}

#[test]
fn the_suite_has_at_least_thirty_guests_each_with_a_name_of_its_own_and_one_for_each_who_refuses() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    assert!(cases.len() >= 30, "{}", cases.len());
    for by in [By::Document, By::Load, By::Call, By::Answer, By::Merge, By::Action, By::Owner, By::Harmless] {
        assert!(cases.iter().any(|case| case.by == by), "{by:?}");
    }
    let says_nothing = |case: &&Case| case.says.is_empty() && case.by != By::Harmless;
    assert_eq!(cases.iter().find(says_nothing).map(|case| case.name), None);
}
