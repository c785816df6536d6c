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
    assert!(error.contains("/dev/zero: has more than 32 MiB; name a smaller file"), "{error}");
}

#[test]
fn the_limit_of_a_component_is_named_and_can_be_raised() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.wasm");
    std::fs::write(&large, padded((1 << 20) + 1)).unwrap();
    let (text, error) = inspect(&["--max-component", "1"], &large);
    assert_eq!(text, "");
    assert!(error.contains("has more than 1 MiB; name a smaller file, or raise --max-component"), "{error}");
    let (text, error) = inspect(&["--max-component", "2", "--compile-memory", "640", "--compile-time", "60"], &large);
    assert!(text.contains("name: contract") && error.is_empty(), "{error}");
    let (_, error) = inspect(&["--max-component", "0"], &large);
    assert!(error.contains("--max-component"), "{error}");
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

/// A component of this size: with a custom section, whose length is in three bytes, and whose name is empty.
fn padded(size: usize) -> Vec<u8> {
    let mut bytes = std::fs::read(canned("0.2.wasm")).unwrap();
    let length = size - bytes.len() - 4;
    bytes.extend([0, (length & 127 | 128) as u8, (length >> 7 & 127 | 128) as u8, (length >> 14) as u8]);
    bytes.resize(size, 0);
    bytes
}

#[test]
fn what_is_no_plugin_is_neither_printed_as_a_config_map_nor_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("text.wasm", &b"text"[..], "the file is not WebAssembly"),
        ("module.wasm", b"\0asm\x01\0\0\0", "the file is a core module, not a component"),
        (
            "empty.wasm",
            b"\0asm\x0d\0\x01\0",
            "does not export `pgloom:plugin/mutate-resources`; implement it in version 0.1 or 0.2",
        ),
    ];
    for (name, bytes, sentence) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut push = Command::new(env!("CARGO_BIN_EXE_pgloom"));
        let pushed = push.args(["plugin", "push"]).arg(&path).arg("127.0.0.1:1/x:1").output().unwrap();
        let (printed, error) = config_map(&[&path]);
        assert_eq!((printed.as_str(), pushed.status.code()), ("", Some(1)));
        for said in [error, String::from_utf8(pushed.stderr).unwrap()] {
            assert!(said.contains(&format!("{name}: ")) && said.contains(sentence), "{said}");
        }
    }
}

#[test]
fn an_error_that_cannot_be_printed_is_no_panic() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    let status = command.args(["plugin", "inspect", "absent.wasm"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_component_that_is_too_large_for_a_config_map_gets_its_size_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let [fits, large] = [("fits.wasm", 1 << 20), ("large.wasm", (1 << 20) + 1)].map(|(name, size)| {
        let path = folder.path().join(name);
        std::fs::write(&path, padded(size)).unwrap();
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
