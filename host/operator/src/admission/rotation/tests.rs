//! Promises about the certificate in the cluster, against a fake API server.

use super::*;
use crate::testing::FakeApiServer;

const SECRET: &str = "/api/v1/namespaces/ns/secrets/pgloom-webhook";
const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/pgloom-webhook";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn start() -> Timestamp {
    "2026-01-31T17:00:00Z".parse().unwrap()
}

/// An API server with what manifests/webhook.yaml has, and a webhook of another Service.
pub fn api_server() -> FakeApiServer {
    let webhook = |name: &str, service: &str| {
        let service = json!({"namespace": "ns", "name": service, "path": "/"});
        json!({"name": name, "clientConfig": {"service": service}, "failurePolicy": "Ignore", "newField": 1})
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "pgloom-webhook", "resourceVersion": "1"},
        "webhooks": [webhook("other.example.com", "other"), webhook("check.pgloom.dev", "pgloom-webhook")],
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "pgloom-webhook", "namespace": "ns", "resourceVersion": "1"},
    });
    FakeApiServer::new().with(SECRET, secret).with(CONFIGURATION, configuration)
}

fn rotation(api_server: &FakeApiServer, leads: bool) -> Rotation {
    Rotation {
        client: api_server.client(),
        namespace: "ns".into(),
        name: "pgloom-webhook".into(),
        served: Arc::default(),
        leading: watch::channel(leads).1,
    }
}

/// The certificates that the API server trusts.
pub fn bundle(api_server: &FakeApiServer) -> String {
    let bundle = &api_server.object(CONFIGURATION).unwrap()["webhooks"][1]["clientConfig"]["caBundle"];
    String::from_utf8(STANDARD.decode(bundle.as_str().unwrap_or_default()).unwrap()).unwrap()
}

/// Their number.
fn trusted(api_server: &FakeApiServer) -> usize {
    bundle(api_server).matches("BEGIN CERTIFICATE").count()
}

fn served(rotation: &Rotation) -> Option<Vec<u8>> {
    rotation.served.0.read().as_ref().map(|certified| certified.cert[0].to_vec())
}

#[tokio::test]
async fn the_leader_makes_a_certificate_and_the_api_server_trusts_it_in_its_own_webhook_alone() {
    let api_server = api_server();
    let leader = rotation(&api_server, true);
    leader.pass(start()).await.unwrap();
    assert_eq!(api_server.written(), [format!("PATCH {SECRET}"), format!("PUT {CONFIGURATION}")]);
    assert_eq!(trusted(&api_server), 1);
    let webhooks = &api_server.object(CONFIGURATION).unwrap()["webhooks"];
    assert_eq!(webhooks[0]["clientConfig"]["caBundle"], Value::Null);
    assert_eq!((&webhooks[1]["failurePolicy"], &webhooks[1]["newField"]), (&json!("Ignore"), &json!(1)));
    leader.pass(start() + DAY).await.unwrap();
    assert_eq!(api_server.writes().len(), 2, "the second pass writes nothing");
}

#[tokio::test]
async fn another_replica_serves_what_the_leader_made_and_writes_nothing() {
    let api_server = api_server();
    let (leader, other) = (rotation(&api_server, true), rotation(&api_server, false));
    other.pass(start()).await.unwrap();
    assert_eq!((served(&other), api_server.writes().len()), (None, 0));
    leader.pass(start()).await.unwrap();
    other.pass(start()).await.unwrap();
    assert!(served(&other).is_some() && served(&other) == served(&leader));
    assert_eq!(api_server.writes().len(), 2);
}

#[tokio::test]
async fn a_certificate_that_is_nearly_expired_is_replaced_while_both_are_trusted_and_the_old_one_is_removed_later() {
    let api_server = api_server();
    let leader = rotation(&api_server, true);
    leader.pass(start()).await.unwrap();
    let old = served(&leader);
    let mut seen = Vec::new();
    for day in [58, 60, 61, 62, 70, 91, 92] {
        leader.pass(start() + day * DAY).await.unwrap();
        seen.push((day, served(&leader) == old, trusted(&api_server)));
    }
    assert_eq!(
        seen,
        [(58, true, 1), (60, true, 2), (61, true, 2), (62, false, 2), (70, false, 2), (91, false, 1), (92, false, 1)]
    );
}

#[tokio::test]
async fn what_is_missing_in_the_cluster_is_named_with_the_file_that_has_it() {
    let api_server = api_server();
    let leader = rotation(&api_server, true);
    api_server.remove(CONFIGURATION);
    let error = leader.pass(start()).await.unwrap_err().to_string();
    assert!(error.contains("ValidatingWebhookConfiguration pgloom-webhook; manifests/webhook.yaml has it"), "{error}");
    assert!(served(&leader).is_some(), "what does not depend on it goes on");
    api_server.put(CONFIGURATION, json!({"metadata": {"name": "pgloom-webhook"}}));
    let error = leader.pass(start()).await.unwrap_err().to_string();
    assert!(error.contains("has no webhook with the Service ns/pgloom-webhook"), "{error}");
    api_server.remove(SECRET);
    let error = leader.pass(start()).await.unwrap_err().to_string();
    assert!(error.contains("failed to read Secret pgloom-webhook"), "{error}");
}

#[tokio::test]
async fn the_secret_is_written_only_if_it_is_as_it_was_read() {
    let api_server = api_server();
    rotation(&api_server, true).pass(start()).await.unwrap();
    let patch = &api_server.writes()[0].body;
    assert_eq!(patch["metadata"], json!({"resourceVersion": "1"}));
}
