//! The schemas of Kubernetes types inside ours.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::choice;
use crate::schema::{self, ALONE, ANNOTATIONS, KEPT, LENIENT, OPEN};

pub fn sidecars(_: &mut SchemaGenerator) -> Schema {
    let name = "Its name in the pod. Default: `sidecar-` and its place in the list. Example: `exporter`.";
    list(container("pod.spec.containers", name, "quay.io/exporter:1", &["image"]))
}

pub fn init_containers(_: &mut SchemaGenerator) -> Schema {
    let name = "Its name in the pod. Example: `date`.";
    list(container("pod.spec.initContainers", name, "busybox", &["name", "image"]))
}

/// The sidecars of the operator configuration. They are checked here alone, and not by the API server.
pub fn platform_sidecars() -> Value {
    let name = "Its name in the pod. Example: `exporter`.";
    list(container("pod.spec.containers", name, "quay.io/exporter:1", &["name", "image"])).to_value()
}

/// The probe of the operator configuration. It is checked here alone, and not by the API server.
pub fn platform_probe() -> Value {
    embedded::<core::Probe>("pod.spec.containers.livenessProbe", "").to_value()
}

fn container(place: &str, name: &str, image: &str, required: &[&str]) -> Value {
    let mut container = kept::<core::Container>(place, "A container with any field of a Kubernetes container.");
    container["required"] = json!(required);
    container["properties"]["name"] = json!({"type": "string", "description": name});
    container["properties"]["image"] =
        json!({"type": "string", "description": format!("Its image. Example: `{image}`.")});
    container
}

pub fn old_init_containers(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "array", "items": {
        "type": "object",
        "required": ["name", "image"],
        "x-kubernetes-preserve-unknown-fields": true,
        KEPT: true,
        OPEN: true,
        "properties": {
            "name": {"type": "string", "description": "Its name in the pod. Example: `date`."},
            "image": {"type": "string", "description": "Its image. Example: `busybox`."},
        },
    }})
}

pub fn env(_: &mut SchemaGenerator) -> Schema {
    list(kept::<core::EnvVar>("pod.spec.containers.env", "A variable."))
}

pub fn env_from(_: &mut SchemaGenerator) -> Schema {
    list_of::<core::EnvFromSource>("pod.spec.containers.envFrom", "A source of variables.")
}

pub fn tolerations(_: &mut SchemaGenerator) -> Schema {
    list_of::<core::Toleration>("pod.spec.tolerations", "A taint that is tolerated.")
}

pub fn topology_spread_constraints(_: &mut SchemaGenerator) -> Schema {
    list_of::<core::TopologySpreadConstraint>(
        "pod.spec.topologySpreadConstraints",
        "How pods spread over one kind of place.",
    )
}

pub fn node_affinity(_: &mut SchemaGenerator) -> Schema {
    undescribed(embedded::<core::NodeAffinity>("pod.spec.affinity.nodeAffinity", ""))
}

pub fn liveness_probe(_: &mut SchemaGenerator) -> Schema {
    undescribed(embedded::<core::Probe>("pod.spec.containers.livenessProbe", ""))
}

/// A map whose names are keys of annotations.
pub fn annotations(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = BTreeMap::<String, String>::json_schema(generator).to_value();
    schema[ANNOTATIONS] = json!(true);
    as_schema(schema)
}

pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    undescribed(embedded::<meta::LabelSelector>("persistentvolumeclaim.spec.selector", ""))
}

/// A pod's volume without its name. Fields that are unknown today are kept: Kubernetes may know them tomorrow.
pub fn volume_source(_: &mut SchemaGenerator) -> Schema {
    let mut volume = kept::<core::Volume>("pod.spec.volumes", "");
    if let Value::Object(fields) = &mut volume {
        fields.remove("required");
        fields.remove("description");
        if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("name");
        }
    }
    let sources: Vec<_> =
        volume["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect();
    volume[ALONE] = json!([sources]);
    volume[OPEN] = json!(true);
    as_schema(volume)
}

/// The schema of a type of Kubernetes. Unknown fields of it are a warning.
fn embedded<T: JsonSchema>(place: &str, description: &str) -> Schema {
    let mut schema = schema::embedded::<T>(place, description).to_value();
    schema[LENIENT] = json!(true);
    choice::add(&mut schema);
    as_schema(schema)
}

/// The schema of a type of Kubernetes where the API server keeps unknown fields, as with the Zalando operator's definition.
fn kept<T: JsonSchema>(place: &str, description: &str) -> Value {
    let mut schema = embedded::<T>(place, description).to_value();
    schema[KEPT] = json!(true);
    preserve(&mut schema);
    schema
}

/// Keeps unknown fields at every level: without it the API server would drop those below a field that it knows.
fn preserve(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(preserve);
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(nested) = schema.get_mut(key) {
            preserve(nested);
        }
    }
}

fn list_of<T: JsonSchema>(place: &str, description: &str) -> Schema {
    list(embedded::<T>(place, description).to_value())
}

fn list(items: Value) -> Schema {
    schemars::json_schema!({"type": "array", "items": items})
}

/// The field's own doc comment describes it.
fn undescribed(schema: Schema) -> Schema {
    let mut value = schema.to_value();
    if let Value::Object(fields) = &mut value {
        fields.remove("description");
    }
    as_schema(value)
}

fn as_schema(value: Value) -> Schema {
    Schema::try_from(value).unwrap_or_default()
}
