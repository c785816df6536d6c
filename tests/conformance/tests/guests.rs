//! Each way in which a plugin can fail is an error with step, phase and remedy, and does not stop the host.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::{engine, guest, input, load};
use pgloom_engine::{Plugin, plugin};
use serde_json::json;

fn run(file: &str) -> Result<pgloom_engine::Decision, String> {
    load(&json!({"name": "guest", "source": {"file": file}}))?.run(&input()).map_err(|error| error.to_string())
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
fn a_plugin_that_never_responds_is_stopped_at_its_deadline() {
    let step = json!({"name": "guest", "source": {"file": "spin-forever.wasm"}, "limits": {"deadline": "100ms"}});
    let pipeline = load(&step).unwrap();
    let start = Instant::now();
    let error = pipeline.run(&input()).unwrap_err();
    assert_eq!(error.category(), "DeadlineExceeded");
    assert!(start.elapsed() < Duration::from_secs(5), "the call ran on after its deadline");
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
    let limits = json!({"memory": "256Mi", "deadline": "20s"});
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

#[test]
fn an_object_of_a_kind_that_is_not_claimed_is_refused() {
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
    assert!(error.to_string().contains("`pgloom:plugin/secrets@0.1.0`"), "{error}");
}

#[test]
fn a_component_that_is_not_the_pinned_one_is_refused() {
    let error = load_error(&guest("echo.wasm"), Some("sha256:0000"));
    assert!(matches!(error, plugin::Error::VerifyDigest { .. }), "{error}");
}

#[test]
fn damaged_compiled_code_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let settings = pgloom_engine::EngineConfig { cache: Some(folder.path().join("code")), concurrency: 1 };
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
