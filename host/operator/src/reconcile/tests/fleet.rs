//! Promises about a cluster while a pipeline is rolled out.

use pgloom_api::pipeline::OnFailure;
use pgloom_decide::fleet::{ALL, Cluster, Unwell};
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
    assert_eq!(known.unlisted.as_deref(), Some("not all clusters are known: namespace other not listed yet"));
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
    assert_eq!(operator(&api_server, &[manifest()]).unwell(&key(), &now), None);
    let unwell = operator(&api_server, &[failed]).unwell(&key(), &now);
    assert_eq!(unwell, Some(Unwell { ready: 0, failing: true }));
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
    let of_before = kept(&operator, &before);
    assert!(of_before.contains("acid-orders-own") && !of_before.contains("acid-orders-new"), "{of_before}");
    // After all clusters have it, its answers are the last ones.
    assert!(kept(&operator, &Settings::of(before.config.clone(), candidate)).contains("acid-orders-new"));
}
