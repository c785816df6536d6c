//! Modules form a downward list: the tables and lists in `src` are complete, and a module uses only modules below it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};

fn source(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap()
}

/// The modules that a file declares, sorted.
fn declared(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| *name != "tests")
        .collect();
    names.sort_unstable();
    names
}

/// The text of a module: its file and the files of its folder, without tests.
fn text(module: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let below = std::fs::read_dir(folder.join(module)).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    std::iter::once(folder.join(format!("{module}.rs")))
        .chain(below.filter(|path| is_source(path) && !path.ends_with("tests.rs")))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .map(|text| text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned())
        .collect()
}

/// Whether the text names `ROOT::MODULE`, alone or in a `use ROOT::{…}`.
fn uses(text: &str, root: &str, module: &str) -> bool {
    let is_module = |name: &str| name.split("::").next().is_some_and(|name| name.trim() == module);
    let root = format!("{root}::");
    text.split(root.as_str()).skip(1).any(|rest| match rest.strip_prefix('{') {
        None => is_module(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()),
        Some(list) => list.split("};").next().unwrap_or_default().split([',', '{']).any(is_module),
    })
}

fn check(list: &[&str], root: &str, file_of: impl Fn(&str) -> String) {
    for (index, module) in list.iter().enumerate() {
        let text = text(&file_of(module));
        for above in &list[..index] {
            assert!(!uses(&text, root, above), "{module} uses {above}, which is above it");
        }
    }
}

#[test]
fn each_module_uses_only_modules_below_it() {
    let text = source("lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'));
    let list: Vec<&str> = rows.map(|(name, _)| name).collect();
    let mut sorted = list.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, declared(&text), "the table does not list all modules");
    check(&list, "crate", str::to_owned);
}

#[test]
fn each_part_of_a_module_uses_only_parts_below_it() {
    for module in ["contract", "merge", "model", "pipeline"] {
        let text = source(&format!("{module}.rs"));
        let (_, rest) = text.split_once("//! The modules from the top down: ").unwrap();
        let (sentence, _) = rest.split_once(".\n").unwrap();
        let list: Vec<&str> = sentence.split('`').skip(1).step_by(2).collect();
        let mut sorted = list.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, declared(&text), "the list in {module}.rs does not name all modules");
        check(&list, "super", |part| format!("{module}/{part}"));
    }
}

#[test]
fn a_use_is_found_in_each_form() {
    assert!(uses("use crate::merge::Node;", "crate", "merge"));
    assert!(uses("use crate::cache;", "crate", "cache"));
    assert!(uses("use crate::{\n    merge::{self, Node},\n    path,\n};", "crate", "merge"));
    assert!(uses("use crate::{\n    merge::{self, Node},\n    path,\n};", "crate", "path"));
    assert!(uses("fn a() -> crate::merge::Error {}", "crate", "merge"));
    assert!(!uses("use crate::{\n    merge::{self, Node},\n};\nuse serde::path;", "crate", "path"));
    assert!(!uses("use crate::merger::Node;", "crate", "merge"));
}
