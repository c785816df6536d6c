//! What the merge promises. `anchors` tests entries with nothing but keys, `permissions` who may write what, `removal`
//! removals, `selection` what objects select, `custom` custom resources, `laws` what holds for every input.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::Privilege;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    decision::Desired,
    model::{ObjectKind, ObjectRef},
    ownership::Ownership,
    path::Pattern,
    permission::{ObjectRights, Permissions, Rights},
    schema::Schemas,
    scope::Scope,
};

mod anchors;
mod custom;
mod laws;
mod permissions;
mod pods;
mod removal;
mod selection;

const NAMESPACE: &str = "db";

fn kind(of: &Value) -> ObjectKind {
    let text = |field: &str| of[field].as_str().unwrap_or_default().to_owned();
    ObjectKind { api_version: text("apiVersion"), kind: text("kind") }
}

const CLUSTER: &str = "orders";

/// A merger without objects that knows the built-in kinds.
fn merger() -> Merger {
    merger_of(Schemas::built_in().unwrap())
}

/// A merger without objects.
fn merger_of(schemas: Schemas) -> Merger {
    let labels = BTreeMap::from([("cluster-name".to_owned(), CLUSTER.to_owned())]);
    let (namespace, cluster) = (NAMESPACE.to_owned(), CLUSTER.to_owned());
    let mut members = labels.clone();
    members.insert("application".to_owned(), "spilo".to_owned());
    let (secrets, role_label) = (BTreeSet::new(), "spilo-role".to_owned());
    Merger::new(schemas, Scope { namespace, cluster, secrets, labels, members, role_label })
}

fn patterns(paths: &[&str]) -> Vec<Pattern> {
    paths.iter().map(|path| path.parse().unwrap()).collect()
}

/// The rights to these fields of every object of a kind.
fn rights(kind: ObjectKind, creates: bool, fields: &[&str]) -> ObjectRights {
    let names = vec!["*".to_owned()];
    ObjectRights { kind, names, creates, fields: patterns(fields), overrides: vec![], removes: vec![] }
}

/// Rights to objects, and every privilege.
fn with_privileges(objects: ObjectRights) -> Rights {
    Rights { objects: vec![objects], privileges: Privilege::ALL.into() }
}

/// Permissions that are asked for and granted, with every privilege.
fn allowed(objects: ObjectRights) -> Permissions {
    Permissions::granted(&with_privileges(objects))
}

/// Permission to write everything of a kind.
fn everything(kind: ObjectKind) -> Permissions {
    allowed(rights(kind, true, &["*"]))
}

/// Merges fragments of steps that may write everything.
fn merge(fragments: &[(&str, Value)]) -> Result<Merger, Error> {
    let mut merger = merger();
    for (step, fragment) in fragments {
        let permissions = everything(kind(fragment));
        merger.apply(&Writer { step, permissions: &permissions }, fragment.clone())?;
    }
    Ok(merger)
}

/// An object, the step that created it, and the steps that set each of its leaves, joined by commas.
#[derive(Debug)]
struct Made {
    object: Value,
    step: String,
    owners: BTreeMap<String, String>,
    removed: BTreeMap<String, String>,
}

/// The first object of a merger.
fn made(merger: Merger) -> Made {
    let Ownership { leaves, removed } = merger.owners().remove(0);
    let owners = leaves.into_iter().map(|(path, steps)| (path, steps.join(", "))).collect();
    let Desired { object, step } = merger.finish().remove(0);
    Made { object, step, owners, removed }
}

/// The only object of these fragments.
#[track_caller]
fn merged(fragments: &[(&str, Value)]) -> Made {
    let merger = merge(fragments).unwrap();
    assert_eq!(merger.owners().len(), 1);
    made(merger)
}

#[track_caller]
fn refused(fragments: &[(&str, Value)]) -> Error {
    merge(fragments).err().expect("a refusal")
}

fn stateful_set(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "orders"}, "spec": spec})
}

fn pod(spec: Value) -> Value {
    stateful_set(json!({"template": {"spec": spec}}))
}

