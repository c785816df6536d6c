//! `pgloom conformance`: its lines, its files and its exit codes.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The exit code, what is printed, and what is printed as an error.
fn conformance(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    command.current_dir(folder).env("PGLOOM_PIPELINE", repository("dist/plugins/pipeline.yaml"));
    let output = command.arg("conformance").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with the component of a shipped plugin and with that of an older contract.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(repository("dist/plugins/tls.wasm"), folder.path().join("tls.wasm")).unwrap();
    std::fs::copy(repository("tests/conformance/canned/0.1.wasm"), folder.path().join("old.wasm")).unwrap();
    folder
}

#[test]
fn a_plugin_that_passes_gets_a_report_that_is_its_own_budget_and_says_how_to_get_it_again() {
    let folder = folder();
    let at = |file: &str| folder.path().join(file);
    let (code, lines, error) = conformance(folder.path(), &["tls.wasm", "--report", "a.yaml", "--junit", "a.xml"]);
    assert_eq!((code, error.as_str()), (0, ""), "{lines}");
    assert!(lines.contains("\npassed           purity         "), "{lines}");
    assert!(lines.ends_with("tls 0.1.0: passed\n"), "{lines}");
    let report = std::fs::read_to_string(at("a.yaml")).unwrap();
    assert!(report.contains("\n  digest: sha256:"), "{report}");
    assert!(report.contains("\ncommand: pgloom conformance tls.wasm --report a.yaml\n"), "{report}");
    assert!(std::fs::read_to_string(at("a.xml")).unwrap().contains(" failures=\"0\" skipped=\"1\">"));

    let (code, ..) = conformance(folder.path(), &["tls.wasm", "--report", "a.yaml", "--budget", "a.yaml"]);
    assert_eq!(code, 0);
    let cheap = "cost: [{case: complete, fuel: 1000, bytes: 1000000, memory: 1000000}]";
    std::fs::write(at("budget.yaml"), cheap).unwrap();
    let (code, lines, _) = conformance(folder.path(), &["tls.wasm", "--profile", "core", "--budget", "budget.yaml"]);
    assert_eq!(code, 1);
    assert!(lines.contains("units of fuel, the budget is 1000 ("), "{lines}");
}

#[test]
fn a_check_that_fails_is_an_exit_code_and_a_remedy_unless_it_is_expected() {
    let folder = folder();
    let (code, lines, _) = conformance(folder.path(), &["old.wasm", "--profile", "core"]);
    assert_eq!(code, 1, "{lines}");
    assert!(lines.contains("failed           compatibility  it is built against contract 0.1"), "{lines}");
    assert!(lines.contains("to mend it: Build it against the newest contract"), "{lines}");
    let known = "expectedFailures: [{check: compatibility, reason: an old toolchain}]";
    std::fs::write(folder.path().join("known.yaml"), known).unwrap();
    let expecting =
        |plugin: &str| conformance(folder.path(), &[plugin, "--profile", "core", "--expectations", "known.yaml"]);
    let (_, lines, _) = expecting("old.wasm");
    assert!(lines.contains("expected-failure compatibility"), "{lines}");
    let (code, lines, _) = expecting("tls.wasm");
    assert_eq!(code, 1);
    assert!(lines.contains("unexpected-pass  compatibility"), "{lines}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_nothing_is_run() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("golden")).unwrap();
    for (name, text) in [
        ("unknown.yaml", "expectedFailures: [{check: speed, reason: none}]"),
        ("budget.yaml", "costs: []"),
        ("other.yaml", "plugin: {name: other}\ncost: [{case: minimal, fuel: 1, bytes: 1, memory: 1}]"),
        ("no-case.yaml", "cost: [{case: nosuch, fuel: 1, bytes: 1, memory: 1}]"),
        ("skipped.yaml", "expectedFailures: [{check: actions, reason: none}]"),
        ("case.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"),
        ("config.yaml", "[1]"),
        ("unknown-key.yaml", "{speed: 3}"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    for (arguments, sentence) in [
        (["--expectations", "unknown.yaml"], "unknown.yaml: expectedFailures[0]: there is no check \"speed\""),
        (
            ["--expectations", "skipped.yaml"],
            "skipped.yaml: expectedFailures[0]: the check actions is skipped, not failed",
        ),
        (["--budget", "budget.yaml"], "budget.yaml: no budget: `cost` has no list of cases; give a report"),
        (["--budget", "other.yaml"], "other.yaml: plugin.name: it is the budget of other, and the plugin is tls"),
        (["--budget", "no-case.yaml"], "no-case.yaml: cost[0]: case nosuch is not tried; give it with --case"),
        (["--case", "case.yaml"], "case.yaml: there are 0 objects of kind postgresql"),
        (["--config", "config.yaml"], "config.yaml: "),
        (["--config", "unknown-key.yaml"], "unknown-key.yaml: "),
        (["--case", "golden"], "golden: has no manifest.yaml; name a case of a golden folder, as in golden/CASE"),
        (["--expectations", "absent.yaml"], "absent.yaml: cannot be read"),
        (["--report", "absent/report.yaml"], "absent/report.yaml: cannot be written"),
    ] {
        let (code, lines, error) =
            conformance(folder.path(), &[&["tls.wasm", "--profile", "core"], &arguments[..]].concat());
        assert_eq!((code, lines.as_str()), (2, ""), "{arguments:?}");
        assert!(error.starts_with("error: ") && error.contains(sentence), "{error}");
    }
}

#[test]
fn a_file_that_is_no_component_is_a_failed_check() {
    let folder = folder();
    std::fs::write(folder.path().join("text.wasm"), "no component").unwrap();
    let (code, lines, _) = conformance(folder.path(), &["text.wasm"]);
    assert_eq!(code, 1);
    assert!(lines.starts_with("failed           load           the file is not WebAssembly"), "{lines}");
    assert!(!lines.contains("to mend it"), "the sentence has the remedy already: {lines}");
    assert!(lines.ends_with("the plugin: failed\n"), "{lines}");
}

#[test]
fn the_help_has_an_example_and_the_exit_codes() {
    let (code, help, _) = conformance(Path::new("."), &["--help"]);
    assert_eq!(code, 0);
    assert!(help.contains("Example:") && help.contains("Exit codes:"), "{help}");
}
