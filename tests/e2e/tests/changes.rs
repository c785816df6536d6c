//! A manifest that is edited changes the cluster that runs, and the database answers all along.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

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
    a_flag_is_taken_away_by_its_opposite(&namespace);
    assert_eq!(self::pods(&namespace), pods, "roles and databases cost no pod");
    another_template_replaces_the_replica_first_and_the_leader_last(&namespace);
    a_smaller_cluster_keeps_its_first_member_and_its_data(&namespace);
}

fn a_further_user_and_a_further_database_are_there(namespace: &Namespace) {
    let change = json!({"users": {"second": ["createdb"]}, "databases": {"further": "second"}});
    namespace.patch("postgresql", CLUSTER, &json!({"spec": change}));
    eventually("the user owns the database", || {
        let statement = "select current_user, datdba::regrole from pg_database where datname = current_database()";
        let answer = namespace.sql(CLUSTER, &connection("second", "further"), statement)?;
        ensure(answer == "second|second", answer)
    });
}

fn a_flag_is_taken_away_by_its_opposite(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"users": {"second": ["nocreatedb"]}}}));
    eventually("the user may not make databases", || {
        let statement = "select rolcreatedb from pg_roles where rolname = 'second'";
        let answer = namespace.sql(CLUSTER, &connection("zalando", "foo"), statement)?;
        ensure(answer == "f", answer)
    });
}

fn another_template_replaces_the_replica_first_and_the_leader_last(namespace: &Namespace) {
    let (before, leader) = (pods(namespace), namespace.leader(CLUSTER).unwrap());
    let replica = before.keys().find(|name| **name != leader).unwrap();
    namespace.sql(CLUSTER, &connection("zalando", "foo"), "create table kept as select 1 as value").unwrap();
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"env": [{"name": "ADDED", "value": "by hand"}]}}));
    eventually("every pod has been replaced", || {
        let now = pods(namespace);
        let replaced = now.len() == 2 && now.iter().all(|(name, uid)| before[name] != *uid);
        ensure(replaced, namespace.get("postgresql", CLUSTER)?["status"].clone())
    });
    namespace.running(CLUSTER);
    assert_eq!(namespace.leader(CLUSTER).unwrap(), *replica, "the replica that was replaced first has taken over");
    for pod in before.keys() {
        assert_eq!(namespace.run(pod, "echo $ADDED").unwrap(), "by hand\n");
    }
    assert_eq!(kept(namespace).unwrap(), "1");
}

fn a_smaller_cluster_keeps_its_first_member_and_its_data(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"numberOfInstances": 1}}));
    let first = format!("{CLUSTER}-0");
    eventually("the first member is alone and leads", || {
        let names = namespace.names("pods", CLUSTER);
        ensure(names == [first.as_str()] && namespace.leader(CLUSTER)? == first, format!("{names:?}"))
    });
    namespace.running(CLUSTER);
    assert_eq!(kept(namespace).unwrap(), "1");
}

fn kept(namespace: &Namespace) -> Result<String, String> {
    namespace.sql(CLUSTER, &connection("zalando", "foo"), "select value from kept")
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
