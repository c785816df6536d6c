//! `pgloom plugin push` and `pull`, and commands with a pipeline whose component is in a registry.
#![cfg(test)]

#[path = "../../registry/tests/server/mod.rs"]
mod server;

use std::path::Path;
use std::process::Command;

use server::Server;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../registry/tests/keys");
const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/canned/0.2.wasm");

/// Runs the binary in a folder, with the credentials there: its output, or its error.
fn pgloom(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    command.args(arguments).current_dir(folder).env("DOCKER_CONFIG", folder).env("XDG_CACHE_HOME", folder);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn what_is_pushed_and_signed_is_pulled_and_loaded_from_a_pipeline() {
    let (mut server, folder) = (Server::start_private(), tempfile::tempdir().unwrap());
    let config = serde_json::json!({"auths": {&server.address: {"username": "pgloom", "password": server::PASSWORD}}});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let run = |arguments: &[&str]| pgloom(folder.path(), arguments);
    let (authority, reference) = (server.authority(), format!("{}/example/contract:1", server.address));
    let authority = ["--registry-ca", authority.to_str().unwrap()];
    let (private, public, other) =
        (format!("{KEYS}/private.pem"), format!("{KEYS}/public.pem"), format!("{KEYS}/other.pem"));
    let push = [&["plugin", "push", COMPONENT, &reference, "--sign-key", &private], &authority[..]].concat();
    let pinned = run(&push).unwrap();
    let pinned = pinned.trim_end();
    assert!(pinned.starts_with(&format!("{reference}@sha256:")), "{pinned}");

    let pull = |key: &str| run(&[&["plugin", "pull", &reference, "--verify-key", key], &authority[..]].concat());
    assert_eq!(pull(&public).unwrap().trim_end(), pinned);
    assert_eq!(std::fs::read(folder.path().join("contract.wasm")).unwrap(), std::fs::read(COMPONENT).unwrap());
    let error = pull(&other).unwrap_err();
    assert!(error.contains("is by a key that is trusted here"), "{error}");
    let error = run(&["plugin", "pull", &reference]).unwrap_err();
    assert!(
        error.contains("does not answer") || error.contains("without TLS") || error.contains("status 400"),
        "{error}"
    );

    let grants =
        serde_json::json!([{"apiVersion": "v1", "kind": "ConfigMap", "names": ["{cluster}-*"], "creates": true}]);
    let key = std::fs::read_to_string(&public).unwrap();
    let source = serde_json::json!({"oci": pinned, "publicKeys": [key]});
    let step = serde_json::json!({"name": "contract", "source": source, "grants": {"objects": grants}});
    let pipeline = serde_json::json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "p"},
        "spec": {"imagePullSecrets": [{"name": "registry"}], "steps": [step]},
    });
    std::fs::write(folder.path().join("pipeline.yaml"), pipeline.to_string()).unwrap();
    let rbac = [&["rbac", "--pipeline", "pipeline.yaml"], &authority[..]].concat();
    let text = run(&rbac).unwrap();
    assert!(
        text.contains("# Created for the step contract.") && text.contains("resourceNames: [\"registry\"]"),
        "{text}"
    );
    // What is pinned was pulled before.
    server.stop();
    assert_eq!(run(&rbac).unwrap(), text);
}

#[test]
fn a_file_that_is_no_component_and_a_reference_that_is_none_get_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.wasm"), "text").unwrap();
    let error = pgloom(folder.path(), &["plugin", "push", "x.wasm", "127.0.0.1:1/x:1"]).unwrap_err();
    assert!(error.contains("x.wasm: the file is not WebAssembly"), "{error}");
    let error = pgloom(folder.path(), &["plugin", "push", "x.wasm", "x:1"]).unwrap_err();
    assert!(error.contains("begin with the registry, as in ghcr.io/example/tls:0.1.0"), "{error}");
}
