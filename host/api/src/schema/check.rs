//! Checks a document against its schema, as the API server would do it. Each finding has a remedy.
//!
//! Why not the crate `jsonschema`: its errors have no remedy, and it does not know the API server's own rules: a
//! null where none is allowed is dropped, and a field that the schema does not name is unknown.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use pgloom_common::name::is_annotation_key;
use regex::Regex;
use serde_json::{Map, Value};

use crate::field::Place;
use crate::finding::Finding;
use crate::suggest::{self, instead};

/// Marks the part of a schema that is a type of Kubernetes. The Zalando operator's schema keeps unknown fields there and it
/// ignores them, so clusters that have one run: here they are a warning.
pub const LENIENT: &str = "x-pgloom-lenient";
/// Marks a part that the API server keeps as it is written. The Zalando operator reads the names of its fields in any case
/// of letters, so they are written here as Kubernetes does.
pub const KEPT: &str = "x-pgloom-kept";
/// Marks a map in such a part whose unknown fields stay.
pub const OPEN: &str = "x-pgloom-open";
/// The values of a text that Kubernetes accepts, where the API server checks them only in the objects that are made.
pub const CHOICES: &str = "x-pgloom-choices";

/// Fields of an object of which Kubernetes accepts one, where the API server checks it only in the objects that are made.
pub const ALONE: &str = "x-pgloom-alone";
/// Marks a map whose names have to be keys of annotations, which the API server checks only in the objects that are made.
pub const ANNOTATIONS: &str = "x-pgloom-annotations";

/// One violation of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The violated rule.
    pub rule: Rule,
    /// The finding for the user.
    pub finding: Finding,
}

/// The rules of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The schema has the field.
    Known,
    /// The value has the schema's type.
    Type,
    /// The required field is present.
    Required,
    /// The value matches the pattern, the enumeration or the bounds.
    Form,
    /// Kubernetes accepts the value in an object that is made.
    Choice,
}

/// How a part of a document is checked.
#[derive(Clone, Copy, Default)]
struct Part {
    /// Unknown fields are no error.
    lenient: bool,
    /// Names of fields may be in any case.
    kept: bool,
}

/// Checks `value` against an OpenAPI schema and removes what the API server would drop: nulls, and the unknown fields that
/// it names.
pub fn check(schema: &Value, value: &mut Value, path: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    any(schema, value, &Place::Start(path), Part::default(), &mut faults);
    faults
}

fn any(schema: &Value, value: &mut Value, place: &Place<'_>, within: Part, faults: &mut Vec<Fault>) {
    let part = Part { lenient: within.lenient || schema[LENIENT] == true, kept: within.kept || schema[KEPT] == true };
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(finding) = type_finding(schema, value, place) {
        faults.push(Fault { rule: Rule::Type, finding });
        return;
    }
    match value {
        Value::Object(fields) => object(schema, fields, place, part, faults),
        Value::Array(entries) => {
            for (index, value) in entries.iter_mut().enumerate() {
                any(&schema["items"], value, &Place::Entry(place, index), part, faults);
            }
            count(schema, ("minItems", "maxItems"), || entries.len(), ("entry", "entries"), place, faults);
        }
        Value::String(text) => {
            let words = ("character", "characters");
            count(schema, ("minLength", "maxLength"), || text.chars().count(), words, place, faults);
            form(choice(schema, text, place).or_else(|| pattern(schema, text, place)), faults);
            faults.extend(refused_later(schema, text, place).map(|finding| Fault { rule: Rule::Choice, finding }));
        }
        scalar => form(bounds(schema, scalar, place), faults),
    }
}

fn form(finding: Option<Finding>, faults: &mut Vec<Fault>) {
    faults.extend(finding.map(|finding| Fault { rule: Rule::Form, finding }));
}

fn object(schema: &Value, fields: &mut Map<String, Value>, place: &Place<'_>, part: Part, faults: &mut Vec<Fault>) {
    let properties = schema["properties"].as_object();
    if let Some(properties) = properties.filter(|_| part.kept) {
        write_as(properties, fields);
    }
    fields.retain(|name, value| !(value.is_null() && drops_null(schema, name)));
    let mut unknown = Vec::new();
    for (name, value) in fields.iter_mut() {
        let place = Place::Member(place, name);
        if let Some(property) = properties.and_then(|properties| properties.get(name)) {
            any(property, value, &place, part, faults);
        } else if schema["additionalProperties"].is_object() {
            any(&schema["additionalProperties"], value, &place, part, faults);
        } else if is_closed(schema, part) {
            let known: Vec<_> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
            let finding = match part.lenient {
                true => Finding::warning("this field does not exist; it is ignored"),
                false => Finding::error("this field does not exist"),
            };
            let finding = finding.at(place.to_string()).remedy(instead(name, known));
            faults.push(Fault { rule: Rule::Known, finding });
            unknown.push(name.clone());
        }
    }
    unknown.iter().for_each(|name| drop(fields.remove(name)));
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            let remedy = match example(&schema["properties"][name]) {
                Some(example) => format!("add it, as in {example}"),
                None => "add it".to_owned(),
            };
            let finding = Finding::error("is missing").at(Place::Member(place, name).to_string()).remedy(remedy);
            faults.push(Fault { rule: Rule::Required, finding });
        }
    }
    count(schema, ("minProperties", "maxProperties"), || fields.len(), ("entry", "entries"), place, faults);
    let refused = beside_another(schema, fields, place).into_iter().chain(no_annotations(schema, fields, place));
    faults.extend(refused.map(|finding| Fault { rule: Rule::Choice, finding }));
}

