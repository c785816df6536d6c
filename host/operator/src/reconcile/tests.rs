//! Promises about one reconcile, against a fake API server.

use std::sync::Arc;

use base64::Engine as _;
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
use crate::leader::fencing::Fence;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::report::Recorder;
use crate::serve::health::Liveness;
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

/// An operator and the objects that exist. Its pipeline makes the StatefulSet, if there is one, and nothing else.
fn operator(api_server: &FakeApiServer, existing: &[Value]) -> Context {
    let store = Store::default();
    let cluster = Watch { kind: Kind::cluster(), namespace: None, label: None, whole: false, own: vec![] };
    let owned = |kind| Watch { kind, namespace: None, label: Some("cluster-name".into()), whole: false, own: vec![] };
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
    let sets: Vec<Value> = existing.iter().filter(|object| object["kind"] == "StatefulSet").cloned().collect();
    let settings = Settings { config: Arc::new(Config::defaults()), pipeline: makes_objects(&sets) };
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
        fence: Fence::open(),
        liveness: Liveness::default(),
        deadline: Duration::from_secs(60),
        network: Network::InCluster,
        transport: Arc::new(Direct::default()),
        states: ClusterStates::new(changed.clone()),
        infrastructure_roles: InfrastructureRoles::new(client, "ns", changed.clone()),
        accounts: Mutex::default(),
        changed,
    }
}

/// The operator with another operator configuration.
fn configured(mut operator: Context, data: Value) -> Context {
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings { config, pipeline }).1;
    operator
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
async fn a_namespace_is_forgotten_with_its_last_cluster() {
    let operator = operator(&FakeApiServer::new(), &[]);
    let (one, other) = (key(), ClusterKey::new("ns", "other"));
    for cluster in [&one, &other] {
        operator.states.of(cluster);
    }
    operator.accounts.lock().insert("ns".into(), std::time::Instant::now());
    operator.forget(&one);
    assert_eq!(operator.accounts.lock().len(), 1);
    operator.forget(&other);
    assert!(operator.accounts.lock().is_empty());
}

#[tokio::test]
async fn a_second_reconcile_writes_nothing() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns",
            "labels": {"application": "spilo", "cluster-name": "acid-orders"}},
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
    operator.store.record_write(seen);
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
    let labels = json!({"application": "spilo", "cluster-name": "acid-orders"});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "labels": labels}
    });
    let api_server = FakeApiServer::new().with(MANIFEST, deleted.clone());
    reconcile(&operator(&api_server, &[deleted.clone(), set]), &key()).await.unwrap();
    assert_eq!(written(&api_server), ["POST events", "DELETE acid-orders"]);

    let config = json!({"metadata": {"name": "acid-orders-config", "namespace": "ns", "labels": labels}});
    let api_server = FakeApiServer::new()
        .with(MANIFEST, deleted.clone())
        .with("/api/v1/namespaces/ns/endpoints/acid-orders-config", config);
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
    let operator = operator(&api_server, &[manifest()]);
    reconcile(&operator, &key()).await.unwrap();
    operator.store.record_write(leader());
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

/// Waits until the jobs that ask Patroni have ended.
async fn job_ended(operator: &Context) {
    let state = operator.states.of(&key());
    for _ in 0..1000 {
        if !state.promotion.is_running() && !state.patroni.is_running() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a job did not end");
}

/// A Secret of a role as the operator made it, and as it exists.
fn credential(name: &str, username: &str) -> Value {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": name, "namespace": "ns", "resourceVersion": "3", "uid": name,
            "labels": {"application": "spilo", "cluster-name": "acid-orders", "team": "acid"},
            "managedFields": [{"manager": "pgloom", "operation": "Update"}],
        },
        "data": {"username": encode(username), "password": encode("former")},
    })
}

/// The writes to Secrets, as in `POST secrets`.
fn wrote_secrets(api_server: &FakeApiServer) -> Vec<crate::testing::Write> {
    api_server.writes().into_iter().filter(|write| write.path.contains("/secrets")).collect()
}

