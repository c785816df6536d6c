use std::collections::HashMap;
use std::sync::Mutex;

use futures::channel::mpsc::unbounded;
use kube::runtime::watcher::Event;
use pgloom_api::config::Config;
use pgloom_engine::Pipeline;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::apply::{Memory, Writer};
use crate::background::Background;
use crate::context::Reach;
use crate::deletion::FINALIZER;
use crate::event::Announcer;
use crate::infrastructure::Infrastructure;
use crate::kind::of_every_cluster;
use crate::memo::Memos;
use crate::metrics::Metrics;
use crate::patroni::Direct;
use crate::store::{Feed, Store};
use crate::wire::Wire;

const MANIFEST: &str = "/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/acid-orders";
const STATUS: &str = "/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/acid-orders/status";

fn key() -> ClusterKey {
    ClusterKey::new("ns", "acid-orders")
}

fn manifest() -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "ns", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"}}
    })
}

/// An operator with a pipeline that has no step, and the objects that exist.
fn operator(wire: &Wire, existing: &[Value]) -> Context {
    let store = Store::default();
    let cluster = Feed { kind: Kind::cluster(), namespace: None, label: None, whole: false };
    let owned = |kind| Feed { kind, namespace: None, label: Some("cluster-name".into()), whole: false };
    for feed in std::iter::once(cluster).chain(of_every_cluster().into_iter().map(owned)) {
        let number = store.open(feed.clone());
        store.take(number, Event::Init);
        for object in existing.iter().filter(|object| Kind::of(object).as_ref() == Some(&feed.kind)) {
            store.take(number, Event::InitApply(object.clone()));
        }
        store.take(number, Event::InitDone);
    }
    let store = Arc::new(store);
    let (changed, _) = unbounded();
    let metrics = Metrics::new();
    let settings = Settings { config: Arc::new(Config::defaults()), pipeline: Arc::new(Pipeline::of(vec![]).unwrap()) };
    let client = wire.client();
    Context {
        client: client.clone(),
        store: store.clone(),
        writer: Writer { client: client.clone(), store, memory: Arc::new(Memory::default()), metrics: metrics.clone() },
        settings: watch::channel(settings).1,
        announcer: Announcer::new(client.clone(), ""),
        metrics,
        controller_id: String::new(),
        deciding: Semaphore::new(1),
        slots: Semaphore::new(1),
        databases: Background::new(changed.clone(), DATABASE_DEADLINE),
        patronis: Background::new(changed.clone(), PATRONI_DEADLINE),
        reach: Reach::Inside,
        transport: Arc::new(Direct::default()),
        memos: Memos::default(),
        recollections: Mutex::new(HashMap::new()),
        passwords: Mutex::new(HashMap::new()),
        infrastructure: Infrastructure::new(client, "ns", changed.clone()),
        accounts: Mutex::new(HashMap::new()),
        changed,
    }
}

/// The last part of the path of each write, as in `PATCH status`.
fn written(wire: &Wire) -> Vec<String> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    wire.writes().iter().map(|write| format!("{} {}", write.method, last(&write.path))).collect()
}

fn last_status(wire: &Wire) -> Value {
    let writes = wire.writes();
    let status = writes.iter().rev().find(|write| write.path == STATUS).unwrap();
    status.body["status"].clone()
}

#[test]
fn a_manifest_belongs_to_the_operator_whose_id_it_carries() {
    let manifest = |annotations: Value| json!({"metadata": {"annotations": annotations}});
    assert!(is_ours(&manifest(json!({})), ""));
    assert!(is_ours(&manifest(json!({"acid.zalan.do/controller": "two"})), "two"));
    assert!(!is_ours(&manifest(json!({"acid.zalan.do/controller": "two"})), ""));
    assert!(!is_ours(&manifest(json!({})), "two"));
}

