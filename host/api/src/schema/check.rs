//! A document checked against its schema, as the API server would do it, in words that say what to do.

use serde_json::{Map, Value};

use crate::problem::{Problem, entry, instead, member};

/// Checks `value` against an OpenAPI schema and removes the nulls that the API server would drop.
///
/// `silent` names the patterns whose values somebody else checks and explains; a mismatch with one is not reported.
pub fn check(schema: &Value, value: &mut Value, path: &str, silent: &[&str]) -> Vec<Problem> {
    let mut walk = Walk { problems: Vec::new(), silent };
    walk.value(schema, value, path);
    walk.problems
}

struct Walk<'a> {
    problems: Vec<Problem>,
    silent: &'a [&'a str],
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &mut Value, path: &str) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if let Some(problem) = type_problem(schema, value, path) {
            self.problems.push(problem);
            return;
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(entries) => self.array(schema, entries, path),
            scalar => self.scalar(schema, scalar, path),
        }
    }

    fn object(&mut self, schema: &Value, fields: &mut Map<String, Value>, path: &str) {
        let properties = schema["properties"].as_object();
        fields.retain(|name, value| !(value.is_null() && drops_null(schema, name)));
        for (name, value) in fields.iter_mut() {
            let path = member(path, name);
            if let Some(property) = properties.and_then(|properties| properties.get(name)) {
                self.value(property, value, &path);
            } else if schema["additionalProperties"].is_object() {
                self.value(&schema["additionalProperties"], value, &path);
            } else if is_closed(schema) {
                let known = properties
                    .map(|properties| properties.keys().map(String::as_str).collect::<Vec<_>>())
                    .unwrap_or_default();
                self.problems.push(Problem::error(path, "this field does not exist").remedy(instead(name, known)));
            }
        }
        self.missing(schema, fields, path);
        self.length(schema, "minProperties", "maxProperties", fields.len(), "entry", "entries", path);
    }

    fn missing(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                let remedy = match example(&schema["properties"][name]) {
                    Some(example) => format!("add it, as in {example}"),
                    None => "add it".to_owned(),
                };
                self.problems.push(Problem::error(member(path, name), "is missing").remedy(remedy));
            }
        }
    }

    fn array(&mut self, schema: &Value, entries: &mut [Value], path: &str) {
        for (index, value) in entries.iter_mut().enumerate() {
            self.value(&schema["items"], value, &entry(path, index));
        }
        self.length(schema, "minItems", "maxItems", entries.len(), "entry", "entries", path);
    }

    fn scalar(&mut self, schema: &Value, value: &Value, path: &str) {
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            let known: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
            let name = value.as_str().unwrap_or_default();
            self.problems.push(Problem::error(path, format!("{value} is not allowed")).remedy(instead(name, known)));
        }
        self.number(schema, value, path);
        if let Value::String(text) = value {
            self.length(schema, "minLength", "maxLength", text.chars().count(), "character", "characters", path);
            self.pattern(schema, text, path);
        }
    }

    fn number(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        if let Some(minimum) = schema["minimum"].as_f64()
            && number < minimum
        {
            self.problems.push(
                Problem::error(path, format!("{value} is less than {minimum}"))
                    .remedy(format!("use {minimum} or more")),
            );
        }
        if let Some(maximum) = schema["maximum"].as_f64()
            && number > maximum
        {
            self.problems.push(
                Problem::error(path, format!("{value} is more than {maximum}"))
                    .remedy(format!("use {maximum} or less")),
            );
        }
    }

    fn pattern(&mut self, schema: &Value, text: &str, path: &str) {
        let Some(pattern) = schema["pattern"].as_str() else { return };
        if self.silent.contains(&pattern) || regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text)) {
            return;
        }
        let problem = Problem::error(path, format!("{text:?} is not of the form that is allowed here"));
        self.problems.push(match example(schema) {
            Some(example) => problem.remedy(format!("write it as in {example}")),
            None => problem.remedy(format!("it has to match {pattern}")),
        });
    }

    #[allow(clippy::too_many_arguments, reason = "two bounds and two words for one rule")]
    fn length(&mut self, schema: &Value, least: &str, most: &str, count: usize, one: &str, many: &str, path: &str) {
        let noun = |limit: u64| if limit == 1 { one.to_owned() } else { many.to_owned() };
        if let Some(limit) = schema[least].as_u64()
            && (count as u64) < limit
        {
            let message =
                if count == 0 { "is empty".to_owned() } else { format!("has {count} {}", noun(count as u64)) };
            self.problems
                .push(Problem::error(path, message).remedy(format!("give it at least {limit} {}", noun(limit))));
        }
        if let Some(limit) = schema[most].as_u64()
            && (count as u64) > limit
        {
            let message = format!("has {count} {}", noun(count as u64));
            self.problems.push(Problem::error(path, message).remedy(format!("at most {limit} are allowed")));
        }
    }
}

/// Whether unknown fields are refused.
fn is_closed(schema: &Value) -> bool {
    schema["properties"].is_object()
        && schema["x-kubernetes-preserve-unknown-fields"] != true
        && schema["additionalProperties"] != true
}

/// The API server drops a null from an object where the field's schema does not allow one.
fn drops_null(schema: &Value, name: &str) -> bool {
    let field = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
    field.is_object() && field["nullable"] != true
}