#[tokio::test]
async fn a_password_that_is_not_known_is_not_replaced_while_members_or_claims_exist() {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-acid-orders-0", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}}
    });
    for existing in [leader(), claim] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest());
        let operator = operator(&api_server, &[manifest(), existing.clone()]);
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(error.category(), "PasswordUnknown");
        assert!(wrote_secrets(&api_server).is_empty(), "{existing}");
        let status = last_status(&api_server).to_string();
        assert!(status.contains(SUPERUSER) && status.contains("pgloom-recover"), "{status}");
        assert!(error.requeue(0, Duration::from_secs(300)) == Action::requeue(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn the_other_secrets_are_kept_where_the_password_of_a_system_user_is_not_known() {
    let mut with_user = manifest();
    with_user["spec"]["users"] = json!({"app": []});
    let superuser = credential(SUPERUSER, "postgres");
    let api_server = FakeApiServer::new().with(MANIFEST, with_user.clone()).with(&secret(SUPERUSER), superuser.clone());
    let operator = operator(&api_server, &[with_user, leader(), superuser]);
    let error = reconcile(&operator, &key()).await.unwrap_err().to_string();
    assert!(error.contains(STANDBY), "{error}");
    let created: Vec<_> =
        wrote_secrets(&api_server).iter().map(|write| write.body["metadata"]["name"].clone()).collect();
    assert_eq!(created, ["app.acid-orders.credentials.postgresql.acid.zalan.do"]);
}

#[tokio::test]
async fn a_secret_that_is_deleted_while_another_one_is_created_comes_back_too() {
    let existing = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
    let mut with_user = manifest();
    with_user["spec"]["users"] = json!({"app": []});
    let api_server = FakeApiServer::new()
        .with(MANIFEST, with_user.clone())
        .with(&secret(SUPERUSER), existing[0].clone())
        .with(&secret(STANDBY), existing[1].clone());
    let [superuser, standby] = existing;
    let operator = operator(&api_server, &[with_user, superuser, standby.clone()]);
    // Both the deletion and its event come after the Secret was read and before the reconcile ends.
    let (others, store) = (api_server.clone(), operator.store.clone());
    let secrets = of_every_cluster().iter().position(|kind| kind.is("Secret")).unwrap() + 1;
    api_server.before_write("/api/v1/namespaces/ns/secrets", move || {
        others.remove(&secret(STANDBY));
        store.apply_watcher_event(secrets, watcher::Event::Delete(standby));
    });
    reconcile(&operator, &key()).await.unwrap();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(password_of(&api_server, STANDBY), credential(STANDBY, "standby")["data"]["password"]);
}

#[tokio::test]
async fn labels_and_owners_of_existing_secrets_follow_without_their_data() {
    let existing = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
    let mut api_server = FakeApiServer::new().with(MANIFEST, manifest());
    for object in &existing {
        api_server = api_server.with(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    let [superuser, standby] = existing;
    let mut operator = operator(&api_server, &[manifest(), superuser, standby]);
    reconcile(&operator, &key()).await.unwrap();
    assert!(wrote_secrets(&api_server).is_empty());
    let data = json!({"enable_owner_references": "true", "cluster_labels": "application:spilo,stage:test"});
    let config = Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config;
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings { config: Arc::new(config), pipeline }).1;
    reconcile(&operator, &key()).await.unwrap();
    let writes = wrote_secrets(&api_server);
    assert_eq!(writes.len(), 2);
    for write in writes {
        assert_eq!((write.method.as_str(), write.body.get("data")), ("PATCH", None));
        assert_eq!(write.body["metadata"]["labels"], json!({"stage": "test"}));
        assert_eq!(write.body["metadata"]["ownerReferences"][0]["uid"], "u");
    }
}

#[tokio::test]
async fn a_user_list_goes_with_its_pooler_if_the_operator_made_it() {
    let list = |name: &str, manager: &str| {
        let fields = json!({"f:data": {"f:userlist.txt": {}}});
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": "ns", "labels": {"cluster-name": "acid-orders"}, "uid": name,
                "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": fields}]},
            "data": {"userlist.txt": "eA=="},
        })
    };
    let lists = [list("acid-orders-pooler-u", "pgloom"), list("theirs", "kubectl-create")];
    let role = credential("pooler.acid-orders.credentials.postgresql.acid.zalan.do", "pooler");
    let mut api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut existing = vec![manifest(), stateful_set()];
    for object in lists.into_iter().chain([role]) {
        api_server = api_server.with(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
        existing.push(object);
    }
    reconcile(&operator(&api_server, &existing), &key()).await.unwrap();
    let deleted: Vec<_> = api_server.writes().into_iter().filter(|write| write.method == "DELETE").collect();
    assert_eq!(deleted.iter().map(|write| write.path.clone()).collect::<Vec<_>>(), [secret("acid-orders-pooler-u")]);
    assert_eq!(deleted[0].body["preconditions"]["uid"], "acid-orders-pooler-u");
}

