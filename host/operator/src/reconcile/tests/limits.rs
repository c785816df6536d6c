//! Promises about deadlines, the leadership, deletions that fail or are refused, and namespaces that cannot be listed.

use super::*;

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
    operator.settings = watch::channel(Settings { config, pipeline }).1;
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
    });
    assert_eq!(reconcile(&operator, &ClusterKey::new("elsewhere", "c")).await.unwrap(), Action::requeue(UNSYNCED));
    reconcile(&operator, &key()).await.unwrap();
    assert!(!written(&api_server).is_empty());
}

#[tokio::test]
async fn a_leader_whose_patroni_is_silent_is_not_ready() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut set = stateful_set();
    set["spec"]["replicas"] = json!(1);
    reconcile(&operator(&api_server, &[manifest(), set, leader()]), &key()).await.unwrap();
    let status = last_status(&api_server);
    let conditions = status["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("PatroniSilent")));
}
