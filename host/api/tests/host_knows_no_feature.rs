//! The host knows no feature: outside the schema of the resource types, its sources name no field of a manifest that a
//! plugin reads. A new field of a plugin is covered by itself, because the names are read from the plugins' sources.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Fields that the host may name where it does, and why.
const ALLOWED: [(&str, &str, &str); 30] = [
    ("api/src/crd.rs", "postgresql", "the kind of the object"),
    ("decide/src/adoption.rs", "env", "a field of Kubernetes' containers"),
    ("decide/src/api_rules.rs", "initContainers", "a field of Kubernetes' pods"),
    ("decide/src/decide.rs", "initContainers", "a field of Kubernetes' pods"),
    ("decide/src/normal.rs", "initContainers livenessProbe resources", "fields of Kubernetes' pods"),
    ("decide/src/patroni/configuration.rs", "postgresql", "a section of Patroni's configuration"),
    ("decide/src/rollout/pod_template.rs", "env", "a field of Kubernetes' containers"),
    ("decide/src/rollout/pod_template.rs", "initContainers", "a field of Kubernetes' pods"),
    ("decide/src/rollout/pod_template.rs", "tolerations", "a field of Kubernetes' pods"),
    ("decide/src/rollout/pod_template.rs", "topologySpreadConstraints", "a field of Kubernetes' pods"),
    ("operator/src/execute/volume.rs", "resources", "a field of Kubernetes' PersistentVolumeClaims"),
    ("operator/src/execute/ec2/client.rs", "volume", "a filter of EC2"),
    // Events keep the reasons that the Zalando operator gives to findings about these two fields.
    ("operator/src/reconcile/decide.rs", "postgresql resources", "reasons of events"),
    ("api/src/placeholder.rs", "initContainers", "a field of Kubernetes' pods"),
    // The pooler reads the roles, too.
    ("api/src/validate.rs", "users", "roles are the host's"),
    ("api/src/validate/database.rs", "users", "roles are the host's"),
    ("decide/src/ownership.rs", "users", "roles are the host's"),
    ("decide/src/role/gather.rs", "users", "roles are the host's"),
    ("engine/src/privilege.rs", "env livenessProbe resources", "a field of Kubernetes' containers"),
    ("engine/src/privilege.rs", "envFrom", "a field of Kubernetes' containers"),
    ("engine/src/privilege.rs", "initContainers", "a field of Kubernetes' pods"),
    ("engine/src/privilege/database.rs", "env resources", "a field of Kubernetes' containers"),
    ("engine/src/grant.rs", "env", "a field of Kubernetes' containers"),
    ("engine/src/merge/reference.rs", "env", "a field of Kubernetes' containers"),
    ("engine/src/hide.rs", "env", "a field of Kubernetes' containers"),
    ("engine/src/merge/quantity.rs", "resources", "a field of Kubernetes' containers"),
    ("operator/src/admission/kept.rs", "tls", "a key of the Secret with the webhook's certificate"),
    ("operator/src/admission/mod.rs", "postgresql", "the kind of the manifest"),
    ("engine/src/description.rs", "tls", "an example of a JSON pointer"),
    ("engine/src/pipeline/action/patroni.rs", "postgresql", "a section of Patroni's configuration"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Rust sources below a folder, tests left out.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" && name != "testing" {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The text in quotes after each occurrence of `start`, up to the first character that is not of a name.
fn names_after<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    text.split(start).skip(1).map(|rest| &rest[..end(rest)]).filter(|name| !name.is_empty()).collect()
}

/// The fields of `spec` that plugins read: those of their triggers and of their `spec!` tables.
fn fields() -> BTreeSet<String> {
    let mut files = Vec::new();
    for plugin in std::fs::read_dir(repository().join("plugins")).unwrap() {
        let source = plugin.unwrap().path().join("src");
        if source.is_dir() && !source.ends_with("kit/src") {
            sources(&source, &mut files);
        }
    }
    let mut fields = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let tables = text.split("\nspec! {").skip(1).filter_map(|rest| rest.split("\n}").next());
        let of_tables = tables.flat_map(|table| names_after(table, "= \""));
        fields.extend(names_after(&text, "when_manifest(\"/spec/").into_iter().chain(of_tables).map(str::to_owned));
    }
    fields
}

/// The lines of code of a file, comments and tests left out.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a line has the field as a text of its own, or in a path below `spec`.
fn names(line: &str, field: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let starts = ["\"", "\"spec.", "/spec/"];
    starts.iter().any(|start| line.split(&format!("{start}{field}")).skip(1).any(ends))
}

#[test]
fn the_host_names_no_field_of_a_plugin() {
    let fields = fields();
    for expected in ["sidecars", "connectionPooler", "clone", "tls", "additionalVolumes", "enableLogicalBackup"] {
        assert!(fields.contains(expected), "{expected} is not found in the plugins' sources");
    }
    let mut files = Vec::new();
    for part in ["api", "engine", "decide", "operator", "cli"] {
        sources(&repository().join("host").join(part).join("src"), &mut files);
    }
    let host = repository().join("host");
    let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
    for file in files {
        let name = file.strip_prefix(&host).unwrap().to_str().unwrap().to_owned();
        // The schema of the resource types names every field; the operator configuration has keys of the same words.
        if name.starts_with("api/src/postgresql") || name.starts_with("api/src/config") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for line in code(&text) {
            for field in fields.iter().filter(|field| names(line, field)) {
                found.insert((name.clone(), field.clone()), line.trim().to_owned());
            }
        }
    }
    let is_allowed = |(file, field): &(String, String)| {
        ALLOWED.iter().any(|(allowed, names, _)| file == allowed && names.split(' ').any(|name| name == field))
    };
    for (file, names, reason) in ALLOWED {
        for name in names.split(' ') {
            assert!(found.contains_key(&(file.to_owned(), name.to_owned())), "{file} no longer names {name}: {reason}");
        }
    }
    let unexpected: Vec<_> = found.iter().filter(|(place, _)| !is_allowed(place)).collect();
    assert!(unexpected.is_empty(), "the host names fields of plugins: {unexpected:#?}");
}
