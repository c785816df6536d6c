//! Files of YAML or JSON documents.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// Every document of a file, `-` being standard input; a `List` counts as its items. A key that stands twice is an error.
pub fn read_all(path: &Path) -> Result<Vec<Value>> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("standard input")?
    } else {
        std::fs::read_to_string(path).with_context(|| path.display().to_string())?
    };
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        // Into YAML's own type first: it refuses what stands twice.
        let value =
            serde_yaml_ng::Value::deserialize(document).with_context(|| format!("{}: not YAML", path.display()))?;
        if value.is_null() {
            continue;
        }
        let value = serde_json::to_value(value)
            .with_context(|| format!("{}: has a key that is not text; quote it", path.display()))?;
        match value.get("items") {
            Some(Value::Array(items)) if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
                documents.extend(items.iter().cloned());
            }
            _ => documents.push(value),
        }
    }
    Ok(documents)
}

/// The only document of a file.
pub fn read_one(path: &Path) -> Result<Value> {
    let mut documents = read_all(path)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        (None, _) => bail!("{}: the file is empty", path.display()),
        _ => bail!("{}: holds several documents; one is wanted", path.display()),
    }
}
