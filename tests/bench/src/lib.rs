//! What the measurements have in common: they read the same files, and print times in one way.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use pgloom_api::pipeline::Document;
use serde::Deserialize;
use serde_json::{Value, json};

/// The object in a file, in the namespace `default`.
///
/// # Errors
/// If the file cannot be read, or is not YAML.
pub fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut value =
        serde_json::to_value(serde_yaml_ng::Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text))?)?;
    value["metadata"]["namespace"] = json!("default");
    Ok(value)
}

/// The pipeline in the folder of the components.
///
/// # Errors
/// If there is none that can be used.
pub fn read_pipeline(folder: &Path) -> Result<Document> {
    Document::read(&read(&folder.join("pipeline.yaml"))?).map_err(|problems| anyhow!("{problems:?}"))
}

/// A time in microseconds.
#[must_use]
pub fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}