fn env(variables: Value) -> Value {
    pod(json!({"containers": [{"name": "postgres", "env": variables}]}))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

fn containers(of: &Made) -> &Value {
    &of.object["spec"]["template"]["spec"]["containers"]
}

#[test]
fn entries_of_a_list_meet_by_their_merge_keys() {
    let object = merged(&[
        ("spilo", pod(json!({"containers": [{"name": "postgres", "image": "spilo"}]}))),
        (
            "tls",
            pod(json!({"containers": [{"name": "postgres", "volumeMounts": [{"mountPath": "/tls", "name": "tls"}]}]})),
        ),
        ("sidecars", pod(json!({"containers": [{"name": "exporter", "image": "exporter"}]}))),
    ]);
    assert_eq!(
        *containers(&object),
        json!([
            {"name": "postgres", "image": "spilo", "volumeMounts": [{"mountPath": "/tls", "name": "tls"}]},
            {"name": "exporter", "image": "exporter"},
        ])
    );
}

#[test]
fn without_a_place_new_entries_come_last() {
    let object = merged(&[
        ("spilo", env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]))),
        ("clone", env(json!([{"name": "CLONE", "value": "x"}]))),
        ("standby", env(json!([{"name": "STANDBY", "value": "y"}]))),
    ]);
    assert_eq!(names(&containers(&object)[0]["env"]), ["A", "B", "CLONE", "STANDBY"]);
}

#[test]
fn a_merge_key_that_is_left_out_means_its_default() {
    let ports = |ports: Value| pod(json!({"containers": [{"name": "postgres", "ports": ports}]}));
    let object = merged(&[
        ("spilo", ports(json!([{"containerPort": 5432, "protocol": "TCP"}]))),
        (
            "names",
            ports(json!([{"containerPort": 5432, "name": "postgresql"}, {"containerPort": 5432, "protocol": "UDP"}])),
        ),
    ]);
    assert_eq!(
        containers(&object)[0]["ports"],
        json!([{"containerPort": 5432, "name": "postgresql", "protocol": "TCP"}, {"containerPort": 5432, "protocol": "UDP"}])
    );
}

#[test]
fn two_steps_that_disagree_conflict_and_the_error_names_steps_field_and_values() {
    let error = refused(&[
        ("spilo", env(json!([{"name": "SCOPE", "value": "orders"}]))),
        ("clone", env(json!([{"name": "SCOPE", "value": "other"}]))),
    ]);
    assert_eq!(
        error.to_string(),
        "steps spilo and clone set `spec.template.spec.containers[name=postgres].env[name=SCOPE].value` of apps/v1 StatefulSet \
         orders to different values: \"orders\" and \"other\"; grant clone to override it, or let only one of them set it"
    );
}

#[test]
fn steps_that_agree_share_a_field() {
    let object =
        merged(&[("spilo", stateful_set(json!({"replicas": 2}))), ("scale", stateful_set(json!({"replicas": 2})))]);
    assert_eq!(object.owners["spec.replicas"], "spilo, scale");
    assert!(matches!(
        refused(&[
            ("spilo", stateful_set(json!({"replicas": 2}))),
            ("scale", stateful_set(json!({"replicas": 2}))),
            ("scale", stateful_set(json!({"replicas": 3}))),
        ]),
        Error::Conflict(_)
    ));
}

#[test]
fn a_step_may_change_its_own_value() {
    let object =
        merged(&[("spilo", stateful_set(json!({"replicas": 2}))), ("spilo", stateful_set(json!({"replicas": 3})))]);
    assert_eq!(object.object["spec"]["replicas"], 3);
}

