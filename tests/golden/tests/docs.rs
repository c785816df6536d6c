//! docs/features.md and docs/configuration.md equal the documents that the plugins and the table of keys generate.
//! `UPDATE=1` rewrites them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use golden::{differs, here, pipeline, read, report, repository};
use pgloom_api::config::{Form, KEYS, Key, Section, ValueType};
use pgloom_engine::Trigger;
use serde_json::Value;

/// The rows of features.yaml.
fn features() -> Vec<Value> {
    read(&here("features.yaml")).as_array().unwrap().clone()
}

fn keys_of(feature: &Value) -> Vec<&str> {
    feature["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect()
}

/// The plugins that read each key of the operator configuration, in the order of the pipeline.
fn readers() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut readers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for step in pipeline().steps() {
        for key in &step.plugin.description.config_keys {
            readers.entry(key).or_default().push(&step.plugin.description.name);
        }
    }
    readers
}

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn matches(file: &str, text: &str) {
    report(&differs(&repository(file), text).into_iter().collect::<Vec<_>>());
}

#[test]
fn the_table_of_features_is_that_of_the_plugins() {
    let mut text = std::fs::read_to_string(here("docs/features.md")).unwrap();
    for feature in features() {
        let plugin = feature["plugin"].as_str();
        let example = feature["example"].as_str().map(|name| format!("[{name}](../manifests/examples/{name}.yaml)"));
        let plugin_cell = plugin.map_or_else(|| "the host".to_owned(), |name| format!("[{name}](#{name})"));
        let keys = code(&keys_of(&feature));
        _ = writeln!(
            text,
            "| {} | {plugin_cell} | {keys} | {} |",
            feature["feature"].as_str().unwrap(),
            example.unwrap_or_default()
        );
    }
    text.push_str("\n## The plugins\n\nIn the order of the shipped pipeline.\n");
    for step in pipeline().steps() {
        let description = &step.plugin.description;
        let keys: Vec<&str> = description.config_keys.iter().map(String::as_str).collect();
        let keys = if keys.is_empty() { "none".to_owned() } else { code(&keys) };
        _ = write!(
            text,
            "\n### {}\n\n{}\n\n- Called: {}\n- Actions: {}\n- Operator configuration: {keys}\n",
            description.name,
            description.summary,
            occasions(&description.relevant),
            actions(&description.actions),
        );
    }
    text.push_str(&promises("promises"));
    text.push_str(&promises("end_to_end"));
    matches("docs/features.md", &text);
}

/// The tables of promises and of the tests that hold them: an introduction and a list.
fn promises(name: &str) -> String {
    let mut text = std::fs::read_to_string(here(&format!("docs/{name}.md"))).unwrap();
    for section in read(&here(&format!("{name}.yaml"))).as_array().unwrap() {
        let title = section["section"].as_str().unwrap();
        _ = write!(text, "\n### {title}\n\n| Promise | Tests | Seen on |\n|---|---|---|\n");
        for promise in section["promises"].as_array().unwrap() {
            let tests = tests_of(promise);
            let links: Vec<String> =
                tests.iter().map(|(file, name)| format!("[{}](../{file})", name.replace('_', " "))).collect();
            let parts: BTreeSet<&str> = tests.iter().filter_map(|(file, _)| seen_on(file)).collect();
            let differs = promise["differs"].as_str().and_then(difference);
            let lacks = promise["lacks"].as_str().map(|lacks| format!("not seen: {lacks}"));
            let parts = (!parts.is_empty()).then(|| parts.into_iter().collect::<Vec<_>>().join(", "));
            let seen: Vec<String> = [parts, lacks, differs].into_iter().flatten().collect();
            let (promise, seen) = (promise["promise"].as_str().unwrap(), seen.join("; "));
            _ = writeln!(text, "| {promise} | {} | {seen} |", links.join(", "));
        }
    }
    text
}

/// The link to the part of docs/compatibility.md with the row that begins so; `None` if there is no such row.
fn difference(row: &str) -> Option<String> {
    let text = std::fs::read_to_string(repository("docs/compatibility.md")).unwrap();
    let mut heading = "";
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            heading = title;
        } else if line.starts_with(&format!("| {row}")) {
            let anchor = heading.to_lowercase().replace(' ', "-");
            return Some(format!("differs: [{heading}](compatibility.md#{anchor})"));
        }
    }
    None
}

/// The tests that hold a promise: file and function.
fn tests_of(promise: &Value) -> Vec<(&str, &str)> {
    promise["tests"].as_array().unwrap().iter().map(|test| test.as_str().unwrap().split_once("::").unwrap()).collect()
}

/// What a test runs on, if it is not decisions alone.
fn seen_on(file: &str) -> Option<&'static str> {
    let parts = [
        ("tests/e2e/", "a cluster"),
        ("host/api/tests/rules_against_api_server.rs", "an API server"),
        ("host/operator/src/execute/database/tests", "a database"),
        ("host/operator/src/execute/volume/cloud/tests/moto.rs", "moto, a server in the place of AWS"),
    ];
    parts.iter().find(|(start, _)| file.starts_with(start)).map(|(_, part)| *part)
}

