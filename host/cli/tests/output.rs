//! Standard output of every command: a reader that has gone is no failure, a disk that is full is one.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The commands whose output is tried elsewhere, or that print nothing: these in `plugin_outside.rs`, those that need an API
/// server or a registry in their own tests.
const ELSEWHERE: [&str; 9] = [
    "run",
    "connect",
    "record",
    "plugin build",
    "plugin test",
    "plugin bench",
    "plugin run",
    "plugin push",
    "plugin pull",
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

fn pgloom(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    command.args(arguments).current_dir(folder.path());
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("see"));
    command
        .env("PGLOOM_PLUGINS", repository("dist/plugins"))
        .env("PGLOOM_PIPELINE", repository("dist/plugins/pipeline.yaml"));
    command
}

/// The names of the commands that a help lists, but for the help itself.
fn listed(folder: &TempDir, above: &str) -> Vec<String> {
    let arguments: Vec<&str> = above.split_whitespace().chain(["--help"]).collect();
    let help = String::from_utf8(pgloom(folder, &arguments).output().unwrap().stdout).unwrap();
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(|name| format!("{above} {name}").trim().to_owned()).collect()
}

#[test]
fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, spilo) = (repository("manifests/examples/minimal.yaml"), repository("dist/plugins/patches.wasm"));
    let (manifest, component) = (manifest.to_str().unwrap(), spilo.to_str().unwrap());
    let pipeline = repository("dist/plugins/pipeline.yaml");
    let commands: [(&str, &[&str]); 8] = [
        ("render", &[manifest]),
        ("explain", &["-f", manifest, "StatefulSet/acid-minimal-cluster", ".spec.replicas"]),
        ("diff", &["--pipeline-now", pipeline.to_str().unwrap(), manifest]),
        ("rbac", &[]),
        ("crd", &[]),
        ("conformance", &["--profile", "core", component]),
        ("plugin inspect", &[component]),
        ("plugin config-map", &[component]),
    ];
    let tried: BTreeSet<&str> = commands.iter().map(|(name, _)| *name).chain(["plugin new"]).chain(ELSEWHERE).collect();
    for name in [listed(&folder, ""), listed(&folder, "plugin")].concat() {
        assert!(name == "plugin" || tried.contains(&*name), "{name}: what it does with a closed output is not tried");
    }
    let mut commands: Vec<Vec<&str>> =
        commands.iter().map(|(name, arguments)| name.split(' ').chain(arguments.iter().copied()).collect()).collect();
    commands.push(vec!["plugin", "new", "motto", "--language", "c", "--folder", "FOLDER"]);
    for (index, command) in commands.iter().enumerate() {
        let own = |how: &str| format!("{how}-{index}");
        let arguments =
            |how: &str| -> Vec<String> { command.iter().map(|word| word.replace("FOLDER", &own(how))).collect() };
        let said = |how: &str, stdout: Stdio| -> (Option<i32>, String) {
            let arguments = arguments(how);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let Output { status, stderr, .. } = pgloom(&folder, &arguments).stdout(stdout).output().unwrap();
            (status.code(), String::from_utf8(stderr).unwrap())
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, error) = said("gone", writer.into());
        assert!(code == Some(0) && error.is_empty(), "{command:?}: {code:?}: {error}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, error) = said("full", full.into());
        let sentence = "error: standard output cannot be written: ";
        assert!(matches!(code, Some(1 | 2)) && error.contains(sentence), "{command:?}: {code:?}: {error}");
    }
}
