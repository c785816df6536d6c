//! A step's configuration: the defaults of the plugin's schema, and the check against it.

use serde_json::{Map, Value};

use crate::validator;

/// How deep a schema is searched for defaults. A schema may refer to itself.
const MAX_DEPTH: usize = 32;

/// The step's configuration as JSON text, with the schema's defaults at every depth, checked against the schema.
pub(super) fn complete(config: &Map<String, Value>, schema: &str) -> Result<String, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let mut config = Value::Object(config.clone());
    fill(&mut config, &schema, &schema, MAX_DEPTH);
    let problems = validator::problems(&schema, &config)?;
    if problems.is_empty() { Ok(config.to_string()) } else { Err(problems.join("; ")) }
}

/// Fills in the defaults of `schema`, a part of `root`.
fn fill(value: &mut Value, schema: &Value, root: &Value, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if let Some(target) = target(schema, root) {
        fill(value, target, root, depth);
    }
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                if let (false, Some(default)) = (fields.contains_key(name), property.get("default")) {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(field, property, root, depth);
                }
            }
        }
        Value::Array(entries) => {
            let Some(items) = schema.get("items") else { return };
            entries.iter_mut().for_each(|entry| fill(entry, items, root, depth));
        }
        _ => {}
    }
}

/// The part of the schema that `$ref` names, as in `#/$defs/Patch`.
fn target<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(config: Value, schema: Value) -> Result<Value, String> {
        let Value::Object(config) = config else { panic!("not an object: {config}") };
        complete(&config, &schema.to_string()).map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn defaults_are_filled_in_at_every_depth() {
        let schema = json!({
            "properties": {
                "retry": {"properties": {"times": {"default": 3}}, "default": {}},
                "patches": {"items": {"$ref": "#/$defs/Patch"}},
                "off": {"properties": {"a": {"default": 1}}},
            },
            "$defs": {"Patch": {"properties": {"when": {"default": "true"}, "below": {"$ref": "#/$defs/Patch"}}}},
        });
        assert_eq!(
            completed(json!({"patches": [{"below": {}}, {"when": "x"}]}), schema).unwrap(),
            json!({"retry": {"times": 3}, "patches": [{"when": "true", "below": {"when": "true"}}, {"when": "x"}]})
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#"});
        let error = completed(json!({"a": 1}), schema).unwrap_err();
        assert!(error.contains("refers to itself"), "{error}");
    }

    #[test]
    fn a_value_that_the_schema_refuses_is_named() {
        let schema = json!({"properties": {"retry": {"properties": {"times": {"type": "integer"}}}}});
        let error = completed(json!({"retry": {"times": "x"}}), schema).unwrap_err();
        assert!(error.starts_with("config.retry.times: "), "{error}");
    }
}
