//! Which version an export names, and that the published folders of the contract do not change.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::*;

fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

#[test]
fn the_version_is_that_of_the_export_and_another_patch_version_is_the_same() {
    let of = |version: &str| export([format!("{EXPORT}{version}").as_str(), "other:package/interface@0.1.0"]);
    for (text, version) in [("0.1.0", Version::V0_1), ("0.1.7", Version::V0_1), ("0.2.0", Version::V0_2)] {
        assert_eq!(of(text), Export::Supported(version, text.to_owned()));
    }
    for text in ["0.3.0", "1.0.0", "0.2.0-draft", "new"] {
        assert_eq!(of(text), Export::Unsupported(format!("{EXPORT}{text}")));
    }
    assert_eq!(export(["other:package/interface@0.1.0"]), Export::Missing);
}

#[test]
fn of_two_exported_versions_the_supported_one_is_used() {
    let names = [format!("{EXPORT}0.9.0"), format!("{EXPORT}0.2.0")];
    assert_eq!(export(names.iter().map(String::as_str)), Export::Supported(Version::V0_2, "0.2.0".to_owned()));
}

#[test]
fn a_plugin_imports_the_log_of_its_own_version() {
    assert!(is_log("pgloom:plugin/log@0.2.3", Version::V0_2));
    assert!(!is_log("pgloom:plugin/log@0.1.0", Version::V0_2));
    assert!(!is_log("pgloom:plugin/secrets@0.2.0", Version::V0_2));
}

/// The hash of the contents of a folder's WIT files, in the order of their names.
fn hash(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(std::fs::read(file).unwrap());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_published_version_of_the_contract_does_not_change() {
    for version in ["0.1", "0.2"] {
        let folder = contract().join(version);
        let published = std::fs::read_to_string(folder.join("SHA256")).unwrap();
        assert_eq!(hash(&folder), published.trim(), "wit/{version} has changed; write a new version instead");
    }
}

#[test]
fn the_table_of_versions_names_what_the_host_supports() {
    let table = std::fs::read_to_string(contract().join("README.md")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `pgloom:plugin@")?.split_once('`'));
    let listed: Vec<Option<Version>> = rows.map(|(version, _)| Version::parse(version)).collect();
    assert_eq!(listed, [Some(Version::V0_2), Some(Version::V0_1)]);
}
