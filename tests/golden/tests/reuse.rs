//! The answers of steps are reused while their requests are the same, and no decision depends on that.

use golden::{Input, cases, config_of, examples, load, pipeline, shipped, yaml};
use pgloom_engine::Pipeline;
use serde_json::{Value, json};

/// The shipped pipeline, which reuses answers as the operator's does.
fn reusing() -> Pipeline {
    load(&shipped()).with_answer_cache()
}

/// By step, the number of calls so far.
fn calls(pipeline: &Pipeline) -> Vec<(String, u64)> {
    pipeline.steps().iter().map(|step| (step.name.clone(), step.usage().calls)).collect()
}

/// The steps that are called for this input.
fn called(pipeline: &Pipeline, input: &Input) -> Vec<String> {
    let before = calls(pipeline);
    let _ = input.decided(pipeline);
    let more = before.into_iter().zip(calls(pipeline)).filter(|((_, before), (_, after))| after > before);
    more.map(|((step, _), _)| step).collect()
}

#[test]
fn reused_answers_decide_what_a_fresh_run_decides_in_every_case() {
    let reusing = reusing();
    let inputs: Vec<Input> = examples().into_iter().chain(cases()).collect();
    for round in ["first", "second"] {
        for input in &inputs {
            let (kept, fresh) = (input.decided(&reusing), input.decided(pipeline()));
            assert_eq!(yaml(&kept), yaml(&fresh), "{round} run of {}", input.name);
        }
    }
}

/// Other values of fields that different steps read.
fn changes() -> Vec<(&'static str, Value)> {
    vec![
        ("numberOfInstances", json!(4)),
        ("podAnnotations", json!({"another": "x"})),
        ("sidecars", json!([{"name": "another", "image": "another"}])),
        ("enableConnectionPooler", json!(true)),
        ("tls", json!({"secretName": "another"})),
        ("enableLogicalBackup", json!(true)),
        ("users", json!({"another": ["createdb"]})),
        ("additionalVolumes", json!([{"name": "v", "mountPath": "/v", "volumeSource": {"emptyDir": {}}}])),
    ]
}

#[test]
fn changes_of_one_cluster_after_another_decide_what_fresh_runs_decide() {
    let reusing = reusing();
    for input in examples().into_iter().chain(cases().into_iter().step_by(5)) {
        let mut changed = input.clone();
        // Each change stays, and each time the cluster is as it was at first in between.
        for (field, value) in changes() {
            changed.manifest["spec"][field] = value;
            for input in [&changed, &input, &changed] {
                let (kept, fresh) = (input.decided(&reusing), input.decided(pipeline()));
                assert_eq!(yaml(&kept), yaml(&fresh), "{field} of {}", input.name);
            }
        }
    }
}

#[test]
fn an_input_that_was_decided_before_calls_no_step() {
    let reusing = reusing();
    for input in examples() {
        assert!(!called(&reusing, &input).is_empty(), "{}", input.name);
        assert_eq!(called(&reusing, &input), Vec::<String>::new(), "{}", input.name);
    }
}

fn secret(name: &str, value: &str) -> Value {
    let metadata =
        json!({"name": name, "namespace": "default", "annotations": {"pgloom.dev/observed-by-name": "true"}});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"KEY": value}})
}

#[test]
fn a_changed_secret_calls_the_steps_that_see_it_and_no_other() {
    let reusing = reusing();
    let keys = json!({
        "pod_environment_secret": "of-pods", "logical_backup_cronjob_environment_secret": "of-backups",
        "logical_backup_s3_bucket": "backups",
    });
    let mut complete = examples().into_iter().find(|example| example.name == "complete").unwrap();
    complete.manifest["spec"]["enableLogicalBackup"] = json!(true);
    let with = |pods: &str, backups: &str| Input {
        config: config_of(&keys),
        observed: vec![secret("of-pods", pods), secret("of-backups", backups)],
        ..complete.clone()
    };
    let first = called(&reusing, &with("YQ==", "YQ=="));
    assert!(["spilo", "sidecars", "logical-backup"].iter().all(|step| first.iter().any(|called| called == step)));
    assert_eq!(called(&reusing, &with("YQ==", "Yg==")), ["logical-backup"]);
    let of_pods = called(&reusing, &with("Yg==", "Yg=="));
    assert_eq!(of_pods, ["spilo"], "the names of the keys are the same, so the pods are");
}
