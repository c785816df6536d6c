//! A recorded case: a manifest, its configuration, the objects that existed before, and those that the Zalando operator
//! created.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgloom_api::config::{Form, KEYS};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The environment variable with the folder of the recorded cases: a folder for each release, in it a folder for each
/// case.
pub const FOLDER: &str = "PGLOOM_UPSTREAM";

/// The placeholder for the uid of the `postgresql` object in recorded strings.
pub(crate) const UID: &str = "CLUSTER-UID";

/// A recorded case.
#[derive(Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// The `postgresql` object, in the case's namespace.
    pub manifest: Value,
    /// The operator configuration, in either form.
    pub config: Value,
    /// The objects that existed before. An object without a namespace is in `default`, where the operator ran, and in
    /// the case's namespace, too.
    pub prerequisites: Vec<Value>,
    /// The objects that the operator created, in their last state.
    pub made: Vec<Value>,
    /// The same as the API server has them, with its defaults.
    pub stored: Vec<Value>,
    /// The API server's message if it refused an object: then the recorded objects are incomplete.
    pub refused: Option<String>,
}

impl Case {
    /// States in a ConfigMap of release 1.5 the keys that it leaves out and that the newest release takes for something else.
    /// Who comes from 1.5 has to do the same.
    pub fn state_defaults(&mut self) {
        let Some(data) = self.config["data"].as_object_mut() else { return };
        for key in KEYS.iter().filter(|key| key.absent(Form::ConfigMap) != key.default) {
            data.entry(key.name).or_insert_with(|| json!(key.default));
        }
    }
}

/// The folder of a release; `None` if there are no recorded cases.
pub fn release(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?).join(name);
    folder.is_dir().then_some(folder)
}

/// Reads all cases of a release in the order of their names. A folder that starts with `_` is not a case.
///
/// # Errors
/// If a file of a case cannot be read.
pub fn read_all(release: &Path) -> Result<Vec<Case>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(release).with_context(|| release.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !name_of(&path).starts_with('_') {
            folders.push(path);
        }
    }
    folders.sort();
    let read = |folder: &PathBuf| read(folder).with_context(|| folder.display().to_string());
    let mut cases = folders.iter().map(read).collect::<Result<Vec<Case>>>()?;
    if name_of(release).starts_with("v1.") {
        cases.iter_mut().for_each(Case::state_defaults);
    }
    Ok(cases)
}

fn read(folder: &Path) -> Result<Case> {
    let recorded = one(&folder.join("requests.yaml"))?;
    let mut manifest = one(&folder.join("manifest.yaml"))?;
    manifest["metadata"]["namespace"] = recorded["namespace"].clone();
    manifest["metadata"]["uid"] = json!(UID);
    let prerequisites = folder.join("prerequisites.yaml");
    let writes = recorded["writes"].as_array().cloned().unwrap_or_default();
    Ok(Case {
        name: name_of(folder),
        manifest,
        config: one(&folder.join("config.yaml"))?,
        prerequisites: if prerequisites.exists() {
            all(&prerequisites)?.into_iter().map(stored).collect()
        } else {
            Vec::new()
        },
        refused: writes
            .iter()
            .find(|write| write["code"].as_u64() >= Some(400))
            .map(|write| write["resource"].to_string()),
        made: made(&writes, &recorded["namespace"]),
        stored: all(&folder.join("objects.yaml"))?
            .into_iter()
            .filter(|object| object["kind"] != "postgresql")
            .collect(),
    })
}

/// The object as the API server stores it: `stringData` of a Secret becomes part of `data`.
fn stored(mut object: Value) -> Value {
    if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|object| object.remove("stringData")) {
        for (key, text) in texts {
            object["data"][key] = json!(STANDARD.encode(text.as_str().unwrap_or_default()));
        }
    }
    object
}

/// The last body of every object that was created; the `postgresql` itself is the user's. A body may leave its
/// namespace to the request.
fn made(writes: &[Value], namespace: &Value) -> Vec<Value> {
    let mut made: Vec<Value> = Vec::new();
    for write in writes {
        let (verb, body) = (write["verb"].as_str().unwrap_or_default(), &write["body"]);
        if !matches!(verb, "create" | "update") || body["kind"] == "postgresql" {
            continue;
        }
        made.retain(|object| identity(object) != identity(body));
        let mut object = body.clone();
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = namespace.clone();
        }
        made.push(object);
    }
    made
}

/// The identity of an object: `Kind/name`.
pub fn identity(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn one(path: &Path) -> Result<Value> {
    let first = all(path)?.into_iter().next();
    first.with_context(|| format!("{}: the file is empty", path.display()))
}

fn all(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text).map(|document| Ok(Value::deserialize(document)?));
    let documents: Result<Vec<Value>> = documents.collect();
    Ok(documents?.into_iter().filter(|document| !document.is_null()).collect())
}