#[tokio::test]
async fn a_secret_in_another_namespace_comes_back_when_it_is_deleted() {
    const APP: &str = "other.app.acid-orders.credentials.postgresql.acid.zalan.do";
    let mut with_user = manifest();
    with_user["spec"]["users"] = json!({"other.app": []});
    let api_server = FakeApiServer::new().with(MANIFEST, with_user.clone());
    let mut operator = operator(&api_server, &[with_user]);
    let data = json!({"enable_cross_namespace_secret": "true"});
    let config = Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config;
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings { config: Arc::new(config), pipeline }).1;
    let (changed, mut woken) = unbounded();
    operator.changed = changed;
    let created = || wrote_secrets(&api_server).iter().filter(|write| write.body["metadata"]["name"] == APP).count();
    for _ in 0..2 {
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(created(), 1);
    }
    let path = format!("/api/v1/namespaces/other/secrets/{APP}");
    let secrets = of_every_cluster().iter().position(|kind| kind.is("Secret")).unwrap() + 1;
    let object = wrote_secrets(&api_server).into_iter().find(|write| write.body["metadata"]["name"] == APP).unwrap();
    api_server.remove(&path);
    let asked = operator.store.apply_watcher_event(secrets, watcher::Event::Delete(object.body));
    assert_eq!(asked, [ClusterKey::new("other", "acid-orders")]);
    reconcile(&operator, &asked[0]).await.unwrap();
    assert_eq!(woken.try_recv().ok(), Some(key()));
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(created(), 2);
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
            "labels": {"application": "spilo", "cluster-name": "acid-orders"}, "resourceVersion": "3",
            "annotations": {"pgloom.dev/cluster-uid": "u"},
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
    Arc::new(Pipeline::of(vec![asking(actions)]).unwrap())
}

/// A plugin that asks for these actions.
fn asking(actions: &[(&str, pgloom_engine::Action)]) -> Arc<pgloom_engine::Plugin> {
    use pgloom_engine::{ActionKind, ActionPermission, ActionRequest, Description, Plugin, Response};
    let description = Description {
        name: "asking".into(),
        actions: [
            ActionKind::ConfigurePatroni,
            ActionKind::Credential,
            ActionKind::UserList,
            ActionKind::ExpandClaim,
            ActionKind::ModifyVolume,
            ActionKind::GrowFilesystem,
            ActionKind::PoolerAccess,
            ActionKind::Promote,
        ]
        .map(|kind| ActionPermission::new(kind, &["*"]))
        .into(),
        ..Description::default()
    };
    let request =
        |(key, action): &(&str, pgloom_engine::Action)| ActionRequest { key: (*key).into(), action: action.clone() };
    let response = Response {
        contributions: vec![],
        actions: actions.iter().map(request).collect(),
        findings: vec![],
        conditions: vec![],
    };
    Arc::new(Plugin::native(description, move |_| Ok(response.clone())))
}

