//! Reads files of one or more YAML or JSON documents into JSON values.
//!
//! Why not `serde_yaml_ng::Value`: its conversion to JSON hides what Kubernetes refuses. A key such as `1` becomes a
//! string and `.nan` becomes null, and at that time line and column are no longer known. A visitor gets each key and
//! value while the parser still knows line and column. Unknown fields are checked by the schema.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting that is accepted. No configuration is nested more deeply; such a file would overflow the stack.
const MAX_DEPTH: usize = 96;
/// The most values that are accepted. Aliases can make a small file grow beyond the memory.
const MAX_NODES: usize = 1_000_000;

/// The reason why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not YAML, or not YAML that Kubernetes accepts.
    #[error("{place}: {message}")]
    Read {
        /// Document, line and column, as far as they are known.
        place: String,
        /// The reason.
        message: String,
    },
    /// The text has no document, or only comments.
    #[error("there is no document; give at least one object")]
    Empty,
}

/// Reads every document of a text, in order. Empty ones are left out; a `v1` `List` gives its items. JSON is YAML.
///
/// # Errors
/// If a document is not YAML, has a key twice or a key that is not a text, or if there is no document.
pub fn read(text: &str) -> Result<Vec<Value>, Error> {
    let mut documents = Vec::new();
    for (index, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let value = Strict::deserialize(document).map_err(|error| fault(index, &error))?.0;
        check_size(&value, index)?;
        if !value.is_null() {
            flatten(value, &mut documents);
        }
    }
    if documents.is_empty() { Err(Error::Empty) } else { Ok(documents) }
}

fn fault(index: usize, error: &serde_yaml_ng::Error) -> Error {
    let message = error.to_string();
    let (message, place) = match error.location() {
        Some(place) => {
            let tail = format!(" at line {} column {}", place.line(), place.column());
            (message.replace(&tail, ""), format!("line {}, column {}", place.line(), place.column()))
        }
        None => (message, format!("document {}", index + 1)),
    };
    Error::Read { place, message: format!("is not YAML that Kubernetes accepts: {message}") }
}

fn check_size(value: &Value, index: usize) -> Result<(), Error> {
    let too_large =
        |message: &str| Error::Read { place: format!("document {}", index + 1), message: message.to_owned() };
    let mut nodes = 0_usize;
    let mut open = vec![(value, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        nodes += 1;
        if depth > MAX_DEPTH {
            return Err(too_large("is nested too deeply"));
        }
        if nodes > MAX_NODES {
            return Err(too_large("has too many values"));
        }
        match value {
            Value::Array(entries) => open.extend(entries.iter().map(|entry| (entry, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|field| (field, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

fn flatten(value: Value, documents: &mut Vec<Value>) {
    match value {
        Value::Object(mut fields)
            if fields.get("kind").is_some_and(|kind| kind == "List")
                && fields.get("items").is_some_and(Value::is_array) =>
        {
            if let Some(Value::Array(items)) = fields.remove("items") {
                documents.extend(items);
            }
        }
        other => documents.push(other),
    }
}

/// A value whose maps have each key once, and only texts as keys.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(format!("{value} is not a number in JSON")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            entries.push(value);
        }
        Ok(Value::Array(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(Strict(key)) = access.next_key()? {
            let Value::String(name) = key else {
                return Err(serde::de::Error::custom(format!("the key {key} is not a text; write it in quotes")));
            };
            let Strict(value) = access.next_value()?;
            if name == "<<" {
                merge(&mut fields, value);
            } else if fields.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("the key {name:?} is given twice; remove one")));
            }
        }
        Ok(Value::Object(fields))
    }
}

/// Adds the fields of a merge key, `<<`, that the map does not have.
fn merge(fields: &mut Map<String, Value>, value: Value) {
    match value {
        Value::Object(defaults) => {
            for (name, value) in defaults {
                fields.entry(name).or_insert(value);
            }
        }
        Value::Array(entries) => entries.into_iter().for_each(|entry| merge(fields, entry)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_lists_and_json_give_objects_in_order() {
        let text = "# first\n---\nkind: A\n---\n# nothing\n---\n{\"kind\": \"B\"}\n---\nkind: List\nitems: [{kind: C}, {kind: D}]\n";
        assert_eq!(
            read(text).unwrap(),
            [json!({"kind": "A"}), json!({"kind": "B"}), json!({"kind": "C"}), json!({"kind": "D"})]
        );
    }

    #[test]
    fn aliases_are_resolved() {
        assert_eq!(read("a: &x 10\nb: *x\n").unwrap(), [json!({"a": 10, "b": 10})]);
    }

    #[test]
    fn an_error_has_line_and_column() {
        for (text, place, part) in [
            ("a: b: c\n", "line 1, column 5", "is not YAML"),
            ("a: [1, 2\n", "line 2, column 1", "is not YAML"),
            ("a:\n\t- b\n", "line 2, column 1", "is not YAML"),
            ("a: 1\nb: 2\na: 3\n", "line 1, column 1", "the key \"a\" is given twice; remove one"),
            ("spec:\n  1: x\n", "line 2, column 3", "the key 1 is not a text; write it in quotes"),
            ("a: *nowhere\n", "line 1, column 4", "is not YAML"),
            ("a: .nan\n", "", "is not a number in JSON"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with(place) && message.contains(part), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_file_without_a_document_is_refused() {
        for text in ["", "# nothing\n", "---\n---\n"] {
            assert_eq!(read(text).unwrap_err().to_string(), "there is no document; give at least one object");
        }
    }

    #[test]
    fn a_file_that_grows_by_its_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let refs = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{refs}]\n");
        }
        assert!(read(&text).is_err());
        assert!(read(&format!("a: {}{}", "[".repeat(200), "]".repeat(200))).is_err());
    }
}