#[test]
fn an_atomic_list_is_one_value() {
    let error = refused(&[
        ("spilo", pod(json!({"tolerations": [{"key": "a"}]}))),
        ("extra", pod(json!({"tolerations": [{"key": "b"}]}))),
    ]);
    let Error::Conflict(conflict) = error else { panic!("{error}") };
    assert_eq!(conflict.path.to_string(), "spec.template.spec.tolerations");
    assert_eq!((conflict.owned.as_str(), conflict.value.as_str()), (r#"[{"key":"a"}]"#, r#"[{"key":"b"}]"#));
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let mut merger = merge(&[("spilo", env(json!([{"name": "A", "value": "1"}])))]).unwrap();
    let permissions = everything(kind(&env(json!([]))));
    let bad = pod(json!({"containers": [
        {"name": "new", "image": "x"},
        {"name": "postgres", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
    ]}));
    let before = merger.clone().finish().remove(0).object;
    merger.apply(&Writer { step: "bad", permissions: &permissions }, bad).unwrap_err();
    assert_eq!(merger.finish().remove(0).object, before);
}

#[test]
fn a_null_is_the_same_as_an_absent_field() {
    let object = merged(&[
        (
            "spilo",
            pod(
                json!({"hostname": "a", "tolerations": [{"key": "a", "value": null}], "volumes": [{"name": "data", "emptyDir": {}}]}),
            ),
        ),
        ("silent", pod(json!({"hostname": null, "tolerations": null, "volumes": null, "subdomain": null}))),
    ]);
    assert_eq!(
        object.object["spec"]["template"]["spec"],
        json!({"hostname": "a", "tolerations": [{"key": "a"}], "volumes": [{"name": "data", "emptyDir": {}}]})
    );
}

#[test]
fn a_whole_number_is_the_same_with_and_without_a_fraction() {
    let ports = |port: Value| pod(json!({"containers": [{"name": "postgres", "ports": [{"containerPort": port}]}]}));
    let object = merged(&[("rust", ports(json!(5432))), ("python", ports(json!(5432.0)))]);
    assert_eq!(containers(&object)[0]["ports"].to_string(), r#"[{"containerPort":5432}]"#);
}

#[test]
fn an_empty_map_or_list_clears_nothing_and_stays_where_nothing_is() {
    let object = merged(&[
        ("spilo", pod(json!({"volumes": [{"name": "data", "emptyDir": {}}], "securityContext": {"fsGroup": 103}}))),
        ("empty", pod(json!({"volumes": [], "securityContext": {}, "initContainers": []}))),
        ("memory", pod(json!({"volumes": [{"name": "data", "emptyDir": {"medium": "Memory"}}]}))),
    ]);
    assert_eq!(
        object.object["spec"]["template"]["spec"],
        json!({
            "volumes": [{"name": "data", "emptyDir": {"medium": "Memory"}}],
            "securityContext": {"fsGroup": 103},
            "initContainers": [],
        })
    );
}

#[test]
fn an_unknown_kind_is_merged_deeply_and_its_lists_as_a_whole() {
    let monitor = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Monitor", "metadata": {"name": "orders"}, "spec": spec});
    let object = merged(&[("a", monitor(json!({"x": {"y": 1}}))), ("b", monitor(json!({"x": {"z": [1, 2]}})))]);
    assert_eq!(object.object["spec"], json!({"x": {"y": 1, "z": [1, 2]}}));
    assert_eq!(object.owners["spec.x.z"], "b");
    let first = ("a", monitor(json!({"x": {"y": 1, "z": [1]}})));
    for clash in [json!({"x": {"z": [3]}}), json!({"x": 1}), json!({"x": {"y": {"deep": 1}}})] {
        assert!(matches!(refused(&[first.clone(), ("b", monitor(clash))]), Error::Conflict(_)));
    }
    // A step that set a part of a map may not replace the whole map.
    let own = ("b", monitor(json!({"x": {"a": 1}})));
    assert!(matches!(refused(&[first, own, ("b", monitor(json!({"x": 1})))]), Error::Conflict(_)));
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_path() {
    for (spec, message) in [
        (
            json!({"containers": {"name": "a"}}),
            "`spec.template.spec.containers` of apps/v1 StatefulSet orders cannot be merged: expected a list, found a map",
        ),
        (json!({"containers": [{"image": "x"}]}), "an entry lacks the merge key `name`"),
        (
            json!({"containers": [{"name": "a"}, {"name": "a"}]}),
            "containers[name=a]` of apps/v1 StatefulSet orders cannot be merged: it appears twice",
        ),
        (
            json!({"containers": [{"name": "a", "env": [{"name": "B", "value": {"x": 1}}]}]}),
            "containers[name=a].env[name=B].value` of",
        ),
        (json!({"containers": ["a"]}), "a map with the merge keys of the list"),
        (json!({"securityContext": 3}), "expected a map, found a number"),
        (json!({"nodeSelector": []}), "expected a map, found a list"),
        (json!({"tolerations": "all"}), "expected a list, found a string"),
    ] {
        let error = refused(&[("bad", pod(spec))]);
        assert!(matches!(error, Error::TypeMismatch { .. }) && error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_contribution_must_name_its_object() {
    for (fragment, field) in [
        (json!([]), "apiVersion"),
        (json!({"kind": "ConfigMap", "metadata": {"name": "a"}}), "apiVersion"),
        (json!({"apiVersion": "v1", "metadata": {"name": "a"}}), "kind"),
        (json!({"apiVersion": "v1", "kind": "ConfigMap"}), "metadata.name"),
        (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../a"}}), "metadata.name"),
    ] {
        let error = refused(&[("bad", fragment)]);
        assert!(matches!(error, Error::Identify { field: found, .. } if found == field), "{error}");
    }
    let monitor = |version: &str| json!({"apiVersion": version, "kind": "Monitor", "metadata": {"name": "a"}});
    let error = refused(&[("a", monitor("example.com/v1")), ("b", monitor("example.com/v1beta1"))]);
    assert!(error.to_string().contains("was created as example.com/v1, not example.com/v1beta1"), "{error}");
}

#[test]
fn an_object_is_in_the_namespace_of_its_cluster() {
    let in_namespace = |namespace: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}});
    assert_eq!(merged(&[("a", stateful_set(json!({})))]).object["metadata"]["namespace"], NAMESPACE);
    assert_eq!(merged(&[("a", in_namespace(NAMESPACE))]).object["metadata"]["namespace"], NAMESPACE);
    assert!(matches!(refused(&[("a", in_namespace("kube-system"))]), Error::Reserved { .. }));
}

#[test]
fn the_steps_of_every_leaf_are_known() {
    let object = merged(&[
        (
            "spilo",
            pod(json!({"containers": [{"name": "postgres", "ports": [{"containerPort": 5432}], "resources": {}}]})),
        ),
        (
            "notes",
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "orders", "annotations": {"a.b/c": "d"}}}),
        ),
    ]);
    let owners: Vec<(&str, &str)> = object.owners.iter().map(|(path, step)| (path.as_str(), step.as_str())).collect();
    assert_eq!(
        owners,
        [
            ("apiVersion", "spilo, notes"),
            ("kind", "spilo, notes"),
            ("metadata.annotations[\"a.b/c\"]", "notes"),
            ("metadata.name", "spilo, notes"),
            ("metadata.namespace", "spilo, notes"),
            ("spec.template.spec.containers[name=postgres].name", "spilo"),
            (
                "spec.template.spec.containers[name=postgres].ports[containerPort=5432,protocol=TCP].containerPort",
                "spilo"
            ),
            ("spec.template.spec.containers[name=postgres].resources", "spilo"),
        ]
    );
    assert_eq!(object.step, "spilo");
}

#[test]
fn objects_come_in_the_order_of_their_creation_and_steps_see_the_kinds_they_ask_for() {
    let config_map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"b": "1", "a": "2"}});
    let merger = merge(&[
        ("z", config_map("z")),
        ("s", stateful_set(json!({"replicas": 1}))),
        ("a", config_map("a")),
        ("z", config_map("z")),
    ])
    .unwrap();
    let wanted = [kind(&config_map(""))];
    let seen: Vec<(&str, String)> =
        merger.desired(&wanted).map(|(object, json)| (object.name.as_str(), json.to_owned())).collect();
    let text = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","data":{{"a":"2","b":"1"}},"kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"db"}}}}"#
        )
    };
    assert_eq!(seen, [("z", text("z")), ("a", text("a"))]);
    let order: Vec<String> =
        merger.finish().iter().map(|object| object.object["metadata"]["name"].to_string()).collect();
    assert_eq!(order, [r#""z""#, r#""orders""#, r#""a""#]);
}

#[test]
fn a_conflict_shows_no_credential_and_shortens_a_long_value() {
    let shown = |first: Value, second: Value| match refused(&[
        ("a", env(json!([{"name": "X", "value": first}]))),
        ("b", env(json!([{"name": "X", "value": second}]))),
    ]) {
        Error::Conflict(conflict) => (conflict.owned, conflict.value),
        other => panic!("{other}"),
    };
    assert_eq!(
        shown(json!("pgloom-placeholder:config:scalyr_api_key"), json!("mine")),
        ("(placeholder)".into(), "\"mine\"".into())
    );
    let (_, long) = shown(json!("x"), json!("ä".repeat(500)));
    assert_eq!(long.chars().count(), 81);
}