#[tokio::test]
async fn every_action_is_executed_waited_for_or_refused_by_name() {
    use pgloom_engine::{Action as Asked, Credential, ExpandClaim, GrowFilesystem, ModifyVolume, PoolerAccess};
    let claim = "pgdata-acid-orders-0".to_owned();
    let pipeline = asks_for(&[
        ("credential", Asked::Credential(Credential { username: "pooler".into(), labels: vec![] })),
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
        ("patroni", Asked::ConfigurePatroni(r#"{"ttl": 30}"#.into())),
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
            "credential done: ",
            "expand refused: the cluster has no PersistentVolumeClaim pgdata-acid-orders-0",
            "modify refused: modify-volume is not executed by this operator",
            "grow refused: grow-filesystem is not executed by this operator",
            "patroni pending: waits for a leader that is ready, or for the promotion of the cluster",
            "promote pending: waits for a leader that is ready",
            "access pending: roles and databases are not synchronised at the moment",
        ]
    );
    let conditions = status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == "ActionsDone").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Refused")));
}

#[tokio::test]
async fn a_claim_that_is_not_the_clusters_is_not_grown() {
    use pgloom_engine::{Action as Asked, ExpandClaim};
    const CLAIMS: &str = "/api/v1/namespaces/ns/persistentvolumeclaims";
    let claim = |name: &str, cluster: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name, "namespace": "ns", "uid": name,
                "labels": {"application": "spilo", "cluster-name": cluster, "team": "acid"},
            },
            "spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"},
        })
    };
    let claims = [claim("pgdata-b-0", "b")];
    let expand = |name: &str| Asked::ExpandClaim(ExpandClaim { claim: name.into(), size: "2Gi".into() });
    let pipeline = asks_for(&[("other", expand("pgdata-b-0")), ("path", expand("../secrets/s"))]);
    let mut api_server = FakeApiServer::new().with(MANIFEST, manifest());
    for claim in &claims {
        api_server =
            api_server.with(&format!("{CLAIMS}/{}", claim["metadata"]["name"].as_str().unwrap()), claim.clone());
    }
    let existing: Vec<Value> = std::iter::once(manifest()).chain(claims).collect();
    let mut operator = operator(&api_server, &existing);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings { config, pipeline }).1;
    reconcile(&operator, &key()).await.unwrap();
    let status = last_status(&api_server);
    let states: Vec<(&str, &str)> = status["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["key"].as_str().unwrap(), record["message"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            ("other", "the cluster has no PersistentVolumeClaim pgdata-b-0"),
            ("path", "\"../secrets/s\" is not a name that an object can have"),
        ]
    );
    let is_claim = |write: &String| write.contains("pgdata");
    assert!(!written(&api_server).iter().any(is_claim), "{:?}", written(&api_server));
}

#[tokio::test]
async fn a_password_is_not_written_to_a_secret_that_others_have_made() {
    use pgloom_engine::{Action as Asked, Credential, UserList};
    const SECRETS: &str = "/api/v1/namespaces/ns/secrets";
    let theirs =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "ns", "uid": "s"}});
    let list = |name: &str, username: &str| {
        Asked::UserList(UserList { secret_name: name.into(), username: username.into(), labels: vec![] })
    };
    let pipeline = asks_for(&[
        ("credential", Asked::Credential(Credential { username: "pooler".into(), labels: vec![] })),
        ("theirs", list("theirs", "pooler")),
        ("mine", list("acid-orders-list", "pooler")),
        ("superuser", list("acid-orders-root", "postgres")),
    ]);
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(&format!("{SECRETS}/theirs"), theirs.clone());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings { config, pipeline }).1;
    reconcile(&operator, &key()).await.unwrap();
    let lists: Vec<String> = api_server
        .writes()
        .iter()
        .filter(|write| write.path.starts_with(SECRETS) && write.body.to_string().contains("userlist.txt"))
        .map(|write| write.body["metadata"]["name"].as_str().unwrap_or("a patch").to_owned())
        .collect();
    assert_eq!(lists, ["acid-orders-list"]);
}

