//! Each way in which a plugin can fail is an error with step, phase and remedy, and does not stop the host.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::{component, document, engine, granted, guest, input, load};
use pgloom_common::error::error_chain;
use pgloom_engine::{Contribution, Description, EngineConfig, Pipeline, Plugin, Response, plugin};
use serde_json::json;

fn run(file: &str) -> Result<pgloom_engine::Decision, String> {
    load(&json!({"name": "guest", "source": {"file": file}}))?.run(&input()).map_err(|error| error.to_string())
}

/// Loads a component that is `echo.wasm` with `count` instances of one more module, and calls it.
fn run_with_instances(module: &[u8], count: usize) -> Result<(), String> {
    let bytes = component::with_instances(&guest("echo.wasm"), module, count);
    let plugin = Plugin::load(&engine(), &bytes, None).map_err(|error| error_chain(&error))?;
    let pipeline = pgloom_engine::Pipeline::of(vec![Arc::new(plugin)]).map_err(|error| error.to_string())?;
    pipeline.run(&input()).map(drop).map_err(|error| error.to_string())
}

fn load_error(bytes: &[u8], pinned: Option<&str>) -> plugin::Error {
    Plugin::load(&engine(), bytes, pinned).map(|_| ()).expect_err("the guest must not load")
}

#[test]
fn a_guest_that_keeps_the_contract_contributes() {
    let decision = run("echo.wasm").unwrap();
    assert_eq!(decision.objects.len(), 1);
    assert_eq!(decision.objects[0].object["metadata"]["namespace"], "shop");
    assert_eq!(decision.objects[0].step, "guest");
    let owners = load(&json!({"name": "guest", "source": {"file": "echo.wasm"}})).unwrap().owners(&input()).unwrap();
    assert_eq!(owners[0].leaves["data.config"], ["guest"]);
}

#[test]
fn a_component_of_two_steps_is_loaded_once_and_one_that_runs_is_not_loaded_again() {
    let named = |name: &str| granted(&json!({"name": name, "source": {"file": "echo.wasm"}}));
    let mut both = document(&named("one"));
    both.steps.extend(document(&named("two")).steps);
    let engine = engine();
    let load = |running: Option<&Pipeline>| Pipeline::load(&engine, &both, &conformance::folder(), running).unwrap();
    let pipeline = load(None);
    let [one, two] = pipeline.steps() else { panic!("two steps") };
    assert!(Arc::ptr_eq(&one.plugin, &two.plugin));
    assert!(Arc::ptr_eq(&load(Some(&pipeline)).steps()[0].plugin, &one.plugin));
}

#[test]
fn a_plugin_receives_the_configuration_keys_that_it_names_and_no_others() {
    let decision = run("echo.wasm").unwrap();
    assert_eq!(decision.objects[0].object["data"]["operator-config"], "{}");
}

