//! Promises about deadlines, the leadership, deletions that fail or are refused, and namespaces that cannot be listed.

use axum::http::StatusCode;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::*;
use crate::execute::patroni::{Pod, Request, Response, Transport, TransportError};
use crate::execute::rotation::Calendar;
use crate::reconcile::check::check_once;
use crate::reconcile::credentials::{Home, read};

#[tokio::test]
async fn a_request_that_hangs_ends_its_reconcile_at_the_deadline_and_holds_no_other_cluster() {
    let mut other = manifest();
    other["metadata"]["name"] = json!("acid-other");
    other["metadata"]["uid"] = json!("other");
    let api_server = FakeApiServer::new()
        .with(MANIFEST, manifest())
        .with("/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/acid-other", other.clone())
        .hanging(MANIFEST);
    let mut operator = operator(&api_server, &[manifest(), other]);
    operator.deadline = Duration::from_secs(1);
    operator.slots = Semaphore::new(2);
    let (ours, theirs, begun) = (key(), ClusterKey::new("ns", "acid-other"), Instant::now());
    let (hung, others) = tokio::join!(reconcile(&operator, &ours), async {
        let result = reconcile(&operator, &theirs).await;
        assert!(begun.elapsed() < operator.deadline, "{:?}", begun.elapsed());
        result
    });
    assert_eq!(hung.unwrap_err().category(), "Deadline");
    others.unwrap();
    assert_eq!(operator.states.failures(&key()), 1);
    assert!(!operator.liveness.is_stuck());
    api_server.answering();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(operator.states.failures(&key()), 0);
}

#[tokio::test]
async fn an_operator_that_leads_no_more_writes_nothing() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    operator.fence = Fence::closed();
    assert_eq!(reconcile(&operator, &key()).await.unwrap_err().category(), "NotLeading");
    assert_eq!(written(&api_server), [] as [&str; 0]);
}

/// A manifest that was deleted and whose deletion the finalizer holds.
fn terminating() -> Value {
    let mut terminating = manifest();
    terminating["metadata"]["finalizers"] = json!([FINALIZER]);
    terminating["metadata"]["deletionTimestamp"] = json!("2031-05-14T00:00:00Z");
    terminating
}

#[tokio::test]
async fn a_deletion_that_fails_is_reported_by_the_status_and_tried_ever_later() {
    let set_path = "/apis/apps/v1/namespaces/ns/statefulsets/acid-orders";
    let set = stateful_set();
    let api_server =
        FakeApiServer::new().with(MANIFEST, terminating()).with(set_path, set.clone()).refusing_every(set_path, 500);
    let operator = operator(&api_server, &[terminating(), set]);
    for failures in 1..=3 {
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(operator.states.failures(&key()), failures);
        let repair = Duration::from_secs(300);
        assert_eq!(error.requeue(failures - 1, repair), Action::requeue(Duration::from_secs(1 << (failures - 1))));
    }
    let status = last_status(&api_server);
    let conditions = status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == "DeletionAllowed").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("WriteFailed")));
}

#[tokio::test]
async fn a_cluster_whose_deletion_is_refused_is_reconciled_and_says_which_annotation_allows_it() {
    let api_server = FakeApiServer::new().with(MANIFEST, terminating());
    let mut operator = operator(&api_server, &[terminating()]);
    let data = json!({"delete_annotation_name_key": "delete-clustername"});
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    reconcile(&operator, &key()).await.unwrap();
    assert!(written(&api_server).contains(&"POST secrets".to_owned()), "{:?}", written(&api_server));
    let status = last_status(&api_server);
    let conditions = status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == "DeletionAllowed").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Guarded")));
    let message = condition["message"].as_str().unwrap();
    assert_eq!(message, "the manifest is kept until its annotation delete-clustername is acid-orders");
}

