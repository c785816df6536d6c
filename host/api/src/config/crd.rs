//! The CustomResourceDefinition `operatorconfigurations.acid.zalan.do`, built from the table of keys.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::{Form, KEYS, Key, Section, ValueType};
use crate::postgresql::pattern;
use crate::schema;

/// The `kind` of the object.
pub const KIND: &str = "OperatorConfiguration";

/// The definition. Unknown keys are kept, so that the operator can name them.
pub fn definition() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut configuration = section(Section::Top);
    for part in Section::ALL {
        if let Some(name) = part.name() {
            configuration["properties"][name] = section(part);
        }
    }
    configuration["description"] =
        json!("The operator configuration: its keys by section. A key that is absent has its default.");
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "operatorconfigurations.acid.zalan.do"},
        "spec": {
            "group": "acid.zalan.do",
            "names": {
                "kind": KIND,
                "listKind": "OperatorConfigurationList",
                "plural": "operatorconfigurations",
                "singular": "operatorconfiguration",
                "shortNames": ["opconfig"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    column("Image", "string", ".configuration.docker_image", "The image of the database containers"),
                    column("Cluster-Label", "string", ".configuration.kubernetes.cluster_name_label", "The label that holds a cluster's name"),
                    column("Service-Account", "string", ".configuration.kubernetes.pod_service_account_name", "The service account of the pods"),
                    column("Min-Instances", "integer", ".configuration.min_instances", "The least number of pods of a cluster"),
                    column("Age", "date", ".metadata.creationTimestamp", "How long the configuration has existed"),
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "How the operator treats all clusters.",
                    "required": ["configuration"],
                    "properties": {
                        "configuration": configuration,
                        "status": {
                            "type": "object",
                            "description": "Whether the operator works by this configuration.",
                            "properties": {"conditions": schema::conditions()},
                            "x-kubernetes-preserve-unknown-fields": true,
                        },
                    },
                }},
            }],
        },
    }))
}

fn column(name: &str, kind: &str, path: &str, description: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path, "description": description})
}

fn section(section: Section) -> Value {
    let keys = KEYS.iter().filter(|key| key.section == section && !key.derived);
    let properties: Map<_, _> = keys.map(|key| (key.name.to_owned(), schema(key))).collect();
    json!({
        "type": "object",
        "description": section.doc(),
        "properties": properties,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn schema(key: &Key) -> Value {
    let mut schema = match key.value_type {
        ValueType::Flag => json!({"type": "boolean"}),
        ValueType::Integer | ValueType::OptionalInteger => json!({"type": "integer", "format": "int64"}),
        ValueType::Text | ValueType::Duration | ValueType::Schedule | ValueType::Reference => json!({"type": "string"}),
        ValueType::Credential => json!({"type": "string", "format": "password"}),
        ValueType::Choice(choices) => json!({"type": "string", "enum": choices}),
        ValueType::Quantity => json!({"type": "string", "pattern": format!("^$|{}", pattern::QUANTITY)}),
        ValueType::List => json!({"type": "array", "items": {"type": "string"}}),
        ValueType::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        ValueType::Containers | ValueType::RoleSources => json!({
            "type": "array",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }),
        ValueType::Probe => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    };
    schema["description"] = json!(describe(key));
    schema
}

fn describe(key: &Key) -> String {
    let mut text = key.doc.to_owned();
    let default = key.absent(Form::Object);
    let shown = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
    if !key.doc.contains("Empty: ") || !default.is_empty() {
        text += &format!(" Default: {shown}.");
    }
    if !key.honoured {
        text += " pgloom does not act on it.";
    }
    text
}
