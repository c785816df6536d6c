//! Values of the operator configuration: from the text of a ConfigMap, and from the JSON of an OperatorConfiguration.

use pgloom_common::quantity::Quantity;
use pgloom_common::{cron, duration};
use serde_json::{Map, Number, Value, json};

use super::ValueType;
use crate::document::integer;
use crate::suggest::instead;

/// The reason why a value cannot be used, and the remedy. Never contains a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub message: String,
    pub remedy: String,
}

fn error<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Error> {
    Err(Error { message: message.into(), remedy: remedy.into() })
}

/// Parses the text of a ConfigMap. An empty text means no value: 0, `false`, an empty string, list or map.
pub fn read(value_type: ValueType, text: &str) -> Result<Value, Error> {
    let text = text.trim();
    match value_type {
        ValueType::Flag => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(json!(true)),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(json!(false)),
            _ => error(format!("{text:?} is neither true nor false"), "write \"true\" or \"false\""),
        },
        ValueType::Integer if text.is_empty() => Ok(json!(0)),
        ValueType::OptionalInteger if text.is_empty() => Ok(Value::Null),
        ValueType::Integer | ValueType::OptionalInteger => match integer(text).filter(Number::is_i64) {
            Some(number) => Ok(Value::Number(number)),
            None => error(format!("{text:?} is not a whole number"), "write digits, as in \"8\""),
        },
        ValueType::List => Ok(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect()),
        ValueType::Map => map(text),
        ValueType::Containers | ValueType::Probe => yaml(value_type, text),
        ValueType::RoleSources => role_sources(text),
        _ => typed(value_type, &json!(text)),
    }
}

/// Checks a value of an OperatorConfiguration.
pub fn typed(value_type: ValueType, value: &Value) -> Result<Value, Error> {
    let kept = || Ok(value.clone());
    match (value_type, value) {
        (ValueType::Flag, Value::Bool(_))
        | (ValueType::Containers, Value::Array(_))
        | (ValueType::Probe, Value::Object(_)) => kept(),
        (ValueType::Integer | ValueType::OptionalInteger, Value::Number(number)) if number.is_i64() => kept(),
        (ValueType::Text | ValueType::Credential, Value::String(_)) => kept(),
        (ValueType::List, Value::Array(entries)) if entries.iter().all(Value::is_string) => kept(),
        (ValueType::Map, Value::Object(fields)) if fields.values().all(Value::is_string) => kept(),
        (ValueType::RoleSources, Value::Array(entries)) if entries.iter().all(Value::is_object) => kept(),
        (ValueType::Choice(choices), Value::String(text)) => choice(choices, text),
        (ValueType::Quantity, Value::String(text)) => quantity(text),
        (ValueType::Duration, Value::String(text)) => span(text),
        (ValueType::Schedule, Value::String(text)) => schedule(text),
        (ValueType::Reference, Value::String(text)) => named(text),
        _ => error(format!("expected {}", noun(value_type)), example(value_type)),
    }
}

fn noun(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Flag => "true or false",
        ValueType::Integer | ValueType::OptionalInteger => "a whole number",
        ValueType::List => "a list of strings",
        ValueType::Map => "a map of strings",
        ValueType::Containers => "a list of containers",
        ValueType::Probe => "a probe",
        ValueType::RoleSources => "a list of maps",
        _ => "a string",
    }
}

fn example(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Flag => "write it without quotes",
        ValueType::Integer | ValueType::OptionalInteger => "write digits without quotes, as in 8",
        ValueType::List => "write it as in [a, b]",
        ValueType::Map => "write it as in {a: \"1\"}, values in quotes",
        ValueType::Containers => "write it as in [{name: exporter, image: \"quay.io/exporter:1\"}]",
        ValueType::Probe => "write it as in {httpGet: {path: /liveness, port: 8008}}",
        ValueType::RoleSources => "write it as in [{secretname: roles, userkey: user, passwordkey: password}]",
        _ => "write it in quotes",
    }
}

fn choice(choices: &[&str], text: &str) -> Result<Value, Error> {
    match choices.iter().find(|choice| choice.eq_ignore_ascii_case(text)) {
        Some(choice) => Ok(json!(choice)),
        None => error(format!("{text:?} is not allowed"), instead(text, choices.iter().copied())),
    }
}

