//! How a schema is written in a table.

use serde_json::{Value, json};

use super::openapi::*;

/// A document with one kind, whose spec has these fields.
fn document(fields: Value) -> Value {
    let answer = json!({"$ref": "#/components/schemas/io.k8s.api.test.v1.Thing"});
    json!({
        "paths": {
            "/apis/test/v1/namespaces/{namespace}/things/{name}": {"patch": {
                "requestBody": {"content": {"application/apply-patch+yaml": {}}},
                "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
                "x-kubernetes-group-version-kind": {"group": "test", "version": "v1", "kind": "Thing"},
            }},
        },
        "components": {"schemas": {
            "io.k8s.api.test.v1.Thing": {"type": "object", "properties": {
                "spec": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.test.v1.Spec"}], "default": {}},
                "status": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.test.v1.Unreached"}]},
            }},
            "io.k8s.api.test.v1.Spec": {"type": "object", "properties": fields},
            "io.k8s.api.test.v1.Port": {"type": "object", "properties": {
                "port": {"type": "integer", "default": 0},
                "protocol": {"type": "string", "default": "TCP"},
                "spec": {"$ref": "#/components/schemas/io.k8s.api.test.v1.Spec"},
            }},
            "io.k8s.api.test.v1.Selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {}}},
            "io.k8s.api.test.v1.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
            "io.k8s.api.test.v1.Unreached": {"type": "object", "properties": {"a": {"type": "string"}}},
        }},
    })
}

fn reference(name: &str) -> Value {
    json!({"allOf": [{"$ref": format!("#/components/schemas/io.k8s.api.test.v1.{name}")}]})
}

#[test]
fn a_field_is_written_as_it_is_merged() {
    let mut override_atomic = reference("Port");
    override_atomic["x-kubernetes-map-type"] = json!("atomic");
    for (schema, text) in [
        (json!({"type": "boolean"}), ""),
        (reference("Quantity"), ""),
        (json!({"type": "array", "items": {"type": "string"}}), "[]"),
        (json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}), "[=]"),
        (
            json!({"type": "array", "items": reference("Port"), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"]}),
            "[port=0,protocol=TCP]api.test.v1.Port",
        ),
        // Older fields have a patch strategy only.
        (
            json!({"type": "array", "items": reference("Port"), "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "port"}),
            "[port=0]api.test.v1.Port",
        ),
        (json!({"type": "array", "items": reference("Port"), "x-kubernetes-patch-strategy": "retainKeys"}), "[]"),
        (json!({"type": "object", "additionalProperties": {"type": "string"}}), "{}"),
        (json!({"type": "object", "additionalProperties": reference("Port")}), "{}api.test.v1.Port"),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"}),
            "!{}",
        ),
        (reference("Selector"), "!{}"),
        (override_atomic, "!{}"),
        (json!({"type": "object"}), "{}*"),
        (json!({"description": "anything"}), "*"),
    ] {
        let table: Value = serde_json::from_str(&built_in(&[document(json!({"field": schema}))]).unwrap()).unwrap();
        assert_eq!(table["structs"]["api.test.v1.Spec"]["field"], text, "{schema}");
    }
}

#[test]
fn only_structs_that_a_kind_refers_to_outside_its_status_are_kept() {
    let table: Value =
        serde_json::from_str(&built_in(&[document(json!({"ports": {"type": "string"}}))]).unwrap()).unwrap();
    assert_eq!(table["kinds"], json!({"test/v1 Thing": "api.test.v1.Thing"}));
    assert_eq!(table["cluster"], json!([]));
    let structs: Vec<&String> = table["structs"].as_object().unwrap().keys().collect();
    assert_eq!(structs, ["api.test.v1.Spec", "api.test.v1.Thing"]);
    assert_eq!(table["structs"]["api.test.v1.Thing"], json!({"spec": "api.test.v1.Spec"}));
}

#[test]
fn an_unknown_schema_is_an_error() {
    for (schema, reason) in [
        (json!({"type": "array", "items": {}, "x-kubernetes-list-type": "bag"}), "unknown list type"),
        (json!({"type": "array", "items": {}, "x-kubernetes-list-type": "map"}), "without keys"),
        (json!({"type": "object", "x-kubernetes-map-type": "odd"}), "unknown map type"),
        (json!({"type": "null"}), "unknown type"),
        (reference("Absent"), "is not in the documents"),
    ] {
        let error = built_in(&[document(json!({"field": schema}))]).unwrap_err();
        assert!(format!("{error:#}").contains(reason), "{error:#}");
    }
    assert!(built_in(&[json!({})]).is_err());
}