#[tokio::test]
async fn nothing_is_made_for_a_manifest_that_is_gone_before_it_got_the_finalizer() {
    let api_server = FakeApiServer::new();
    let operator = operator(&api_server, &[manifest()]);
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(written(&api_server), ["PATCH acid-orders"]);
}

#[tokio::test]
async fn the_manifest_is_read_after_the_wait_for_a_slot() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest()]);
    let slot = operator.slots.acquire().await.unwrap();
    let gone = async {
        tokio::task::yield_now().await;
        operator.store.apply_watcher_event(0, watcher::Event::Delete(manifest()));
        drop(slot);
    };
    let (after, ()) = tokio::join!(async { reconcile(&operator, &key()).await.unwrap() }, gone);
    assert_eq!(after, Action::await_change());
    assert_eq!(written(&api_server), [] as [&str; 0]);
}

/// The manifest as it is deleted.
fn deleted() -> Value {
    let mut deleted = manifest();
    deleted["metadata"]["finalizers"] = json!([FINALIZER]);
    deleted["metadata"]["deletionTimestamp"] = json!("2031-05-14T00:00:00Z");
    deleted
}

/// An object that exists, with its path.
fn existing(kind: (&str, &str), plural: &str, namespace: &str, name: &str, metadata: Value) -> (String, Value) {
    let (api_version, kind) = kind;
    let prefix = if api_version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{api_version}") };
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    object["metadata"]["name"] = json!(name);
    object["metadata"]["namespace"] = json!(namespace);
    object["metadata"]["uid"] = json!(format!("{kind} {name}"));
    (format!("{prefix}/namespaces/{namespace}/{plural}/{name}"), object)
}

/// Reconciles the deleted cluster until its manifest has no finalizer, with the watches reporting what was deleted.
async fn delete_wholly(api_server: &FakeApiServer, objects: &[(String, Value)], config: Value) {
    for (path, object) in objects {
        api_server.put(path, object.clone());
    }
    api_server.put(MANIFEST, deleted());
    for _ in 0..20 {
        let left = objects.iter().filter_map(|(path, _)| api_server.object(path));
        let mut operator = operator(api_server, &left.chain([deleted()]).collect::<Vec<_>>());
        let pipeline = operator.settings.borrow().pipeline.clone();
        let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": config});
        let config = Arc::new(Config::read(&document).unwrap().config);
        operator.settings = watch::channel(Settings { config, pipeline }).1;
        reconcile(&operator, &key()).await.unwrap();
        if api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"] == json!([]) {
            return;
        }
    }
    panic!("the deletion does not end: {:?}", api_server.written());
}

#[tokio::test]
async fn a_deletion_takes_what_was_made_for_the_cluster_and_nothing_else() {
    let labels = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let only_named = json!({"labels": {"cluster-name": "acid-orders"}});
    let neighbour = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders-sync"}});
    let unlabelled = json!({});
    let marked = json!({"labels": {"cluster-name": "acid-orders"}, "annotations": {"pgloom.dev/cluster-uid": "u"}});
    let ours = [
        existing(("apps/v1", "StatefulSet"), "statefulsets", "ns", "acid-orders", labels.clone()),
        existing(("v1", "Pod"), "pods", "ns", "acid-orders-0", labels.clone()),
        existing(
            ("v1", "PersistentVolumeClaim"),
            "persistentvolumeclaims",
            "ns",
            "pgdata-acid-orders-0",
            labels.clone(),
        ),
        existing(("v1", "Secret"), "secrets", "ns", STANDBY, labels.clone()),
        existing(("v1", "Service"), "services", "ns", "acid-orders", labels.clone()),
        existing(("v1", "Endpoints"), "endpoints", "ns", "acid-orders-config", labels.clone()),
        existing(("v1", "ConfigMap"), "configmaps", "ns", "acid-orders-leader", labels.clone()),
        existing(("apps/v1", "Deployment"), "deployments", "ns", "made-by-a-plugin", marked),
    ];
    let theirs = [
        existing(("v1", "Secret"), "secrets", "ns", "my-app-secret", only_named.clone()),
        existing(("v1", "Secret"), "secrets", "ns", "my-labelled-secret", labels.clone()),
        existing(("v1", "PersistentVolumeClaim"), "persistentvolumeclaims", "ns", "my-backup", labels.clone()),
        existing(("apps/v1", "Deployment"), "deployments", "ns", "my-app", only_named.clone()),
        existing(("v1", "Service"), "services", "ns", "my-svc", only_named),
        existing(("v1", "ConfigMap"), "configmaps", "ns", "acid-orders-config", unlabelled),
        existing(("v1", "Service"), "services", "ns", "acid-orders-sync", neighbour.clone()),
        existing(("v1", "Endpoints"), "endpoints", "ns", "acid-orders-sync", neighbour),
    ];
    let api_server = FakeApiServer::new();
    delete_wholly(&api_server, &[ours.as_slice(), &theirs].concat(), json!({})).await;
    for (path, object) in &theirs {
        assert_eq!(api_server.object(path).as_ref(), Some(object), "{path}");
    }
    for (path, _) in &ours {
        assert_eq!(api_server.object(path), None, "{path}");
    }
    let deletions = api_server.writes().into_iter().filter(|write| write.method == "DELETE");
    assert!(deletions.into_iter().all(|write| write.body["preconditions"]["uid"].is_string()));
}

