//! The status of a Pipeline object: whether it is in use, and what each step does.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use pgloom_api::pipeline::{LastLoaded, PipelineStatus, RolloutPhase, RolloutStatus, StepStatus};
use pgloom_decide::status::{Condition, with_times};
use pgloom_engine::Pipeline;
use pgloom_engine::pipeline::Step;
use serde_json::{Value, json};

use super::progress::{self, Problem, Progress};
use super::rights;

/// The condition that says whether the newest pipeline is in use.
pub const LOADED: &str = "Loaded";
/// Its reason for a Pipeline object that this operator does not use.
const NOT_IN_USE: &str = "NotInUse";
/// The condition that says whether the operator has the rights that the steps in use need.
const AUTHORIZED: &str = "Authorized";
/// The phase of a step that is called for clusters.
const RUNNING: &str = "Running";
/// The phase of a step that is not in use yet, and the reason of the condition while a pipeline is being loaded.
const LOADING: &str = "Loading";
/// The phase of a step that is called, while its objects of some kind cannot be written or observed.
const RIGHTS_MISSING: &str = "RightsMissing";

/// The status. `before` are the conditions so far, `generation` is that of the wanted document.
pub fn status(
    progress: &Progress,
    pipeline: &Pipeline,
    before: &[meta::Condition],
    generation: i64,
    now: Timestamp,
) -> PipelineStatus {
    let conditions = std::iter::once(loaded(progress, pipeline)).chain(authorized(progress));
    let now = meta::Time(now.round(jiff::Unit::Second).unwrap_or(now));
    let since = progress.last_loaded.as_ref().map(|last| last.since.clone());
    let mut steps: Vec<StepStatus> = pipeline.steps().iter().map(|step| running(step, since.as_deref())).collect();
    for step in &mut steps {
        lack(step, progress);
    }
    if let Some(problem) = &progress.problem {
        add(&mut steps, problem);
    }
    add_loading(&mut steps, progress);
    PipelineStatus {
        observed_generation: Some(generation),
        conditions: conditions.map(|condition| with_times(before, &condition, generation, &now)).collect(),
        steps,
        last_loaded: progress.last_loaded.clone(),
        rollout: progress.rollout.clone(),
    }
}

/// The condition of a Pipeline object that this operator does not use.
pub fn not_in_use(before: &[meta::Condition], generation: i64, now: Timestamp) -> meta::Condition {
    let message = "the operator uses another pipeline; its flags name it";
    let condition = Condition::fails(LOADED, NOT_IN_USE, message);
    with_times(before, &condition, generation, &meta::Time(now.round(jiff::Unit::Second).unwrap_or(now)))
}

/// The pipeline that is in use by what the status of a Pipeline object says: the one that was loaded last.
pub fn in_use(object: &Value) -> Option<LastLoaded> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let is_not_used = conditions.into_iter().flatten().any(|condition| condition["reason"] == NOT_IN_USE);
    progress::of_status(object).filter(|_| !is_not_used)
}

fn loaded(progress: &Progress, pipeline: &Pipeline) -> Condition {
    let consequence = match &progress.last_loaded {
        _ if !pipeline.is_available() => "no pipeline is in use, and all clusters stay as they are".to_owned(),
        Some(LastLoaded { generation: Some(generation), .. }) => {
            format!("the pipeline of generation {generation} stays in use")
        }
        _ => "the pipeline before stays in use".to_owned(),
    };
    match (&progress.problem, &progress.loading) {
        (Some(problem), _) => Condition::fails(LOADED, "Rejected", format!("{}; {consequence}", problem.message)),
        (None, Some(_)) => Condition::unknown(LOADED, LOADING, format!("the pipeline is being loaded; {consequence}")),
        (None, None) => {
            let others = match pipeline.is_available() {
                true => format!("{consequence} for the other clusters"),
                false => "the other clusters stay as they are".to_owned(),
            };
            let rolled_out = progress.rollout.as_ref().and_then(|rollout| rolling(rollout, &consequence, &others));
            let in_use = || format!("the pipeline is in use: {} steps", pipeline.steps().len());
            rolled_out.unwrap_or_else(|| Condition::holds(LOADED, "Loaded", in_use()))
        }
    }
}

