//! Promises about one reconcile, against a fake API server.

use std::sync::Arc;

use base64::Engine as _;
use futures::channel::mpsc::unbounded;
use kube::runtime::watcher;
use parking_lot::Mutex;
use pgloom_api::config::Config;
use pgloom_decide::kind::of_every_cluster;
use pgloom_engine::Pipeline;
use reqsign_core::StaticEnv;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::apply::deletion::FINALIZER;
use crate::cache::{Store, Watch};
use crate::context::Network;
use crate::context::turns::Turns;
use crate::execute::command::Exec;
use crate::execute::ec2::Ec2;
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

pub fn manifest() -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "ns", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"}}
    })
}

/// An operator and the objects that exist. Its pipeline makes the StatefulSet, if there is one, and nothing else.
pub fn operator(api_server: &FakeApiServer, existing: &[Value]) -> Context {
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
    let settings = Settings::of(Arc::new(Config::defaults()), makes_objects(&sets));
    let client = api_server.client();
    Context {
        client: client.clone(),
        store,
        settings: watch::channel(settings).1,
        recorder: Recorder::new(client.clone(), ""),
        metrics,
        controller_id: String::new(),
        turns: Turns::new(1, None),
        slots: Semaphore::new(1),
        fence: Fence::open(),
        liveness: Liveness::default(),
        deadline: Duration::from_secs(60),
        namespace: "ns".to_owned(),
        network: Network::InCluster,
        transport: Arc::new(Direct::default()),
        commands: Arc::new(Exec { client: client.clone() }),
        ec2: Arc::new(Ec2::new(StaticEnv::default())),
        states: ClusterStates::new(changed.clone()),
        infrastructure_roles: InfrastructureRoles::new(client, "ns", changed.clone()),
        accounts: Mutex::default(),
        refused: Arc::default(),
        changed,
    }
}

/// The operator with another operator configuration.
fn configured(mut operator: Context, data: Value) -> Context {
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
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
async fn a_cluster_whose_teams_are_not_known_yet_is_left_for_later_and_no_reconcile_waits() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data =
        json!({"enable_teams_api": "true", "teams_api_url": format!("http://{}", listener.local_addr().unwrap())});
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
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
        operator.settings = watch::channel(Settings::of(config, pipeline)).1;
        reconcile(&operator, &key()).await.unwrap();
        if api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"] == json!([]) {
            return;
        }
    }
    panic!("the deletion does not end: {:?}", api_server.written());
}

const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/acid-orders";

/// A pipeline whose only step makes these objects; one without a step for none.
fn makes_objects(objects: &[Value]) -> Arc<Pipeline> {
    let plugins = if objects.is_empty() { vec![] } else { vec![making(objects)] };
    Arc::new(Pipeline::of(plugins).unwrap())
}

/// A plugin that makes these objects.
fn making(objects: &[Value]) -> Arc<pgloom_engine::Plugin> {
    making_as("making", objects)
}

/// A plugin of this name that makes these objects.
fn making_as(name: &str, objects: &[Value]) -> Arc<pgloom_engine::Plugin> {
    use pgloom_engine::{Contribution, Description, ObjectKind, ObjectPermission, Plugin, Response};
    let mut kinds: Vec<Kind> = objects.iter().filter_map(Kind::of).collect();
    kinds.sort();
    kinds.dedup();
    let permission = |kind: &Kind| {
        ObjectPermission::creates(ObjectKind::new(kind.api_version.to_string(), kind.kind.to_string()), &["*"])
    };
    let description =
        Description { name: name.into(), objects: kinds.iter().map(permission).collect(), ..Description::default() };
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

/// A StatefulSet without members, which nothing is waited for.
fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "uid": "s",
            "labels": {"application": "spilo", "cluster-name": "acid-orders"}},
        "spec": {"replicas": 0}, "status": {"replicas": 0},
    })
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
    (reconciliation, decide::Decided { plan: Arc::new(plan), observed: Arc::new(observed), warnings: vec![] })
}

mod actions;
mod clash;
mod deletion;
mod fleet;
mod held;
mod isolation;
mod last_answers;
mod limits;
mod log;
mod owed;
mod pruning;
mod refused;
mod rolling;
mod secrets;
mod volumes;
