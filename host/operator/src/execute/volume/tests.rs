//! Tests: how a claim is expanded.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::*;

fn claim(requested: &str, status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-c-0", "namespace": "prod"},
        "spec": {"storageClassName": "slow", "resources": {"requests": {"storage": requested}}},
        "status": status,
    })
}

fn bound(capacity: &str) -> Value {
    json!({"phase": "Bound", "capacity": {"storage": capacity}})
}

fn with(mut status: Value, key: &str, value: Value) -> Value {
    status[key] = value;
    status
}

fn phase_of(status: Value) -> (ActionPhase, String) {
    let claim = serde_json::from_value(claim("5Gi", status)).unwrap();
    let progress = progress(&claim, &Quantity::parse("5Gi").unwrap());
    (progress.phase, progress.message)
}

#[test]
fn a_claim_says_how_far_it_is() {
    let condition = |kind: &str| json!([{"type": kind, "status": "True", "message": "no space"}]);
    for (status, phase, message) in [
        (bound("5Gi"), ActionPhase::Done, "claim pgdata-c-0 has 5Gi"),
        (bound("5368709120"), ActionPhase::Done, "claim pgdata-c-0 has 5Gi"),
        (json!({"phase": "Pending"}), ActionPhase::Pending, "claim pgdata-c-0 has no volume yet"),
        (
            bound("1Gi"),
            ActionPhase::Pending,
            "claim pgdata-c-0 asks for 5Gi; its storage has not begun to grow the volume",
        ),
        (
            with(bound("1Gi"), "conditions", condition("Resizing")),
            ActionPhase::Running,
            "the volume of claim pgdata-c-0 grows to 5Gi",
        ),
        (
            with(bound("1Gi"), "conditions", condition("FileSystemResizePending")),
            ActionPhase::Running,
            "the volume of claim pgdata-c-0 has grown to 5Gi; its filesystem follows where it is mounted",
        ),
        (
            with(bound("1Gi"), "conditions", condition("ControllerResizeError")),
            ActionPhase::Failed,
            "the volume of claim pgdata-c-0 does not grow to 5Gi: no space",
        ),
        (
            with(bound("1Gi"), "allocatedResourceStatuses", json!({"storage": "NodeResizeInfeasible"})),
            ActionPhase::Failed,
            "the volume of claim pgdata-c-0 does not grow to 5Gi: NodeResizeInfeasible",
        ),
    ] {
        assert_eq!(phase_of(status), (phase, message.to_string()));
    }
}

/// Expands a claim at an API server with this claim (or none) that answers a patch with a status. Returns the phase and
/// the request.
async fn expanded(claim: Option<Value>, size: &str, patched: (u16, Value)) -> (Progress, Vec<String>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = sent.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (claim, patched, seen) = (claim.clone(), patched.clone(), seen.clone());
        async move {
            let (parts, body) = request.into_parts();
            let (code, answer) = if parts.method == Method::GET {
                match claim {
                    Some(claim) => (200, claim),
                    None => (404, json!({"kind": "Status", "reason": "NotFound", "message": "not found", "code": 404})),
                }
            } else {
                let body = String::from_utf8(body.collect_bytes().await.unwrap().to_vec()).unwrap();
                let query = parts.uri.query().unwrap_or_default().trim_start_matches('&');
                seen.lock().unwrap().push(format!("{} {query} {body}", parts.method));
                patched
            };
            let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let claims = Api::namespaced(Client::new(service, "prod"), "prod");
    let progress = expand(&claims, "pgdata-c-0", size).await;
    let sent = sent.lock().unwrap().clone();
    (progress, sent)
}

fn no() -> (u16, Value) {
    (500, json!({"kind": "Status", "message": "unexpected request", "code": 500}))
}

fn refusing(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": message, "code": code}))
}

#[tokio::test]
async fn a_claim_is_asked_to_grow_once() {
    let grown = claim("5Gi", with(bound("1Gi"), "conditions", json!([{"type": "Resizing", "status": "True"}])));
    let (progress, sent) = expanded(Some(claim("1Gi", bound("1Gi"))), "5Gi", (200, grown.clone())).await;
    assert_eq!(progress.phase, ActionPhase::Running);
    assert_eq!(sent, [r#"PATCH fieldManager=pgloom {"spec":{"resources":{"requests":{"storage":"5Gi"}}}}"#]);
    let (progress, sent) = expanded(Some(grown), "5Gi", no()).await;
    assert_eq!((progress.phase, sent), (ActionPhase::Running, vec![]));
}

#[tokio::test]
async fn a_claim_is_never_made_smaller() {
    let (progress, sent) = expanded(Some(claim("10Gi", bound("10Gi"))), "5Gi", no()).await;
    assert_eq!((progress.phase, sent), (ActionPhase::Done, vec![]));
}

#[tokio::test]
async fn a_claim_without_a_volume_waits() {
    let (progress, sent) = expanded(Some(claim("1Gi", json!({"phase": "Pending"}))), "5Gi", no()).await;
    assert_eq!((progress.phase, sent), (ActionPhase::Pending, vec![]));
}

#[tokio::test]
async fn a_storage_class_that_does_not_allow_it_is_named_with_the_remedy() {
    let message = "persistentvolumeclaims \"pgdata-c-0\" is forbidden: only dynamically provisioned pvc can be resized and \
                   the storageclass that provisions the pvc must support resize";
    let (progress, _) = expanded(Some(claim("1Gi", bound("1Gi"))), "5Gi", refusing(403, message)).await;
    assert_eq!(progress.phase, ActionPhase::Failed);
    assert_eq!(
        progress.message,
        "storage class slow does not let claim pgdata-c-0 grow: set allowVolumeExpansion: true on the class if its storage can"
    );
}

#[tokio::test]
async fn other_refusals_are_told_in_the_api_servers_words() {
    let (progress, _) = expanded(Some(claim("1Gi", bound("1Gi"))), "5Gi", refusing(403, "exceeded quota")).await;
    assert_eq!(progress, Progress::new(ActionPhase::Failed, "the API server refuses claim pgdata-c-0: exceeded quota"));
    let (progress, _) = expanded(Some(claim("1Gi", bound("1Gi"))), "5Gi", refusing(500, "try again")).await;
    assert_eq!(progress.phase, ActionPhase::Pending);
}

#[tokio::test]
async fn what_cannot_be_meant_fails() {
    let (progress, _) = expanded(None, "5Gi", no()).await;
    assert_eq!(progress, Progress::new(ActionPhase::Failed, "there is no claim pgdata-c-0"));
    let (progress, _) = expanded(None, "much", no()).await;
    assert_eq!(progress.message, "\"much\" is no quantity: write a size as in 5Gi");
}
