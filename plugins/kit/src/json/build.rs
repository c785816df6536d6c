//! Builds JSON values, and leaves out what is empty.
//!
//! Why not `json!`: its code grows with every field of every object. 30 objects of Kubernetes are 68 KB with `json!`,
//! and 19 KB with one call of [`object()`] for each.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Map, Value};

use crate::plugin::leave;

/// An object with these fields, without those that are null.
#[inline]
pub fn object<const N: usize>(mut fields: [(&str, Value); N]) -> Value {
    let object = from_fields(&mut fields);
    leave(fields);
    object
}

// One function for objects of any number of fields: this is what keeps a component small.
#[inline(never)]
fn from_fields(fields: &mut [(&str, Value)]) -> Value {
    let mut object = Map::new();
    for (key, value) in fields {
        if !value.is_null() {
            object.insert((*key).to_owned(), mem::take(value));
        }
    }
    Value::Object(object)
}

/// A string.
#[inline(never)]
pub fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A map of strings, as labels are.
#[inline(never)]
pub fn map(entries: BTreeMap<String, String>) -> Value {
    let mut object = Map::new();
    for (key, value) in entries {
        object.insert(key, Value::String(value));
    }
    Value::Object(object)
}

/// A list of strings.
pub fn texts(items: &[String]) -> Value {
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        list.push(text(item));
    }
    Value::Array(list)
}

/// A list.
#[inline(never)]
pub fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::Array(items.into())
}

/// The value, or null for an empty string, list or object, so that [`object()`] leaves it out.
pub fn unless_empty(value: Value) -> Value {
    if is_empty(&value) { Value::Null } else { value }
}

/// Whether an object has a value for the key other than null or an empty string, list or object.
pub fn is_set(object: &Value, key: &str) -> bool {
    object.get(key).is_some_and(|value| !is_empty(value))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_and_empty_values_are_left_out() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let made = object([
            ("name", text("x")),
            ("labels", map(labels)),
            ("ranges", texts(&["y".to_owned()])),
            ("items", list([1.into(), Value::Null])),
            ("nothing", Value::Null),
            ("empty", unless_empty(object([]))),
            ("no", unless_empty(false.into())),
        ]);
        let expected = json!({"name": "x", "labels": {"a": "b"}, "ranges": ["y"], "items": [1, null], "no": false});
        assert_eq!(made, expected);
    }

    #[test]
    fn a_field_is_set_unless_it_is_null_or_empty() {
        let object =
            json!({"null": null, "text": "", "list": [], "object": {}, "false": false, "zero": 0, "name": "x"});
        let keys = ["null", "text", "list", "object", "false", "zero", "name", "missing"];
        assert_eq!(keys.map(|key| is_set(&object, key)), [false, false, false, false, true, true, true, false]);
        assert!(!is_set(&Value::Null, "name"));
    }
}
