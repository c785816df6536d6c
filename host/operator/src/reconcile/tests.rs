//! Promises about one reconcile, against a fake API server.

use std::sync::Arc;

use futures::channel::mpsc::unbounded;
use kube::runtime::watcher;
use parking_lot::Mutex;
use pgloom_api::config::Config;
use pgloom_decide::kind::of_every_cluster;
use pgloom_engine::Pipeline;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::apply::deletion::FINALIZER;
use crate::cache::{Store, Watch};
use crate::context::Network;
use crate::execute::patroni::Direct;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::report::Recorder;
use crate::serve::metrics::Metrics;
use crate::state::ClusterStates;
use crate::testing::FakeApiServer;

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
fn operator(api_server: &FakeApiServer, existing: &[Value]) -> Context {
    let store = Store::default();
    let cluster = Watch { kind: Kind::cluster(), namespace: None, label: None, whole: false };
    let owned = |kind| Watch { kind, namespace: None, label: Some("cluster-name".into()), whole: false };
    for wanted in std::iter::once(cluster).chain(of_every_cluster().into_iter().map(owned)) {
        let number = store.open(wanted.clone());
        store.apply_watcher_event(number, watcher::Event::Init);
        for object in existing.iter().filter(|object| Kind::of(object).as_ref() == Some(&wanted.kind)) {
            store.apply_watcher_event(number, watcher::Event::InitApply(object.clone()));
        }
        store.apply_watcher_event(number, watcher::Event::InitDone);
    }
    let store = Arc::new(store);
    let (changed, _) = unbounded();
    let metrics = Metrics::new();
    let settings = Settings { config: Arc::new(Config::defaults()), pipeline: Arc::new(Pipeline::of(vec![]).unwrap()) };
    let client = api_server.client();
    Context {
        client: client.clone(),
        store,
        settings: watch::channel(settings).1,
        recorder: Recorder::new(client.clone(), ""),
        metrics,
        controller_id: String::new(),
        deciding: Semaphore::new(1),
        slots: Semaphore::new(1),
        network: Network::InCluster,
        transport: Arc::new(Direct::default()),
        states: ClusterStates::new(changed.clone()),
        infrastructure_roles: InfrastructureRoles::new(client, "ns", changed.clone()),
        accounts: Mutex::default(),
        changed,
    }
}

/// The last part of the path of each write, as in `PATCH status`.
fn written(api_server: &FakeApiServer) -> Vec<String> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    api_server.writes().iter().map(|write| format!("{} {}", write.method, last(&write.path))).collect()
}

fn last_status(api_server: &FakeApiServer) -> Value {
    let writes = api_server.writes();
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
async fn a_new_cluster_gets_the_finalizer_a_status_and_the_hosts_own_objects() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&operator(&api_server, &[manifest()]), &key()).await.unwrap();
    assert_eq!(
        written(&api_server),
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
    assert_eq!(api_server.writes()[0].body["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(last_status(&api_server)["PostgresClusterStatus"], "Creating");
}

#[tokio::test]
async fn a_namespace_that_was_created_again_gets_its_service_account_again() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest()]);
    operator.accounts.lock().insert("ns".into(), std::time::Instant::now());
    reconcile(&operator, &key()).await.unwrap();
    assert!(written(&api_server).contains(&"POST serviceaccounts".to_owned()));
}

#[tokio::test]
async fn a_second_reconcile_writes_nothing() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}},
        "spec": {"replicas": 1}, "status": {"replicas": 1},
    });
    let operator = operator(&api_server, &[manifest(), set]);
    reconcile(&operator, &key()).await.unwrap();
    let after_the_first = api_server.writes().len();
    // What the watches would report of the writes.
    let mut seen = manifest();
    seen["metadata"]["finalizers"] = json!([FINALIZER]);
    seen["metadata"]["resourceVersion"] = json!("9");
    seen["status"] = last_status(&api_server);
    operator.store.record_write(&key(), seen);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(written(&api_server)[after_the_first..], [] as [&str; 0]);
}

