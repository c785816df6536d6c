//! The decision for every example and every case equals the committed one. `UPDATE=1` rewrites the files.

use golden::{cases, differs, entries, examples, here, pipeline, report, repository, yaml};

#[test]
fn every_example_gives_the_objects_that_the_guide_promises() {
    let mut differences = Vec::new();
    for example in examples() {
        let decided = example.decided(pipeline());
        assert!(decided["error"].is_null(), "{}: {}", example.name, decided["error"]);
        differences.extend(differs(&here(&format!("examples/{}.yaml", example.name)), &yaml(&decided)));
    }
    report(&differences);
}

#[test]
fn every_case_is_decided_as_it_was_reviewed() {
    let mut differences = Vec::new();
    for case in cases() {
        let file = here(&format!("cases/{}/expected.yaml", case.name));
        differences.extend(differs(&file, &yaml(&case.decided(pipeline()))));
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

#[test]
fn the_files_that_the_user_guide_names_exist() {
    for (file, kinds) in [
        ("minimal-postgres-manifest", vec!["postgresql"]),
        ("standby-manifest", vec!["postgresql"]),
        ("infrastructure-roles", vec!["Secret"]),
        ("infrastructure-roles-configmap", vec!["ConfigMap"]),
        ("fake-teams-api", vec!["Secret", "ConfigMap", "Deployment", "Service"]),
    ] {
        let documents = golden::read_all(&repository(&format!("manifests/{file}.yaml")));
        assert_eq!(documents.iter().map(|document| &document["kind"]).collect::<Vec<_>>(), kinds, "{file}");
    }
}
