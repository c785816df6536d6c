//! What the embedded table says, and how fast it is parsed.

use std::time::{Duration, Instant};

use super::*;

/// The type at a path of fields below a kind; a list is stepped into by `[]`.
fn at(api_version: &str, kind: &str, path: &str) -> &'static Type {
    let schema = Schema::embedded().unwrap();
    let mut id = Schemas::built_in().unwrap().kind(api_version, kind).1.root;
    for step in path.split('.') {
        id = match (schema.get(id), step) {
            (Type::Keyed(_, element), "[]") => *element,
            (other, field) => other.field(field),
        };
    }
    schema.get(id)
}

fn keys(found: &Type) -> Vec<&str> {
    match found {
        Type::Keyed(keys, _) => keys.iter().map(|key| &*key.name).collect(),
        other => panic!("no list with merge keys: {other:?}"),
    }
}

#[test]
fn a_pods_lists_have_the_merge_keys_of_the_server() {
    let pod = |path: &str| at("apps/v1", "StatefulSet", &format!("spec.template.spec.{path}"));
    assert_eq!(keys(pod("containers")), ["name"]);
    assert_eq!(keys(pod("containers.[].env")), ["name"]);
    assert_eq!(keys(pod("containers.[].volumeMounts")), ["mountPath"]);
    assert_eq!(keys(pod("containers.[].ports")), ["containerPort", "protocol"]);
    assert_eq!(keys(pod("imagePullSecrets")), ["name"]);
    assert!(matches!(pod("containers.[].args"), Type::AtomicList(_)));
    assert!(matches!(pod("tolerations"), Type::AtomicList(_)));
    assert!(matches!(pod("nodeSelector"), Type::AtomicMap));
    assert!(matches!(at("apps/v1", "StatefulSet", "spec.selector"), Type::AtomicMap));
    assert!(matches!(at("v1", "Endpoints", "subsets"), Type::AtomicList(_)));
    assert!(matches!(at("v1", "Pod", "metadata.finalizers"), Type::Set));
}

#[test]
fn a_merge_key_has_the_default_of_the_server_and_zero_is_no_default() {
    let Type::Keyed(keys, _) = at("v1", "Service", "spec.ports") else { panic!() };
    assert_eq!(
        keys[..],
        [
            MergeKey { name: "port".into(), required: true, default: None },
            MergeKey { name: "protocol".into(), required: false, default: Some("TCP".into()) },
        ]
    );
}

#[test]
fn an_unknown_kind_or_field_is_merged_deeply() {
    assert!(matches!(at("example.com/v1", "Unheard", "spec.anything"), Type::Any));
    assert!(matches!(at("example.com/v1", "Unheard", "metadata.finalizers"), Type::Set));
    assert!(matches!(at("apps/v1", "StatefulSet", "spec.template.spec.inventedLater"), Type::Any));
}

#[test]
fn a_kind_is_cluster_scoped_or_namespaced() {
    let schemas = Schemas::built_in().unwrap();
    assert!(schemas.kind("v1", "Namespace").1.cluster_scoped);
    assert!(schemas.kind("rbac.authorization.k8s.io/v1", "ClusterRole").1.cluster_scoped);
    assert!(!schemas.kind("batch/v1", "CronJob").1.cluster_scoped);
}

#[test]
fn the_table_is_parsed_in_less_than_five_milliseconds() {
    let text = include_str!("table.json");
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            Schema::parse(text, Cow::Borrowed).unwrap();
            start.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_millis(5)), "{best:?}");
}
