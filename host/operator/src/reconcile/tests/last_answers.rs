//! Promises about the answers of steps with `onFailure: keepLast` across a restart of the operator.

use pgloom_api::pipeline::OnFailure;
use pgloom_engine::{Description, Failure, Plugin, call};

use super::super::last_answers::sweep_answers;
use super::*;

const KEPT: &str = "/api/v1/namespaces/pgloom-system/configmaps/pgloom-last-u";

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders-own"}})
}

/// The plugin that makes the Service, as long as it works.
fn plugin(works: bool) -> Arc<Plugin> {
    let making = making(&[service()]);
    if works {
        return making;
    }
    let description = Description::clone(&making.description);
    Arc::new(Plugin::native(description, |_| Err(call::Error::Refuse(Failure::Internal("broken".into())))))
}

/// A new operator with the plugin in a step that keeps its last answer.
fn started(api_server: &FakeApiServer, works: bool) -> Context {
    let mut operator = operator(api_server, &[manifest()]);
    operator.namespace = "pgloom-system".to_owned();
    let config = operator.settings.borrow().config.clone();
    let pipeline = Pipeline::of(vec![plugin(works)]).unwrap().with_on_failure(OnFailure::KeepLast);
    operator.settings = watch::channel(Settings::of(config, Arc::new(pipeline))).1;
    operator
}

fn services(api_server: &FakeApiServer) -> usize {
    api_server.written().iter().filter(|write| *write == "POST /api/v1/namespaces/ns/services").count()
}

#[tokio::test]
async fn what_a_failing_step_wanted_last_stays_after_a_restart() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&started(&api_server, true), &key()).await.unwrap();
    assert_eq!(services(&api_server), 1);
    // Someone deletes the Service, and the operator starts again with a plugin that fails.
    api_server.remove("/api/v1/namespaces/ns/services/acid-orders-own");
    reconcile(&started(&api_server, false), &key()).await.unwrap();
    assert_eq!(services(&api_server), 2, "{:?}", api_server.written());
    let failed = last_status(&api_server)["conditions"].as_array().unwrap().clone();
    assert!(failed.iter().any(|condition| condition["type"] == "making/Failed"), "{failed:?}");
}

#[tokio::test]
async fn the_same_answer_is_kept_once_and_goes_with_the_cluster() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let kept = || api_server.written().iter().filter(|write| *write == &format!("PATCH {KEPT}")).count();
    for _ in 0..2 {
        let operator = started(&api_server, true);
        for _ in 0..2 {
            reconcile(&operator, &key()).await.unwrap();
        }
        assert_eq!(kept(), 1);
    }
    let mut operator = operator(&api_server, &[deleted()]);
    operator.namespace = "pgloom-system".to_owned();
    api_server.put(MANIFEST, deleted());
    api_server.remove("/api/v1/namespaces/ns/services/acid-orders-own");
    for _ in 0..5 {
        reconcile(&operator, &key()).await.unwrap();
    }
    assert_eq!(api_server.object(KEPT), None, "{:?}", api_server.written());
}

#[tokio::test]
async fn an_answer_is_read_from_the_operators_namespace_only() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&started(&api_server, true), &key()).await.unwrap();
    let kept = api_server.object(KEPT).unwrap();
    api_server.remove(KEPT);
    api_server.put("/api/v1/namespaces/ns/configmaps/pgloom-last-u", kept);
    let error = reconcile(&started(&api_server, false), &key()).await.unwrap_err();
    assert!(error_chain(&error).contains("broken"), "without an answer the step holds the cluster");
}

#[tokio::test]
async fn answers_that_cannot_be_used_are_as_good_as_none() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    api_server.put(KEPT, json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"answers.json": "[1]"}}));
    reconcile(&started(&api_server, false), &key()).await.unwrap_err();
    reconcile(&started(&api_server, true), &key()).await.unwrap();
    assert!(api_server.object(KEPT).unwrap()["data"]["answers.json"].as_str().unwrap().contains("acid-orders-own"));
}

#[tokio::test]
async fn without_a_step_that_keeps_its_answer_nothing_is_kept() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, makes_objects(&[service()]))).1;
    reconcile(&operator, &key()).await.unwrap();
    assert!(!api_server.written().iter().any(|write| write.contains("configmaps")), "{:?}", api_server.written());
}

#[tokio::test]
async fn what_is_kept_for_a_cluster_that_is_gone_is_swept_and_nothing_else() {
    let map = |name: &str, label: &str, cluster: &str, manager: &str| {
        let path = format!("/api/v1/namespaces/pgloom-system/configmaps/{name}");
        let metadata = json!({
            "name": name, "namespace": "pgloom-system", "uid": format!("uid of {name}"), "resourceVersion": "7",
            "labels": {(label): "true"}, "annotations": {"pgloom.dev/cluster": cluster},
            "managedFields": [{"manager": manager, "operation": "Apply"}],
        });
        (path, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
    };
    let label = "pgloom.dev/last-answers";
    let gone = [
        map("pgloom-last-gone", label, "ns/acid-former", "pgloom"),
        map("pgloom-last-v", label, "ns/acid-orders", "pgloom"),
    ];
    let stay = [
        map("pgloom-last-u", label, "ns/acid-orders", "pgloom"),
        map("pgloom-last-a", "app", "ns/acid-former", "pgloom"),
        map("pgloom-last-b", label, "ns/acid-former", "kubectl"),
        map("other-gone", label, "ns/acid-former", "pgloom"),
        map("pgloom-last-c", label, "no-namespace", "pgloom"),
    ];
    let api_server = gone
        .iter()
        .chain(&stay)
        .fold(FakeApiServer::new(), |api_server, (path, object)| api_server.with(path, object.clone()));
    let operator = started(&api_server, true);
    sweep_answers(&operator).await;
    for (path, _) in &gone {
        assert_eq!(api_server.object(path), None, "{path}");
    }
    for (path, object) in &stay {
        assert_eq!(api_server.object(path).as_ref(), Some(object), "{path}");
    }
    let deletions = api_server.writes();
    assert!(deletions.iter().all(|write| write.body["preconditions"]["resourceVersion"] == "7"), "{deletions:?}");

    // A namespace that is not watched, or not listed yet, may have the cluster.
    let unwatched = FakeApiServer::new().with(&gone[0].0, gone[0].1.clone());
    let mut blind = started(&unwatched, true);
    blind.store = Arc::new(Store::default());
    sweep_answers(&blind).await;
    assert_eq!(unwatched.written(), [] as [&str; 0]);
}