/// The condition while not all clusters have the newest pipeline; `None` if they have.
fn rolling(rollout: &RolloutStatus, consequence: &str, others: &str) -> Option<Condition> {
    let message = format!("{}; {consequence}", rollout.message);
    let stage = rollout.stage.as_deref().unwrap_or_default();
    let others = format!("{stage}: {}; {others}", rollout.message);
    Some(match rollout.phase {
        RolloutPhase::Judging => Condition::unknown(LOADED, "Judging", message),
        RolloutPhase::Progressing => Condition::unknown(LOADED, "Progressing", others),
        // No cluster has it yet.
        RolloutPhase::Paused if rollout.stage.is_none() => Condition::unknown(LOADED, "Paused", message),
        RolloutPhase::Paused => Condition::unknown(LOADED, "Paused", others),
        RolloutPhase::Refused => Condition::fails(LOADED, "TooManyRestarts", message),
        RolloutPhase::RolledBack => Condition::fails(LOADED, "RolledBack", message),
        RolloutPhase::Complete => return None,
    })
}

/// The merge patch that turns the status as it was into this one. What only the status before has is removed within a field
/// and stays as a field: `lastLoaded` is kept while no pipeline is in use.
pub fn patch(before: &Value, after: &PipelineStatus) -> Value {
    let mut after = json!(after);
    if let Some(fields) = after.as_object_mut() {
        fields.iter_mut().for_each(|(name, field)| remove_others(&before[name], field));
    }
    after
}

/// Adds a null for each field of an object that only the one before has.
fn remove_others(before: &Value, after: &mut Value) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return };
    for (name, before) in before {
        match after.get_mut(name) {
            Some(after) => remove_others(before, after),
            None => drop(after.insert(name.clone(), Value::Null)),
        }
    }
}

/// The condition about rights; none before the API server was asked.
fn authorized(progress: &Progress) -> Option<Condition> {
    let lacks = progress.rights.lacks.as_ref()?;
    Some(match lacks.is_empty() {
        true => Condition::holds(AUTHORIZED, "Complete", "the operator has all rights that the steps need"),
        false => Condition::fails(AUTHORIZED, RIGHTS_MISSING, rights::text(lacks)),
    })
}

/// Says of a step which rights it lacks.
fn lack(step: &mut StepStatus, progress: &Progress) {
    let lacks = progress.rights.lacks.iter().flatten().filter(|lack| lack.step == step.name);
    let missing: Vec<String> = lacks.map(ToString::to_string).collect();
    if !missing.is_empty() {
        step.phase = RIGHTS_MISSING.to_owned();
        step.error = Some(missing.join("; "));
    }
}

fn running(step: &Step, since: Option<&str>) -> StepStatus {
    let (plugin, usage) = (&step.plugin, step.usage());
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    StepStatus {
        name: step.name.clone(),
        plugin: Some(plugin.description.name.clone()),
        version: Some(plugin.description.version.clone()),
        digest: Some(plugin.digest.clone()),
        contract: Some(plugin.contract.clone()),
        phase: RUNNING.to_owned(),
        error: None,
        calls: number(usage.calls),
        failures: number(usage.failures),
        fuel: number(usage.fuel),
        since: since.map(str::to_owned),
    }
}

/// Adds the steps of the newest pipeline that are being loaded and were not in the one before.
fn add_loading(steps: &mut Vec<StepStatus>, progress: &Progress) {
    let (Some(since), Some(wanted)) = (progress.loading, &progress.wanted) else { return };
    let since = since.round(jiff::Unit::Second).unwrap_or(since).to_string();
    let names = wanted.document["spec"]["steps"].as_array().into_iter().flatten();
    for name in names.filter_map(|step| step["name"].as_str()) {
        if !steps.iter().any(|step| step.name == name) {
            let (name, phase, since) = (name.to_owned(), LOADING.to_owned(), Some(since.clone()));
            steps.push(StepStatus { name, phase, since, ..StepStatus::default() });
        }
    }
}

