//! Reads files of YAML documents.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// The documents of a file, without empty ones; a list of objects gives its items.
///
/// # Errors
/// A sentence with the file, if it cannot be read or is no YAML.
pub(super) fn documents(path: &Path) -> Result<Vec<Value>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        match Value::deserialize(document).map_err(|error| failed(&error))? {
            Value::Null => {}
            Value::Object(mut list) if list.get("kind").is_some_and(|kind| kind == "List") => {
                documents.extend(
                    list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).into_iter().flatten(),
                );
            }
            document => documents.push(document),
        }
    }
    Ok(documents)
}
