//! The schemas of Kubernetes types inside ours.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::schema::{self, LENIENT};

pub fn sidecars(_: &mut SchemaGenerator) -> Schema {
    let mut container =
        embedded::<core::Container>("pod.spec.containers", "A container with any field of a Kubernetes container.")
            .to_value();
    container["required"] = json!(["image"]);
    container["properties"]["name"] = json!({"type": "string", "description": "Its name in the pod. Default: `sidecar-` and its place in the list. Example: `exporter`."});
    container["properties"]["image"] =
        json!({"type": "string", "description": "Its image. Example: `quay.io/exporter:1`."});
    list(container)
}

pub fn init_containers(_: &mut SchemaGenerator) -> Schema {
    let mut container =
        embedded::<core::Container>("pod.spec.initContainers", "A container with any field of a Kubernetes container.")
            .to_value();
    container["required"] = json!(["name", "image"]);
    container["properties"]["name"] = json!({"type": "string", "description": "Its name in the pod. Example: `date`."});
    container["properties"]["image"] = json!({"type": "string", "description": "Its image. Example: `busybox`."});
    list(container)
}

pub fn old_init_containers(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "array", "items": {
        "type": "object",
        "required": ["name", "image"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "name": {"type": "string", "description": "Its name in the pod. Example: `date`."},
            "image": {"type": "string", "description": "Its image. Example: `busybox`."},
        },
    }})
}

pub fn env(_: &mut SchemaGenerator) -> Schema {
    list_of::<core::EnvVar>("pod.spec.containers.env", "A variable.")
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

pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    undescribed(embedded::<meta::LabelSelector>("persistentvolumeclaim.spec.selector", ""))
}

/// A pod's volume without its name. Fields that are unknown today are kept: Kubernetes may know them tomorrow.
pub fn volume_source(_: &mut SchemaGenerator) -> Schema {
    let mut volume = embedded::<core::Volume>("pod.spec.volumes", "").to_value();
    if let Value::Object(fields) = &mut volume {
        fields.remove("required");
        fields.remove("description");
        if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("name");
        }
    }
    volume["x-kubernetes-preserve-unknown-fields"] = json!(true);
    as_schema(volume)
}

/// The schema of a type of Kubernetes. Unknown fields of it are a warning.
fn embedded<T: JsonSchema>(place: &str, description: &str) -> Schema {
    let mut schema = schema::embedded::<T>(place, description).to_value();
    schema[LENIENT] = json!(true);
    as_schema(schema)
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
