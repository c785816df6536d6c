//! `step.yaml` of a plugin's folder: its step for a pipeline.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pgloom_engine::{Plugin, grant};
use serde_json::{Map, Value, json};

use super::project::Project;

/// The longest file, in bytes: a step is a part of an object, which has at most 3 MiB.
const LONGEST: u64 = 3 << 20;

/// The step of the project's `step.yaml`, if there is one.
pub fn read(project: &Project) -> Result<Option<Map<String, Value>>> {
    let path = project.file("step.yaml");
    if path.exists() { mapping(&path).map(Some) } else { Ok(None) }
}

/// A YAML file with one mapping.
pub fn mapping(path: &Path) -> Result<Map<String, Value>> {
    let place = || path.display().to_string();
    let length = std::fs::metadata(path).with_context(place)?.len();
    if length > LONGEST {
        bail!("{}: has more than {} MiB; make it smaller", path.display(), LONGEST >> 20);
    }
    let text = std::fs::read_to_string(path).with_context(place)?;
    let value: Value = serde_yaml_ng::from_str(&text).with_context(place)?;
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null => Ok(Map::new()),
        _ => bail!("{}: is not a mapping; write it as in `key: value`", path.display()),
    }
}

/// The step of a plugin: that of `step.yaml`, or one with the plugin's name and all grants that it needs; its component
/// is `file`.
pub fn of(project: &Project, plugin: &Plugin, file: &str) -> Result<Value> {
    let mut step = match read(project)? {
        Some(step) => step,
        None => {
            let grants: Value = serde_yaml_ng::from_str(&grant::yaml(&grant::needed(&plugin.description), 0))?;
            Map::from_iter([("name".to_owned(), json!(plugin.description.name)), ("grants".to_owned(), grants)])
        }
    };
    step.insert("source".to_owned(), json!({"file": file}));
    Ok(Value::Object(step))
}
