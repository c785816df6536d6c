//! Upgrades to another major version: in place while the operator is killed, by a clone, and one that `pg_upgrade` refuses.

use e2e::{Connection, Namespace, Operator, configuration, ensure, eventually, has_cluster, minimal, namespace};
use e2e::{of_operator, the_other};
use serde_json::{Value, json};

/// The controller id of the test's operator.
const ID: &str = "major";
const CLUSTER: &str = "acid-upgraded";
const REFUSED: &str = "acid-refused";
const CLONE: &str = "acid-newer";
const SUCCESS: &str = "last-major-upgrade-success";
const FAILURE: &str = "last-major-upgrade-failure";

#[test]
fn a_cluster_is_upgraded_in_place_or_by_a_clone_and_one_that_cannot_be_is_left_as_it_is() {
    if !has_cluster("major") {
        return;
    }
    let namespace = namespace("major");
    namespace.apply(&configuration(&json!({"major_version_upgrade_mode": "manual"})));
    namespace.apply(&pipeline());
    let flags = ["--config-map", "pgloom", "--pipeline-object", "upgrading"];
    let mut operator = Operator::start_with(ID, &namespace.name, &flags, "info");
    namespace.apply(&of_operator(minimal(CLUSTER, 2), ID));
    namespace.apply(&of_operator(minimal(REFUSED, 1), ID));
    namespace.running(CLUSTER);
    namespace.running(REFUSED);
    sql(&namespace, CLUSTER, "create table kept as select generate_series(1, 1000) as value").unwrap();
    // Its format changed between the two versions.
    sql(&namespace, REFUSED, "create table former (entry aclitem)").unwrap();

    a_clone_with_a_newer_version_has_the_data(&namespace);
    for cluster in [CLUSTER, REFUSED] {
        namespace.patch("postgresql", cluster, &json!({"spec": {"postgresql": {"version": "18"}}}));
    }
    an_upgrade_ends_although_the_operator_is_killed(&namespace, &mut operator);
    an_upgrade_that_is_refused_is_told_and_the_cluster_runs_as_before(&namespace);
}

/// The shipped pipeline, with the privilege for the step that makes the StatefulSet.
fn pipeline() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/pipeline.yaml");
    let mut pipeline: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    pipeline["metadata"]["name"] = json!("upgrading");
    pipeline["spec"]["steps"][0]["grants"]["privileges"].as_array_mut().unwrap().push(json!("major-upgrade"));
    pipeline
}

fn a_clone_with_a_newer_version_has_the_data(namespace: &Namespace) {
    let mut manifest = minimal(CLONE, 1);
    manifest["spec"]["clone"] = json!({"cluster": CLUSTER});
    manifest["spec"]["postgresql"]["version"] = json!("18");
    namespace.apply(&of_operator(manifest, ID));
    namespace.running(CLONE);
    assert_eq!(version_and_rows(namespace, CLONE), Ok("18|1000".to_owned()));
    assert_eq!(version_and_rows(namespace, CLUSTER), Ok("15|1000".to_owned()));
}

fn an_upgrade_ends_although_the_operator_is_killed(namespace: &Namespace, operator: &mut Operator) {
    eventually("the upgrade is recorded", || {
        let status = namespace.get("postgresql", CLUSTER)?["status"].clone();
        ensure(status["majorUpgrade"]["to"] == "18", status)
    });
    eventually("a drained node would not evict the members", || {
        let budget = namespace.get("poddisruptionbudget", &format!("postgres-{CLUSTER}-critical-op-pdb"))?;
        ensure(budget["status"]["expectedPods"] == 2 && budget["status"]["disruptionsAllowed"] == 0, budget)
    });
    operator.kill_and_start_again();
    eventually("the upgrade has ended", || annotated(namespace, CLUSTER, SUCCESS));
    namespace.running(CLUSTER);
    assert_eq!(version_and_rows(namespace, CLUSTER), Ok("18|1000".to_owned()));
    let leader = namespace.leader(CLUSTER).unwrap();
    eventually("the replica streams", || namespace.replica_streams(&leader));
    let replica = the_other(&leader);
    let data = namespace.run(&replica, "cat $PGROOT/data/PG_VERSION; ls $PGROOT").unwrap();
    assert!(data.starts_with("18\ndata\n"), "{data}");
    let status = namespace.get("postgresql", CLUSTER).unwrap()["status"].clone();
    assert_eq!(status["majorUpgrade"], Value::Null);
    assert_eq!(namespace.condition(CLUSTER, "MajorVersionUpgraded").unwrap()["reason"], "UpToDate");
    for member in [&leader, &replica] {
        assert_eq!(namespace.get("pod", member).unwrap()["metadata"]["labels"]["critical-operation"], Value::Null);
    }
    let ids = namespace.run(&leader, "tail -n 1 $PGROOT/last_upgrade.log").unwrap();
    assert!(ids.ends_with("the cluster runs 18\n"), "{ids}");
    sql(namespace, CLUSTER, "insert into kept values (0)").unwrap();
}

fn an_upgrade_that_is_refused_is_told_and_the_cluster_runs_as_before(namespace: &Namespace) {
    eventually("the refusal is told", || annotated(namespace, REFUSED, FAILURE));
    namespace.warned(REFUSED, "aclitem");
    let condition = namespace.condition(REFUSED, "MajorVersionUpgraded").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Failed")));
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("public.former.entry") && message.contains(FAILURE), "{message}");
    namespace.running(REFUSED);
    assert_eq!(sql(namespace, REFUSED, "show server_version").unwrap()[..2], *"15");

    // Without what was in the way it is tried again when its author says so.
    sql(namespace, REFUSED, "drop table former").unwrap();
    namespace.patch("postgresql", REFUSED, &json!({"metadata": {"annotations": {FAILURE: null}}}));
    eventually("the upgrade has ended", || annotated(namespace, REFUSED, SUCCESS));
    namespace.running(REFUSED);
    assert_eq!(sql(namespace, REFUSED, "show server_version").unwrap()[..2], *"18");
}

fn annotated(namespace: &Namespace, cluster: &str, annotation: &str) -> Result<(), String> {
    let manifest = namespace.get("postgresql", cluster)?;
    let (annotations, status) = (&manifest["metadata"]["annotations"], &manifest["status"]);
    ensure(annotations[annotation].is_string(), format!("{annotations} {status}"))
}

fn version_and_rows(namespace: &Namespace, cluster: &str) -> Result<String, String> {
    sql(namespace, cluster, "select split_part(current_setting('server_version'), '.', 1), count(*) from kept")
}

fn sql(namespace: &Namespace, cluster: &str, statement: &str) -> Result<String, String> {
    let connection = Connection { user: "zalando", database: "foo", host: cluster, mode: "require" };
    namespace.sql(cluster, &connection, statement)
}