#[tokio::test]
async fn a_bad_manifest_is_reported_by_status_and_event_and_changes_nothing_that_runs() {
    let mut bad = manifest();
    bad["metadata"]["finalizers"] = json!([FINALIZER]);
    bad["spec"]["volume"]["size"] = json!("large");
    let api_server = FakeApiServer::new().with(MANIFEST, bad.clone());
    let error = reconcile(&operator(&api_server, &[bad]), &key()).await.unwrap_err();
    assert_eq!(error.category(), "InvalidManifest");
    assert_eq!(written(&api_server), ["PATCH status", "POST events"]);
    assert_eq!(last_status(&api_server)["PostgresClusterStatus"], "Invalid");
    let note = api_server.writes()[1].body["note"].as_str().unwrap().to_owned();
    assert!(note.starts_with("spec.volume.size: "), "{note}");
}

#[tokio::test]
async fn a_manifest_of_another_operator_is_not_touched() {
    let mut theirs = manifest();
    theirs["metadata"]["annotations"] = json!({"acid.zalan.do/controller": "two"});
    let api_server = FakeApiServer::new().with(MANIFEST, theirs.clone());
    reconcile(&operator(&api_server, &[theirs]), &key()).await.unwrap();
    assert_eq!(written(&api_server), [] as [&str; 0]);
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
    let api_server = FakeApiServer::new().with(MANIFEST, deleted.clone());
    reconcile(&operator(&api_server, &[deleted.clone(), set]), &key()).await.unwrap();
    assert_eq!(written(&api_server), ["POST events", "DELETE acid-orders"]);

    let api_server = FakeApiServer::new().with(MANIFEST, deleted.clone());
    reconcile(&operator(&api_server, &[deleted]), &key()).await.unwrap();
    assert!(written(&api_server).contains(&"DELETE acid-orders-config".to_owned()));
    let last = api_server.writes().pop().unwrap();
    assert_eq!((last.path.as_str(), &last.body["metadata"]["finalizers"]), (MANIFEST, &json!(["theirs"])));
}

/// The password that a Secret was written with last.
fn password_of(api_server: &FakeApiServer, name: &str) -> String {
    let wrote =
        |write: &&crate::testing::Write| write.body["metadata"]["name"] == name && write.body["data"].is_object();
    let writes = api_server.writes();
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
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest(), leader()]);
    reconcile(&operator, &key()).await.unwrap();
    let before = [SUPERUSER, STANDBY].map(|name| password_of(&api_server, name));
    assert_ne!(before[0], before[1]);
    for name in [SUPERUSER, STANDBY] {
        api_server.remove(&secret(name));
    }
    let wrote = api_server.writes().len();
    operator.states.of(&key()).memory.lock().credentials = None;
    reconcile(&operator, &key()).await.unwrap();
    assert!(api_server.writes().len() > wrote);
    assert_eq!([SUPERUSER, STANDBY].map(|name| password_of(&api_server, name)), before);
}

#[tokio::test]
async fn a_password_that_is_lost_is_reported_with_what_to_do() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&operator(&api_server, &[manifest(), leader()]), &key()).await.unwrap();
    let notes: Vec<String> =
        api_server.writes().iter().filter_map(|write| Some(write.body["note"].as_str()?.to_owned())).collect();
    let reported =
        |name: &str| notes.iter().any(|note| note.starts_with(&format!("the Secret of \"{name}\" was gone")));
    assert!(reported("postgres") && reported("standby"), "{notes:?}");
}

#[tokio::test]
async fn a_new_clusters_passwords_are_made_without_a_word_about_former_ones() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&operator(&api_server, &[manifest()]), &key()).await.unwrap();
    let gone =
        |write: &crate::testing::Write| write.body["note"].as_str().is_some_and(|note| note.contains("was gone"));
    assert!(!api_server.writes().iter().any(gone));
}

