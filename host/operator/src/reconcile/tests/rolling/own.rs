//! Promises about which pods, claims and StatefulSets are the cluster's members, and what may happen to them.

use super::*;

/// The manifest of a cluster that runs.
fn running() -> Value {
    let mut running = manifest();
    running["metadata"]["finalizers"] = json!([FINALIZER]);
    running["status"] = json!({"PostgresClusterStatus": "Running"});
    running
}

#[tokio::test]
async fn a_pipeline_without_the_step_that_makes_the_members_changes_nothing_that_runs() {
    let objects = [
        running(),
        existing(2, template("1", "1")),
        pod(0, "master", template("1", "1"), "new"),
        pod(1, "replica", template("1", "1"), "new"),
    ];
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let operator = with(&api_server, &objects, makes_objects(&[]), &patroni, json!({}));
    let error = reconcile(&operator, &key()).await.unwrap_err();
    assert_eq!(error.category(), "NoStatefulSet");
    assert_eq!(written(&api_server), ["PATCH status", "POST events"]);
    let applied = condition(&api_server, "Applied");
    assert_eq!((&applied["status"], &applied["reason"]), (&json!("False"), &json!("NoStatefulSet")));
    let message = applied["message"].as_str().unwrap();
    assert!(message.contains("no step of the pipeline makes the StatefulSet acid-orders"), "{message}");
}

#[tokio::test]
async fn a_stateful_set_that_is_made_again_keeps_the_leader_that_a_lower_number_would_take() {
    let one = |ordinal, role| pod(ordinal, role, template("1", "1"), "new");
    let objects = [running(), one(0, "replica"), one(1, "replica"), one(2, "master")];
    let (api_server, patroni) = (api_server(&objects), patronis(2, &["running", "running", "running"]));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    let writes = api_server.writes();
    let made = writes.iter().find(|write| write.method == "POST" && write.path.ends_with("/statefulsets")).unwrap();
    assert_eq!(made.body["spec"]["replicas"], 3);
    assert_eq!(condition(&api_server, "Applied")["reason"], "ScaleDownWaits");
}

#[tokio::test]
async fn a_stateful_set_that_is_made_for_the_first_time_has_the_number_that_is_asked_for() {
    let objects = [running()];
    let (api_server, patroni) = (api_server(&objects), Arc::new(Script::default()));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    assert_eq!(api_server.object(SET).unwrap()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_pod_that_only_has_the_clusters_labels_is_no_member_and_is_not_deleted() {
    let mut copy = pod(1, "", template("1", "1"), "");
    copy["metadata"]["name"] = json!("psql");
    copy["metadata"]["labels"] = json!({"application": "spilo", "cluster-name": "acid-orders"});
    copy["spec"] = json!({"containers": [{"name": "psql", "image": "postgres"}]});
    copy["status"] = json!({"phase": "Failed"});
    let objects =
        [running(), existing(1, template("1", "1")), pod(0, "master", template("1", "1"), "new"), copy.clone()];
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running"]));
    let pipeline = makes(&desired(1, template("1", "1")), None);
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(writes_to(&api_server, "/pods/"), [] as [&str; 0]);
    assert_eq!(last_status(&api_server)["numberOfInstances"], 1);
    assert_eq!(condition(&api_server, "RolledOut")["reason"], "UpToDate");
}

const CLAIM: &str = "/api/v1/namespaces/ns/persistentvolumeclaims/pgdata-acid-orders-0";

/// A StatefulSet whose claims have an annotation.
fn claiming(mut set: Value, annotation: &str) -> Value {
    let metadata =
        json!({"name": "pgdata", "labels": {"cluster-name": "acid-orders"}, "annotations": {"a": annotation}});
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": metadata, "spec": spec}]);
    set
}

fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "ns", "uid": name,
            "labels": {"application": "spilo", "cluster-name": "acid-orders"}, "annotations": {"a": "1", "of": "others"}},
    })
}

#[tokio::test]
async fn a_changed_annotation_is_patched_onto_the_claims_and_replaces_no_stateful_set() {
    let theirs = claim("my-backup");
    let objects = [
        running(),
        claiming(existing(1, template("1", "1")), "1"),
        pod(0, "master", template("1", "1"), "new"),
        claim("pgdata-acid-orders-0"),
        theirs.clone(),
    ];
    let (patroni, other) = (patronis(0, &["running"]), CLAIM.replace("pgdata-acid-orders-0", "my-backup"));
    let api_server = api_server(&objects[..3]).with(CLAIM, objects[3].clone()).with(&other, theirs.clone());
    let pipeline = makes(&claiming(desired(1, template("1", "1")), "2"), None);
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    for _ in 0..2 {
        reconcile(&operator, &key()).await.unwrap();
    }
    assert_eq!(writes_to(&api_server, "persistentvolumeclaims"), [format!("PATCH {CLAIM}")]);
    let annotations = &api_server.object(CLAIM).unwrap()["metadata"]["annotations"];
    assert_eq!(annotations, &json!({"a": "2", "of": "others"}));
    assert_eq!(api_server.object(&other), Some(theirs));
    assert!(!api_server.written().contains(&format!("DELETE {SET}")));
    let template = &api_server.object(SET).unwrap()["spec"]["volumeClaimTemplates"][0];
    assert_eq!(template["metadata"]["annotations"], json!({"a": "1"}), "the API server refuses another one");
}