fn type_problem(schema: &Value, value: &Value, path: &str) -> Option<Problem> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        return (!fits).then(|| wrong("a string or an integer", value, path));
    }
    // A credential's value is not repeated.
    let hidden = schema["format"] == "password";
    let expected = schema["type"].as_str()?;
    let fits = match expected {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    let noun = match expected {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a map",
    };
    match (fits, hidden) {
        (true, _) => None,
        (false, false) => Some(wrong(noun, value, path)),
        (false, true) => Some(Problem::error(path, format!("expected {noun}")).remedy("write it in quotes")),
    }
}

fn wrong(expected: &str, value: &Value, path: &str) -> Problem {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    };
    let problem = Problem::error(path, format!("expected {expected}, found {found}"));
    match (expected, value) {
        ("a string", Value::Number(_) | Value::Bool(_)) => problem.remedy(format!("write it in quotes: \"{value}\"")),
        ("an integer" | "a number", Value::String(text)) if text.parse::<f64>().is_ok() => {
            problem.remedy(format!("write it without quotes: {text}"))
        }
        ("true or false", Value::String(text)) if text == "true" || text == "false" => {
            problem.remedy(format!("write it without quotes: {text}"))
        }
        ("a list", Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            problem.remedy("start the line of each entry with a hyphen")
        }
        _ => problem,
    }
}

/// The example of a field: what its description says after `Example: `, in backquotes.
fn example(schema: &Value) -> Option<&str> {
    let description = schema["description"].as_str()?;
    let (_, rest) = description.rsplit_once("Example: `")?;
    rest.split_once('`').map(|(example, _)| example)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(schema: &Value, mut value: Value) -> Vec<String> {
        check(schema, &mut value, "spec", &[]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_field_names_the_nearest_that_exists() {
        let schema = json!({"type": "object", "properties": {"teamId": {"type": "string"}, "volume": {"type": "object", "properties": {"size": {"type": "string"}}}}});
        assert_eq!(
            said(&schema, json!({"teamID": "acid", "volume": {"sise": "1Gi"}})),
            [
                "spec.teamID: this field does not exist; did you mean teamId?",
                "spec.volume.sise: this field does not exist; did you mean size?"
            ]
        );
    }

    #[test]
    fn a_wrong_type_says_what_was_expected_and_how_to_write_it() {
        let schema = json!({"type": "object", "properties": {
            "text": {"type": "string"}, "count": {"type": "integer"}, "flag": {"type": "boolean"}, "list": {"type": "array", "items": {"type": "string"}}
        }});
        assert_eq!(
            said(&schema, json!({"text": 12, "count": "2", "flag": "true", "list": "x"})),
            [
                "spec.count: expected an integer, found a string; write it without quotes: 2",
                "spec.flag: expected true or false, found a string; write it without quotes: true",
                "spec.list: expected a list, found a string; start the line of each entry with a hyphen",
                "spec.text: expected a string, found the number 12; write it in quotes: \"12\"",
            ]
        );
        assert_eq!(said(&schema, json!({"list": [null]})), ["spec.list[0]: expected a string, found nothing"]);
    }

    #[test]
    fn a_missing_field_shows_its_example() {
        let schema = json!({"type": "object", "required": ["size"], "properties": {"size": {"type": "string", "description": "How large. Example: `5Gi`."}}});
        assert_eq!(said(&schema, json!({})), ["spec.size: is missing; add it, as in 5Gi"]);
        assert_eq!(said(&schema, json!({"size": null})), ["spec.size: is missing; add it, as in 5Gi"]);
    }

    #[test]
    fn a_null_is_dropped_where_it_means_nothing_and_kept_where_it_counts() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "object", "additionalProperties": {"type": "array", "nullable": true, "items": {"type": "string"}}}}});
        let mut value = json!({"a": null, "b": {"x": null}});
        assert_eq!(check(&schema, &mut value, "", &[]), []);
        assert_eq!(value, json!({"b": {"x": null}}));
    }

    #[test]
    fn bounds_and_forms_are_checked() {
        let schema = json!({"type": "object", "properties": {
            "count": {"type": "integer", "minimum": 0}, "mode": {"type": "string", "enum": ["session", "transaction"]},
            "version": {"type": "string", "pattern": "^[0-9]+$", "description": "Example: `\"17\"`."}, "list": {"type": "array", "minItems": 1, "items": {}}
        }});
        assert_eq!(
            said(&schema, json!({"count": -1, "mode": "sesion", "version": "x", "list": []})),
            [
                "spec.count: -1 is less than 0; use 0 or more",
                "spec.list: is empty; give it at least 1 entry",
                "spec.mode: \"sesion\" is not allowed; did you mean session?",
                "spec.version: \"x\" is not of the form that is allowed here; write it as in \"17\"",
            ]
        );
    }

    #[test]
    fn amounts_may_be_integers_or_strings() {
        let schema = json!({"x-kubernetes-int-or-string": true});
        assert!(said(&schema, json!(1)).is_empty() && said(&schema, json!("1")).is_empty());
        assert_eq!(said(&schema, json!(true)), ["spec: expected a string or an integer, found true"]);
    }
}
