//! Converts a derived schema to one that a CustomResourceDefinition accepts.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The definition with every schema normalized: optional is not nullable, so that the API server drops a null.
pub fn finished(definition: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(definition)?;
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                normalize(schema);
            }
        }
    }
    serde_json::from_value(value)
}

/// The schema of a whole object whose `spec` is a `Spec`, with the fields that every object has.
///
/// It is built without a CustomResourceDefinition, whose conversion would make the start of a program many times
/// slower. A test checks that both give the same schema.
pub fn object_schema<Spec: JsonSchema>() -> Value {
    let mut spec = generator().into_root_schema_for::<Spec>().to_value();
    normalize(&mut spec);
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "name": {"type": "string"},
                "namespace": {"type": "string"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            }},
            "spec": spec,
            // The status is written by the operator alone, so it is not checked.
            "status": {"x-kubernetes-preserve-unknown-fields": true},
        },
    })
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// Removes what schemars adds and a CustomResourceDefinition does not need.
fn normalize(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    // The API server would write a default into the stored object; the defaults are in the descriptions instead.
    fields.remove("default");
    fields.remove("title");
    // A CustomResourceDefinition closes an object by its list of properties, and does not accept both.
    if fields.get("additionalProperties") == Some(&json!(false)) {
        fields.remove("additionalProperties");
    }
    if let Some(Value::Array(required)) = fields.get_mut("required") {
        required.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
    }
    if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        fields.remove("format");
    }
    if let Some(description) = fields.get_mut("description") {
        one_line(description);
    }
    for nested in children(fields) {
        drop_nullable(nested);
        normalize(nested);
    }
}

/// Joins the lines of a doc comment to one line.
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

/// JSON pointers to the fields that have a format. Fields inside lists are not searched.
pub fn fields_with_format(schema: &Value, format: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if field["format"] == format {
            fields.push(format!("/{name}"));
        }
        fields.extend(fields_with_format(field, format).iter().map(|below| format!("/{name}{below}")));
    }
    fields
}

/// The schema of a Kubernetes type inside a resource type of this crate. Each description only refers to
/// `kubectl explain`.
///
/// `place` is the argument of `kubectl explain`, as in `pod.spec.containers`.
pub fn embedded<T: JsonSchema>(place: &str, description: &str) -> Schema {
    let mut schema = generator().into_root_schema_for::<T>().to_value();
    point_to(&mut schema, place);
    if let Value::Object(fields) = &mut schema {
        fields.remove("title");
        fields.insert("description".to_owned(), json!(description));
    }
    Schema::try_from(schema).unwrap_or_default()
}

/// The schema of a status's conditions, one of each type.
pub fn conditions() -> Value {
    let condition =
        embedded::<Condition>("service.status.conditions", "Something that holds, does not, or is not known.");
    json!({
        "type": "array",
        "items": condition,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
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

/// Asserts that manifests are checked by the same schema that the API server gets.
#[cfg(test)]
pub fn assert_same<Spec: JsonSchema>(checked: &Value, definition: CustomResourceDefinition) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

    let definition = serde_json::to_value(definition).unwrap();
    let given = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    // Converted through the API's own type, which stores numbers in another form.
    let checked: JSONSchemaProps = serde_json::from_value(checked["properties"]["spec"].clone()).unwrap();
    assert_eq!(difference(&serde_json::to_value(checked).unwrap(), given, Spec::schema_name().to_string()), None);
}

/// The first place at which two values differ.
#[cfg(test)]
fn difference(left: &Value, right: &Value, place: String) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            left.iter().find_map(|(key, value)| difference(value, &right[key], format!("{place}.{key}")))
        }
        _ => (left != right).then(|| format!("{place}: {left} is not {right}")),
    }
}
