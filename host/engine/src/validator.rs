//! A configuration checked against the schema of its plugin, with limits: the schema is a plugin's, and the check runs in the host.

use jsonschema::PatternOptions;
use jsonschema::error::ValidationErrorKind;
use pgloom_api::suggest;
use serde_json::{Map, Value};

/// The most patterns of a schema.
pub(crate) const MAX_PATTERNS: usize = 64;
/// The most bytes of a pattern when it is compiled.
const MAX_PATTERN_SIZE: usize = 256 << 10;
/// The most pairs of a part of the schema and a value that are compared: a schema may refer to itself, and two references
/// in each part double the work at each depth.
const MAX_COMPARISONS: usize = 100_000;
/// The deepest chain of comparisons: the check is recursive.
pub(crate) const MAX_DEPTH: usize = 64;

/// Keywords with schemas for the value itself: one, a list, or a map of them.
const SAME: [&str; 9] = ["not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"];
/// Keywords with a schema for each entry or field of the value, or in `items` a list of them.
const EACH: [&str; 7] = [
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
/// Keywords by which what a reference means depends on more than its text.
const UNBOUNDED: [&str; 5] = ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef"];

/// What a value has that the schema refuses, each with its place as in `config.retry.times`.
///
/// # Errors
/// The schema is invalid, or the check would take too much.
pub(crate) fn problems(schema: &Value, value: &Value) -> Result<Vec<String>, String> {
    let number = patterns(schema);
    if number > MAX_PATTERNS {
        return Err(format!("the configuration schema has {number} patterns, the limit is {MAX_PATTERNS}"));
    }
    Budget { root: schema, left: MAX_COMPARISONS }.compare(schema, value, MAX_DEPTH)?;
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN_SIZE);
    let validator = jsonschema::options()
        .with_pattern_options(patterns)
        .build(schema)
        .map_err(|error| format!("the configuration schema is invalid: {error}"))?;
    let problem = |error: jsonschema::ValidationError<'_>| {
        let path = error.instance_path().to_string().replace('/', ".");
        if matches!(error.kind(), ValidationErrorKind::FalseSchema) {
            // The place of unknown keys of an object without known ones is the object.
            let of_keys = error.schema_path().to_string().ends_with("/additionalProperties");
            let problem = if of_keys { "has no keys; remove those that it has" } else { "is not allowed; remove it" };
            return format!("config{path}: {problem}");
        }
        // The value may be a credential that is in the wrong place.
        format!("config{path}: {}{}", error.masked_with("the value"), remedy(schema, &error))
    };
    Ok(validator.iter_errors(value).map(problem).collect())
}

/// The remedy for fields that the part of the schema does not have.
fn remedy(schema: &Value, error: &jsonschema::ValidationError<'_>) -> String {
    let (ValidationErrorKind::AdditionalProperties { unexpected }
    | ValidationErrorKind::UnevaluatedProperties { unexpected }) = error.kind()
    else {
        return String::new();
    };
    // The path ends in the keyword.
    let path = error.schema_path().to_string();
    let part = path.rsplit_once('/').and_then(|(part, _)| schema.pointer(part));
    let known = part.and_then(|part| part["properties"].as_object()).into_iter().flat_map(Map::keys);
    let known: Vec<&str> = known.map(String::as_str).collect();
    let otherwise = if known.is_empty() { "remove it".to_owned() } else { format!("known here: {}", known.join(", ")) };
    let remedy = |name: &String| format!("; {name}: {}", suggest::nearest_or(name, known.iter().copied(), &otherwise));
    unexpected.iter().map(remedy).collect()
}

/// How many patterns a schema has.
fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(fields) => {
            let named = fields.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
            let own = usize::from(fields.contains_key("pattern"));
            named + own + fields.values().map(patterns).sum::<usize>()
        }
        Value::Array(entries) => entries.iter().map(patterns).sum(),
        _ => 0,
    }
}

/// Counts what a check compares, without the shortcuts that a validator takes.
struct Budget<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Budget<'a> {
    fn compare(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Result<(), String> {
        let Value::Object(keywords) = schema else { return Ok(()) };
        if let Some(keyword) = UNBOUNDED.iter().find(|keyword| keywords.contains_key(**keyword)) {
            return Err(format!("the configuration schema has {keyword:?}; refer to its parts as in #/$defs/NAME"));
        }
        let (Some(left), Some(depth)) = (self.left.checked_sub(1), depth.checked_sub(1)) else {
            return Err("the configuration schema refers to itself too often to be checked; make it smaller".to_owned());
        };
        self.left = left;
        if let Some(reference) = keywords.get("$ref") {
            self.compare(self.target(reference)?, value, depth)?;
        }
        for part in SAME.iter().filter_map(|keyword| keywords.get(*keyword)).flat_map(schemas) {
            self.compare(part, value, depth)?;
        }
        for part in EACH.iter().filter_map(|keyword| keywords.get(*keyword)).flat_map(schemas) {
            children(value).try_for_each(|(_, child)| self.compare(part, child, depth))?;
        }
        for (name, part) in keywords.get("properties").into_iter().flat_map(children) {
            value.get(name).map_or(Ok(()), |field| self.compare(part, field, depth))?;
        }
        for (_, part) in keywords.get("patternProperties").into_iter().flat_map(children) {
            children(value).try_for_each(|(_, field)| self.compare(part, field, depth))?;
        }
        let entries = value.as_array().into_iter().flatten();
        for (part, entry) in keywords.get("prefixItems").into_iter().flat_map(schemas).zip(entries) {
            self.compare(part, entry, depth)?;
        }
        Ok(())
    }

    /// The part of the schema that a reference names.
    fn target(&self, reference: &Value) -> Result<&'a Value, String> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).ok_or_else(|| {
            format!("the configuration schema has the $ref {reference}, which is no part of it; write #/$defs/NAME")
        })
    }
}

