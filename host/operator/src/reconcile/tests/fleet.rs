//! Promises about a cluster while a pipeline is rolled out.

use pgloom_api::pipeline::OnFailure;
use pgloom_decide::fleet::{ALL, Before, Cluster};
use pgloom_decide::impact::Verdict;
use pgloom_engine::{Description, Failure, Plugin, call};

use super::*;
use crate::settings::{Candidate, Fleet as _, Known, Reach};

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}})
}

/// The settings with a candidate that all clusters have.
fn on_trial(operator: &Context, candidate: &Arc<Pipeline>, reach: Reach) -> Settings {
    let candidate = Candidate { pipeline: Some(candidate.clone()), reach, canary: None };
    Settings { candidate: Some(candidate), ..operator.settings.borrow().clone() }
}

/// A pipeline whose one step fails.
fn broken() -> Arc<Pipeline> {
    let description = Description { name: "broken".into(), ..Description::default() };
    let plugin = Plugin::native(description, |_| Err(call::Error::Refuse(Failure::Internal("no".into()))));
    Arc::new(Pipeline::of(vec![Arc::new(plugin)]).unwrap())
}

#[tokio::test]
async fn a_cluster_whose_pipeline_is_not_known_is_not_touched_and_can_be_deleted() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let settings = operator.settings.borrow().clone();
    operator.settings = watch::channel(Settings { candidate: Some(Candidate::unknown()), ..settings }).1;
    let next = reconcile(&operator, &key()).await.unwrap();
    assert_eq!((written(&api_server), next), (vec![], Action::requeue(UNSYNCED)));
    let mut deleted = manifest();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    deleted["metadata"]["finalizers"] = json!([FINALIZER]);
    operator.store.record_write(deleted);
    let _ = reconcile(&operator, &key()).await;
    assert!(!written(&api_server).is_empty());
}

#[tokio::test]
async fn what_a_candidate_changes_for_a_cluster_is_found_without_a_write() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest()]);
    let settings = |pipeline| Settings::of(Arc::new(Config::defaults()), pipeline);
    let (now, then) = (settings(makes_objects(&[])), settings(makes_objects(&[service("acid-orders-own")])));
    let labels = Default::default();
    let cluster = Cluster { namespace: "ns".into(), name: "acid-orders".into(), labels };
    assert_eq!(operator.clusters(), Known { clusters: vec![(key(), cluster)], unlisted: None });
    let impact = operator.impact(&key(), &now, &then).await.unwrap();
    assert_eq!((impact.verdict, &*impact.objects[0].object.name), (Verdict::Changes, "acid-orders-own"));
    let held = operator.impact(&key(), &now, &settings(broken())).await.unwrap();
    assert_eq!(held.verdict, Verdict::Held);
    assert_eq!(written(&api_server), [] as [&str; 0]);
    assert!(operator.impact(&ClusterKey::new("ns", "gone"), &now, &then).await.is_none());
}

#[tokio::test]
async fn the_clusters_of_a_part_of_the_namespaces_are_not_all() {
    let operator = operator(&FakeApiServer::new(), &[manifest()]);
    let watch = |namespace: &str| crate::cache::Watch {
        kind: Kind::cluster(),
        namespace: Some(namespace.into()),
        label: None,
        whole: false,
        own: vec![],
    };
    let number = operator.store.open(watch("other"));
    operator.store.record_failure(number, true);
    let known = operator.clusters();
    assert_eq!(known.clusters.len(), 1);
    let unlisted = known.unlisted.unwrap();
    assert!(unlisted.starts_with("not all clusters are known: namespace other not listed yet; "), "{unlisted}");
    assert!(unlisted.contains("give the operator the right") && unlisted.contains("watched_namespace"), "{unlisted}");
    let _ = operator.store.apply_watcher_event(number, kube::runtime::watcher::Event::InitDone);
    assert_eq!(operator.clusters().unlisted, None);
}

#[tokio::test]
async fn a_decision_that_fails_counts_if_the_pipeline_before_decides() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let (now, candidate) = (operator.settings.borrow().clone(), broken());
    operator.settings = watch::channel(on_trial(&operator, &candidate, Reach::Stage(ALL))).1;
    let then = Settings::of(now.config.clone(), candidate);
    let seen = operator.seen(&key(), &now, &then).await.unwrap();
    assert!(!seen.reconciled && seen.failure.is_none());
    reconcile(&operator, &key()).await.unwrap_err();
    let seen = operator.seen(&key(), &now, &then).await.unwrap();
    assert!(seen.reconciled && !seen.settled);
    let failure = seen.failure.unwrap();
    assert!(failure.contains("broken"), "{failure}");
    let fails_too = Settings::of(now.config.clone(), broken());
    let seen = operator.seen(&key(), &fails_too, &then).await.unwrap();
    assert!(seen.failure.is_none() && seen.settled, "what fails with both is not waited for");
}