#[tokio::test]
async fn a_new_cluster_is_held_announced_and_given_what_is_the_hosts_own() {
    let wire = Wire::new().with(MANIFEST, manifest());
    reconcile(&operator(&wire, &[manifest()]), &key()).await.unwrap();
    assert_eq!(
        written(&wire),
        [
            "PATCH acid-orders",
            "PATCH status",
            "POST events",
            "POST serviceaccounts",
            "POST rolebindings",
            "POST secrets",
            "POST secrets",
            "POST events",
            "PATCH status"
        ]
    );
    assert_eq!(wire.writes()[0].body["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(last_status(&wire)["PostgresClusterStatus"], "Creating");
}

#[tokio::test]
async fn a_namespace_that_was_made_anew_gets_its_service_account_again() {
    let wire = Wire::new().with(MANIFEST, manifest());
    let operator = operator(&wire, &[manifest()]);
    operator.accounts.lock().unwrap().insert("ns".into(), std::time::Instant::now());
    reconcile(&operator, &key()).await.unwrap();
    assert!(written(&wire).contains(&"POST serviceaccounts".to_owned()));
}

#[tokio::test]
async fn a_second_look_writes_nothing() {
    let wire = Wire::new().with(MANIFEST, manifest());
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}},
        "spec": {"replicas": 1}, "status": {"replicas": 1},
    });
    let operator = operator(&wire, &[manifest(), set]);
    reconcile(&operator, &key()).await.unwrap();
    let after_the_first = wire.writes().len();
    // What the API server would tell of the writes.
    let mut seen = manifest();
    seen["metadata"]["finalizers"] = json!([FINALIZER]);
    seen["metadata"]["resourceVersion"] = json!("9");
    seen["status"] = last_status(&wire);
    operator.store.wrote(&key(), seen);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(written(&wire)[after_the_first..], [] as [&str; 0]);
}

#[tokio::test]
async fn a_bad_manifest_is_told_by_status_and_event_and_touches_nothing_that_runs() {
    let mut bad = manifest();
    bad["metadata"]["finalizers"] = json!([FINALIZER]);
    bad["spec"]["volume"]["size"] = json!("large");
    let wire = Wire::new().with(MANIFEST, bad.clone());
    let error = reconcile(&operator(&wire, &[bad]), &key()).await.unwrap_err();
    assert_eq!(error.category(), "InvalidManifest");
    assert_eq!(written(&wire), ["PATCH status", "POST events"]);
    assert_eq!(last_status(&wire)["PostgresClusterStatus"], "Invalid");
    let note = wire.writes()[1].body["note"].as_str().unwrap().to_owned();
    assert!(note.starts_with("spec.volume.size: "), "{note}");
}

#[tokio::test]
async fn a_manifest_of_another_operator_is_not_touched() {
    let mut theirs = manifest();
    theirs["metadata"]["annotations"] = json!({"acid.zalan.do/controller": "two"});
    let wire = Wire::new().with(MANIFEST, theirs.clone());
    reconcile(&operator(&wire, &[theirs]), &key()).await.unwrap();
    assert_eq!(written(&wire), [] as [&str; 0]);
}

#[tokio::test]
async fn a_deleted_manifest_goes_when_what_was_made_for_it_is_gone() {
    let mut deleted = manifest();
    deleted["metadata"]["finalizers"] = json!(["theirs", FINALIZER]);
    deleted["metadata"]["deletionTimestamp"] = json!("2031-05-14T00:00:00Z");
    deleted["spec"] = json!({"nonsense": true});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}}
    });
    let wire = Wire::new().with(MANIFEST, deleted.clone());
    reconcile(&operator(&wire, &[deleted.clone(), set]), &key()).await.unwrap();
    assert_eq!(written(&wire), ["POST events", "DELETE acid-orders"]);

    let wire = Wire::new().with(MANIFEST, deleted.clone());
    reconcile(&operator(&wire, &[deleted]), &key()).await.unwrap();
    assert!(written(&wire).contains(&"DELETE acid-orders-config".to_owned()));
    let last = wire.writes().pop().unwrap();
    assert_eq!((last.path.as_str(), &last.body["metadata"]["finalizers"]), (MANIFEST, &json!(["theirs"])));
}

