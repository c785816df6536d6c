//! Recordings of the Zalando operator's requests, for tests that compare a plugin with it.
//!
//! The recordings are not part of the repository. `PGLOOM_UPSTREAM` is the path of their folder, which contains
//! `newest/`.

use std::fs;
use std::path::{Path, PathBuf};

use pgloom_common::api_default::is_default;
use serde_json::{Value, json};

use super::{Call, operator_config_of};

/// One recorded cluster.
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// The manifest as it was applied, with the namespace, and `CLUSTER-UID` instead of the recorded uid.
    pub manifest: Value,
    /// The operator configuration.
    pub config: Value,
    /// The Secrets and ConfigMaps that existed before, with the texts of a Secret as its data.
    pub prerequisites: Vec<Value>,
    /// The bodies of the requests that created objects, in order.
    pub created: Vec<Value>,
}

/// The cases of the newest release, by name. If there are no recordings, there are none, and the skipped `test` is
/// printed.
///
/// # Panics
/// If a recording cannot be read.
#[expect(clippy::expect_used, reason = "a test without its data has to fail")]
pub fn cases(test: &str) -> Vec<Case> {
    let Some(folder) = std::env::var_os("PGLOOM_UPSTREAM").map(|folder| PathBuf::from(folder).join("newest")) else {
        eprintln!("SKIPPED {test}: PGLOOM_UPSTREAM is not set");
        return Vec::new();
    };
    let entries = fs::read_dir(&folder).expect("the folder that PGLOOM_UPSTREAM names has a folder newest/");
    let mut folders: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join("requests.yaml").exists());
    folders.sort();
    folders.iter().map(|folder| case(folder)).collect()
}

fn case(folder: &Path) -> Case {
    let requests = document(&folder.join("requests.yaml"));
    let mut manifest = document(&folder.join("manifest.yaml"));
    manifest["metadata"]["namespace"] = requests["namespace"].clone();
    manifest["metadata"]["uid"] = json!("CLUSTER-UID");
    let config = document(&folder.join("config.yaml"));
    let entries = if config["kind"] == "ConfigMap" { &config["data"] } else { &config["configuration"] };
    let writes = requests["writes"].as_array().cloned().unwrap_or_default();
    Case {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        manifest,
        config: operator_config_of(entries),
        prerequisites: prerequisites(&folder.join("prerequisites.yaml")),
        created: writes.iter().filter(|write| write["verb"] == "create").map(|write| write["body"].clone()).collect(),
    }
}

fn prerequisites(path: &Path) -> Vec<Value> {
    let mut objects = documents(path);
    for object in objects.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(data) = object.remove("stringData") {
            object.insert("data".to_owned(), data);
        }
    }
    objects
}

fn document(path: &Path) -> Value {
    documents(path).into_iter().next().unwrap_or_default()
}

fn documents(path: &Path) -> Vec<Value> {
    let documents = super::document::documents(path).unwrap_or_default();
    documents.into_iter().filter(Value::is_object).collect()
}

impl Case {
    /// A call with the case's manifest and configuration.
    pub fn call(&self) -> Call {
        Call::new(&self.manifest).operator_config(&self.config)
    }

    /// The objects of a kind that were created, whose names `is_wanted`.
    pub fn created(&self, kind: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<&Value> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.created.iter().filter(|object| object["kind"] == kind && is_wanted(&name(object))).collect()
    }
}

/// The first difference between a plugin's object and the recorded one. Defaults that the API server adds are no
/// difference, nor is an empty string instead of no field.
pub fn difference(made: &Value, recorded: &Value) -> Option<String> {
    differs("", made, recorded)
}

/// Fields that the API server or a controller fills in with other than a fixed value.
const COMPUTED: [&str; 3] = ["ownerReferences", "serviceAccount", "strategy"];

fn differs(path: &str, made: &Value, recorded: &Value) -> Option<String> {
    match (made, recorded) {
        (Value::Object(made), Value::Object(recorded)) => made.keys().chain(recorded.keys()).find_map(|key| {
            let (made, recorded) = (made.get(key), recorded.get(key));
            let is_filled = key == "namespace" && path == "/metadata";
            if made.is_none()
                && (is_filled
                    || COMPUTED.contains(&key.as_str())
                    || recorded.is_some_and(|value| is_filled_in(key, value)))
            {
                return None;
            }
            differs(&format!("{path}/{key}"), made.unwrap_or(&Value::Null), recorded.unwrap_or(&Value::Null))
        }),
        (Value::Array(made), Value::Array(recorded)) if made.len() == recorded.len() => made
            .iter()
            .zip(recorded)
            .enumerate()
            .find_map(|(index, (made, recorded))| differs(&format!("{path}/{index}"), made, recorded)),
        (Value::String(made), Value::Null) if made.is_empty() => None,
        _ => (made != recorded).then(|| format!("{path}: the plugin has {made}, the recording {recorded}")),
    }
}

/// Whether the API server gives the field this value: a fixed one, the pull policy of an image without a version, or a
/// switch that is off.
fn is_filled_in(field: &str, value: &Value) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    is_default(field, &text) || *value == json!({}) || *value == json!("Always") || *value == json!(false)
}