#[tokio::test]
async fn a_step_that_may_fail_counts_too() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let now = operator.settings.borrow().clone();
    let candidate = Arc::new(Pipeline::clone(&broken()).with_on_failure(OnFailure::Ignore));
    operator.settings = watch::channel(on_trial(&operator, &candidate, Reach::Stage(ALL))).1;
    let _ = reconcile(&operator, &key()).await;
    let then = Settings::of(now.config.clone(), candidate);
    let failure = operator.seen(&key(), &now, &then).await.unwrap().failure.unwrap();
    assert!(failure.contains("broken"), "{failure}");
}

#[tokio::test]
async fn a_cluster_whose_reconcile_failed_was_not_well() {
    let api_server = FakeApiServer::new();
    let mut failed = manifest();
    failed["status"] = json!({"conditions": [{
        "type": "Applied", "status": "False", "reason": "Refused", "message": "no",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    let now = Settings::of(Arc::new(Config::defaults()), makes_objects(&[]));
    let before = |manifest| operator(&api_server, &[manifest]).before(&key(), &now).unwrap();
    assert!(before(manifest()).is_well());
    assert_eq!(before(failed), Before { ready: 0, wanted: 0, failing: true });
}

#[tokio::test]
async fn what_a_pipeline_that_was_taken_back_answered_last_is_not_used_again() {
    let keeping = |plugin| Arc::new(Pipeline::of(vec![plugin]).unwrap().with_on_failure(OnFailure::KeepLast));
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    operator.namespace = "pgloom-system".to_owned();
    let (stable, candidate) =
        (keeping(making(&[service("acid-orders-own")])), keeping(making(&[service("acid-orders-new")])));
    let before = Settings::of(Arc::new(Config::defaults()), stable);
    let kept = |operator: &Context, settings: &Settings| {
        let key = key();
        let cluster = operator.asking(&key, settings).unwrap();
        let answers = futures::FutureExt::now_or_never(cluster.last_answers()).unwrap();
        serde_json::to_string(&answers).unwrap()
    };
    operator.settings = watch::channel(before.clone()).1;
    reconcile(&operator, &key()).await.unwrap();
    let trial = on_trial(&operator, &candidate, Reach::Stage(ALL));
    operator.settings = watch::channel(trial.clone()).1;
    reconcile(&operator, &key()).await.unwrap();
    let of_trial = Settings { pipeline: candidate.clone(), ..trial };
    assert!(kept(&operator, &of_trial).contains("acid-orders-new"));
    // With other schemas of custom resources it is the same pipeline.
    let refreshed = Arc::new(Pipeline::clone(&candidate).with_schemas(candidate.schemas().clone()));
    assert!(kept(&operator, &Settings { pipeline: refreshed, ..of_trial }).contains("acid-orders-new"));
    let of_before = kept(&operator, &before);
    assert!(of_before.contains("acid-orders-own") && !of_before.contains("acid-orders-new"), "{of_before}");
    // After all clusters have it, its answers are the last ones.
    assert!(kept(&operator, &Settings::of(before.config.clone(), candidate)).contains("acid-orders-new"));
}

/// A Service of the cluster with this port.
fn service_with(port: &str) -> Value {
    let ports = json!([{"name": "web", "port": 80, "targetPort": port}]);
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders-web"}, "spec": {"ports": ports}})
}

/// How a cluster is after a reconcile with a pipeline that makes a Service, of which the API server says this.
async fn seen_after(api_server: FakeApiServer, before: Arc<Pipeline>) -> pgloom_decide::fleet::Seen {
    let mut operator = operator(&api_server, &[manifest()]);
    let (now, candidate) =
        (Settings::of(operator.settings.borrow().config.clone(), before), makes_objects(&[service_with("a b")]));
    operator.settings = watch::channel(on_trial(&operator, &candidate, Reach::Stage(ALL))).1;
    reconcile(&operator, &key()).await.unwrap_err();
    operator.seen(&key(), &now, &Settings::of(now.config.clone(), candidate)).await.unwrap()
}

#[tokio::test]
async fn only_an_object_that_is_refused_for_what_it_says_is_the_pipelines_fault() {
    const SERVICES: &str = "/api/v1/namespaces/ns/services";
    let theirs = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "acid-orders-web", "namespace": "ns", "labels": {"app": "theirs"}}});
    let api_server = || FakeApiServer::new().with(MANIFEST, manifest());
    let refusing = |code, message: &str| api_server().refusing_because(SERVICES, code, message);
    let right = "services is forbidden: User \"x\" cannot create resource \"services\" in API group \"\"";
    let another_owner = api_server().with(&format!("{SERVICES}/acid-orders-web"), theirs);
    for (api_server, part, is_fault) in [
        (refusing(422, "spec.ports: is required"), "spec.ports: is required", true),
        (refusing(403, "services \"x\" is forbidden: exceeded quota: q"), "a resource quota refuses", false),
        (refusing(403, right), "the operator may not create", false),
        (another_owner, "is not of this cluster", false),
    ] {
        let seen = seen_after(api_server, makes_objects(&[])).await;
        let (failure, obstacle) = (seen.failure.unwrap_or_default(), seen.obstacle.unwrap_or_default());
        assert_eq!((failure.contains(part), obstacle.contains(part)), (is_fault, !is_fault), "{failure}{obstacle}");
        assert!(seen.reconciled && !seen.settled);
    }
}

#[tokio::test]
async fn an_object_that_is_refused_as_the_pipeline_before_makes_it_is_not_the_new_ones_fault() {
    let refusing = || {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest());
        api_server.refusing_because("/api/v1/namespaces/ns/services", 422, "spec.ports: is wrong")
    };
    let seen = seen_after(refusing(), makes_objects(&[service_with("a b")])).await;
    assert!(seen.failure.is_none() && seen.settled, "{seen:?}");
    let seen = seen_after(refusing(), makes_objects(&[service_with("web")])).await;
    assert!(seen.failure.is_some(), "{seen:?}");
}

