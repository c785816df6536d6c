//! An edit of a manifest changes the running cluster.

use std::collections::BTreeMap;

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-changes";

#[test]
fn an_edited_manifest_changes_the_running_cluster() {
    if !has_cluster("changes") {
        return;
    }
    let namespace = namespace("changes");
    namespace.apply(&minimal(CLUSTER, 2));
    namespace.running(CLUSTER);
    let pods = pods(&namespace);

    a_further_user_and_a_further_database_are_there(&namespace);
    a_role_that_may_not_log_in_has_no_secret(&namespace);
    a_flag_is_taken_away_by_its_opposite(&namespace);
    a_standby_section_changes_nothing_and_roles_are_made_as_before(&namespace);
    assert_eq!(self::pods(&namespace), pods, "roles, databases and the section of a standby cost no pod");
    a_leader_that_is_demoted_by_hand_is_read_only_until_it_is_promoted_by_hand(&namespace);
    assert_eq!(self::pods(&namespace), pods, "the operator leaves them alone");
    a_smaller_cluster_keeps_its_first_member_and_its_data(&namespace);
    the_volume_of_a_former_member_keeps_its_size(&namespace);
}

fn a_further_user_and_a_further_database_are_there(namespace: &Namespace) {
    let change = json!({"users": {"second": ["createdb"], "group": ["nologin"]}, "databases": {"further": "second"}});
    namespace.patch("postgresql", CLUSTER, &json!({"spec": change}));
    eventually("the user owns the database", || {
        let statement = "select current_user, datdba::regrole from pg_database where datname = current_database()";
        let answer = namespace.sql(CLUSTER, &connection("second", "further"), statement)?;
        ensure(answer == "second|second", answer)
    });
}

fn a_role_that_may_not_log_in_has_no_secret(namespace: &Namespace) {
    let statement = "select rolcanlogin from pg_roles where rolname = 'group'";
    assert_eq!(namespace.sql(CLUSTER, &connection("zalando", "foo"), statement).unwrap(), "f");
    let secrets = namespace.names("secrets", CLUSTER).join(" ");
    assert!(secrets.contains("second.") && !secrets.contains("group"), "{secrets}");
}

fn a_flag_is_taken_away_by_its_opposite(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"users": {"second": ["nocreatedb"]}}}));
    eventually("the user may not make databases", || {
        let statement = "select rolcreatedb from pg_roles where rolname = 'second'";
        let answer = namespace.sql(CLUSTER, &connection("zalando", "foo"), statement)?;
        ensure(answer == "f", answer)
    });
}

fn a_standby_section_changes_nothing_and_roles_are_made_as_before(namespace: &Namespace) {
    let template = || namespace.get("statefulset", CLUSTER).unwrap()["spec"]["template"].clone();
    let before = template();
    let change =
        json!({"standby": {"standby_host": "source"}, "users": {"third": []}, "databases": {"third": "third"}});
    namespace.patch("postgresql", CLUSTER, &json!({"spec": change}));
    namespace.warned(CLUSTER, "the cluster exists already and does not become a standby");
    eventually("the user owns the database", || {
        let answer = namespace.sql(CLUSTER, &connection("third", "third"), "select pg_is_in_recovery()")?;
        ensure(answer == "f", answer)
    });
    let condition = namespace.condition(CLUSTER, "standby/Standby").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("OwnData")));
    assert_eq!(template(), before);
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"standby": null}}));
    namespace.running(CLUSTER);
}

fn a_leader_that_is_demoted_by_hand_is_read_only_until_it_is_promoted_by_hand(namespace: &Namespace) {
    let leader = namespace.leader(CLUSTER).unwrap();
    let edit = |change: &str| {
        let command = format!("patronictl -c /home/postgres/postgres.yml edit-config --force --set '{change}'");
        namespace.run(&leader, &command).unwrap();
    };
    let is_replica = |wanted: &str| {
        // The superuser of the pod: there is no leader that the Service leads to while it changes.
        let answer =
            namespace.run(&leader, "su postgres -c \"psql -h /run/postgresql -AtXc 'select pg_is_in_recovery()'\"")?;
        ensure(answer.trim() == wanted, answer)
    };
    // A source of WAL that has none, as in the guide: nothing is streamed.
    edit("standby_cluster.restore_command=/bin/false");
    eventually("the leader is in recovery", || is_replica("t"));
    let answer = namespace.sql(CLUSTER, &connection("second", "further"), "select count(*) from pg_database");
    assert!(answer.is_ok(), "{answer:?}");
    let refusal = namespace.sql(CLUSTER, &connection("second", "further"), "create table refused ()").unwrap_err();
    assert!(refusal.contains("read-only transaction"), "{refusal}");
    eventually("the status says why", || {
        let ready = namespace.condition(CLUSTER, "Ready")?;
        ensure(ready["reason"] == "StandbyInPatroni", &ready)
    });
    edit("standby_cluster=null");
    eventually("the leader is a leader again", || is_replica("f"));
    eventually("it is ready", || {
        let ready = namespace.condition(CLUSTER, "Ready")?;
        ensure(ready["status"] == "True", &ready)
    });
    namespace.sql(CLUSTER, &connection("second", "further"), "create table written ()").unwrap();
    eventually("the replica follows", || namespace.replica_streams(&leader));
}

fn a_smaller_cluster_keeps_its_first_member_and_its_data(namespace: &Namespace) {
    let (first, second) = (format!("{CLUSTER}-0"), format!("{CLUSTER}-1"));
    namespace.sql(CLUSTER, &connection("zalando", "foo"), "create table kept as select 1 as value").unwrap();
    if namespace.leader(CLUSTER).unwrap() == first {
        let switch = format!("patronictl -c /home/postgres/postgres.yml switchover --force --candidate {second}");
        namespace.run(&first, &switch).unwrap();
    }
    eventually("the second member leads", || {
        let status = namespace.get("postgresql", CLUSTER)?["status"].clone();
        ensure(status["leader"] == second.as_str() && status["readyInstances"] == 2, &status)
    });

    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"numberOfInstances": 1}}));
    eventually("the first member is alone and leads", || {
        let names = namespace.names("pods", CLUSTER);
        ensure(names == [first.as_str()] && namespace.leader(CLUSTER)? == first, format!("{names:?}"))
    });
    namespace.running(CLUSTER);
    let answer = namespace.sql(CLUSTER, &connection("zalando", "foo"), "select value from kept");
    assert_eq!(answer.unwrap(), "1");
}

fn the_volume_of_a_former_member_keeps_its_size(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"volume": {"size": "2Gi"}}}));
    let size = |member: u32| {
        let claim = namespace.get("pvc", &format!("pgdata-{CLUSTER}-{member}"))?;
        Ok::<_, String>(claim["spec"]["resources"]["requests"]["storage"].clone())
    };
    eventually("the volume of the member that runs grows", || {
        let size = size(0)?;
        ensure(size == "2Gi", size)
    });
    namespace.running(CLUSTER);
    assert_eq!(size(1).unwrap(), "1Gi");
}

/// The uids of the pods by name.
fn pods(namespace: &Namespace) -> BTreeMap<String, Value> {
    let names = namespace.names("pods", CLUSTER).into_iter();
    let found = names.filter_map(|name| {
        let pod = namespace.get("pod", &name).ok()?;
        Some((name, pod["metadata"]["uid"].clone()))
    });
    found.collect()
}

fn connection<'a>(user: &'a str, database: &'a str) -> Connection<'a> {
    Connection { user, database, host: CLUSTER, mode: "require" }
}
