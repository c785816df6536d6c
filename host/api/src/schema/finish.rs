//! From a derived schema to one that a CustomResourceDefinition can carry.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// The definition with every schema tidied: optional is not nullable, so that the API server drops a null.
pub fn finished(definition: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(definition)?;
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                tidy(schema);
            }
        }
    }
    serde_json::from_value(value)
}

/// The schema of a whole object of a finished definition's first version, with the fields that every object has.
pub fn object_schema(definition: CustomResourceDefinition) -> Value {
    let value = serde_json::to_value(definition).unwrap_or_default();
    let mut schema = value.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default();
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    }});
    schema
}

/// Removes what schemars adds and a CustomResourceDefinition does not need.
fn tidy(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    // A default would be written into what the user has stored; ours are in the descriptions.
    fields.remove("default");
    fields.remove("title");
    if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        fields.remove("format");
    }
    if let Some(description) = fields.get_mut("description") {
        one_line(description);
    }
    for nested in children(fields) {
        drop_nullable(nested);
        tidy(nested);
    }
}

/// Doc comments wrap at the margin; a description does not.
fn one_line(description: &mut Value) {
    if let Value::String(text) = description {
        let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
}

fn drop_nullable(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        fields.remove("nullable");
    }
}

/// The schemas right below one.
fn children(fields: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut found = Vec::new();
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => found.extend(properties.values_mut()),
            ("items" | "additionalProperties", value @ Value::Object(_)) => found.push(value),
            _ => {}
        }
    }
    found
}

/// The schema of a Kubernetes type inside ours, with where to read about each of its fields in place of its own words.
///
/// `place` is what `kubectl explain` takes, as in `pod.spec.containers`.
pub fn embedded<T: JsonSchema>(place: &str, description: &str) -> Schema {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    point_to(&mut schema, place);
    if let Value::Object(fields) = &mut schema {
        fields.remove("title");
        fields.insert("description".to_owned(), json!(description));
    }
    Schema::try_from(schema).unwrap_or_default()
}

/// Replaces the descriptions below a Kubernetes type.
fn point_to(schema: &mut Value, place: &str) {
    let Value::Object(fields) = schema else { return };
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            let place = format!("{place}.{name}");
            if let Value::Object(property) = property {
                property.insert("description".to_owned(), json!(format!("See kubectl explain {place}.")));
            }
            point_to(property, &place);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(nested) = fields.get_mut(key) {
            if let Value::Object(nested) = nested {
                nested.remove("description");
            }
            point_to(nested, place);
        }
    }
}
