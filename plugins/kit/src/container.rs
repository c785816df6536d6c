//! Pieces of containers that several plugins build alike.

use serde_json::{Value, json};

/// A variable with a literal value.
pub fn env(name: &str, value: impl Into<String>) -> Value {
    json!({"name": name, "value": value.into()})
}

/// A variable that takes a field of the pod.
pub fn env_from_field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
}

/// A variable that takes a key of a Secret.
pub fn env_from_secret(name: &str, secret: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
}

/// An entry that says nothing but its name: it leaves its place as it is and gives the entries around it theirs.
pub fn anchor(name: &str) -> Value {
    json!({"name": name})
}

/// Puts `entries` right behind the entry named `after` of an existing list of named entries: the result is what a plugin
/// contributes. Without such an entry they go to the end.
pub fn insert_behind(existing: &[String], after: &str, entries: Vec<Value>) -> Vec<Value> {
    let Some(place) = existing.iter().position(|name| name == after) else { return entries };
    let mut list = vec![anchor(after)];
    list.extend(entries);
    list.extend(existing.get(place + 1).map(|next| anchor(next)));
    list
}
