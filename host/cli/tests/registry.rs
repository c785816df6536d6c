//! `pgloom plugin push` and `pull`, and commands with a pipeline whose component is in a registry.
#![cfg(test)]

#[path = "../../registry/tests/server/mod.rs"]
mod server;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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
        error.contains("there is no TLS") || error.contains("without TLS") || error.contains("status 400"),
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
    // What is pinned was pulled before, and its signature is verified by the keys that the step names now.
    server.stop();
    assert_eq!(run(&rbac).unwrap(), text);
    let with_key = |file: &str| {
        let mut changed = pipeline.clone();
        changed["spec"]["steps"][0]["source"]["publicKeys"] =
            serde_json::json!([std::fs::read_to_string(file).unwrap()]);
        std::fs::write(folder.path().join("pipeline.yaml"), changed.to_string()).unwrap();
        run(&rbac)
    };
    assert!(with_key(&other).unwrap_err().contains("step contract: fetch failed"), "the registry is asked again");
    assert_eq!(with_key(&public).unwrap(), text);
    // So are the bytes of the signature, and of the component.
    let pulled = folder.path().join("pgloom/code/pulled");
    for file in std::fs::read_dir(pulled).unwrap().map(|entry| entry.unwrap().path()) {
        let kept = std::fs::read(&file).unwrap();
        std::fs::write(&file, kept.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).unwrap();
        assert!(run(&rbac).unwrap_err().contains("step contract: fetch failed"), "{}", file.display());
        std::fs::write(file, kept).unwrap();
    }
    assert_eq!(run(&rbac).unwrap(), text);
}

/// The program `wkg` of the environment, if there is one.
fn wkg() -> Option<PathBuf> {
    let named = std::env::var_os("PGLOOM_WKG").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = named.into_iter().chain(std::env::split_paths(&paths).map(|folder| folder.join("wkg")));
    found.find(|file| file.is_file())
}

#[test]
fn wkg_pulls_what_is_pushed_and_pushes_what_is_pulled() {
    let Some(wkg) = wkg() else {
        println!(
            "SKIPPED: wkg_pulls_what_is_pushed_and_pushes_what_is_pulled: there is no wkg; install it, or name it in PGLOOM_WKG"
        );
        return;
    };
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run_wkg = |arguments: &[&str]| {
        let mut command = Command::new(&wkg);
        command.args(["oci"]).args(arguments).args(["--insecure", &server.address]).current_dir(folder.path());
        let output = command.env("HOME", folder.path()).env("DOCKER_CONFIG", folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let reference = |name: &str| format!("{}/example/{name}:1.0.0", server.address);
    let (ours, theirs) = (reference("ours"), reference("theirs"));
    pgloom(folder.path(), &["plugin", "push", COMPONENT, &ours]).unwrap();
    run_wkg(&["pull", &ours, "--output", "ours.wasm"]);
    run_wkg(&["push", &theirs, COMPONENT]);
    pgloom(folder.path(), &["plugin", "pull", &theirs, "--output", "theirs.wasm"]).unwrap();
    let pushed = std::fs::read(COMPONENT).unwrap();
    for file in ["ours.wasm", "theirs.wasm"] {
        assert!(std::fs::read(folder.path().join(file)).unwrap() == pushed, "{file}");
    }
}

#[test]
fn a_component_above_the_limit_is_pulled_with_a_higher_one() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let reference = format!("{}/example/large:1", server.address);
    // A custom section of 1 MiB, with its length in three bytes, and an empty name.
    let mut component = std::fs::read(COMPONENT).unwrap();
    component.extend([0, 0x80, 0x80, 0x40]);
    component.resize(component.len() + (1 << 20), 0);
    std::fs::write(folder.path().join("large.wasm"), &component).unwrap();
    pgloom(folder.path(), &["plugin", "push", "large.wasm", &reference]).unwrap();
    let pull = |most: &str| {
        let output = ["--output", "pulled.wasm", "--max-component", most];
        pgloom(folder.path(), &[&["plugin", "pull", &reference], &output[..]].concat())
    };
    let error = pull("1").unwrap_err();
    assert!(error.contains("make it smaller, or raise --max-component"), "{error}");
    // Files of others beside it stay.
    std::fs::write(folder.path().join("pulled.part"), "notes").unwrap();
    pull("2").unwrap();
    assert_eq!(std::fs::read(folder.path().join("pulled.wasm")).unwrap(), component);
    assert_eq!(std::fs::read(folder.path().join("pulled.part")).unwrap(), b"notes");
}

#[test]
fn a_component_that_cannot_be_written_leaves_the_earlier_file() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let reference = format!("{}/example/it:1", server.address);
    pgloom(folder.path(), &["plugin", "push", COMPONENT, &reference]).unwrap();
    let file = folder.path().join("it.wasm");
    std::fs::write(&file, "before").unwrap();
    // A limit of the size of files stands for a full disk.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_pgloom"), "plugin", "pull", &reference]);
    let output = command.current_dir(folder.path()).env("DOCKER_CONFIG", folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("it.wasm: cannot be written"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
    let files = std::fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(files.count(), 1, "nothing is left beside it");
}

/// A server that answers each request by its first line.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let body = answer(&first);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            _ = stream.write_all((head + &body).as_bytes());
        }
    });
    address
}

#[test]
fn what_a_registry_has_in_place_of_a_component_replaces_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let of = |media_type: &str, bytes: &[u8]| {
        let digest = pgloom_registry::Digest::of(bytes).to_string();
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": of("application/vnd.wasm.config.v0+json", b"{}"),
        "layers": [of("application/wasm", b"a text")],
    });
    let manifest = manifest.to_string();
    let address = serve(move |line| if line.contains("/blobs/") { "a text".to_owned() } else { manifest.clone() });
    let file = folder.path().join("it.wasm");
    std::fs::write(&file, "before").unwrap();
    let reference = format!("{address}/example/it:1");
    let error = pgloom(folder.path(), &["plugin", "pull", &reference]).unwrap_err();
    assert!(error.contains("its layer is no WebAssembly component; push one by `pgloom plugin push`"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
}

#[test]
fn a_registry_may_have_more_or_less_time() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(|_| {
        std::thread::sleep(Duration::from_secs(10));
        String::new()
    });
    let reference = format!("{address}/example/it:1");
    let error = pgloom(folder.path(), &["plugin", "pull", &reference, "--registry-time", "1"]).unwrap_err();
    assert!(error.contains("did not send or take all within 1 s; raise --registry-time"), "{error}");
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
