//! From the minimal manifest to a database that answers, that is repaired, and that goes when its manifest goes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use e2e::{Connection, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::json;

const CLUSTER: &str = "acid-orders";

fn over<'a>(user: &'a str, database: &'a str, mode: &'a str) -> Connection<'a> {
    Connection { user, database, host: CLUSTER, mode }
}

#[test]
fn the_minimal_manifest_becomes_a_database_that_answers_and_leaves_nothing_behind() {
    if !has_cluster("minimal") {
        return;
    }
    let namespace = namespace("minimal");
    namespace.apply(&minimal(CLUSTER, 2));
    let status = namespace.running(CLUSTER);
    assert_eq!(json!(namespace.leader(CLUSTER).unwrap()), status["leader"]);

    // Roles, passwords and owners are those of the manifest, over TLS only.
    for user in ["zalando", "foo_user"] {
        assert_eq!(namespace.sql(CLUSTER, &over(user, "foo", "require"), "SELECT current_user").unwrap(), user);
        let refused = namespace.sql(CLUSTER, &over(user, "foo", "disable"), "SELECT 1").unwrap_err();
        assert!(refused.contains("no encryption") || refused.contains("rejects"), "{refused}");
    }
    let ask = |statement: &str| namespace.sql(CLUSTER, &over("zalando", "foo", "require"), statement);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'foo'";
    assert_eq!(ask(owner).unwrap(), "zalando");
    let flags = "SELECT rolsuper, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = ";
    assert_eq!(ask(&format!("{flags}'zalando'")).unwrap(), "t|t|t");
    assert_eq!(ask(&format!("{flags}'foo_user'")).unwrap(), "f|f|t");
    assert!(
        ask("SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'foo_user'")
            .unwrap()
            .starts_with("SCRAM-SHA-256$")
    );

    // What is damaged by hand is repaired.
    namespace.patch("service", CLUSTER, &json!({"spec": {"ports": [{"name": "postgresql", "port": 1234}]}}));
    eventually("the Service is repaired", || {
        let port = namespace.get("service", CLUSTER)?["spec"]["ports"][0]["port"].clone();
        ensure(port == 5432, port)
    });
    namespace.kubectl(&["delete", "pod", "acid-orders-1", "--wait=false"]).unwrap();
    ask("DROP ROLE foo_user").unwrap();
    // A change of the manifest, so that the roles are looked at now and not at the next round.
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"users": {"bar_user": []}}}));
    eventually("the dropped role is back", || {
        let known = ask("SELECT count(*) FROM pg_roles WHERE rolname IN ('foo_user', 'bar_user')")?;
        ensure(known == "2", known)
    });
    namespace.running(CLUSTER);

    // A Secret that is there is never written again.
    let before = namespace.password(CLUSTER, "zalando");
    namespace.patch("postgresql", CLUSTER, &json!({"metadata": {"annotations": {"touched": "yes"}}}));
    namespace.running(CLUSTER);
    assert_eq!(namespace.password(CLUSTER, "zalando"), before);

    namespace.kubectl(&["delete", "postgresql", CLUSTER, "--wait", "--timeout=180s"]).unwrap();
    for kind in ["statefulset", "service", "endpoints", "poddisruptionbudget", "persistentvolumeclaim", "pod"] {
        eventually(&format!("no {kind} is left"), || {
            let left = namespace.names(kind, CLUSTER);
            ensure(left.is_empty(), format!("{left:?}"))
        });
    }
}

#[test]
fn a_killed_leader_is_succeeded_and_the_status_follows() {
    if !has_cluster("failover") {
        return;
    }
    let namespace = namespace("failover");
    namespace.apply(&minimal(CLUSTER, 2));
    namespace.running(CLUSTER);
    let old = namespace.leader(CLUSTER).unwrap();
    // Patroni itself is stopped, so that it cannot come back before its lock has run out.
    namespace
        .kubectl(&[
            "exec",
            &old,
            "--container",
            "postgres",
            "--",
            "sh",
            "-c",
            "pkill -STOP -f bin/patroni; pkill -KILL postgres",
        ])
        .unwrap();
    let new = eventually("another member leads", || {
        let leader = namespace.leader(CLUSTER)?;
        ensure(leader != old, &leader)?;
        Ok(leader)
    });
    eventually("the status follows", || {
        let leader = namespace.get("postgresql", CLUSTER)?["status"]["leader"].clone();
        ensure(leader == new.as_str(), leader)
    });
    let write = "CREATE TABLE proof AS SELECT pg_is_in_recovery()";
    eventually("the new leader takes writes", || namespace.sql(CLUSTER, &over("zalando", "foo", "require"), write));
}