/// The password that a Secret on the wire was written with last.
fn password_of(wire: &Wire, name: &str) -> String {
    let wrote = |write: &&crate::wire::Write| write.body["metadata"]["name"] == name && write.body["data"].is_object();
    let writes = wire.writes();
    writes.iter().rev().find(wrote).unwrap().body["data"]["password"].as_str().unwrap().to_owned()
}

const SUPERUSER: &str = "postgres.acid-orders.credentials.postgresql.acid.zalan.do";
const STANDBY: &str = "standby.acid-orders.credentials.postgresql.acid.zalan.do";

fn secret(name: &str) -> String {
    format!("/api/v1/namespaces/ns/secrets/{name}")
}

/// The database's pod as it runs.
fn leader() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "acid-orders-0", "namespace": "ns",
            "labels": {"application": "spilo", "cluster-name": "acid-orders", "spilo-role": "master"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    })
}

#[tokio::test]
async fn a_deleted_secret_of_a_system_user_comes_back_with_the_password_that_the_database_knows() {
    let wire = Wire::new().with(MANIFEST, manifest());
    let operator = operator(&wire, &[manifest(), leader()]);
    reconcile(&operator, &key()).await.unwrap();
    let before = [SUPERUSER, STANDBY].map(|name| password_of(&wire, name));
    assert_ne!(before[0], before[1]);
    for name in [SUPERUSER, STANDBY] {
        wire.remove(&secret(name));
    }
    let wrote = wire.writes().len();
    operator.remember(&key(), |recollection| recollection.credentials = None);
    reconcile(&operator, &key()).await.unwrap();
    assert!(wire.writes().len() > wrote);
    assert_eq!([SUPERUSER, STANDBY].map(|name| password_of(&wire, name)), before);
}

#[tokio::test]
async fn a_password_that_nobody_knows_any_more_is_told_with_what_to_do() {
    let wire = Wire::new().with(MANIFEST, manifest());
    reconcile(&operator(&wire, &[manifest(), leader()]), &key()).await.unwrap();
    let notes: Vec<String> =
        wire.writes().iter().filter_map(|write| Some(write.body["note"].as_str()?.to_owned())).collect();
    let told = |name: &str| notes.iter().any(|note| note.starts_with(&format!("the Secret of \"{name}\" was gone")));
    assert!(told("postgres") && told("standby"), "{notes:?}");
}

#[tokio::test]
async fn a_new_clusters_passwords_are_made_without_a_word_about_former_ones() {
    let wire = Wire::new().with(MANIFEST, manifest());
    reconcile(&operator(&wire, &[manifest()]), &key()).await.unwrap();
    let gone = |write: &crate::wire::Write| write.body["note"].as_str().is_some_and(|note| note.contains("was gone"));
    assert!(!wire.writes().iter().any(gone));
}

#[tokio::test]
async fn the_secret_of_a_user_who_is_taken_out_of_the_manifest_stays() {
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "former.acid-orders.credentials.postgresql.acid.zalan.do", "namespace": "ns",
            "labels": {"cluster-name": "acid-orders"}, "resourceVersion": "3",
            "managedFields": [{"manager": "pgloom", "operation": "Update", "fieldsV1": {"f:data": {}}}]}
    });
    let wire = Wire::new().with(MANIFEST, manifest());
    reconcile(&operator(&wire, &[manifest(), theirs]), &key()).await.unwrap();
    assert!(!written(&wire).iter().any(|write| write.starts_with("DELETE")));
}

#[tokio::test]
async fn a_cluster_whose_teams_are_not_known_yet_is_left_for_later_and_nobody_waits() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data =
        json!({"enable_teams_api": "true", "teams_api_url": format!("http://{}", listener.local_addr().unwrap())});
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let wire = Wire::new().with(MANIFEST, manifest());
    let mut operator = operator(&wire, &[manifest()]);
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings { config, pipeline }).1;
    let begun = Instant::now();
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::requeue(ASKING));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(written(&wire), [] as [&str; 0]);
}
