//! A clone of a running cluster, and standbys that follow it until they are promoted: by the manifest, and by hand.

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::json;

const SOURCE: &str = "acid-source";
const CLONE: &str = "acid-clone";
const STANDBY: &str = "acid-standby";
/// A standby that is made with the source's password for replication only, and is promoted with `patronictl`.
const BY_HAND: &str = "acid-by-hand";

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
    follow(&namespace, STANDBY, &["postgres", "standby"]);
    follow(&namespace, BY_HAND, &["standby"]);
    a_clone_has_the_data_and_passwords_of_its_own(&namespace);
    a_standby_follows_and_refuses_to_be_written_to(&namespace);
    several_pods_of_a_standby_are_allowed_with_a_warning(&namespace);
    an_edited_secret_opens_the_standby(&namespace);
    a_standby_is_promoted_when_its_section_goes(&namespace);
    a_standby_is_promoted_by_hand_and_then_its_section_goes(&namespace);
    a_promoted_cluster_gets_a_second_member(&namespace);
}

fn clone(namespace: &Namespace) {
    let mut manifest = minimal(CLONE, 1);
    manifest["spec"]["clone"] = json!({"cluster": SOURCE});
    namespace.apply(&manifest);
}

/// Makes a standby of the source, with the source's passwords of these users.
fn follow(namespace: &Namespace, standby: &str, users: &[&str]) {
    // A standby cluster has the passwords of its source, so its Secrets are created before it.
    for user in users {
        let name = format!("{user}.{standby}.credentials");
        let password = namespace.password(SOURCE, user).unwrap();
        let data = json!({"username": user, "password": password});
        let labels = json!({"application": "spilo", "cluster-name": standby, "team": "acid"});
        let metadata = json!({"name": name, "labels": labels});
        namespace.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}));
    }
    let mut manifest = minimal(standby, 1);
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

fn several_pods_of_a_standby_are_allowed_with_a_warning(namespace: &Namespace) {
    namespace.patch("postgresql", STANDBY, &json!({"spec": {"numberOfInstances": 2}}));
    namespace.warned(STANDBY, "a standby cluster should have one pod");
    namespace.running(STANDBY);
    let second = Connection { host: &format!("{STANDBY}-repl"), ..connection(STANDBY, "postgres") };
    eventually("the second member has what the source wrote", || {
        let answer = namespace.sql(STANDBY, &second, "select count(*), pg_is_in_recovery() from kept")?;
        ensure(answer == "2|t", answer)
    });
}

fn a_standby_is_promoted_when_its_section_goes(namespace: &Namespace) {
    namespace.patch("postgresql", STANDBY, &json!({"spec": {"standby": null}}));
    eventually("the roles of the promoted cluster have passwords of its own", || kept(namespace, STANDBY, "zalando"));
    namespace.running(STANDBY);
    write_when_promoted(namespace, STANDBY, "insert into kept values (20)");
    assert_eq!(kept(namespace, STANDBY, "zalando").unwrap(), "1,2,20");
    assert_eq!(kept(namespace, SOURCE, "zalando").unwrap(), "1,2");
}

/// The Secret that the operator makes has another password than the source, until it is edited.
fn an_edited_secret_opens_the_standby(namespace: &Namespace) {
    namespace.running(BY_HAND);
    let refusal = kept(namespace, BY_HAND, "postgres").unwrap_err();
    assert!(refusal.contains("password authentication failed"), "{refusal}");
    let password = namespace.password(SOURCE, "postgres").unwrap();
    let secret = format!("postgres.{BY_HAND}.credentials");
    namespace.patch("secret", &secret, &json!({"stringData": {"password": password}}));
    eventually("what the source writes arrives", || {
        let answer = kept(namespace, BY_HAND, "postgres")?;
        ensure(answer == "1,2", answer)
    });
}

fn a_standby_is_promoted_by_hand_and_then_its_section_goes(namespace: &Namespace) {
    let command = "patronictl -c /home/postgres/postgres.yml edit-config --force --set standby_cluster=null";
    namespace.run(&format!("{BY_HAND}-0"), command).unwrap();
    eventually("it accepts writes", || {
        namespace.sql(BY_HAND, &connection(BY_HAND, "postgres"), "insert into kept values (30)")
    });
    let before = namespace.lives(BY_HAND);
    eventually("its roles are the manifest's, though the section is there still", || {
        kept(namespace, BY_HAND, "zalando")
    });
    assert_eq!(namespace.lives(BY_HAND), before);
    namespace.patch("postgresql", BY_HAND, &json!({"spec": {"standby": null}}));
    namespace.running(BY_HAND);
    write_when_promoted(namespace, BY_HAND, "insert into kept values (31)");
    assert_eq!(kept(namespace, BY_HAND, "zalando").unwrap(), "1,2,30,31");
    assert_eq!(kept(namespace, SOURCE, "zalando").unwrap(), "1,2");
}

fn a_promoted_cluster_gets_a_second_member(namespace: &Namespace) {
    namespace.patch("postgresql", BY_HAND, &json!({"spec": {"numberOfInstances": 2}}));
    namespace.running(BY_HAND);
    let leader = namespace.leader(BY_HAND).unwrap();
    eventually("the replica follows", || namespace.replica_streams(&leader));
    let connection = Connection { host: &format!("{BY_HAND}-repl"), ..connection(BY_HAND, "zalando") };
    eventually("the replica has the data", || {
        let answer = namespace.sql(BY_HAND, &connection, "select count(*), pg_is_in_recovery() from kept")?;
        ensure(answer == "4|t", answer)
    });
}

fn kept(namespace: &Namespace, cluster: &str, user: &str) -> Result<String, String> {
    let statement = "select string_agg(value::text, ',' order by value) from kept";
    namespace.sql(cluster, &connection(cluster, user), statement)
}

/// The member of a promoted cluster restarts without the variables of a standby, and is read-only until Patroni promotes
/// it again.
fn write_when_promoted(namespace: &Namespace, cluster: &str, statement: &str) {
    eventually("the promoted cluster is written to", || {
        namespace.sql(cluster, &connection(cluster, "zalando"), statement)
    });
}

fn write(namespace: &Namespace, cluster: &str, statement: &str) {
    namespace.sql(cluster, &connection(cluster, "zalando"), statement).unwrap();
}

fn connection<'a>(cluster: &'a str, user: &'a str) -> Connection<'a> {
    Connection { user, database: "foo", host: cluster, mode: "require" }
}
