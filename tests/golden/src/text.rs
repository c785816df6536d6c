//! Files of YAML documents, and the text of documents.

use std::path::Path;

use serde_json::Value;

/// Every document of a file.
pub fn read_all(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    pgloom_api::document::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The only document of a file.
pub fn read(path: &Path) -> Value {
    let mut documents = read_all(path);
    assert_eq!(documents.len(), 1, "{}: one document is wanted", path.display());
    documents.remove(0)
}

/// A document as text.
pub fn yaml(document: &Value) -> String {
    pgloom_api::document::write(document).expect("a document can be written")
}

/// The same document as text with the keys of every map in the opposite order.
pub fn shuffled(document: &Value) -> String {
    match document {
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), shuffled(value));
            format!("{{{}}}", map.iter().rev().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shuffled).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string(),
    }
}
