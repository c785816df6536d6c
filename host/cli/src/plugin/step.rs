//! `step.yaml` of a plugin's folder: its step for a pipeline.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pgloom_api::Finding;
use pgloom_api::pipeline::{Document, Step};
use pgloom_common::golden;
use pgloom_engine::{Plugin, grant};
use serde_json::{Map, Value, json};

use super::project::Project;

/// The longest file, in bytes: a step is a part of an object, which has at most 3 MiB.
const LONGEST: u64 = 3 << 20;

/// The step of the project's `step.yaml`, if there is one.
pub fn read(project: &Project) -> Result<Option<Map<String, Value>>> {
    let path = project.file(golden::STEP);
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

/// The step of the project's `step.yaml`, as the operator reads it. Its component is the one that is built.
pub fn document(project: &Project) -> Result<Step> {
    let path = project.file(golden::STEP);
    let Some(step) = read(project)? else {
        bail!(
            "{}: does not exist; write the step of the plugin to it: name, config, and the grants that `pgloom plugin \
             inspect --grants FILE` prints",
            path.display()
        );
    };
    checked(&path, with_source(step, "plugin.wasm"))
}

fn with_source(mut step: Map<String, Value>, file: &str) -> Value {
    step.insert("source".to_owned(), json!({"file": file}));
    Value::Object(step)
}

fn checked(path: &Path, step: Value) -> Result<Step> {
    let pipeline = json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "pipeline"},
        "spec": {"steps": [step]},
    });
    let problems = match Document::read(&pipeline).map(|document| document.steps.into_iter().next()) {
        Ok(Some(step)) => return Ok(step),
        Ok(None) => Vec::new(),
        Err(problems) => problems,
    };
    // The file has the step alone.
    let own = |path: String| path.strip_prefix("spec.steps[0].").map(str::to_owned).unwrap_or(path);
    let problems: Vec<Finding> =
        problems.into_iter().map(|finding| Finding { path: finding.path.map(own), ..finding }).collect();
    Err(crate::pipeline::refused(path, &problems))
}

/// The step of a plugin: that of `step.yaml`, or one with the plugin's name and all grants that it needs; its component
/// is `file`.
pub fn of(project: &Project, plugin: &Plugin, file: &str) -> Result<Value> {
    let step = match read(project)? {
        Some(step) => {
            checked(&project.file(golden::STEP), with_source(step.clone(), file))?;
            step
        }
        None => {
            let grants: Value = serde_yaml_ng::from_str(&grant::yaml(&grant::needed(&plugin.description), 0))?;
            Map::from_iter([("name".to_owned(), json!(plugin.description.name)), ("grants".to_owned(), grants)])
        }
    };
    Ok(with_source(step, file))
}