#[tokio::test]
async fn a_pipeline_with_which_the_stateful_set_is_missing_is_at_fault() {
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {
        "name": "acid-orders", "namespace": "ns", "uid": "s", "resourceVersion": "1",
        "labels": {"application": "spilo", "cluster-name": "acid-orders"}}});
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest(), set]);
    let (now, candidate) = (operator.settings.borrow().clone(), makes_objects(&[]));
    operator.settings = watch::channel(on_trial(&operator, &candidate, Reach::Stage(ALL))).1;
    reconcile(&operator, &key()).await.unwrap_err();
    let then = Settings::of(now.config.clone(), candidate);
    let failure = operator.seen(&key(), &now, &then).await.unwrap().failure.unwrap();
    assert!(failure.contains("no step of the pipeline makes the StatefulSet"), "{failure}");
    let seen = operator.seen(&key(), &Settings::of(now.config.clone(), makes_objects(&[])), &then).await.unwrap();
    assert!(seen.failure.is_none(), "{seen:?}");
}

#[tokio::test]
async fn without_a_pipeline_before_a_decision_that_fails_is_the_new_ones_fault() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let candidate = broken();
    operator.settings = watch::channel(on_trial(&operator, &candidate, Reach::Stage(ALL))).1;
    reconcile(&operator, &key()).await.unwrap_err();
    let config = operator.settings.borrow().config.clone();
    let now = Settings::of(config.clone(), Arc::new(Pipeline::unavailable("none").unwrap()));
    let seen = operator.seen(&key(), &now, &Settings::of(config, candidate)).await.unwrap();
    assert!(seen.failure.is_some() && !seen.settled, "{seen:?}");
}

#[tokio::test]
async fn a_failure_is_looked_into_once_until_the_manifest_or_a_pipeline_changes() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let (before, candidate) = (broken(), broken());
    let calls = || before.steps()[0].usage().calls;
    operator.settings = watch::channel(on_trial(&operator, &candidate, Reach::Stage(ALL))).1;
    reconcile(&operator, &key()).await.unwrap_err();
    let config = operator.settings.borrow().config.clone();
    let (now, then) = (Settings::of(config.clone(), before.clone()), Settings::of(config.clone(), candidate.clone()));
    for _ in 0..3 {
        assert!(operator.seen(&key(), &now, &then).await.unwrap().settled);
    }
    assert_eq!(calls(), 1);
    // The same failure again.
    reconcile(&operator, &key()).await.unwrap_err();
    operator.seen(&key(), &now, &then).await.unwrap();
    assert_eq!(calls(), 1);
    let mut changed = manifest();
    changed["spec"]["numberOfInstances"] = json!(2);
    changed["metadata"]["resourceVersion"] = json!("9");
    operator.store.record_write(changed);
    operator.seen(&key(), &now, &then).await.unwrap();
    assert_eq!(calls(), 2);
    let other = Settings::of(config, makes_objects(&[]));
    assert!(operator.seen(&key(), &other, &then).await.unwrap().failure.is_some());
}