#[tokio::test]
async fn secrets_in_other_namespaces_are_deleted_with_their_own_cluster_only() {
    let secret = |namespace: &str, name: &str, uid: &str, home: &str| {
        let labels = json!({"application": "spilo", "cluster-name": "acid-orders"});
        let annotations = json!({"pgloom.dev/cluster-uid": uid, "pgloom.dev/cluster-namespace": home});
        existing(("v1", "Secret"), "secrets", namespace, name, json!({"labels": labels, "annotations": annotations}))
    };
    let ours = secret("theirs", "theirs.app.acid-orders", "u", "ns");
    let of_a_namesake =
        [secret("ns", "ns.app.acid-orders", "v", "theirs"), secret("theirs", "app.acid-orders", "v", "theirs")];
    let objects = [std::slice::from_ref(&ours), of_a_namesake.as_slice()].concat();
    let api_server = FakeApiServer::new();
    delete_wholly(&api_server, &objects, json!({})).await;
    assert_eq!(api_server.object(&ours.0), None);
    for (path, object) in &of_a_namesake {
        assert_eq!(api_server.object(path).as_ref(), Some(object), "{path}");
    }
}

#[tokio::test]
async fn a_secret_in_a_namespace_that_is_not_watched_is_deleted_with_its_cluster() {
    let metadata = json!({"labels": {"cluster-name": "acid-orders"}, "annotations": {"pgloom.dev/cluster-uid": "u"}});
    let (path, secret) = existing(("v1", "Secret"), "secrets", "unwatched", "app", metadata);
    let api_server = FakeApiServer::new().with(&path, secret);
    delete_wholly(&api_server, &[], json!({"enable_cross_namespace_secret": "true"})).await;
    assert_eq!(api_server.object(&path), None);
}

#[tokio::test]
async fn a_claim_and_a_pod_that_the_watches_have_not_reported_hold_the_manifest_until_they_are_gone() {
    let labels = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let claim =
        existing(("v1", "PersistentVolumeClaim"), "persistentvolumeclaims", "ns", "pgdata-acid-orders-1", labels);
    let api_server = FakeApiServer::new().with(MANIFEST, deleted()).with(&claim.0, claim.1);
    let operator = operator(&api_server, &[deleted()]);
    assert_ne!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(written(&api_server), ["POST events", "DELETE pgdata-acid-orders-1"]);
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(written(&api_server).last().map(String::as_str), Some("PATCH acid-orders"));
}

