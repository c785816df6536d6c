//! The operator configuration of a test: every key, with its default.

use serde_json::{Value, json};

/// The defaults, with `changes` to them.
///
/// # Panics
/// If the operator configuration has no such key as one of `changes`.
#[expect(clippy::panic, reason = "a test that misspells a key has to fail")]
pub fn operator_config(changes: &Value) -> Value {
    let mut config = defaults();
    for (key, value) in changes.as_object().into_iter().flatten() {
        match config.get_mut(key) {
            Some(place) => *place = value.clone(),
            None => panic!("the operator configuration has no key {key}; docs/configuration.md lists them"),
        }
    }
    config
}

/// The configuration of the Zalando operator's ConfigMap (texts) or OperatorConfiguration (values in sections): each
/// value is converted to the type of its default. Other keys are left out.
pub fn operator_config_of(entries: &Value) -> Value {
    let mut config = defaults();
    let mut rest = vec![entries];
    while let Some(entries) = rest.pop() {
        for (key, value) in entries.as_object().into_iter().flatten() {
            match (config.get(key), value) {
                (Some(default), Value::String(text)) => config[key] = typed(text, default),
                (Some(_), value) => config[key] = value.clone(),
                // A section of an OperatorConfiguration.
                (None, Value::Object(_)) => rest.push(value),
                (None, _) => {}
            }
        }
    }
    config
}

fn typed(text: &str, default: &Value) -> Value {
    match default {
        Value::Bool(_) => json!(text == "true"),
        Value::Number(_) | Value::Null => text.parse::<i64>().map_or(Value::Null, Value::from),
        Value::Array(_) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
        Value::Object(_) => text
            .split(',')
            .filter_map(|pair| pair.split_once(':'))
            .map(|(key, value)| (key.trim().to_owned(), json!(value.trim())))
            .collect(),
        Value::String(_) => json!(text),
    }
}

fn defaults() -> Value {
    serde_json::from_str(include_str!("config.json")).unwrap_or_default()
}

/// The keys that the host shows: those that the description names.
pub(super) fn shown(config: &str, keys: &[String]) -> String {
    let mut config: Value = serde_json::from_str(config).unwrap_or_default();
    if let Some(entries) = config.as_object_mut() {
        entries.retain(|key, _| keys.contains(key));
    }
    config.to_string()
}
