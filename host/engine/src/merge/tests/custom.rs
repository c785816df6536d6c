//! Custom resources are merged by the schema that the API server publishes, and every leaf knows all its owners.

use std::collections::BTreeSet;

use super::*;
use crate::schema::openapi;

/// The document that an API server publishes for a custom resource whose spec has these fields.
fn document(fields: Value) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    json!({
        "paths": {
            "/apis/example.com/v1/namespaces/{namespace}/monitors/{name}": {"patch": {
                "requestBody": {"content": {"application/apply-patch+yaml": {}}},
                "responses": {"200": {"content": {"application/json": {"schema": reference("com.example.v1.Monitor")}}}},
                "x-kubernetes-group-version-kind": {"group": "example.com", "version": "v1", "kind": "Monitor"},
            }},
        },
        "components": {"schemas": {
            "com.example.v1.Monitor": {"type": "object", "properties": {
                "metadata": {"allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")]},
                "spec": {"type": "object", "properties": fields},
            }},
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            }},
        }},
    })
}

/// The schemas of a server with the custom resource.
fn schemas(fields: Value) -> Schemas {
    let wanted = BTreeSet::from(["example.com/v1 Monitor".to_owned()]);
    Schemas::with_custom(&openapi::custom(&[document(fields)], &wanted).unwrap()).unwrap()
}

/// Merges these specs of two steps.
fn merge_specs(schemas: Schemas, first: Value, second: Value) -> Result<Made, Error> {
    let mut merger = merger_of(schemas);
    for (step, spec) in [("first", first), ("second", second)] {
        let object =
            json!({"apiVersion": "example.com/v1", "kind": "Monitor", "metadata": {"name": "orders"}, "spec": spec});
        merger.apply(&Writer { step, permissions: &everything(kind(&object)) }, object)?;
    }
    Ok(made(merger))
}

fn endpoints(list_type: Value) -> Value {
    let entry = json!({"type": "object", "required": ["port"], "properties": {
        "port": {"type": "string"},
        "path": {"type": "string", "nullable": true},
        "interval": {"type": "string"},
    }});
    let mut list = json!({"type": "array", "items": entry});
    list.as_object_mut().unwrap().extend(list_type.as_object().unwrap().clone());
    json!({"endpoints": list})
}

#[test]
fn two_steps_add_an_entry_each_to_a_keyed_list_of_a_custom_resource() {
    let keyed = json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"]});
    let made = merge_specs(
        schemas(endpoints(keyed)),
        json!({"endpoints": [{"port": "a", "interval": "1s"}]}),
        json!({"endpoints": [{"port": "b"}, {"port": "a", "path": "/metrics"}]}),
    )
    .unwrap();
    let expected = json!([{"port": "b"}, {"port": "a", "interval": "1s", "path": "/metrics"}]);
    assert_eq!(made.object["spec"]["endpoints"], expected);
    assert_eq!(made.owners["spec.endpoints[port=a].port"], "first, second");
    assert_eq!(made.owners["spec.endpoints[port=a].path"], "second");
}

#[test]
fn a_list_without_a_type_is_one_value() {
    let (first, second) = (json!({"endpoints": [{"port": "a"}]}), json!({"endpoints": [{"port": "b"}]}));
    for schemas in [schemas(endpoints(json!({}))), Schemas::built_in().unwrap()] {
        let error = merge_specs(schemas, first.clone(), second.clone()).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error}");
    }
}

#[test]
fn the_items_of_a_set_belong_to_all_steps_that_set_them() {
    let set = json!({"names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}});
    let made = merge_specs(schemas(set), json!({"names": ["a", "b"]}), json!({"names": ["c", "b"]})).unwrap();
    assert_eq!(made.object["spec"]["names"], json!(["a", "c", "b"]));
    let owners: Vec<&str> =
        made.owners.iter().filter(|(path, _)| path.starts_with("spec.names")).map(|(_, steps)| &**steps).collect();
    assert_eq!(owners, ["first", "first, second", "second"]);
}

#[test]
fn a_null_stays_where_the_schema_allows_it_and_nowhere_else() {
    let fields = json!({
        "paused": {"type": "boolean", "nullable": true},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "plain": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {
            "a": {"type": "string", "nullable": true},
            "b": {"type": "string"},
        }}},
    });
    let spec = json!({
        "paused": null,
        "open": {"a": null, "b": {"c": null}},
        "plain": null,
        "list": [{"a": null, "b": null}],
    });
    let made = merge_specs(schemas(fields), spec, json!({})).unwrap();
    let expected = json!({"paused": null, "open": {"a": null, "b": {"c": null}}, "list": [{"a": null}]});
    assert_eq!(made.object["spec"], expected);
}

#[test]
fn a_null_is_a_value_with_which_another_value_conflicts() {
    let fields = || json!({"paused": {"type": "boolean", "nullable": true}});
    let error = merge_specs(schemas(fields()), json!({"paused": null}), json!({"paused": true})).unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
}

#[test]
fn an_integer_that_may_be_a_string_is_a_scalar() {
    let fields =
        json!({"port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}});
    let error = merge_specs(schemas(fields), json!({"port": {"a": 1}}), json!({})).unwrap_err();
    assert!(error.to_string().contains("expected a scalar, found a map"), "{error}");
}

#[test]
fn a_kind_that_was_not_asked_for_is_in_no_table() {
    let table = openapi::custom(&[document(json!({}))], &BTreeSet::new()).unwrap();
    assert!(!table.contains("Monitor"), "{table}");
}

#[test]
fn a_leaf_that_only_the_host_sets_belongs_to_the_host() {
    let merger = merge(&[("spilo", stateful_set(json!({"replicas": 2})))]).unwrap();
    let (ownership, desired) = (merger.owners().remove(0), merger.finish().remove(0).object);
    let mut applied = desired.clone();
    applied["metadata"]["annotations"] = json!({"pgloom.dev/cluster-uid": "1"});
    let schemas = Schemas::built_in().unwrap();
    let (schema, kind) = schemas.kind("apps/v1", "StatefulSet");
    let leaves = ownership.with_host(schema, kind.root, &desired, &applied).unwrap().leaves;
    assert_eq!(leaves["metadata.annotations[\"pgloom.dev/cluster-uid\"]"], ["pgloom"]);
    assert_eq!(leaves["spec.replicas"], ["spilo"]);
}

#[test]
fn labels_are_a_map_of_texts_although_the_definition_accepts_every_field() {
    let mut document = document(json!({}));
    document["components"]["schemas"]["com.example.v1.Monitor"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let wanted = BTreeSet::from(["example.com/v1 Monitor".to_owned()]);
    let schemas = Schemas::with_custom(&openapi::custom(&[document], &wanted).unwrap()).unwrap();
    for (metadata, accepted) in [
        (json!({"name": "orders", "labels": {"a": "b"}}), true),
        (json!({"name": "orders", "labels": "x"}), false),
        (json!({"name": "orders", "labels": ["x"]}), false),
    ] {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Monitor", "metadata": metadata, "spec": {"a": 1}});
        let mut merger = merger_of(schemas.clone());
        let applied = merger.apply(&Writer { step: "it", permissions: &everything(kind(&object)) }, object.clone());
        assert_eq!(applied.is_ok(), accepted, "{object}: {applied:?}");
    }
}