#[tokio::test]
async fn a_claim_that_was_relabelled_is_not_deleted_with_its_former_cluster_whose_deletion_ends() {
    let metadata = |cluster: &str, version: &str| json!({"labels": {"application": "spilo", "cluster-name": cluster}, "resourceVersion": version});
    let claim = |metadata: Value| {
        existing(("v1", "PersistentVolumeClaim"), "persistentvolumeclaims", "ns", "pgdata-acid-orders-0", metadata)
    };
    let (path, relabelled) = claim(metadata("acid-other", "6"));
    let api_server = FakeApiServer::new().with(MANIFEST, deleted()).with(&path, relabelled.clone());
    let operator = operator(&api_server, &[deleted(), claim(metadata("acid-orders", "5")).1]);
    let kinds = of_every_cluster();
    let watch = kinds.iter().position(|kind| kind.is("PersistentVolumeClaim")).unwrap() + 1;
    operator.store.apply_watcher_event(watch, watcher::Event::Apply(relabelled.clone()));
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(api_server.object(&path), Some(relabelled));
    assert_eq!(written(&api_server), ["POST events", "PATCH acid-orders"]);
}

const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/acid-orders";

/// A pipeline whose only step makes these objects; one without a step for none.
fn makes_objects(objects: &[Value]) -> Arc<Pipeline> {
    let plugins = if objects.is_empty() { vec![] } else { vec![making(objects)] };
    Arc::new(Pipeline::of(plugins).unwrap())
}

/// A plugin that makes these objects.
fn making(objects: &[Value]) -> Arc<pgloom_engine::Plugin> {
    use pgloom_engine::{Contribution, Description, ObjectKind, ObjectPermission, Plugin, Response};
    let mut kinds: Vec<Kind> = objects.iter().filter_map(Kind::of).collect();
    kinds.sort();
    kinds.dedup();
    let permission = |kind: &Kind| {
        ObjectPermission::creates(ObjectKind::new(kind.api_version.to_string(), kind.kind.to_string()), &["*"])
    };
    let description = Description {
        name: "making".into(),
        objects: kinds.iter().map(permission).collect(),
        ..Description::default()
    };
    let contribution = |object: &Value| {
        let mut made = object.clone();
        let fields = made.as_object_mut().unwrap();
        fields.remove("status");
        fields["metadata"].as_object_mut().unwrap().retain(|field, _| matches!(&**field, "name" | "labels"));
        Contribution::Apply(made.to_string())
    };
    let response = Response {
        contributions: objects.iter().map(contribution).collect(),
        actions: vec![],
        findings: vec![],
        conditions: vec![],
    };
    Arc::new(Plugin::native(description, move |_| Ok(response.clone())))
}

/// A pipeline whose only step makes a NetworkPolicy beside the StatefulSet.
fn makes_a_policy() -> Arc<Pipeline> {
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "acid-orders", "labels": {"cluster-name": "acid-orders"}}});
    makes_objects(&[policy, stateful_set()])
}

/// A StatefulSet without members, which nothing is waited for.
fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "uid": "s",
            "labels": {"application": "spilo", "cluster-name": "acid-orders"}},
        "spec": {"replicas": 0}, "status": {"replicas": 0},
    })
}

/// Makes the NetworkPolicy and returns the manifest as it is then.
async fn with_policy(api_server: &FakeApiServer) -> Value {
    let mut first = operator(api_server, &[manifest(), stateful_set()]);
    let config = first.settings.borrow().config.clone();
    first.settings = watch::channel(Settings { config, pipeline: makes_a_policy() }).1;
    reconcile(&first, &key()).await.unwrap();
    assert_eq!(api_server.object(POLICY).unwrap()["metadata"]["annotations"], json!({"pgloom.dev/cluster-uid": "u"}));
    let manifest = api_server.object(MANIFEST).unwrap();
    let record = &manifest["metadata"]["annotations"]["pgloom.dev/kinds"];
    assert_eq!(record, "networking.k8s.io/v1/NetworkPolicy");
    manifest
}