#[test]
fn a_step_configuration_has_the_defaults_of_the_schema() {
    let decision = run("echo.wasm").unwrap();
    assert_eq!(decision.objects[0].object["data"]["config"], r#"{"greeting":"hello"}"#);
}

#[test]
fn a_step_configuration_that_the_schema_refuses_names_the_field() {
    let error =
        load(&json!({"name": "guest", "source": {"file": "echo.wasm"}, "config": {"greeting": 1}})).unwrap_err();
    assert!(error.starts_with("step guest: configure failed: config.greeting:"), "{error}");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let texts =
        |_| run("echo.wasm").unwrap().objects.iter().map(|desired| desired.object.to_string()).collect::<Vec<_>>();
    let runs: Vec<Vec<String>> = (0..5).map(texts).collect();
    assert!(runs.iter().all(|run| *run == runs[0]));
}

#[test]
fn a_trap_is_the_plugins_failure() {
    let error = run("trap.wasm").unwrap_err();
    assert!(error.starts_with("step guest (trap 0.1.0): call failed: the plugin trapped: "), "{error}");
}

#[test]
fn a_plugin_that_never_responds_is_stopped_when_its_fuel_is_used_up() {
    let step = json!({"name": "guest", "source": {"file": "spin-forever.wasm"}, "limits": {"fuel": 10_000_000}});
    let error = load(&step).unwrap().run(&input()).unwrap_err();
    assert_eq!(error.category(), "FuelExhausted");
    assert!(error.to_string().contains("more than 10000000 units of fuel; raise `limits.fuel`"), "{error}");
}

#[test]
fn a_call_that_the_clock_ends_holds_the_cluster_whatever_on_failure_says() {
    for policy in ["hold", "keepLast", "ignore"] {
        let limits = json!({"deadline": "50ms", "fuel": 10_000_000_000_u64});
        let step =
            json!({"name": "guest", "source": {"file": "spin-forever.wasm"}, "limits": limits, "onFailure": policy});
        let kept = Response { contributions: vec![], actions: vec![], findings: vec![], conditions: vec![] };
        let last = [("guest".to_owned(), kept)].into();
        let start = Instant::now();
        let error = load(&step).unwrap().run(&pgloom_engine::Input { last, ..input() }).unwrap_err();
        assert_eq!(error.category(), "DeadlineExceeded", "{policy}");
        assert!(error.is_of_host());
        assert!(start.elapsed() < Duration::from_secs(5), "the call ran on after its deadline");
    }
}

#[test]
fn a_call_takes_the_same_fuel_each_time_and_it_is_reported() {
    let pipeline = load(&json!({"name": "guest", "source": {"file": "echo.wasm"}})).unwrap();
    let fuel: Vec<u64> = (0..10).map(|_| pipeline.run(&input()).unwrap().fuel["guest"]).collect();
    assert!(fuel[0] > 0 && fuel.iter().all(|each| *each == fuel[0]), "{fuel:?}");
    let usage = pipeline.steps()[0].usage();
    assert_eq!((usage.calls, usage.failures, usage.fuel), (10, 0, 10 * fuel[0]));
}

#[test]
fn memories_are_limited_in_number_and_in_sum() {
    assert_eq!(run_with_instances(&component::memory(1), 2), Ok(()));
    let many = run_with_instances(&component::memory(1), 16).unwrap_err();
    assert!(many.contains("17 Wasm linear memories") && many.contains("maximum of 4"), "{many}");
    // 3 × 32 MiB with a limit of 64 MiB for all.
    let large = run_with_instances(&component::memory(512), 3).unwrap_err();
    assert!(large.contains("more than 67108864 bytes of memory"), "{large}");
}

/// The guest `chatty`, composed with a log that keeps every line, as the only step of a pipeline.
fn run_composed(memory: &str) -> Result<(), pgloom_engine::RunError> {
    let folder = tempfile::tempdir().unwrap();
    let composed = component::with_log(&guest("chatty.wasm"), &guest("logger.wasm"));
    std::fs::write(folder.path().join("chatty.wasm"), composed).unwrap();
    let step = json!({"name": "guest", "source": {"file": "chatty.wasm"}, "limits": {"memory": memory}});
    let pipeline = Pipeline::load(&engine(), &document(&granted(&step)), folder.path(), None).unwrap();
    pipeline.run(&input()).map(drop)
}

#[test]
fn a_component_that_is_composed_of_two_runs_within_the_sum_of_their_memories() {
    assert!(run_composed("64Mi").is_ok());
    // Each of the two has less than the limit: the plugin alone runs with it.
    let error = run_composed("4Mi").unwrap_err();
    assert_eq!(error.category(), "MemoryExceeded", "{error}");
    let alone = json!({"name": "guest", "source": {"file": "chatty.wasm"}, "limits": {"memory": "4Mi"}});
    assert!(load(&alone).unwrap().run(&input()).is_ok());
}

#[test]
fn tables_are_limited_in_number_and_in_sum() {
    assert_eq!(run_with_instances(&component::table(10), 2), Ok(()));
    let many = run_with_instances(&component::table(10), 16).unwrap_err();
    assert!(many.contains("17 tables") && many.contains("maximum of 8"), "{many}");
    let large = run_with_instances(&component::table(60_000), 2).unwrap_err();
    assert!(large.contains("more than 100000 entries of tables"), "{large}");
}

#[test]
fn instances_are_limited_in_number() {
    let many = run_with_instances(&component::module_of(&[]), 100).unwrap_err();
    assert!(many.contains("101 core module instances") && many.contains("maximum of 64"), "{many}");
}

#[test]
fn a_start_function_that_never_ends_does_not_load() {
    let bytes = component::with_instances(&guest("echo.wasm"), &component::endless_start(), 1);
    let error = error_chain(&load_error(&bytes, None));
    assert!(error.contains("units of fuel") || error.contains("on the wall clock"), "{error}");
}

#[test]
fn features_of_webassembly_that_no_toolchain_needs_are_refused() {
    let two_memories = component::module(5, &[2, 0, 1, 0, 1]);
    let memory64 = component::module(5, &[1, 4, 1]);
    let tail_call = [1, 4, 0, 0x12, 0, 0x0b];
    let tail_call = component::module_of(&[(1, &[1, 0x60, 0, 0]), (3, &[1, 0]), (10, &tail_call)]);
    for (module, feature) in [
        (two_memories, "memories count of 2 exceeds the per-instance limit of 1"),
        (memory64, "memory64"),
        (tail_call, "tail calls"),
    ] {
        let error = run_with_instances(&module, 1).unwrap_err();
        assert!(error.contains(feature), "{feature}: {error}");
    }
}

#[test]
fn a_plugin_that_survived_a_refusal_of_memory_fails_for_the_reason_that_stopped_it() {
    let error =
        load(&json!({"name": "guest", "source": {"file": "survivor.wasm"}})).unwrap().run(&input()).unwrap_err();
    assert_eq!(error.category(), "Trapped");
    assert!(error.to_string().contains("the last line before the end"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn a_condition_of_a_plugin_has_the_name_of_its_step() {
    let load = |greeting| {
        load(&json!({"name": "guest", "source": {"file": "conditions.wasm"}, "config": {"greeting": greeting}}))
    };
    let decision = load("once").unwrap().run(&input()).unwrap();
    assert_eq!(decision.conditions[0].type_name, "guest/Ready");
    let error = load("twice").unwrap().run(&input()).unwrap_err().to_string();
    assert!(error.ends_with("the condition Ready is given twice"), "{error}");
}

#[test]
fn an_action_that_is_not_described_obeys_on_failure_and_leaves_nothing_of_the_answer() {
    let step =
        |policy: &str| json!({"name": "guest", "source": {"file": "undescribed-action.wasm"}, "onFailure": policy});
    let error = load(&step("hold")).unwrap().run(&input()).unwrap_err();
    assert_eq!(error.category(), "ActionRefused");
    let decision = load(&step("ignore")).unwrap().run(&input()).unwrap();
    assert!(decision.objects.is_empty() && decision.actions.is_empty());
    assert_eq!(decision.conditions[0].type_name, "guest/Failed");
    assert_eq!(decision.conditions[0].reason, "ActionRefused");
}

#[test]
fn a_plugin_that_allocates_too_much_memory_fails() {
    let error =
        load(&json!({"name": "guest", "source": {"file": "greedy-memory.wasm"}})).unwrap().run(&input()).unwrap_err();
    assert_eq!(error.category(), "MemoryExceeded");
}

#[test]
fn an_answer_of_a_hundred_megabytes_is_refused() {
    // Memory and time are sufficient, so that only the response exceeds its limit. If wasmtime changes the text by
    // which the engine recognizes that (`call.rs`), the category is `Trapped`.
    let limits = json!({"memory": "256Mi", "fuel": 10_000_000_000_u64, "deadline": "10s"});
    let error = load(&json!({"name": "guest", "source": {"file": "huge-output.wasm"}, "limits": limits}))
        .unwrap()
        .run(&input())
        .unwrap_err();
    assert_eq!(error.category(), "OutputTooLarge", "{error}");
}

#[test]
fn a_contribution_that_is_not_json_is_refused() {
    let error = run("broken-json.wasm").unwrap_err();
    assert!(error.contains("the answer violates the contract: a contribution is not JSON"), "{error}");
}

/// The error of a step whose plugin answers with these partial objects.
fn answer_error(texts: &[String]) -> pgloom_engine::RunError {
    let contributions: Vec<_> = texts.iter().cloned().map(Contribution::Apply).collect();
    let description = Description { name: "large".to_owned(), ..Description::default() };
    let plugin = Plugin::native(description, move |_| {
        Ok(Response { contributions: contributions.clone(), ..Response::default() })
    });
    Pipeline::of(vec![Arc::new(plugin)]).unwrap().run(&input()).unwrap_err()
}

#[test]
fn a_short_answer_that_would_become_a_large_tree_is_refused_with_its_step_and_the_limit() {
    // Four million bytes are two million values, each of which takes a hundred bytes and more.
    let wide = format!("{{\"spec\": [{}1]}}", "1,".repeat(2_000_000));
    let error = answer_error(&[wide]);
    assert_eq!((error.step.as_str(), error.phase, error.category()), ("large", "answer", "OutputTooLarge"));
    assert!(error.to_string().contains("more than 20000 values"), "{error}");
    let error = answer_error(&["{\"spec\":".repeat(400_000)]);
    assert_eq!((error.step.as_str(), error.phase, error.category()), ("large", "answer", "OutputTooLarge"));
    assert!(error.to_string().contains("more than 64 levels"), "{error}");
}

#[test]
fn an_object_of_a_kind_that_is_not_asked_for_is_refused() {
    let error = run("beyond-claim.wasm").unwrap_err();
    assert!(error.contains("v1 Service backdoor"), "{error}");
}

#[test]
fn a_plugin_that_logs_too_much_still_contributes() {
    assert!(run("chatty.wasm").unwrap().objects.is_empty());
}

#[test]
fn a_failing_step_fails_the_run_unless_it_is_ignored() {
    let step = |policy: &str| json!({"name": "guest", "source": {"file": "trap.wasm"}, "onFailure": policy});
    assert!(load(&step("hold")).unwrap().run(&input()).is_err());
    let decision = load(&step("ignore")).unwrap().run(&input()).unwrap();
    assert!(decision.findings[0].message.contains("the cluster is made without the step"));
}

#[test]
fn a_step_with_keep_last_fails_without_a_last_response() {
    let step = |file: &str| json!({"name": "guest", "source": {"file": file}, "onFailure": "keepLast"});
    let kept = load(&step("echo.wasm")).unwrap().run(&input()).unwrap().last;
    let failing = load(&step("trap.wasm")).unwrap();
    assert!(failing.run(&input()).is_err());
    let decision = failing.run(&pgloom_engine::Input { last: kept, ..input() }).unwrap();
    assert_eq!(decision.objects[0].object["metadata"]["name"], "echo");
}

#[test]
fn nothing_is_granted_by_default_and_the_error_has_the_lines_to_add() {
    let step = |grants: serde_json::Value| json!({"name": "guest", "source": {"file": "echo.wasm"}, "grants": grants});
    let error = load(&step(json!({}))).unwrap_err();
    assert_eq!(
        error,
        "step guest: configure failed: the pipeline does not grant what plugin echo 0.1.0 needs; add to the step's grants:\n  \
         objects:\n  - apiVersion: v1\n    kind: ConfigMap\n    names: [\"*\"]\n    creates: true\n"
    );
    let narrow = json!({"objects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "names": ["{cluster}-*"], "creates": true},
    ]});
    assert!(load(&step(narrow)).unwrap_err().contains("names: [\"*\"]"));
}

#[test]
fn a_missing_file_is_named() {
    let error = load(&json!({"name": "guest", "source": {"file": "absent.wasm"}})).unwrap_err();
    assert!(error.starts_with("step guest: fetch failed: ") && error.contains("absent.wasm"), "{error}");
}

#[test]
fn a_truncated_component_does_not_compile() {
    let whole = guest("echo.wasm");
    let error = load_error(&whole[..whole.len() / 2], None);
    assert!(matches!(error, plugin::Error::Compile(_)), "{error}");
}

#[test]
fn a_file_that_is_not_webassembly_is_refused() {
    assert!(matches!(load_error(b"#!/bin/sh", None), plugin::Error::VerifyMagic));
}

#[test]
fn a_core_module_is_refused() {
    assert!(matches!(load_error(&[0, b'a', b's', b'm', 1, 0, 0, 0], None), plugin::Error::VerifyLayer));
}

#[test]
fn another_version_of_the_contract_is_refused_by_name() {
    let error = load_error(&guest("wrong-version.wasm"), None);
    assert!(error.to_string().contains("pgloom:plugin/mutate-resources@0.9.0"), "{error}");
}

#[test]
fn an_import_beyond_the_world_is_refused_by_name() {
    let error = load_error(&guest("greedy-imports.wasm"), None);
    assert!(error.to_string().contains("`pgloom:plugin/secrets@0.2.0`"), "{error}");
}

#[test]
fn a_component_that_is_not_the_pinned_one_is_refused() {
    let error = load_error(&guest("echo.wasm"), Some("sha256:0000"));
    assert!(matches!(error, plugin::Error::VerifyDigest { .. }), "{error}");
}

#[test]
fn a_pipeline_is_restored_by_digest_although_its_file_was_renamed_or_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let (folder, cache) = (place.path().join("plugins"), place.path().join("code"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("renamed.wasm"), guest("echo.wasm")).unwrap();
    let digest = plugin::digest(&guest("echo.wasm"));
    let document = document(&granted(&json!({"name": "guest", "source": {"file": "echo.wasm"}, "digest": digest})));
    let settings = EngineConfig { cache: Some(cache), ..EngineConfig::default() };
    let restore = || {
        let engine = Arc::new(pgloom_engine::Engine::new(&settings).unwrap());
        pgloom_engine::Pipeline::restore(&engine, &document, &folder, &|_| None)
            .map(|pipeline| pipeline.steps()[0].plugin.digest.clone())
    };
    assert_eq!(restore().unwrap(), digest);
    std::fs::remove_file(folder.join("renamed.wasm")).unwrap();
    assert_eq!(restore().unwrap(), digest, "by its compiled code");
    std::fs::remove_dir_all(place.path().join("code")).unwrap();
    let error = restore().unwrap_err().to_string();
    assert!(error.contains(&digest) && error.contains("nor among the compiled code"), "{error}");
}

#[test]
fn without_a_pipeline_nothing_is_decided() {
    let error = pgloom_engine::Pipeline::unavailable("the file is not there").unwrap().run(&input()).unwrap_err();
    assert_eq!(error.category(), "PipelineNotLoaded");
    assert!(error.to_string().ends_with("no pipeline is in use: the file is not there"), "{error}");
}

#[test]
fn damaged_compiled_code_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let settings = EngineConfig { cache: Some(folder.path().join("code")), ..EngineConfig::default() };
    let bytes = guest("echo.wasm");
    let load = || Plugin::load(&Arc::new(pgloom_engine::Engine::new(&settings).unwrap()), &bytes, None).unwrap().digest;
    let digest = load();
    let kept: Vec<_> =
        std::fs::read_dir(folder.path().join("code")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    let mut code = std::fs::read(&kept[0]).unwrap();
    let last = code.len() - 1;
    code[last] ^= 0xff;
    std::fs::write(&kept[0], &code).unwrap();
    assert_eq!(load(), digest, "damaged code is compiled again");
    assert_ne!(std::fs::read(&kept[0]).unwrap(), code, "and replaced");
}
