//! The smallest manifest gives a database that answers; all of its objects are deleted with the manifest.

use std::process::Command;

use e2e::{Connection, Namespace, PortForward, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::json;

const CLUSTER: &str = "acid-minimal-cluster";
/// Objects that the clusters of a namespace share. They are kept.
const SHARED: [&str; 2] = ["rolebinding.rbac.authorization.k8s.io/postgres-pod", "serviceaccount/postgres-pod"];

#[test]
fn the_minimal_manifest_becomes_a_database_and_goes_without_a_trace() {
    if !has_cluster("minimal") {
        return;
    }
    let namespace = namespace("minimal");
    let mut before = namespace.everything();
    namespace.apply(&minimal(CLUSTER, 2));
    let status = namespace.running(CLUSTER);

    one_of_two_members_leads(&namespace, &status);
    the_secrets_open_the_database_over_tls(&namespace);
    a_plain_connection_is_refused(&namespace);
    the_superuser_connects_from_outside_through_a_forwarded_port(&namespace);
    the_database_belongs_to_its_owner(&namespace);
    the_replica_answers_and_has_what_the_leader_wrote(&namespace);

    namespace.kubectl(&["delete", "postgresql", CLUSTER, "--wait", "--timeout=240s"]).unwrap();
    before.extend(SHARED.map(str::to_owned));
    before.sort();
    eventually("nothing is left that was not there before", || {
        let after = namespace.everything();
        ensure(after == before, format!("{after:?}"))
    });
}

fn one_of_two_members_leads(namespace: &Namespace, status: &serde_json::Value) {
    let leader = namespace.leader(CLUSTER).unwrap();
    assert_eq!(status["leader"], json!(leader));
    let roles: Vec<_> = status["members"].as_array().unwrap().iter().map(|member| &member["role"]).collect();
    assert_eq!(roles.len(), 2, "{status}");
    assert_eq!(roles.iter().filter(|role| **role == "leader").count(), 1, "{status}");
}

fn the_secrets_open_the_database_over_tls(namespace: &Namespace) {
    for user in ["zalando", "foo_user"] {
        let statement = "select current_user, (select ssl from pg_stat_ssl where pid = pg_backend_pid())";
        let answer = namespace.sql(CLUSTER, &connection(user, "require"), statement);
        assert_eq!(answer.unwrap(), format!("{user}|t"));
    }
}

fn a_plain_connection_is_refused(namespace: &Namespace) {
    for user in ["zalando", "foo_user"] {
        let refusal = namespace.sql(CLUSTER, &connection(user, "disable"), "select 1").unwrap_err();
        assert!(refusal.contains("no encryption"), "{refusal}");
    }
}

/// The commands of the guide, with the pod that the labels of the leader find.
fn the_superuser_connects_from_outside_through_a_forwarded_port(namespace: &Namespace) {
    let leader = namespace.leader(CLUSTER).unwrap();
    let way = PortForward::to(&namespace.name, &leader, 5432);
    let output = Command::new("psql")
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &way.port.to_string(), "-AtX", "-c"])
        .arg("select current_user, (select ssl from pg_stat_ssl where pid = pg_backend_pid()), pg_is_in_recovery()")
        .env("PGSSLMODE", "require")
        .env("PGPASSWORD", namespace.password(CLUSTER, "postgres").unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "postgres|t|f\n", "{output:?}");
}

fn the_database_belongs_to_its_owner(namespace: &Namespace) {
    let statement = "select datdba::regrole from pg_database where datname = 'foo'";
    assert_eq!(namespace.sql(CLUSTER, &connection("foo_user", "require"), statement).unwrap(), "zalando");
    let statement = "select rolsuper, rolcreatedb, rolcanlogin from pg_roles where rolname in ('zalando', 'foo_user') \
        order by rolname desc";
    assert_eq!(namespace.sql(CLUSTER, &connection("zalando", "require"), statement).unwrap(), "t|t|t\nf|f|t");
}

fn the_replica_answers_and_has_what_the_leader_wrote(namespace: &Namespace) {
    let write = "create table of_the_leader as select 42 as answer";
    namespace.sql(CLUSTER, &connection("zalando", "require"), write).unwrap();
    let replica = Connection { host: &format!("{CLUSTER}-repl"), ..connection("zalando", "require") };
    eventually("the replica follows", || {
        let answer = namespace.sql(CLUSTER, &replica, "select answer, pg_is_in_recovery() from of_the_leader")?;
        ensure(answer == "42|t", answer)
    });
}

fn connection<'a>(user: &'a str, mode: &'a str) -> Connection<'a> {
    Connection { user, database: "foo", host: CLUSTER, mode }
}
