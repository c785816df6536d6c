//! The clusters that a plugin is tried on: manifests, each with its operator configuration and existing objects.
//!
//! All of them have the same name, namespace and uid: they are states of one cluster, so that what one leaves can be
//! shown to another.

use pgloom_api::config::Config;
use pgloom_api::{document, field};
use pgloom_engine::Trigger;
use serde_json::{Map, Value, json};

/// A cluster, and what exists when it is decided.
#[derive(Clone, Debug)]
pub struct Case {
    /// As in `complete`.
    pub name: String,
    /// The `postgresql` object.
    pub manifest: Value,
    /// The operator configuration.
    pub config: Config,
    /// The existing objects.
    pub observed: Vec<Value>,
}

/// The files, by name. The first one is the smallest.
const FILES: [(&str, &str); 8] = [
    (MINIMAL, include_str!("corpus/minimal.yaml")),
    ("complete", include_str!("corpus/complete.yaml")),
    ("clone", include_str!("corpus/clone.yaml")),
    ("standby", include_str!("corpus/standby.yaml")),
    ("promoted", include_str!("corpus/promoted.yaml")),
    ("platform", include_str!("corpus/platform.yaml")),
    ("running", include_str!("corpus/running.yaml")),
    ("hostile", include_str!("corpus/hostile.yaml")),
];
/// The name of the smallest case.
pub const MINIMAL: &str = "minimal";
/// The entries of maps in the case `huge`.
const MANY: usize = 150;
/// The entries of lists in it: nearly as many as the schema allows.
const LISTED: usize = 60;

/// Why a file is no case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] document::Error),
    /// Its configuration is invalid.
    #[error("the operator configuration: {0}; mend it, or leave it out")]
    Configure(String),
    /// It has no manifest, or more than one.
    #[error("there are {0} objects of kind postgresql, and a case has one; write each case to a file of its own")]
    Manifests(usize),
}

/// The cases that every plugin is tried on.
#[must_use]
pub fn cases() -> Vec<Case> {
    // A test reads each of them, so that none is left out.
    let mut cases: Vec<Case> = FILES.iter().filter_map(|(name, text)| read(name, text).ok()).collect();
    cases.extend(huge());
    cases
}

/// Reads a case: a manifest, its operator configuration, which is a ConfigMap without a name or an
/// OperatorConfiguration,
/// and existing objects.
///
/// # Errors
/// If the text is no YAML, or has not one manifest, or a configuration that is invalid.
pub fn read(name: &str, text: &str) -> Result<Case, Error> {
    let (mut manifests, mut observed, mut config) = (Vec::new(), Vec::new(), Config::defaults());
    for object in document::read(text)? {
        let is_named = object.pointer("/metadata/name").is_some();
        match object["kind"].as_str() {
            Some("postgresql") => manifests.push(object),
            Some("OperatorConfiguration") => config = configured(&object)?,
            Some("ConfigMap") if !is_named => config = configured(&object)?,
            _ => observed.push(object),
        }
    }
    match manifests.as_mut_slice() {
        [manifest] => {
            if let Some(metadata) = manifest["metadata"].as_object_mut() {
                metadata.entry("namespace").or_insert_with(|| json!("default"));
            }
            Ok(Case { name: name.to_owned(), manifest: manifest.take(), config, observed })
        }
        other => Err(Error::Manifests(other.len())),
    }
}

fn configured(document: &Value) -> Result<Config, Error> {
    let problem = |problems: Vec<pgloom_api::Finding>| problems.first().map(ToString::to_string).unwrap_or_default();
    Config::read(document).map(|read| read.config).map_err(|problems| Error::Configure(problem(problems)))
}