#[tokio::test]
async fn what_a_step_made_of_a_kind_of_its_own_is_pruned_when_the_step_leaves_the_pipeline() {
    let api_server = FakeApiServer::new().granting("networkpolicies").with(MANIFEST, manifest());
    let recorded = with_policy(&api_server).await;
    // The operator was restarted since: only the manifest records the kind.
    reconcile(&operator(&api_server, &[recorded.clone(), stateful_set()]), &key()).await.unwrap();
    assert_eq!(api_server.object(POLICY), None);
    reconcile(&operator(&api_server, &[recorded, stateful_set()]), &key()).await.unwrap();
    assert_eq!(api_server.object(MANIFEST).unwrap()["metadata"]["annotations"], json!({}));
}

#[tokio::test]
async fn what_a_step_made_of_a_kind_of_its_own_is_deleted_with_the_cluster_after_the_step_left_the_pipeline() {
    let api_server = FakeApiServer::new().granting("networkpolicies").with(MANIFEST, manifest());
    let mut recorded = with_policy(&api_server).await;
    recorded["metadata"]["deletionTimestamp"] = json!("2031-05-14T00:00:00Z");
    api_server.put(MANIFEST, recorded.clone());
    let operator = operator(&api_server, &[recorded]);
    for _ in 0..5 {
        reconcile(&operator, &key()).await.unwrap();
    }
    assert_eq!(api_server.object(POLICY), None);
    assert_eq!(api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"], json!([]));
}

/// A reconcile of the cluster after its decision, which lacks the answer of a step if it is degraded.
fn decided<'a>(operator: &'a Context, key: &'a ClusterKey, degraded: bool) -> (Reconciliation<'a>, decide::Decided) {
    let settings = operator.settings.borrow().clone();
    let observed = pgloom_decide::Observed::default();
    let mut plan = pgloom_decide::decide(&manifest(), &settings.config, &observed, &settings.pipeline).unwrap();
    plan.degraded = degraded;
    let reconciliation = Reconciliation {
        context: operator,
        key,
        settings,
        version: 1,
        about: reference(&manifest()),
        manifest: manifest(),
        state: operator.states.of(key),
    };
    (reconciliation, decide::Decided { plan: Arc::new(plan), warnings: vec![] })
}

#[tokio::test]
async fn nothing_is_pruned_while_a_steps_answer_is_missing_or_pods_run_a_former_template() {
    let (path, service) = existing(
        ("v1", "Service"),
        "services",
        "ns",
        "acid-orders-former",
        json!({"labels": {"cluster-name": "acid-orders"}, "annotations": {"pgloom.dev/cluster-uid": "u"}}),
    );
    for (degraded, settled, pruned) in [(true, true, false), (false, false, false), (false, true, true)] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(&path, service.clone());
        let operator = operator(&api_server, &[manifest(), service.clone()]);
        let key = key();
        let (reconciliation, decided) = decided(&operator, &key, degraded);
        reconciliation.prune(&decided, settled, [&None, &None, &None]).await.unwrap();
        assert_eq!(api_server.object(&path).is_none(), pruned, "degraded: {degraded}, settled: {settled}");
    }
}

#[tokio::test]
async fn an_object_of_an_earlier_manifest_of_this_name_is_reclaimed_with_an_event() {
    let metadata =
        json!({"labels": {"cluster-name": "acid-orders"}, "annotations": {"pgloom.dev/cluster-uid": "then"}});
    let (_, policy) =
        existing(("networking.k8s.io/v1", "NetworkPolicy"), "networkpolicies", "ns", "acid-orders", metadata);
    let api_server = FakeApiServer::new().granting("networkpolicies").with(MANIFEST, manifest()).with(POLICY, policy);
    with_policy(&api_server).await;
    let notes: Vec<String> =
        api_server.writes().iter().filter_map(|write| Some(write.body["note"].as_str()?.to_owned())).collect();
    let note = "NetworkPolicy ns/acid-orders was made for an earlier manifest of this name and belongs to this one now";
    assert!(notes.iter().any(|found| found == note), "{notes:?}");
}

mod clash;
mod isolation;
mod limits;
mod owed;
mod rolling;
mod secrets;
