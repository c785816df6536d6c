//! Decides every recorded case and compares every field. Without the recorded cases each test prints that it is
//! skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use compare::case::{FOLDER, identity, read_all, release};
use compare::decided::{objects, obstacle, plan, shipped};
use compare::deviation::{self, Deviation};
use compare::difference::{Difference, between};
use compare::{document, life, normal};
use pgloom_api::config::Config;
use pgloom_decide::ownership::{Identity, Origin};
use pgloom_engine::Pipeline;
use serde_json::Value;

/// Prints a line also if the test passes. The output of `println!` is shown of failed tests only.
fn say(sentence: &str) {
    _ = writeln!(std::io::stdout(), "{sentence}");
}

/// Prints that a test is skipped because there are no recorded cases.
fn skip(test: &str, name: &str) {
    say(&format!("SKIPPED: {test}: {FOLDER} names no folder with recorded cases of {name}"));
}

/// The shipped pipeline, compiled once for all tests.
fn pipeline() -> &'static Pipeline {
    static SHIPPED: OnceLock<Pipeline> = OnceLock::new();
    SHIPPED.get_or_init(|| shipped(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("code")).unwrap())
}

fn by_identity(objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (identity(&object), normal::object(object))).collect()
}

/// The differences of a case, each with its object.
fn differences(made: Vec<Value>, decided: Vec<Value>) -> Vec<(String, Difference)> {
    let (made, decided) = (by_identity(made), by_identity(decided));
    let names: BTreeSet<&String> = made.keys().chain(decided.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        match (made.get(name), decided.get(name)) {
            (Some(theirs), Some(ours)) => {
                found.extend(between(theirs, ours).into_iter().map(|difference| (name.clone(), difference)));
            }
            (theirs, ours) => {
                let only = |side: Option<&Value>| side.map(|object| object["kind"].clone());
                let whole = Difference { path: String::new(), theirs: only(theirs), ours: only(ours) };
                found.push((name.clone(), whole));
            }
        }
    }
    found
}

/// Compares every case of a release, except for the differences of a list. An unused entry of the list is a failure.
fn compare(test: &str, name: &str, list: &str) {
    let Some(folder) = release(name) else { return skip(test, name) };
    let (pipeline, deviations) = (pipeline(), deviation::read(list).unwrap());
    let mut needed = vec![false; deviations.len()];
    let (mut report, mut compared) = (String::new(), 0);
    for case in read_all(&folder).unwrap() {
        if let Some(resource) = &case.refused {
            say(&format!("SKIPPED: {}: nothing is compared: the API server refused {resource}", case.name));
            continue;
        }
        compared += 1;
        let plan = match plan(&case, pipeline) {
            Ok(plan) => plan,
            Err(error) => {
                _ = writeln!(report, "{}: refused: {error:#}", case.name);
                continue;
            }
        };
        for (object, difference) in differences(case.made, objects(&plan).unwrap()) {
            let covers = |deviation: &Deviation| deviation.covers(&case.name, &object, &difference.path);
            let covering: Vec<usize> = (0..deviations.len()).filter(|index| covers(&deviations[*index])).collect();
            covering.iter().for_each(|index| needed[*index] = true);
            if covering.is_empty() {
                _ = writeln!(report, "{}: {object} {difference}", case.name);
            }
        }
    }
    for (deviation, _) in deviations.iter().zip(needed).filter(|(_, needed)| !needed) {
        _ = writeln!(report, "no case needs this deviation, remove it: {deviation:?}");
    }
    assert!(compared > 0, "no case in {}", folder.display());
    assert!(report.is_empty(), "{report}");
}

#[test]
fn every_recorded_case_is_decided_as_it_was_made_but_for_the_listed_deviations() {
    compare("every_recorded_case_is_decided_as_it_was_made_but_for_the_listed_deviations", "newest", deviation::NEWEST);
}

