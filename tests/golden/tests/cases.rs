//! What the shipped pipeline decides for every example and every case is what was reviewed. `UPDATE=1` rewrites it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::Path;

use golden::{config, decided, differs, entries, here, name, pipeline, read, read_all, report, repository, yaml};
use serde_json::Value;

/// A file of a case, if it has one.
fn optional(file: &Path) -> Option<Value> {
    file.exists().then(|| read(file))
}

#[test]
fn every_example_gives_the_objects_that_the_guide_promises() {
    let mut differences = Vec::new();
    for file in entries(&repository("manifests/examples")) {
        let manifest = read(&file);
        if manifest["kind"] != "postgresql" {
            continue;
        }
        let decided = decided(manifest, &config(None), Vec::new(), pipeline());
        assert!(decided["error"].is_null(), "{}: {}", file.display(), decided["error"]);
        differences.extend(differs(&here(&format!("examples/{}.yaml", name(&file))), &yaml(&decided)));
    }
    report(&differences);
}

#[test]
fn every_case_is_decided_as_it_was_reviewed() {
    let mut differences = Vec::new();
    for case in entries(&here("cases")) {
        let configuration = optional(&case.join("config.yaml"));
        let observed = case.join("observed.yaml");
        let observed = if observed.exists() { read_all(&observed) } else { Vec::new() };
        let decided = decided(read(&case.join("manifest.yaml")), &config(configuration.as_ref()), observed, pipeline());
        differences.extend(differs(&case.join("expected.yaml"), &yaml(&decided)));
    }
    report(&differences);
}

#[test]
fn every_expectation_has_its_example() {
    for file in entries(&here("examples")) {
        let example = repository("manifests/examples").join(file.file_name().unwrap());
        assert!(example.exists(), "{} has no example any more; remove it", file.display());
    }
}

#[test]
fn every_example_says_in_its_first_line_what_it_shows() {
    for file in entries(&repository("manifests/examples")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("# ") && first.ends_with('.'), "{}: {first}", file.display());
    }
}
