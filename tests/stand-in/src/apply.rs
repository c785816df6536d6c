//! Server-side apply: adds the fields that a manager states, and removes those that it no longer states.

use serde_json::{Map, Value, json};

/// The object after `manager` applied `body`.
#[must_use]
pub fn apply(before: Option<&Value>, body: &Value, manager: &str) -> Value {
    let mut object = before.cloned().unwrap_or_else(|| json!({}));
    let body = without_nulls(body);
    let stated = fields(&body, Level::Object);
    let is_ours = |entry: &Value| entry["manager"] == manager && entry["operation"] == "Apply";
    let mut managers = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    if let Some(ours) = managers.iter().find(|entry| is_ours(entry)) {
        forget(&mut object, &ours["fieldsV1"], &stated);
    }
    managers.retain(|entry| !is_ours(entry));
    managers.push(json!({
        "manager": manager, "operation": "Apply", "apiVersion": body["apiVersion"], "fieldsType": "FieldsV1",
        "fieldsV1": stated,
    }));
    merge(&mut object, &body);
    object["metadata"]["managedFields"] = json!(managers);
    object
}

/// The object that `manager` created by `body`: its fields belong to an update of the manager, not to an apply.
#[must_use]
pub fn created(body: &Value, manager: &str) -> Value {
    let mut object = body.clone();
    object["metadata"]["managedFields"] = json!([{
        "manager": manager, "operation": "Update", "apiVersion": body["apiVersion"], "fieldsType": "FieldsV1",
        "fieldsV1": fields(&without_nulls(body), Level::Object),
    }]);
    object
}

/// A merge patch: null removes a field.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (
            into @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)),
            Value::Object(from),
        ) => {
            *into = json!({});
            merge(into, &Value::Object(from.clone()));
        }
        (into, from) => *into = from.clone(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Object,
    Metadata,
    Below,
}

/// The fields that a body states, lists as a whole.
fn fields(body: &Value, level: Level) -> Value {
    let is_identity = |key: &str| match level {
        Level::Object => matches!(key, "apiVersion" | "kind"),
        Level::Metadata => matches!(key, "name" | "namespace"),
        Level::Below => false,
    };
    let stated = body.as_object().into_iter().flatten().filter(|(key, _)| !is_identity(key));
    let fields: Map<String, Value> = stated
        .map(|(key, value)| {
            let below = if level == Level::Object && key == "metadata" { Level::Metadata } else { Level::Below };
            (format!("f:{key}"), fields(value, below))
        })
        .collect();
    Value::Object(fields)
}

/// Removes the fields that the manager stated before and no longer states.
fn forget(object: &mut Value, before: &Value, now: &Value) {
    let Some(object) = object.as_object_mut() else { return };
    for (field, below) in before.as_object().into_iter().flatten() {
        let name = field.strip_prefix("f:").unwrap_or(field);
        let is_leaf = below.as_object().is_none_or(Map::is_empty);
        if is_leaf && now[field].is_null() {
            object.remove(name);
        }
        if let Some(value) = object.get_mut(name).filter(|_| !is_leaf) {
            forget(value, below, &now[field]);
            if now[field].is_null() && value.as_object().is_some_and(Map::is_empty) {
                object.remove(name);
            }
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let stated = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(stated.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(labels: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c", "labels": labels}, "spec": {"ports": [1]}})
    }

    #[test]
    fn a_repeated_apply_changes_nothing() {
        let once = apply(None, &service(json!({"a": "1"})), "pgloom");
        assert_eq!(apply(Some(&once), &service(json!({"a": "1"})), "pgloom"), once);
    }

    #[test]
    fn what_is_no_longer_stated_goes_and_what_others_wrote_stays() {
        let mut before = apply(None, &service(json!({"a": "1", "b": "2"})), "pgloom");
        before["metadata"]["labels"]["theirs"] = json!("3");
        before["status"] = json!({"x": 1});
        let after = apply(Some(&before), &service(json!({"b": "2"})), "pgloom");
        assert_eq!(after["metadata"]["labels"], json!({"b": "2", "theirs": "3"}));
        assert_eq!(after["status"], json!({"x": 1}));
    }
}
