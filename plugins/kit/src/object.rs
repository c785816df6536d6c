//! Builds JSON objects. The same as `json!`, but a call for each object instead of code for each field: a guest stays small.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Map, Value};

/// An object of these fields; what is null is left out.
#[inline]
pub fn object<const N: usize>(mut fields: [(&str, Value); N]) -> Value {
    of(&mut fields)
}

#[inline(never)]
fn of(fields: &mut [(&str, Value)]) -> Value {
    let mut object = Map::new();
    for (key, value) in fields {
        if !value.is_null() {
            object.insert((*key).to_owned(), mem::take(value));
        }
    }
    Value::Object(object)
}

/// A text.
#[inline(never)]
pub fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The texts by their keys, as in labels.
#[inline(never)]
pub fn map(entries: BTreeMap<String, String>) -> Value {
    let mut object = Map::new();
    for (key, value) in entries {
        object.insert(key, Value::String(value));
    }
    Value::Object(object)
}

/// A list of texts.
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

/// Null for what is empty, so that [`object`] leaves it out.
pub fn unless_empty(value: Value) -> Value {
    let is_empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if is_empty { Value::Null } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_null_or_empty_is_left_out() {
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
}
