//! A clone of a running cluster, and a standby that follows it until it is promoted.

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::json;

const SOURCE: &str = "acid-source";
const CLONE: &str = "acid-clone";
const STANDBY: &str = "acid-standby";

#[test]
fn a_running_cluster_is_cloned_and_followed() {
    if !has_cluster("copies") {
        return;
    }
    let namespace = namespace("copies");
    namespace.apply(&minimal(SOURCE, 1));
    namespace.running(SOURCE);
    write(&namespace, SOURCE, "create table kept as select 1 as value");

    clone(&namespace);
    follow(&namespace);
    a_clone_has_the_data_and_passwords_of_its_own(&namespace);
    a_standby_follows_and_refuses_to_be_written_to(&namespace);
    a_standby_is_promoted_when_its_section_goes(&namespace);
}

fn clone(namespace: &Namespace) {
    let mut manifest = minimal(CLONE, 1);
    manifest["spec"]["clone"] = json!({"cluster": SOURCE});
    namespace.apply(&manifest);
}

fn follow(namespace: &Namespace) {
    // A standby cluster has the passwords of its source, so its Secrets are created before it.
    for user in ["postgres", "standby"] {
        let name = format!("{user}.{STANDBY}.credentials");
        let password = namespace.password(SOURCE, user).unwrap();
        let data = json!({"username": user, "password": password});
        let labels = json!({"application": "spilo", "cluster-name": STANDBY, "team": "acid"});
        let metadata = json!({"name": name, "labels": labels});
        namespace.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}));
    }
    let mut manifest = minimal(STANDBY, 1);
    let host = format!("{SOURCE}.{}.svc.cluster.local", namespace.name);
    manifest["spec"]["standby"] = json!({"standby_host": host, "standby_port": "5432"});
    namespace.apply(&manifest);
}

fn a_clone_has_the_data_and_passwords_of_its_own(namespace: &Namespace) {
    namespace.running(CLONE);
    // Not assert_ne: it would print the passwords.
    assert!(namespace.password(CLONE, "zalando").unwrap() != namespace.password(SOURCE, "zalando").unwrap());
    assert_eq!(kept(namespace, CLONE, "zalando").unwrap(), "1");
    write(namespace, CLONE, "insert into kept values (10)");
    assert_eq!(kept(namespace, SOURCE, "zalando").unwrap(), "1", "the source goes its own way");
}

fn a_standby_follows_and_refuses_to_be_written_to(namespace: &Namespace) {
    namespace.running(STANDBY);
    write(namespace, SOURCE, "insert into kept values (2)");
    eventually("what the source writes arrives", || {
        let answer = kept(namespace, STANDBY, "postgres")?;
        ensure(answer == "1,2", answer)
    });
    let refusal = namespace.sql(STANDBY, &connection(STANDBY, "postgres"), "insert into kept values (3)").unwrap_err();
    assert!(refusal.contains("read-only transaction"), "{refusal}");
}

fn a_standby_is_promoted_when_its_section_goes(namespace: &Namespace) {
    namespace.patch("postgresql", STANDBY, &json!({"spec": {"standby": null}}));
    eventually("the roles of the promoted cluster have passwords of its own", || kept(namespace, STANDBY, "zalando"));
    namespace.running(STANDBY);
    write(namespace, STANDBY, "insert into kept values (20)");
    assert_eq!(kept(namespace, STANDBY, "zalando").unwrap(), "1,2,20");
    assert_eq!(kept(namespace, SOURCE, "zalando").unwrap(), "1,2");
}

fn kept(namespace: &Namespace, cluster: &str, user: &str) -> Result<String, String> {
    let statement = "select string_agg(value::text, ',' order by value) from kept";
    namespace.sql(cluster, &connection(cluster, user), statement)
}

fn write(namespace: &Namespace, cluster: &str, statement: &str) {
    namespace.sql(cluster, &connection(cluster, "zalando"), statement).unwrap();
}

fn connection<'a>(cluster: &'a str, user: &'a str) -> Connection<'a> {
    Connection { user, database: "foo", host: cluster, mode: "require" }
}
