//! When the leader fails, another member becomes the leader, the status reports it, and the failed member returns as a
//! replica. A leader that hangs is not ready.

use std::time::{Duration, Instant};

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace, the_other};
use serde_json::json;

const CLUSTER: &str = "acid-failover";
const HUNG: &str = "acid-hung";
/// The longest time until the status reports that a database hangs: its Patroni is asked once a minute and has some
/// seconds to answer. The rest is for two busy cores.
const NOTICED: Duration = Duration::from_secs(90);

#[test]
fn a_leader_that_fails_is_followed_by_another() {
    if !has_cluster("failover") {
        return;
    }
    let namespace = namespace("failover");
    namespace.apply(&minimal(CLUSTER, 2));
    namespace.running(CLUSTER);
    write(&namespace, "create table kept as select 1 as value");
    let old = namespace.leader(CLUSTER).unwrap();
    let new = the_other(&old);
    eventually("the replica follows", || namespace.replica_streams(&old));

    // Patroni is stopped and PostgreSQL is killed: the lock is not released and has to expire.
    namespace.run(&old, "pkill -STOP -f '[b]in/patroni'; pkill -KILL -x postgres").unwrap();
    eventually("the other member leads and the status reports it", || {
        let status = namespace.get("postgresql", CLUSTER)?["status"].clone();
        ensure(status["leader"] == json!(new), &status)
    });
    eventually("the database answers at its Service, with what was written", || {
        let answer = namespace.sql(CLUSTER, &connection(), "select value, pg_is_in_recovery() from kept")?;
        ensure(answer == "1|f", answer)
    });
    write(&namespace, "insert into kept values (2)");

    namespace.run(&old, "pkill -CONT -f '[b]in/patroni'").unwrap();
    eventually("the one that failed follows", || namespace.replica_streams(&new));
    let status = namespace.running(CLUSTER);
    assert_eq!(status["leader"], json!(new));
    assert_eq!(namespace.leader(CLUSTER).unwrap(), new);
}

#[test]
fn a_database_that_hangs_is_not_ready_until_it_goes_on() {
    if !has_cluster("hung") {
        return;
    }
    let namespace = namespace("hung");
    namespace.apply(&minimal(HUNG, 1));
    namespace.running(HUNG);
    let ready = |wanted: &str| {
        let ready = namespace.condition(HUNG, "Ready")?;
        ensure(ready["status"] == wanted, &ready)
    };
    eventually("it is ready", || ready("True"));
    let signal = |signal: &str| {
        let both = format!("pkill -{signal} -f '[b]in/patroni'; pkill -{signal} -x postgres");
        namespace.run(&format!("{HUNG}-0"), &both).unwrap();
        Instant::now()
    };
    let stopped = signal("STOP");
    eventually("Ready is False after Patroni and PostgreSQL were stopped", || ready("False"));
    let after = stopped.elapsed();
    signal("CONT");
    eventually("Ready is True after they go on", || ready("True"));
    assert!(after <= NOTICED, "Ready was True for {after:?}");
}

fn write(namespace: &Namespace, statement: &str) {
    namespace.sql(CLUSTER, &connection(), statement).unwrap();
}

fn connection() -> Connection<'static> {
    Connection { user: "zalando", database: "foo", host: CLUSTER, mode: "require" }
}
