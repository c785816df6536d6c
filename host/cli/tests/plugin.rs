//! `pgloom plugin inspect`: what a component is and asks for, and the block of grants to paste.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn canned(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/canned").join(file)
}

fn inspect(arguments: &[&str], file: &Path) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    let output = command.args(["plugin", "inspect"]).args(arguments).arg(file).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_component_is_described_with_its_contract_and_what_it_needs() {
    let (text, _) = inspect(&[], &canned("0.2.wasm"));
    for line in ["name: contract", "version: 0.2.0", "contract: 0.2.0", "needs:", "  - apiVersion: v1", "optional: {}"]
    {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    assert!(text.contains("\ndigest: sha256:"), "{text}");
}

#[test]
fn the_block_of_grants_can_be_pasted_into_a_step() {
    let (text, _) = inspect(&["--grants"], &canned("0.2.wasm"));
    let grants = "grants:\n  objects:\n  - apiVersion: v1\n    kind: ConfigMap\n    names: [\"{cluster}-*\"]\n    creates: true\n";
    assert_eq!(text, grants);
}

#[test]
fn what_is_optional_is_a_comment_in_the_block() {
    let (text, _) = inspect(&["--grants"], &canned("0.1.wasm"));
    assert!(text.contains("    names: [\"{cluster}\", \"{cluster}-*\"]\n"), "{text}");
    assert!(text.contains("\n# Optional:\n#   objects:\n"), "{text}");
    assert!(text.contains("host-path"), "{text}");
}

#[test]
fn a_file_that_is_no_component_is_named() {
    let (text, error) = inspect(&[], Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path());
    assert_eq!(text, "");
    assert!(error.contains("Cargo.toml") && error.contains("not WebAssembly"), "{error}");
}

#[test]
fn a_file_that_does_not_end_is_read_up_to_a_limit() {
    let (text, error) = inspect(&[], Path::new("/dev/zero"));
    assert_eq!(text, "");
    assert!(error.contains("/dev/zero: cannot be read; check the path: has more than 32 MiB"), "{error}");
}

fn config_map(files: &[&Path]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    let output = command.args(["plugin", "config-map", "--name", "extra"]).args(files).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_config_map_has_the_bytes_of_its_components() {
    let (text, error) = config_map(&[&canned("0.1.wasm"), &canned("0.2.wasm")]);
    let map: k8s_openapi::api::core::v1::ConfigMap = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!((map.metadata.name.as_deref(), error.as_str()), (Some("extra"), ""));
    let data = map.binary_data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["0.1.wasm", "0.2.wasm"]);
    assert_eq!(data["0.2.wasm"].0, std::fs::read(canned("0.2.wasm")).unwrap());
}

#[test]
fn a_component_that_is_too_large_for_a_config_map_gets_its_size_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let [fits, large] = [("fits.wasm", 1 << 20), ("large.wasm", (1 << 20) + 1)].map(|(name, size)| {
        let path = folder.path().join(name);
        std::fs::write(&path, vec![0; size]).unwrap();
        path
    });
    assert_eq!(config_map(&[&fits]).1, "");
    let (text, error) = config_map(&[&large]);
    assert_eq!(text, "");
    assert!(
        error.contains("1048577 bytes, and a ConfigMap at most 1048576") && error.contains("plugin push"),
        "{error}"
    );
    let (_, error) = config_map(&[&canned("0.2.wasm"), &canned("0.2.wasm")]);
    assert!(error.contains("another component has the same file name"), "{error}");
}