#[tokio::test]
async fn the_secret_of_a_user_who_is_taken_out_of_the_manifest_stays() {
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "former.acid-orders.credentials.postgresql.acid.zalan.do", "namespace": "ns",
            "labels": {"cluster-name": "acid-orders"}, "resourceVersion": "3",
            "managedFields": [{"manager": "pgloom", "operation": "Update", "fieldsV1": {"f:data": {}}}]}
    });
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&operator(&api_server, &[manifest(), theirs]), &key()).await.unwrap();
    assert!(!written(&api_server).iter().any(|write| write.starts_with("DELETE")));
}

#[tokio::test]
async fn a_cluster_whose_teams_are_not_known_yet_is_left_for_later_and_no_reconcile_waits() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data =
        json!({"enable_teams_api": "true", "teams_api_url": format!("http://{}", listener.local_addr().unwrap())});
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings { config, pipeline }).1;
    let begun = Instant::now();
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::requeue(ASKING));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(written(&api_server), [] as [&str; 0]);
}

/// A pipeline whose only step asks for these actions.
fn asks_for(actions: &[(&str, pgloom_engine::Action)]) -> Arc<Pipeline> {
    use pgloom_engine::{ActionKind, ActionRequest, Description, Plugin, Response};
    let description = Description {
        name: "asking".into(),
        version: "0.1.0".into(),
        summary: "Asks".into(),
        config_schema: "{}".into(),
        config_example: "{}".into(),
        config_keys: vec![],
        relevant: vec![],
        desired: vec![],
        observed: vec![],
        writes: vec![],
        actions: vec![
            ActionKind::ConfigurePatroni,
            ActionKind::ExpandClaim,
            ActionKind::ModifyVolume,
            ActionKind::GrowFilesystem,
            ActionKind::PoolerAccess,
            ActionKind::Promote,
        ],
        requires: vec![],
    };
    let request =
        |(key, action): &(&str, pgloom_engine::Action)| ActionRequest { key: (*key).into(), action: action.clone() };
    let response = Response {
        contributions: vec![],
        actions: actions.iter().map(request).collect(),
        findings: vec![],
        conditions: vec![],
    };
    Arc::new(Pipeline::of(vec![Arc::new(Plugin::native(description, move |_| Ok(response.clone())))]).unwrap())
}

#[tokio::test]
async fn every_action_is_executed_waited_for_or_refused_by_name() {
    use pgloom_engine::{Action as Asked, ExpandClaim, GrowFilesystem, ModifyVolume, PoolerAccess};
    let claim = "pgdata-acid-orders-0".to_owned();
    let pipeline = asks_for(&[
        ("expand", Asked::ExpandClaim(ExpandClaim { claim: claim.clone(), size: "2Gi".into() })),
        (
            "modify",
            Asked::ModifyVolume(ModifyVolume {
                claim: claim.clone(),
                size: None,
                iops: None,
                throughput: None,
                volume_type: None,
            }),
        ),
        ("grow", Asked::GrowFilesystem(GrowFilesystem { claim, pod: "acid-orders-0".into() })),
        ("patroni", Asked::ConfigurePatroni("{".into())),
        ("promote", Asked::Promote),
        ("access", Asked::PoolerAccess(PoolerAccess { username: "pooler".into(), schema: "pooler".into() })),
    ]);
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings { config, pipeline }).1;
    let after = reconcile(&operator, &key()).await.unwrap();
    assert!(after != Action::await_change());
    let status = last_status(&api_server);
    let reported: Vec<String> = status["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap();
            format!("{} {}: {}", text("key"), text("phase"), text("message").split(':').next().unwrap())
        })
        .collect();
    assert_eq!(
        reported,
        [
            "expand failed: there is no claim pgdata-acid-orders-0",
            "modify refused: modify-volume is not executed by this operator",
            "grow refused: grow-filesystem is not executed by this operator",
            "patroni failed: the configuration for Patroni is not a JSON object",
            "promote pending: waits for a leader that is ready",
            "access pending: roles and databases are not synchronised at the moment",
        ]
    );
    let conditions = status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == "ActionsDone").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Failed")));
}

mod owed;