/// Adds what stops the newest pipeline to the step that it is about.
fn add(steps: &mut Vec<StepStatus>, problem: &Problem) {
    let Some((name, phase)) = &problem.step else { return };
    let index = steps.iter().position(|step| step.name == *name).unwrap_or_else(|| {
        steps.push(StepStatus { name: name.clone(), ..StepStatus::default() });
        steps.len() - 1
    });
    if let Some(step) = steps.get_mut(index) {
        // `fetch` becomes `FetchFailed`.
        let (first, rest) = phase.split_at(phase.len().min(1));
        step.phase = format!("{}{rest}Failed", first.to_ascii_uppercase());
        step.error = Some(problem.message.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn last_loaded() -> LastLoaded {
        LastLoaded { generation: Some(3), since: "2026-01-01T00:00:00Z".into(), ..LastLoaded::default() }
    }

    fn problem() -> Problem {
        Problem { step: Some(("tls".into(), "compile")), message: "step tls: compile failed: too large".into() }
    }

    #[test]
    fn a_pipeline_that_runs_says_so_and_keeps_the_time_since_when() {
        let pipeline = Pipeline::of(vec![]).unwrap();
        let progress = Progress { last_loaded: Some(last_loaded()), ..Progress::default() };
        let first = status(&progress, &pipeline, &[], 3, at(100));
        assert_eq!((&*first.conditions[0].status, &*first.conditions[0].reason), ("True", "Loaded"));
        let second = status(&progress, &pipeline, &first.conditions, 3, at(200));
        assert_eq!(first, second);
    }

    #[test]
    fn a_rejected_pipeline_names_the_step_and_what_runs_instead() {
        let pipeline = Pipeline::of(vec![]).unwrap();
        let progress = Progress { problem: Some(problem()), last_loaded: Some(last_loaded()), ..Progress::default() };
        let status = status(&progress, &pipeline, &[], 4, at(100));
        assert_eq!(
            status.conditions[0].message,
            "step tls: compile failed: too large; the pipeline of generation 3 stays in use"
        );
        assert_eq!((&*status.steps[0].name, &*status.steps[0].phase), ("tls", "CompileFailed"));
        assert_eq!(status.last_loaded.unwrap().generation, Some(3));
    }

    #[test]
    fn a_pipeline_that_is_being_loaded_says_since_when_and_what_runs_meanwhile() {
        let document = serde_json::json!({"spec": {"steps": [{"name": "new"}]}});
        let wanted = Some(super::super::source::Found { name: "Pipeline ns/default".into(), document });
        let progress =
            Progress { wanted, loading: Some(at(90)), last_loaded: Some(last_loaded()), ..Progress::default() };
        let status = status(&progress, &Pipeline::of(vec![]).unwrap(), &[], 4, at(100));
        let condition = &status.conditions[0];
        assert_eq!((&*condition.status, &*condition.reason), ("Unknown", "Loading"));
        assert_eq!(condition.message, "the pipeline is being loaded; the pipeline of generation 3 stays in use");
        let step = &status.steps[0];
        assert_eq!((&*step.name, &*step.phase), ("new", "Loading"));
        assert_eq!(step.since.as_deref(), Some("1970-01-01T00:01:30Z"));
    }

    #[test]
    fn a_patch_removes_what_a_field_has_no_longer_and_leaves_what_is_not_stated() {
        let spec = json!({"steps": [], "rollout": {"paused": true}});
        let rollout = json!({"phase": "Refused", "impact": {"held": 1}, "spec": spec});
        let before = json!({"lastLoaded": {"generation": 1}, "rollout": rollout});
        let last = LastLoaded { spec: json!({"steps": [1]}).as_object().unwrap().clone(), ..last_loaded() };
        let rollout = RolloutStatus {
            generation: None,
            phase: RolloutPhase::Complete,
            stage: None,
            clusters: None,
            since: last.since.clone(),
            message: "all clusters have it".into(),
            impact: None,
            unwell: vec![],
            unwell_clusters: None,
            before: None,
            spec: last.spec,
        };
        let after = patch(&before, &PipelineStatus { rollout: Some(rollout), ..PipelineStatus::default() });
        assert_eq!(after.get("lastLoaded"), None);
        assert_eq!(after["rollout"]["impact"], Value::Null);
        assert_eq!(after["rollout"]["spec"], json!({"steps": [1], "rollout": null}));
    }

    #[test]
    fn without_any_pipeline_the_status_says_that_the_clusters_stay() {
        let progress = Progress { problem: Some(problem()), ..Progress::default() };
        let status = status(&progress, &Pipeline::unavailable("none").unwrap(), &[], 1, at(100));
        assert!(status.conditions[0].message.ends_with("no pipeline is in use, and all clusters stay as they are"));
    }
}