#[tokio::test]
async fn a_namespace_that_is_not_listed_yet_keeps_only_its_own_clusters_waiting() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest()]);
    operator.store.open(Watch {
        kind: Kind::cluster(),
        namespace: Some("elsewhere".into()),
        label: None,
        whole: false,
        own: vec![],
    });
    assert_eq!(reconcile(&operator, &ClusterKey::new("elsewhere", "c")).await.unwrap(), Action::requeue(UNSYNCED));
    reconcile(&operator, &key()).await.unwrap();
    assert!(!written(&api_server).is_empty());
}

/// An operator of a cluster with one member, which leads.
fn with_leader(api_server: &FakeApiServer) -> Context {
    let mut pod = leader();
    pod["metadata"]["uid"] = json!("p");
    pod["metadata"]["labels"]["controller-revision-hash"] = json!("new");
    let mut set = stateful_set();
    set["spec"]["replicas"] = json!(1);
    set["status"]["updateRevision"] = json!("new");
    let secrets = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
    for object in &secrets {
        api_server.put(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    operator(api_server, &[[manifest(), set, pod].as_slice(), &secrets].concat())
}

#[tokio::test]
async fn a_leader_whose_patroni_is_silent_is_not_ready() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&with_leader(&api_server), &key()).await.unwrap();
    let status = last_status(&api_server);
    let conditions = status["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("PatroniSilent")));
}

/// A Patroni whose PostgreSQL is in this state; `None` while it hangs.
struct Reports(Mutex<Option<&'static str>>);

impl Transport for Reports {
    fn send<'a>(&'a self, pod: &'a Pod, _: Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        async move {
            let state = self.0.lock().ok_or(TransportError::Address)?;
            let body = json!({"members": [{"name": pod.name, "role": "leader", "state": state}]});
            Ok(Response { status: StatusCode::OK, body: body.to_string().into() })
        }
        .boxed()
    }
}

/// The condition `Ready` as it was written last: its status and reason.
fn ready(api_server: &FakeApiServer) -> (Value, Value) {
    let status = last_status(api_server);
    let ready = status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Ready").unwrap();
    (ready["status"].clone(), ready["reason"].clone())
}

#[tokio::test]
async fn a_database_that_hangs_without_any_watch_event_is_reconciled_and_not_ready() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let (mut operator, patroni) = (with_leader(&api_server), Arc::new(Reports(None.into())));
    let (changed, mut triggered) = unbounded();
    operator.changed = changed;
    operator.transport = patroni.clone();
    *patroni.0.lock() = Some("running");
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"enable_database_access": "false"}});
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(ready(&api_server), (json!("True"), json!("LeaderReady")));
    check_once(&operator).await;
    assert!(triggered.try_recv().is_err(), "a database that serves wakes no reconcile");
    for (state, reason) in [(None, "PatroniSilent"), (Some("start failed"), "LeaderNotServing")] {
        *patroni.0.lock() = state;
        check_once(&operator).await;
        assert_eq!(triggered.try_recv().unwrap(), key());
        assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::requeue(Duration::from_secs(15)));
        assert_eq!(ready(&api_server), (json!("False"), json!(reason)));
        check_once(&operator).await;
        assert!(triggered.try_recv().is_err(), "it is requeued already");
        *patroni.0.lock() = Some("running");
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(ready(&api_server), (json!("True"), json!("LeaderReady")));
    }
}

#[tokio::test]
async fn a_cluster_that_waits_for_its_pods_is_reconciled_by_their_events_alone() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut set = stateful_set();
    set["spec"]["replicas"] = json!(1);
    let operator = operator(&api_server, &[manifest(), set]);
    let resync = spread(operator.settings.borrow().resync(), &key());
    for _ in 0..3 {
        assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::requeue(resync));
    }
    assert_eq!(ready(&api_server).0, json!("False"));
}