fn quantity(text: &str) -> Result<Value, Error> {
    if Quantity::given(text).is_none() {
        return Ok(json!(text));
    }
    match Quantity::parse(text) {
        Ok(quantity) if quantity.is_negative() => error(format!("{text:?} is less than nothing"), "use 0 or more"),
        Ok(_) => Ok(json!(text)),
        Err(reason) => error(reason.to_string(), "write it as in 500m or 1Gi"),
    }
}

fn span(text: &str) -> Result<Value, Error> {
    match if text.is_empty() { Ok(()) } else { duration::parse(text).map(|_| ()) } {
        Ok(()) => Ok(json!(if text.is_empty() { "0s" } else { text })),
        Err(_) => error(format!("{text:?} is not a duration"), "write it as in 30s, 5m, 1h30m"),
    }
}

fn schedule(text: &str) -> Result<Value, Error> {
    match cron::check(text) {
        Ok(()) => Ok(json!(text)),
        Err(reason) => error(reason.to_string(), "write five fields, as in 30 00 * * *"),
    }
}

fn named(text: &str) -> Result<Value, Error> {
    if text.is_empty() || reference(text).is_some() {
        return Ok(json!(text));
    }
    error(format!("{text:?} names no object"), "write name, or namespace/name")
}

/// Namespace and name of `namespace/name`, `/name` or `name`.
pub fn reference(text: &str) -> Option<(Option<&str>, &str)> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace).filter(|namespace| !namespace.is_empty()), name),
        None => (None, text),
    };
    (!name.is_empty() && !name.contains('/')).then_some((namespace, name))
}

fn map(text: &str) -> Result<Value, Error> {
    let mut fields = Map::new();
    for pair in pairs(text).map_err(|message| Error { message, remedy: "close the quote".to_owned() })? {
        if pair.is_empty() {
            continue;
        }
        let Some((name, value)) = pair.split_once(':') else {
            return error(format!("{pair:?} has no colon"), "write pairs of key and value, as in a:1,b:2");
        };
        fields.insert(name.trim().to_owned(), json!(unquoted(value.trim())));
    }
    Ok(Value::Object(fields))
}

/// A value without the quotes around it. They only protect its commas.
fn unquoted(value: &str) -> &str {
    let inner = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    });
    inner.unwrap_or(value)
}

/// The parts between commas outside of quotes, trimmed; quotes are kept. An error has the position of an open quote.
pub fn pairs(text: &str) -> Result<Vec<String>, String> {
    let mut pairs = vec![String::new()];
    let mut open: Option<(char, usize)> = None;
    for (index, c) in text.chars().enumerate() {
        match (c, open) {
            ('"' | '\'', None) => open = Some((c, index + 1)),
            (_, Some((quote, _))) if c == quote => open = None,
            (',', None) => {
                pairs.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = pairs.last_mut() {
            last.push(c);
        }
    }
    match open {
        Some((_, position)) => Err(format!("unmatched quote starting at position {position}")),
        None => Ok(pairs.iter().map(|pair| pair.trim().to_owned()).collect()),
    }
}

/// Parses a structured value, which a ConfigMap holds as YAML text.
fn yaml(value_type: ValueType, text: &str) -> Result<Value, Error> {
    match (value_type, text.is_empty()) {
        (ValueType::Containers, true) => Ok(json!([])),
        (_, true) => Ok(Value::Null),
        _ => match serde_yaml_ng::from_str::<Value>(text) {
            Ok(value) => typed(value_type, &value),
            Err(_) => error("is not YAML", example(value_type)),
        },
    }
}

/// Parses `infrastructure_roles_secrets`: definitions separated by `|`, each a list of pairs as in a map. A Secret without a
/// namespace is in `default`, as for the Zalando operator; in the other form it is in the operator's namespace. See
/// [infrastructure roles](https://postgres-operator.readthedocs.io/en/latest/user/#infrastructure-roles).
fn role_sources(text: &str) -> Result<Value, Error> {
    let mut sources = Vec::new();
    for definition in text.split('|').map(str::trim).filter(|definition| !definition.is_empty()) {
        let mut source = map(definition)?;
        match source["template"].as_str().map(|flag| read(ValueType::Flag, flag)) {
            Some(flag) => source["template"] = flag?,
            None => drop(source.as_object_mut().map(|fields| fields.remove("template"))),
        }
        let secret = source["secretname"].as_str().unwrap_or_default();
        let name = secret.strip_prefix('/').unwrap_or(secret);
        if !name.is_empty() && !name.contains('/') {
            source["secretname"] = json!(format!("default/{name}"));
        }
        sources.push(source);
    }
    Ok(Value::Array(sources))
}