#[test]
fn a_recorded_life_is_followed_change_by_change() {
    let Some(folder) = release("newest").filter(|folder| folder.join(life::FOLDER).is_dir()) else {
        return skip("a_recorded_life_is_followed_change_by_change", "newest");
    };
    let deviations = deviation::read(deviation::NEWEST).unwrap();
    let (mut report, mut compared) = (String::new(), 0);
    for step in life::read(&folder).unwrap() {
        let decided = by_identity(objects(&plan(&step.case, pipeline()).unwrap()).unwrap());
        for gone in step.deleted.iter().filter(|gone| decided.contains_key(*gone)) {
            _ = writeln!(report, "{}: {gone} is still wanted", step.case.name);
        }
        for mut object in step.made {
            let name = identity(&object);
            let Some(ours) = decided.get(&name) else {
                _ = writeln!(report, "{}: {name} is not wanted", step.case.name);
                continue;
            };
            compared += 1;
            // A patch has no metadata, and a body may leave its namespace to the request.
            if object["metadata"]["labels"].is_null() {
                object["metadata"] = ours["metadata"].clone();
            }
            object["metadata"]["namespace"] = ours["metadata"]["namespace"].clone();
            let is_meant = |difference: &Difference| {
                deviations.iter().any(|deviation| deviation.covers(&step.case.name, &name, &difference.path))
            };
            let differences = between(&normal::object(object), ours).into_iter();
            for difference in differences.filter(|difference| !is_meant(difference)) {
                _ = writeln!(report, "{}: {name} {difference}", step.case.name);
            }
        }
    }
    assert!(compared > 20, "{compared} objects");
    assert!(report.is_empty(), "{report}");
}

#[test]
fn every_case_of_the_guides_release_differs_only_as_the_list_explains() {
    compare("every_case_of_the_guides_release_differs_only_as_the_list_explains", "v1.5.0", deviation::GUIDE);
}

/// Checks that pgloom adopts the objects of a release. An object that is not adopted would be refused, and kept by a
/// deletion.
fn adopt(test: &str, name: &str) {
    let Some(folder) = release(name) else { return skip(test, name) };
    let (mut foreign, mut adopted) = (Vec::new(), 0);
    for case in read_all(&folder).unwrap() {
        let identity = Identity::of(&case.manifest, &Config::read(&case.config).unwrap().config);
        for object in case.made.iter().filter(|object| object["kind"] != "postgresql") {
            // Objects of the whole namespace belong to no cluster.
            if ["ServiceAccount", "RoleBinding"].iter().any(|kind| object["kind"] == *kind) {
                continue;
            }
            match identity.origin(object, |_| true) {
                Origin::Upstream => adopted += 1,
                origin => foreign.push(format!("{}: {}: {origin:?}", case.name, compare::case::identity(object))),
            }
        }
    }
    assert!(foreign.is_empty(), "{}", foreign.join("\n"));
    assert!(adopted > 50, "{adopted} objects");
}

#[test]
fn every_recorded_object_is_adopted_by_its_labels_and_its_name() {
    adopt("every_recorded_object_is_adopted_by_its_labels_and_its_name", "newest");
    adopt("every_recorded_object_is_adopted_by_its_labels_and_its_name", "v1.5.0");
}

/// The fields of the StatefulSet for which the adoption of each case would restart pods or need other volumes, by case.
fn obstacles(release: &Path) -> BTreeMap<String, Vec<String>> {
    let cases = read_all(release).unwrap().into_iter().filter(|case| case.refused.is_none());
    let fields = |case| {
        let found = obstacle(&case, pipeline()).unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
        (case.name, found.map(|found| [found.restarts, found.volumes].concat()).unwrap_or_default())
    };
    cases.map(fields).collect()
}

#[test]
fn the_adoption_of_every_recorded_cluster_of_the_newest_release_restarts_nothing() {
    let test = "the_adoption_of_every_recorded_cluster_of_the_newest_release_restarts_nothing";
    let Some(folder) = release("newest") else { return skip(test, "newest") };
    let obstacles = obstacles(&folder);
    assert!(obstacles.len() > 15 && obstacles.values().all(Vec::is_empty), "{obstacles:#?}");
}

#[test]
fn the_adoption_of_every_recorded_cluster_of_the_guides_release_names_each_field_that_restarts_its_pods() {
    let test = "the_adoption_of_every_recorded_cluster_of_the_guides_release_names_each_field_that_restarts_its_pods";
    let Some(folder) = release("v1.5.0") else { return skip(test, "v1.5.0") };
    let mut text = String::new();
    for (case, fields) in obstacles(&folder) {
        assert!(!fields.is_empty(), "{case} is adopted as it is");
        _ = writeln!(text, "{case}:");
        fields.iter().for_each(|field| _ = writeln!(text, "- {field}"));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("adoption-1.5.yaml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == text,
        "{} differs; UPDATE=1 writes it",
        file.display()
    );
}

#[test]
fn the_document_tells_the_deviations_that_the_comparison_allows() {
    let written = std::fs::read_to_string(document::file()).unwrap();
    let with = |document: String, list| document::with_table(&document, list, &deviation::read(list).unwrap()).unwrap();
    let expected = [deviation::NEWEST, deviation::GUIDE].into_iter().fold(written.clone(), with);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(document::file(), expected).unwrap();
        return;
    }
    assert!(
        written == expected,
        "docs/compatibility.md is out of date: run `UPDATE=1 cargo test --release -p compare`"
    );
}
