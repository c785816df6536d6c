//! What is read for a step by name.

use serde_json::json;

use super::*;
use crate::testing::FakeApiServer;

/// An API server with a Secret, and the list of its core kinds.
fn with_secret() -> FakeApiServer {
    let resource = |name: &str, kind: &str| {
        let verbs = ["get", "list"];
        json!({"name": name, "kind": kind, "namespaced": true, "verbs": verbs, "singularName": kind.to_lowercase()})
    };
    let resources = json!({
        "kind": "APIResourceList", "groupVersion": "v1",
        "resources": [resource("secrets", "Secret"), resource("configmaps", "ConfigMap")],
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-tls", "namespace": "shop"},
        "data": {"tls.key": "aGVsbG8="},
    });
    FakeApiServer::new().with("/api/v1", resources).with("/api/v1/namespaces/shop/secrets/pg-tls", secret)
}

fn wanted(kind: &str) -> NamedObject {
    NamedObject { api_version: "v1".to_owned(), kind: kind.to_owned(), namespace: None, name: "pg-tls".to_owned() }
}

#[tokio::test]
async fn a_secret_asked_for_by_a_kind_in_other_letters_is_hashed_or_refused() {
    let (api_server, key) = (with_secret(), ClusterKey::new("shop", "acid-orders"));
    for kind in ["Secret", "secret", "SECRET", "sEcret"] {
        match (kind, fetch(&api_server.client(), &Store::default(), &key, wanted(kind)).await.unwrap()) {
            ("Secret", Found::Object(object)) => {
                assert!(object["data"]["tls.key"].as_str().unwrap().starts_with("sha256:"), "{object}");
            }
            ("secret" | "SECRET" | "sEcret", Found::Unreadable(Unreadable::Unknown { object })) => {
                assert_eq!(object, wanted(kind));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_operator_has_no_right_to_read_is_named_with_the_rule_to_add() {
    let resource = json!({"name": "ingresses", "kind": "Ingress", "namespaced": true, "verbs": ["get"], "singularName": "ingress"});
    let listed = json!({"kind": "APIResourceList", "groupVersion": "networking.k8s.io/v1", "resources": [resource]});
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/pg-tls";
    let api_server = FakeApiServer::new().granting("ingresses").unreadable(ingresses);
    let api_server = api_server.with("/apis/networking.k8s.io/v1", listed);
    let ingress = NamedObject { api_version: "networking.k8s.io/v1".into(), ..wanted("Ingress") };
    let key = ClusterKey::new("shop", "acid-orders");
    let found = fetch(&api_server.client(), &Store::default(), &key, ingress).await.unwrap();
    let Found::Unreadable(unreadable) = found else { panic!("{found:?}") };
    assert_eq!(
        unreadable.to_string(),
        "the operator may not get networking.k8s.io/v1 Ingress pg-tls, which the step reads; add to its ClusterRole: \
         {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get]}"
    );
}

#[test]
fn a_secret_is_known_by_its_resource() {
    let resource = |group: &str, plural: &str| ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") },
        kind: "other".to_owned(),
        plural: plural.to_owned(),
    };
    assert_eq!(served(&resource("", "secrets")), Kind::new("v1", "Secret"));
    assert_eq!(served(&resource("example.com", "secrets")), Kind::new("example.com/v1", "other"));
}
