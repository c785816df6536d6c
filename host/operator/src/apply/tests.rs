use super::*;
use crate::cache::Watch;
use crate::testing::FakeApiServer;
use kube::runtime::watcher::Event;
use serde_json::json;

const SERVICE: &str = "/api/v1/namespaces/ns/services/c";
const STATEFUL_SET: &str = "/apis/apps/v1/namespaces/ns/statefulsets/c";

fn key() -> ClusterKey {
    ClusterKey::new("ns", "c")
}

fn writer(api_server: &FakeApiServer, existing: Vec<Value>) -> Writer {
    let store = Store::default();
    for kind in [Kind::new("v1", "Service"), Kind::new("apps/v1", "StatefulSet")] {
        let watch =
            store.open(Watch { kind: kind.clone(), namespace: None, label: Some("cluster-name".into()), whole: false });
        for object in existing.iter().filter(|object| Kind::of(object).as_ref() == Some(&kind)) {
            store.apply_watcher_event(watch, Event::Apply(object.clone()));
        }
    }
    Writer {
        client: api_server.client(),
        store: Arc::new(store),
        last_applied: Arc::default(),
        metrics: Metrics::new(),
    }
}

fn service(port: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "c", "namespace": "ns", "labels": {"cluster-name": "c"}},
        "spec": {"ports": [{"port": port}]}
    })
}

#[tokio::test]
async fn what_is_missing_is_created_under_our_name_and_without_force() {
    let api_server = FakeApiServer::new();
    let applied = writer(&api_server, vec![]).apply(&key(), &[service(5432)]).await.unwrap();
    let writes = api_server.writes();
    assert_eq!(api_server.written(), [format!("PATCH {SERVICE}")]);
    assert_eq!(writes[0].query, "&fieldManager=pgloom");
    assert_eq!(applied.written.len(), 1);
}

#[tokio::test]
async fn the_same_again_costs_no_write() {
    let api_server = FakeApiServer::new();
    let writer = writer(&api_server, vec![]);
    for _ in 0..3 {
        writer.apply(&key(), &[service(5432)]).await.unwrap();
    }
    assert_eq!(api_server.writes().len(), 1);
}

#[tokio::test]
async fn a_hand_edit_is_repaired_with_force() {
    let api_server = FakeApiServer::new();
    let writer = writer(&api_server, vec![]);
    writer.apply(&key(), &[service(5432)]).await.unwrap();
    writer.store.record_write(&key(), service(6543));
    writer.apply(&key(), &[service(5432)]).await.unwrap();
    assert_eq!(api_server.writes()[1].query, "&force=true&fieldManager=pgloom");
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_touched() {
    let mut foreign = service(80);
    foreign["metadata"]["labels"] = json!({"app": "theirs"});
    let api_server = FakeApiServer::new().with(SERVICE, foreign).refusing(SERVICE, 409);
    let error = writer(&api_server, vec![]).apply(&key(), &[service(5432)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Service c exists already and is not of this cluster; delete it, or choose another name for the cluster"
    );
    assert_eq!(api_server.writes().len(), 1);
}

#[tokio::test]
async fn a_stateful_set_that_has_to_be_replaced_leaves_its_pods_and_is_made_anew_once_it_is_gone() {
    let set = |size: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "c", "namespace": "ns", "labels": {"cluster-name": "c"}},
            "spec": {"volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": size}}}}]}
        })
    };
    let api_server = FakeApiServer::new().with(STATEFUL_SET, set("1Gi"));
    let writer = writer(&api_server, vec![set("1Gi")]);
    let applied = writer.apply(&key(), &[set("2Gi")]).await.unwrap();
    assert_eq!(api_server.written(), [format!("DELETE {STATEFUL_SET}")]);
    assert_eq!(api_server.writes()[0].body["propagationPolicy"], "Orphan");
    assert_eq!(applied.waiting.as_deref(), Some("StatefulSet c is being replaced; its pods stay"));
}

#[tokio::test]
async fn what_nobody_desires_is_deleted_if_the_operator_applied_it() {
    let mut ours = service(5432);
    ours["metadata"]["uid"] = json!("u");
    ours["metadata"]["managedFields"] = json!([{"manager": "pgloom", "operation": "Apply", "fieldsV1": {}}]);
    let api_server = FakeApiServer::new().with(SERVICE, ours.clone());
    let pruned = writer(&api_server, vec![ours]).prune(&key(), |_, _| false).await.unwrap();
    assert_eq!(pruned, [(Kind::new("v1", "Service"), "c".to_owned())]);
    assert_eq!(api_server.writes()[0].body["preconditions"]["uid"], "u");
}

#[tokio::test]
async fn an_object_whose_field_is_immutable_is_made_anew_where_that_does_no_harm() {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ns/deployments/c-pooler";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "c-pooler", "namespace": "ns", "labels": {"cluster-name": "c"}},
    });
    let api_server = FakeApiServer::new().with(DEPLOYMENT, deployment.clone()).refusing_because(
        DEPLOYMENT,
        422,
        "spec.selector: field is immutable",
    );
    let applied = writer(&api_server, vec![]).apply(&key(), &[deployment]).await.unwrap();
    assert_eq!(api_server.written(), [format!("PATCH {DEPLOYMENT}"), format!("DELETE {DEPLOYMENT}")]);
    assert_eq!(applied.waiting.as_deref(), Some("Deployment c-pooler is being replaced"));
}

#[tokio::test]
async fn a_hand_edit_that_stands_in_the_way_is_taken_over_and_the_apply_tried_again() {
    let mut edited = service(6543);
    edited["metadata"]["resourceVersion"] = json!("7");
    edited["metadata"]["managedFields"] =
        json!([{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {}}}]);
    let api_server = FakeApiServer::new().with(SERVICE, edited.clone()).refusing_once(SERVICE, 422, "Duplicate value");
    writer(&api_server, vec![edited]).apply(&key(), &[service(5432)]).await.unwrap();
    let writes = api_server.writes();
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[1].body[1]["value"][0]["manager"], "pgloom");
    assert_eq!(writes[2].body["spec"]["ports"][0]["port"], 5432);
}
