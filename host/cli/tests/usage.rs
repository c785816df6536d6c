//! A command line that is not valid has the exit code 2, and says what is wrong and what is allowed.
#![cfg(test)]

use std::process::Command;

const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/canned/0.2.wasm");

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(output.stdout.is_empty(), "{arguments:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_value_that_a_flag_does_not_allow_is_an_invalid_command_line() {
    let name = "is not a name; give it as namespace/name or name";
    let namespace = "no namespace can have this name; use small letters, digits and '-', at most 63";
    let object = "no object can have this name; use small letters, digits, '-' and '.', at most 253";
    for (arguments, sentence) in [
        (&["run", "--config-map", "a/b/c"][..], name),
        (&["run", "--config-object", "a/"], name),
        (&["run", "--pipeline-object", "Bad Name"], name),
        (&["run", "--operator-namespace", "Bad Name"], "--operator-namespace: \"Bad Name\" is not a name"),
        (&["run", "--namespaces", "a,Bad Name"], "--namespaces: \"Bad Name\" is not a name"),
        (&["run", "--lease", "Bad Name"], "--lease: \"Bad Name\" is not a name"),
        (&["run", "--webhook-name", "Bad Name"], "--webhook-name: \"Bad Name\" is not a name"),
        (&["run", "--max-component", "0"], "--max-component"),
        (&["run", "--log", "a=b=c"], "write it as in info,pgloom_operator=debug"),
        (&["diff", "--config-map", "a/b/c"], name),
        (&["diff", "--namespace", "Bad Name"], namespace),
        (&["explain", "StatefulSet"], "is no object; write it as in StatefulSet/acid-minimal-cluster"),
        (&["explain", "StatefulSet/a", "--observed", "x.yaml"], "--observed is for manifests in files"),
        (&["connect", "Bad Name"], object),
        (&["connect", "a", "--namespace", "Bad Name"], namespace),
        (&["record", "Bad Name", "--plugin", "x", "--output", "y"], object),
        (&["plugin", "new", "Motto"], "is not a name of a plugin"),
        (&["plugin", "new", "motto"], "add --sdk with a checkout of pgloom"),
        (&["plugin", "build", COMPONENT], "add --output with the file"),
        (&["plugin", "build", COMPONENT, "--output", "x", "--target", "wasm32-wasip2"], "is compiled already"),
        (&["plugin", "config-map", COMPONENT, "--name", "Bad Name"], object),
        (&["plugin", "config-map", COMPONENT, "--namespace", "Bad Name"], namespace),
        (&["plugin", "push", COMPONENT, "x:1"], "begin with the registry"),
    ] {
        let (code, said) = run(arguments);
        assert!(
            code == Some(2) && said.starts_with("error: ") && said.contains(sentence),
            "{arguments:?}: {code:?}: {said}"
        );
    }
}

#[test]
fn a_file_of_conformance_is_not_written_over_another_one() {
    for (arguments, sentence) in [
        (&["--report", "x", "--junit", "./x"][..], "is the file of --junit and of --report; give --junit another file"),
        (&["--junit", COMPONENT], "is the file of --junit and of the component; give --junit another file"),
        (&["--report", "x", "--config", "x"], "is the file of --report and of --config; give --report another file"),
        (&["--budget", "x", "--junit", "x"], "is the file of --junit and of --budget; give --junit another file"),
    ] {
        let before = std::fs::read(COMPONENT).unwrap();
        let (code, said) = run(&[&["conformance", COMPONENT], arguments].concat());
        assert!(code == Some(2) && said.contains(sentence), "{arguments:?}: {code:?}: {said}");
        assert_eq!(std::fs::read(COMPONENT).unwrap(), before);
    }
}