/// The complete case with long lists.
fn huge() -> Option<Case> {
    let (_, text) = FILES.iter().find(|(name, _)| *name == "complete")?;
    let mut case = read("huge", text).ok()?;
    let numbered = |of: &dyn Fn(usize) -> Value| (0..LISTED).map(of).collect::<Value>();
    let named = |of: &dyn Fn(usize) -> (String, Value)| Value::Object((0..MANY).map(of).collect::<Map<_, _>>());
    let spec = case.manifest.get_mut("spec")?;
    spec["numberOfInstances"] = json!(MANY);
    spec["users"] = named(&|index| (format!("user_{index}"), json!(["createdb"])));
    spec["databases"] = named(&|index| (format!("database_{index}"), json!(format!("user_{index}"))));
    spec["preparedDatabases"] = Value::Null;
    spec["env"] = numbered(&|index| json!({"name": format!("VARIABLE_{index}"), "value": "x".repeat(500)}));
    spec["sidecars"] = numbered(&|index| {
        let env = json!([{"name": "A", "value": "b"}]);
        json!({"name": format!("sidecar-{index}"), "image": "company/sidecar:1", "env": env})
    });
    spec["initContainers"] = numbered(&|index| json!({"name": format!("init-{index}"), "image": "company/init:1"}));
    spec["additionalVolumes"] = numbered(&|index| {
        let path = format!("/volume/{index}");
        json!({"name": format!("volume-{index}"), "mountPath": path, "volumeSource": {"emptyDir": {}}})
    });
    spec["postgresql"]["parameters"] = named(&|index| (format!("parameter_{index}"), json!("value")));
    spec["podAnnotations"] = named(&|index| (format!("example.com/annotation-{index}"), json!("x".repeat(200))));
    spec["tolerations"] = numbered(&|index| json!({"key": format!("key-{index}"), "operator": "Exists"}));
    let metadata = case.manifest.get_mut("metadata")?;
    metadata["labels"] = named(&|index| (format!("label-{index}"), json!("value")));
    metadata["annotations"] = named(&|index| (format!("example.com/note-{index}"), json!("x".repeat(500))));
    Some(case)
}

/// For each field of the manifest that calls a plugin and that no case has: the smallest case with a value there that
/// the host accepts.
#[must_use]
pub fn triggered(triggers: &[Trigger]) -> Vec<Case> {
    let values = [json!(true), json!("true"), json!("1Gi"), json!(1), json!({}), json!(["a"])];
    let known = cases();
    let mut more = Vec::new();
    for trigger in triggers {
        let Trigger::Manifest(pointer) = trigger else { continue };
        if known.iter().any(|case| field::at(&case.manifest, pointer).is_some()) {
            continue;
        }
        let with = |value: &Value| {
            let mut case = known.first()?.clone();
            set(&mut case.manifest, pointer, value.clone())?;
            case.name = format!("with{}", pointer.replace('/', "-"));
            let rules = case.config.rules();
            pgloom_api::validate::validate(&case.manifest, &rules).is_ok().then_some(case)
        };
        more.extend(values.iter().find_map(with));
    }
    more
}

/// The name, or `NAME-2` and so on if one of the cases has it already: results and budgets name a case by its name.
#[must_use]
pub fn unique(name: &str, cases: &[Case]) -> String {
    let is_free = |name: &String| cases.iter().all(|case| case.name != *name);
    let numbered = (2..).map(|number: usize| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

/// Sets the value at a JSON pointer, with the objects above it.
fn set(document: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut place = document;
    for name in pointer.strip_prefix('/')?.split('/') {
        let name = name.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = json!({});
        }
        place = place.as_object_mut()?.entry(name).or_insert(Value::Null);
    }
    *place = value;
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn the_host_accepts_the_manifest_of_every_case() {
        for (name, text) in FILES {
            read(name, text).unwrap();
        }
        let cases = cases();
        assert_eq!(cases.len(), FILES.len() + 1);
        for case in cases {
            let checked = pgloom_api::validate::validate(&case.manifest, &case.config.rules());
            assert!(checked.is_ok(), "{}: {:?}", case.name, checked.unwrap_err());
        }
    }

    #[test]
    fn a_trigger_that_no_case_has_gets_a_case() {
        let triggers = ["/metadata/annotations/example.com~1exporter", "/spec/volume", "/spec/enableShmVolume"];
        let triggers: Vec<Trigger> = triggers.iter().map(|at| Trigger::Manifest((*at).to_owned())).collect();
        let names: Vec<String> = triggered(&triggers).into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["with-metadata-annotations-example.com~1exporter", "with-spec-enableShmVolume"]);
    }

    #[test]
    fn a_case_gets_a_name_that_no_other_case_has() {
        let mut cases = cases();
        for name in ["minimal-2", "minimal-3", "own"] {
            let case = Case {
                name: unique(name.trim_end_matches(|end: char| end == '-' || end.is_ascii_digit()), &cases),
                ..cases[0].clone()
            };
            assert_eq!(case.name, name);
            cases.push(case);
        }
    }

    #[test]
    fn a_file_without_a_manifest_is_refused_with_a_remedy() {
        let error = read("a", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}").unwrap_err().to_string();
        assert!(error.contains("there are 0 objects of kind postgresql"), "{error}");
    }
}
