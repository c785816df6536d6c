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
    a_flag_is_taken_away_by_its_opposite(&namespace);
    assert_eq!(self::pods(&namespace), pods, "roles and databases cost no pod");
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