#[tokio::test]
async fn a_leader_that_does_not_serve_is_asked_ever_later_until_an_event_comes() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = with_leader(&api_server);
    operator.transport = Arc::new(Reports(Some("start failed").into()));
    let seconds = |seconds| Action::requeue(Duration::from_secs(seconds));
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"enable_database_access": "false"}});
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    for delay in [15, 30, 60] {
        assert_eq!(reconcile(&operator, &key()).await.unwrap(), seconds(delay));
    }
    operator.states.wake(&key());
    for delay in [15, 30] {
        assert_eq!(reconcile(&operator, &key()).await.unwrap(), seconds(delay));
    }
}

#[tokio::test]
async fn a_manifest_that_is_edited_while_it_gets_its_finalizer_is_no_failure() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).refusing_once(MANIFEST, 409, "it was modified");
    let operator = operator(&api_server, &[manifest()]);
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::requeue(OUTDATED));
    assert_eq!(written(&api_server), ["PATCH acid-orders"]);
    assert_eq!(operator.states.failures(&key()), 0);
}

#[tokio::test]
async fn a_manifest_that_is_edited_while_it_loses_its_finalizer_is_no_failure() {
    let api_server = FakeApiServer::new().with(MANIFEST, terminating()).refusing_once(MANIFEST, 409, "it was modified");
    let operator = operator(&api_server, &[terminating()]);
    assert_ne!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(api_server.object(MANIFEST), Some(terminating()));
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn all_secrets_of_a_cluster_cost_one_request_and_those_without_its_label_one_each() {
    let api_server = FakeApiServer::new();
    let operator = operator(&api_server, &[manifest()]);
    let (settings, observed) = (operator.settings.borrow().clone(), pgloom_decide::Observed::default());
    let mut manifest = manifest();
    manifest["spec"]["users"] = json!({"ada": [], "bob": [], "eve": []});
    let plan = pgloom_decide::decide(&manifest, &settings.config, &observed, &settings.pipeline).unwrap();
    assert_eq!(plan.secrets.len(), 5);
    for wanted in &plan.secrets {
        api_server.put(&secret(&wanted.name), credential(&wanted.name, "any"));
    }
    let home = Home { namespace: "ns".into(), selector: "cluster-name=acid-orders".into() };
    let (client, before) = (api_server.client(), api_server.reads());
    let calendar = Calendar::of(&settings.config, jiff::Timestamp::now());
    read(&client, &home, &plan.secrets, &calendar).await.unwrap();
    assert_eq!(api_server.reads() - before, 1);
    let mut unlabelled = api_server.object(&secret(&plan.secrets[0].name)).unwrap();
    unlabelled["metadata"]["labels"] = json!({});
    api_server.put(&secret(&plan.secrets[0].name), unlabelled);
    read(&client, &home, &plan.secrets, &calendar).await.unwrap();
    assert_eq!(api_server.reads() - before, 3);
}

#[tokio::test]
async fn what_is_remembered_of_a_pod_goes_with_the_pod() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = with_leader(&api_server);
    let remembered = ["p", "gone"].map(|uid| (uid.to_owned(), ("new".to_owned(), false)));
    operator.states.of(&key()).memory.lock().same_template.extend(remembered);
    reconcile(&operator, &key()).await.unwrap();
    let state = operator.states.of(&key());
    let left: Vec<String> = state.memory.lock().same_template.keys().cloned().collect();
    assert_eq!(left, ["p"]);
}

#[tokio::test]
async fn a_cluster_in_a_namespace_that_is_being_deleted_goes_although_nothing_can_be_created_there() {
    let terminating =
        "events is forbidden: unable to create new content in namespace ns because it is being terminated";
    let events = "/apis/events.k8s.io/v1/namespaces/ns/events";
    let api_server = FakeApiServer::new().with(MANIFEST, deleted()).refusing_because(events, 403, terminating);
    let operator = operator(&api_server, &[deleted()]);
    for _ in 0..5 {
        reconcile(&operator, &key()).await.unwrap();
    }
    assert!(written(&api_server).contains(&"POST events".to_owned()));
    assert_eq!(api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"], json!([]));
}