/// The second of several fields of which one is accepted. An empty text counts as not given.
fn beside_another(schema: &Value, fields: &Map<String, Value>, place: &Place<'_>) -> Option<Finding> {
    let sets = schema[ALONE].as_array()?.iter().filter_map(Value::as_array);
    let given = |name: &&str| fields.get(*name).is_some_and(|value| !value.is_null() && value != "");
    sets.filter_map(|names| {
        let mut given = names.iter().filter_map(Value::as_str).filter(given);
        let (first, second) = (given.next()?, given.next()?);
        let finding = Finding::error(format!("Kubernetes does not accept {second} beside {first}"));
        Some(finding.at(Place::Member(place, second).to_string()).remedy("remove one of them"))
    })
    .next()
}

fn no_annotations(schema: &Value, fields: &Map<String, Value>, place: &Place<'_>) -> Vec<Finding> {
    if schema[ANNOTATIONS] != true {
        return Vec::new();
    }
    let refused = fields.keys().filter(|name| !is_annotation_key(name));
    let finding = |name: &String| {
        let finding = Finding::error(format!("Kubernetes does not accept {name:?} as the key of an annotation"));
        finding.at(place.to_string()).remedy(suggest::LABEL)
    };
    refused.map(finding).collect()
}

fn choice(schema: &Value, text: &str, place: &Place<'_>) -> Option<Finding> {
    let allowed = schema["enum"].as_array()?;
    let known: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
    (!known.contains(&text))
        .then(|| Finding::error(format!("{text:?} is not allowed")).at(place.to_string()).remedy(instead(text, known)))
}

fn refused_later(schema: &Value, text: &str, place: &Place<'_>) -> Option<Finding> {
    let accepted = schema[CHOICES].as_array()?;
    let known: Vec<_> = accepted.iter().filter_map(Value::as_str).collect();
    if known.contains(&text) {
        return None;
    }
    let finding = Finding::error(format!("Kubernetes does not accept {text:?} here")).at(place.to_string());
    Some(finding.remedy(instead(text, known.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>())))
}

fn pattern(schema: &Value, text: &str, place: &Place<'_>) -> Option<Finding> {
    let pattern = schema["pattern"].as_str()?;
    if matches(pattern, text) {
        return None;
    }
    let remedy = match example(schema) {
        Some(example) => format!("write it as in {example}"),
        None => format!("it has to match {pattern}"),
    };
    Some(
        Finding::error(format!("{text:?} is not of the form that is allowed here"))
            .at(place.to_string())
            .remedy(remedy),
    )
}

/// Whether a text matches a pattern.
fn matches(pattern: &str, text: &str) -> bool {
    compiled(pattern).is_none_or(|regex| regex.is_match(text))
}

/// The patterns are few and constant; each is compiled once.
fn compiled(pattern: &str) -> Option<Arc<Regex>> {
    // Shared, not cloned: a clone of a `Regex` starts with an empty cache.
    static COMPILED: RwLock<BTreeMap<String, Option<Arc<Regex>>>> = RwLock::new(BTreeMap::new());
    if let Some(regex) = COMPILED.read().ok()?.get(pattern) {
        return regex.clone();
    }
    let regex = Regex::new(pattern).ok().map(Arc::new);
    COMPILED.write().ok()?.insert(pattern.to_owned(), regex.clone());
    regex
}

fn bounds(schema: &Value, value: &Value, place: &Place<'_>) -> Option<Finding> {
    let number = value.as_f64()?;
    let bound = |key: &str| schema[key].as_f64();
    if let Some(minimum) = bound("minimum").filter(|minimum| number < *minimum) {
        let finding = Finding::error(format!("{value} is less than {minimum}")).at(place.to_string());
        return Some(finding.remedy(format!("use {minimum} or more")));
    }
    let maximum = bound("maximum").filter(|maximum| number > *maximum)?;
    Some(
        Finding::error(format!("{value} is more than {maximum}"))
            .at(place.to_string())
            .remedy(format!("use {maximum} or less")),
    )
}