/// The promises of a list.
fn listed(name: &str) -> Vec<Value> {
    let list = read(&here(&format!("{name}.yaml")));
    list.as_array().unwrap().iter().flat_map(|section| section["promises"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_promise_is_held_by_tests_that_exist_and_run() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for promise in ["promises", "end_to_end"].into_iter().flat_map(listed) {
        let tests = tests_of(&promise);
        let differs = promise["differs"].as_str();
        if tests.is_empty() && differs.is_none() {
            faults.push(format!("nothing holds: {}", promise["promise"]));
        }
        faults.extend(differs.filter(|row| difference(row).is_none()).map(|row| format!("no row begins with {row}")));
        for (file, name) in tests {
            count += 1;
            if !runs(file, name) {
                faults.push(format!("{file} has no test {name}, and no test calls it"));
            }
        }
    }
    assert_eq!(faults, [] as [String; 0]);
    assert!(count > 100, "{count}");
}

/// The tests of the Zalando operator's suite in its newest release, and the one that only release 1.5 has.
const END_TO_END: &str = "additional_owner_roles additional_pod_capabilities additional_teams_and_members config_update \
    cross_namespace_secrets custom_ssl_certificate enable_disable_connection_pooler enable_load_balancer \
    ignored_annotations infrastructure_roles lazy_spilo_upgrade logical_backup_cron_job major_version_upgrade \
    min_resource_limits multi_namespace_support node_affinity node_readiness_label overwrite_pooler_deployment \
    owner_references password_rotation persistent_volume_claim_retention_policy resource_generation rolling_update_flag \
    rolling_update_label_timeout scaling service_annotations standby_cluster statefulset_annotation_propagation \
    stream_resources taint_based_eviction topology_spread_constraints zz_cluster_deletion";

#[test]
fn every_end_to_end_test_of_the_zalando_operator_has_its_promises() {
    let promises = listed("end_to_end");
    let named: BTreeSet<&str> = promises
        .iter()
        .flat_map(|promise| promise["there"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(named, END_TO_END.split_whitespace().collect());
}

/// Whether a file has this function, and it is a test or one calls it: a test in the same file, or in that of its folder.
fn runs(file: &str, name: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(repository(file)) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declares = |line: &str| line.split("fn ").nth(1).is_some_and(|rest| rest.starts_with(&format!("{name}(")));
    let Some(at) = lines.iter().position(|line| declares(line)) else { return false };
    let is_test = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| line.contains("test"));
    let calls = |text: &str| text.lines().any(|line| line.contains(&format!("{name}(&")) && !declares(line));
    let folder = repository(file).parent().unwrap().with_extension("rs");
    is_test || calls(&text) || std::fs::read_to_string(folder).is_ok_and(|text| calls(&text))
}

fn occasions(triggers: &[Trigger]) -> String {
    let occasion = |trigger: &Trigger| match trigger {
        Trigger::Manifest(pointer) => format!("`{}`", pointer.trim_start_matches('/').replace('/', ".")),
        Trigger::Config(key) => format!("`{key}` of the operator configuration"),
    };
    match triggers {
        [] => "always".to_owned(),
        _ => format!("with {}", triggers.iter().map(occasion).collect::<Vec<_>>().join(" or ")),
    }
}

fn actions(permissions: &[pgloom_engine::ActionPermission]) -> String {
    let names: Vec<&str> = permissions.iter().map(|permission| permission.kind.name()).collect();
    if names.is_empty() { "none".to_owned() } else { code(&names) }
}

#[test]
fn every_plugin_is_a_feature_whose_keys_hold_what_it_waits_for() {
    let features = features();
    for step in pipeline().steps() {
        let description = &step.plugin.description;
        let own: Vec<&Value> = features.iter().filter(|feature| feature["plugin"] == description.name).collect();
        assert!(!own.is_empty(), "{} is no feature", description.name);
        let keys: BTreeSet<&str> = own.iter().flat_map(|feature| keys_of(feature)).collect();
        for trigger in &description.relevant {
            if let Trigger::Manifest(pointer) = trigger {
                let key = pointer.split('/').nth(2).unwrap();
                assert!(keys.contains(key), "{} waits for {pointer}", description.name);
            }
        }
    }
}

#[test]
fn every_field_of_a_manifest_belongs_to_a_feature_and_every_feature_has_an_example_that_shows_it() {
    let definition = read(&repository("manifests/crds/postgresqls.acid.zalan.do.yaml"));
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields: BTreeSet<&str> =
        definition.pointer(schema).unwrap().as_object().unwrap().keys().map(String::as_str).collect();
    let features = features();
    let named: BTreeSet<&str> = features.iter().flat_map(keys_of).collect();
    assert_eq!(named, fields);
    for feature in &features {
        let Some(example) = feature["example"].as_str() else { continue };
        let manifest = read(&repository(&format!("manifests/examples/{example}.yaml")));
        let keys = keys_of(feature);
        let shown = keys.is_empty() || keys.iter().any(|key| !manifest["spec"][key].is_null());
        assert!(shown, "{example} shows nothing of {}", feature["feature"]);
    }
}

#[test]
fn the_reference_of_the_operator_configuration_is_its_table_of_keys() {
    let mut text = std::fs::read_to_string(here("docs/configuration.md")).unwrap();
    let readers = readers();
    for section in Section::ALL {
        let name = section.name().map_or_else(|| "No section".to_owned(), |name| format!("`{name}`"));
        let was = section.was().map(|was| format!(" Older name: `{was}`.")).unwrap_or_default();
        _ = write!(text, "\n## {name}\n\n{}{was}\n\n", section.doc());
        text.push_str("| Key | Type | Default | Meaning | Read by |\n|---|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.section == section) {
            text.push_str(&row(key, readers.get(key.name)));
        }
    }
    matches("docs/configuration.md", &text);
}

/// The default, and what the key is in a form that does not have it.
fn default(key: &Key) -> String {
    let shown = |value: &str, none: &str| if value.is_empty() { none.to_owned() } else { format!("`{value}`") };
    let absent = [(Form::ConfigMap, "ConfigMap"), (Form::Object, "object")]
        .map(|(form, name)| (key.absent(form) != key.default).then(|| (shown(key.absent(form), "none"), name)));
    let other = match absent {
        [Some((value, _)), Some(_)] => format!("; absent: {value}"),
        [Some((value, name)), None] | [None, Some((value, name))] => format!("; absent in a {name}: {value}"),
        [None, None] => String::new(),
    };
    shown(key.default, "") + &other
}

fn row(key: &Key, readers: Option<&Vec<&str>>) -> String {
    let read_by = match (key.honoured, readers) {
        (false, _) => "not honoured".to_owned(),
        (true, Some(readers)) => readers.join(", "),
        (true, None) => "the host".to_owned(),
    };
    let default = default(key);
    let was = key.was.map(|was| format!(" Older name: `{was}`.")).unwrap_or_default();
    format!(
        "| `{}` | {} | {default} | {}{was} | {read_by} |\n",
        key.name,
        value_type(key.value_type),
        key.doc.replace('|', "\\|")
    )
}

fn value_type(value_type: ValueType) -> String {
    match value_type {
        ValueType::Flag => "switch".to_owned(),
        ValueType::Integer => "number".to_owned(),
        ValueType::OptionalInteger => "number or nothing".to_owned(),
        ValueType::Text => "text".to_owned(),
        ValueType::Credential => "credential".to_owned(),
        ValueType::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        ValueType::Quantity => "quantity".to_owned(),
        ValueType::Duration => "duration".to_owned(),
        ValueType::Schedule => "schedule".to_owned(),
        ValueType::Reference => "name".to_owned(),
        ValueType::List => "list".to_owned(),
        ValueType::Map => "map".to_owned(),
        ValueType::Containers => "containers".to_owned(),
        ValueType::Probe => "probe".to_owned(),
        ValueType::RoleSources => "role sources".to_owned(),
    }
}

#[test]
fn every_key_that_a_plugin_reads_exists_and_is_honoured() {
    let known: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    for (key, plugins) in readers() {
        assert!(known.contains(key), "{plugins:?} read {key}, which is no key");
        let honoured = KEYS.iter().any(|one| one.name == key && one.honoured);
        assert!(honoured, "{plugins:?} read {key}, which the table marks as ignored");
    }
}

#[test]
fn every_default_image_is_explained() {
    let text = std::fs::read_to_string(here("docs/configuration.md")).unwrap();
    for key in KEYS.iter().filter(|key| key.name.ends_with("image") && !key.default.is_empty()) {
        let row = format!("| `{}` | `{}` |", key.name, key.default);
        assert!(text.contains(&row), "the table of images has no row that begins with {row}");
    }
}

/// The names of all functions in the sources below a folder.
fn functions(folder: &std::path::Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            functions(&entry, names);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(entry).unwrap();
            let name = |rest: &str| rest.split('(').next().unwrap_or_default().to_owned();
            names.extend(text.split("fn ").skip(1).map(name));
        }
    }
}

#[test]
fn every_promise_of_the_security_document_names_tests_that_exist() {
    let mut known = BTreeSet::new();
    for folder in ["common", "host", "plugins", "tests"] {
        functions(&repository(folder), &mut known);
    }
    let text = std::fs::read_to_string(repository("docs/security.md")).unwrap();
    let promises = text.split("| Promise | Test |").skip(1).flat_map(|table| {
        table.lines().skip(2).take_while(|line| line.starts_with('|')).map(|row| row.rsplit('|').nth(1).unwrap())
    });
    let promises: Vec<Vec<&str>> = promises.map(|tests| tests.split('`').skip(1).step_by(2).collect()).collect();
    assert!(promises.len() > 20 && promises.iter().all(|tests| !tests.is_empty()), "{promises:?}");
    let unknown: Vec<&str> = promises.into_iter().flatten().filter(|test| !known.contains(*test)).collect();
    assert!(unknown.is_empty(), "there are no such tests: {unknown:?}");
}
