//! Promises about the REST API: requests over HTTP on loopback, against a fake API server.

use std::net::SocketAddr;

use pgloom_api::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::reconcile::tests::{manifest, operator};
use crate::report::{Event, reference};
use crate::settings::Settings;
use crate::testing::FakeApiServer;

/// A manifest with credentials, of a cluster that failed.
fn failed() -> Value {
    let mut failed = manifest();
    failed["spec"]["databases"] = json!({"shop": "shop_owner"});
    failed["spec"]["preparedDatabases"] = json!({"audit": {}});
    failed["spec"]["clone"] = json!({"cluster": "c", "s3_secret_access_key": "canary"});
    failed["status"] = json!({"PostgresClusterStatus": "UpdateFailed", "conditions": [
        {"type": "Valid", "status": "True", "message": "all fields are known"},
        {"type": "Applied", "status": "False", "message": "the API server refused Service acid-orders"}]});
    failed
}

fn of_another_operator() -> Value {
    let mut other = manifest();
    other["metadata"]["name"] = json!("acid-other");
    other["metadata"]["annotations"] = json!({"acid.zalan.do/controller": "other"});
    other
}

async fn served() -> SocketAddr {
    let mut context = operator(&FakeApiServer::new(), &[failed(), of_another_operator()]);
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {
        "watched_namespace": "ns", "logical_backup_s3_secret_access_key": "canary"}});
    let config = Arc::new(Config::read(&config).unwrap().config);
    let pipeline = context.settings.borrow().pipeline.clone();
    context.settings = watch::channel(Settings::of(config, pipeline)).1;
    context.recorder.publish(&reference(&failed()), &Event::warning("UpdateFailed", "no Service")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(context), None));
    address
}

/// The status code and the body of an answer.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn the_pages_of_the_ui_get_what_they_read() {
    let address = served().await;
    for (path, wanted) in [
        ("/status/", json!({"Clusters": 1, "WorkerQueueSize": {"0": 0}})),
        ("/config/", json!({"operator": {"WatchedNamespace": "ns"}})),
        ("/clusters/", json!({"acid": ["acid-orders"]})),
        ("/clusters/acid", json!(["acid-orders"])),
        ("/databases/", json!({"acid-orders": ["audit", "shop"]})),
        ("/databases", json!({"acid-orders": ["audit", "shop"]})),
        ("/workers/0/queue", json!({"Keys": [], "List": []})),
        ("/workers/all/status/", json!({"0": "idle"})),
    ] {
        assert_eq!(ask(address, "GET", path).await, (200, wanted), "{path}");
    }
}

#[tokio::test]
async fn a_cluster_has_its_status_what_failed_and_its_events() {
    let address = served().await;
    let (code, cluster) = ask(address, "GET", "/clusters/ns/acid-orders").await;
    assert_eq!((code, &cluster["Status"]["PostgresClusterStatus"]), (200, &json!("UpdateFailed")));
    assert_eq!(cluster["Error"], "the API server refused Service acid-orders");
    let (_, logs) = ask(address, "GET", "/clusters/ns/acid-orders/logs/").await;
    assert_eq!((&logs[0]["Level"], &logs[0]["Message"]), (&json!("warning"), &json!("UpdateFailed: no Service")));
}

#[tokio::test]
async fn no_answer_has_a_credential() {
    let address = served().await;
    for path in
        ["/status", "/config", "/clusters", "/clusters/ns/acid-orders", "/clusters/ns/acid-orders/logs", "/databases"]
    {
        let (code, answer) = ask(address, "GET", path).await;
        assert_eq!((code, answer.to_string().contains("canary")), (200, false), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_nothing_can_be_changed() {
    let address = served().await;
    for path in ["/clusters/other", "/clusters/ns/acid-other", "/clusters/ns/acid-other/logs", "/debug/pprof"] {
        let (code, answer) = ask(address, "GET", path).await;
        assert_eq!((code, answer["error"].is_string()), (404, true), "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(address, method, "/clusters/ns/acid-orders").await.0, 405, "{method}");
    }
}
