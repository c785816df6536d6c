//! What is no longer desired goes, and nothing while that is uncertain.

use super::*;

/// A pipeline whose only step makes a NetworkPolicy beside the StatefulSet.
fn makes_a_policy() -> Arc<Pipeline> {
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "acid-orders", "labels": {"cluster-name": "acid-orders"}},
        "spec": {"podSelector": {"matchLabels": {"cluster-name": "acid-orders"}}}});
    makes_objects(&[policy, stateful_set()])
}

/// Makes the NetworkPolicy and returns the manifest as it is then.
async fn with_policy(api_server: &FakeApiServer) -> Value {
    let mut first = operator(api_server, &[manifest(), stateful_set()]);
    let config = first.settings.borrow().config.clone();
    first.settings = watch::channel(Settings::of(config, makes_a_policy())).1;
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