/// The schemas of a keyword, which has one, a list or a map of them.
fn schemas(keyword: &Value) -> impl Iterator<Item = &Value> {
    children(keyword).map(|(_, part)| part).chain([keyword])
}

/// The entries of a list, or the fields of an object with their names.
fn children(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = value.as_array().into_iter().flatten().map(|entry| ("", entry));
    let fields = value.as_object().into_iter().flatten().map(|(name, field)| (name.as_str(), field));
    entries.chain(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_whose_references_double_at_each_step_is_refused() {
        let mut definitions = Map::new();
        for index in 0..60 {
            let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
            definitions.insert(index.to_string(), json!({"allOf": [next, next]}));
        }
        definitions.insert("60".to_owned(), json!({"type": "object"}));
        let error = problems(&json!({"$defs": definitions, "$ref": "#/$defs/0"}), &json!({})).unwrap_err();
        assert!(error.contains("refers to itself too often"), "{error}");
        let deep = (0..40).fold(json!({}), |below, _| json!({"a": below}));
        let recursive = json!({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a$": {"$ref": "#"}}});
        let error = problems(&recursive, &deep).unwrap_err();
        assert!(error.contains("refers to itself too often"), "{error}");
    }

    #[test]
    fn a_schema_that_refers_to_itself_for_the_same_value_is_refused() {
        let error = problems(&json!({"$ref": "#"}), &json!({"a": 1})).unwrap_err();
        assert!(error.contains("refers to itself too often"), "{error}");
    }

    #[test]
    fn a_reference_to_another_document_is_refused_with_what_to_write() {
        for (schema, says) in [
            (json!({"$ref": "https://example.org/schema"}), "write #/$defs/NAME"),
            (json!({"$id": "https://example.org/schema"}), "refer to its parts as in #/$defs/NAME"),
        ] {
            let error = problems(&schema, &json!({})).unwrap_err();
            assert!(error.ends_with(says), "{error}");
        }
    }

    #[test]
    fn a_schema_with_many_patterns_or_with_a_large_one_is_refused() {
        let many: Vec<Value> = (0..65).map(|_| json!({"pattern": "a"})).collect();
        let error = problems(&json!({"anyOf": many}), &json!({})).unwrap_err();
        assert_eq!(error, "the configuration schema has 65 patterns, the limit is 64");
        let large = json!({"properties": {"a": {"pattern": "(\\pL{100}){100}"}}});
        let error = problems(&large, &json!({"a": "b"})).unwrap_err();
        assert!(error.starts_with("the configuration schema is invalid: "), "{error}");
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one_of_its_part_of_the_schema_or_all() {
        let schema = json!({
            "type": "object",
            "properties": {"greeting": {"type": "string"}, "rules": {"items": {"$ref": "#/$defs/Rule"}}},
            "additionalProperties": false,
            "$defs": {"Rule": {"properties": {"when": {}, "apply": {}}, "additionalProperties": false}},
        });
        for (config, expected) in [
            (
                json!({"greting": "a"}),
                "config: Additional properties are not allowed ('greting' was unexpected); greting: did you mean greeting?",
            ),
            (
                json!({"rules": [{"aply": 1}]}),
                "config.rules.0: Additional properties are not allowed ('aply' was unexpected); aply: did you mean apply?",
            ),
            (
                json!({"zzz": 1}),
                "config: Additional properties are not allowed ('zzz' was unexpected); zzz: known here: greeting, rules",
            ),
        ] {
            assert_eq!(problems(&schema, &config).unwrap(), [expected]);
        }
        let nothing = json!({"type": "object", "additionalProperties": false});
        assert_eq!(problems(&nothing, &json!({"a": 1})).unwrap(), ["config: has no keys; remove those that it has"]);
    }

    #[test]
    fn a_schema_as_schemars_writes_it_accepts_and_refuses() {
        let schema = json!({
            "type": "object",
            "properties": {"rules": {"type": "array", "items": {"$ref": "#/$defs/Rule"}}},
            "$defs": {"Rule": {
                "type": "object",
                "properties": {"name": {"pattern": "^[a-z]+$"}, "below": {"$ref": "#/$defs/Rule"}},
                "required": ["name"],
            }},
        });
        let rules = |name: &str| json!({"rules": [{"name": "a", "below": {"name": name}}]});
        assert_eq!(problems(&schema, &rules("b")), Ok(Vec::new()));
        let found = problems(&schema, &rules("B")).unwrap();
        assert_eq!(found, ["config.rules.0.below.name: the value does not match \"^[a-z]+$\""]);
    }
}