fn count(
    schema: &Value,
    (least, most): (&str, &str),
    found: impl FnOnce() -> usize,
    (one, many): (&str, &str),
    place: &Place<'_>,
    faults: &mut Vec<Fault>,
) {
    let (least, most) = (schema[least].as_u64(), schema[most].as_u64());
    if least.or(most).is_none() {
        return;
    }
    let found = found() as u64;
    let noun = |count: u64| format!("{count} {}", if count == 1 { one } else { many });
    let finding = |message| Finding::error(message).at(place.to_string());
    if let Some(limit) = least.filter(|limit| found < *limit) {
        let message = if found == 0 { "is empty".to_owned() } else { format!("has {}", noun(found)) };
        form(Some(finding(message).remedy(format!("give it at least {}", noun(limit)))), faults);
    }
    if let Some(limit) = most.filter(|limit| found > *limit) {
        form(Some(finding(format!("has {}", noun(found))).remedy(format!("at most {limit} are allowed"))), faults);
    }
}

/// Whether unknown fields are refused, or ignored in a lenient part.
fn is_closed(schema: &Value, part: Part) -> bool {
    let is_open = match part.kept {
        true => schema[OPEN] == true,
        false => schema["x-kubernetes-preserve-unknown-fields"] == true,
    };
    schema["properties"].is_object() && !is_open && schema["additionalProperties"] != true
}

/// Renames the fields that differ from a known one in the case of letters. Of two spellings the last counts, in the order
/// in which the API server stores them.
fn write_as(properties: &Map<String, Value>, fields: &mut Map<String, Value>) {
    let is_misspelt = |name: &&String| !properties.contains_key(*name);
    let known = |name: &String| properties.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
    let renamed: Vec<_> =
        fields.keys().filter(is_misspelt).filter_map(|name| Some((name.clone(), known(name)?))).collect();
    for (name, known) in renamed {
        let value = fields.remove(&name).unwrap_or_default();
        if name > known || !fields.contains_key(&known) {
            fields.insert(known, value);
        }
    }
}

/// The API server drops a null from an object where the field's schema does not allow one.
fn drops_null(schema: &Value, name: &str) -> bool {
    let field = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
    field.is_object() && field["nullable"] != true
}

/// The least float that is beyond an `i64`.
const MAX_INTEGER: f64 = 9_223_372_036_854_775_808.0;

fn type_finding(schema: &Value, value: &Value, place: &Place<'_>) -> Option<Finding> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        let finding = || wrong("a string or an integer", value, place);
        return match value {
            // An amount, as in `cpu: 0.5`.
            Value::Number(number) if !fits => {
                Some(Finding { remedy: Some(format!("write it in quotes, as in \"{number}\"")), ..finding() })
            }
            _ => (!fits).then(finding),
        };
    }
    let expected = schema["type"].as_str()?;
    if expected == "integer"
        && schema["format"] == "int32"
        && value.as_i64().is_some_and(|value| i32::try_from(value).is_err())
    {
        return Some(wrong("an integer of at most 2147483647", value, place));
    }
    let is_whole = || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    // Every such field is an `i64`.
    if expected == "integer" && !value.is_i64() && value.as_f64().is_some_and(|number| number.abs() >= MAX_INTEGER) {
        return Some(wrong("an integer of at most 9223372036854775807", value, place));
    }
    let fits = match expected {
        "string" => value.is_string(),
        "integer" => value.is_i64() || is_whole(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if fits {
        return None;
    }
    let noun = match expected {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a map",
    };
    // A credential's value is not repeated.
    Some(match schema["format"] == "password" {
        false => match unquoted(schema, value) {
            Some(example) => Finding { remedy: Some(format!("write it as in {example}")), ..wrong(noun, value, place) },
            None => wrong(noun, value, place),
        },
        true => Finding::error(format!("expected {noun}")).at(place.to_string()).remedy("write it in quotes"),
    })
}

/// An example for a scalar that has to be a string of a form which it does not have in quotes either.
fn unquoted<'a>(schema: &'a Value, value: &Value) -> Option<&'a str> {
    let is_scalar = value.is_number() || value.is_boolean();
    let pattern = schema["pattern"].as_str().filter(|_| is_scalar)?;
    if matches(pattern, &value.to_string()) { None } else { example(schema) }
}

fn wrong(expected: &str, value: &Value, place: &Place<'_>) -> Finding {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    };
    let finding = Finding::error(format!("expected {expected}, found {found}")).at(place.to_string());
    match (expected, value) {
        ("a string", Value::Number(_) | Value::Bool(_)) => finding.remedy(format!("write it in quotes: \"{value}\"")),
        ("an integer" | "a number", Value::String(text)) if text.parse::<f64>().is_ok() => {
            finding.remedy(format!("write it without quotes: {text}"))
        }
        ("true or false", Value::String(text)) if text == "true" || text == "false" => {
            finding.remedy(format!("write it without quotes: {text}"))
        }
        ("true or false", _) => finding.remedy("write true or false"),
        ("a list", Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            finding.remedy("start the line of each entry with a hyphen")
        }
        _ => finding,
    }
}

/// The example of a field: what its description says after `Example: `, in backquotes.
fn example(schema: &Value) -> Option<&str> {
    let description = schema["description"].as_str()?;
    let (_, rest) = description.rsplit_once("Example: `")?;
    rest.split_once('`').map(|(example, _)| example)
}

#[cfg(test)]
mod tests;
