//! A node with a leader is drained: the drain ends, the leader leaves by a switchover, and no committed row is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::{Namespace, ensure, eventually, has_cluster, kubectl, minimal, namespace, one_member_per_node, the_other};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-drain";
/// The time between two checks that the leader is not evicted.
const LOOK: Duration = Duration::from_millis(250);
/// Writes one row after the other over the Service, each in a connection of its own, and records the committed ones.
const WRITER: &str = r#"
while ! test -e /tmp/stop; do
    number=$((number + 1))
    timeout 5 psql "host=$HOST user=zalando dbname=foo sslmode=require connect_timeout=2" -AtXqc \
        "insert into kept values ($number)" >/dev/null 2>&1 && echo "$number $(date +%s%3N)" >> /tmp/committed
done
"#;

/// The node is cordoned until this goes, whatever happens.
struct Drained(String);

impl Drop for Drained {
    fn drop(&mut self) {
        let _ = kubectl(&["uncordon", &self.0]);
    }
}

#[test]
fn a_drain_of_the_leaders_node_ends_with_the_leader_elsewhere_and_every_committed_row() {
    if !has_cluster("drain") {
        return;
    }
    let nodes = kubectl(&["get", "nodes", "--output", "name"]).unwrap();
    if nodes.lines().count() < 2 {
        println!("SKIPPED: drain: the cluster has one node; bring it up with NODES=2");
        return;
    }
    let namespace = namespace("drain");
    namespace.apply(&spread());
    namespace.running(CLUSTER);
    let old = namespace.leader(CLUSTER).unwrap();
    let new = the_other(&old);
    let node = node_of(&namespace, &old).unwrap();
    assert_ne!(node, node_of(&namespace, &new).unwrap(), "the members are on both nodes");
    eventually("the replica follows", || namespace.replica_streams(&old));

    psql(&namespace, &new, "create table kept (number integer primary key)").unwrap();
    start_writing(&namespace, &new);
    eventually("rows are written", || ensure(committed(&namespace, &new).len() > 20, "too few"));

    let drained = Drained(node.clone());
    let started = Instant::now();
    let (output, looks) = watched_drain(&namespace, &node);
    println!("{:5.1} s until the drain ended; {output}", started.elapsed().as_secs_f64());
    assert!(looks > 2, "{looks} checks");
    assert_eq!(namespace.leader(CLUSTER).unwrap(), new);
    let events = namespace.kubectl(&["get", "events", "--field-selector", "reason=Switchover"]).unwrap();
    assert!(events.contains(&format!("{new} leads")) && !events.contains("stays with"), "{events}");

    let before = committed(&namespace, &new).len();
    eventually("rows are written to the new leader", || {
        let now = committed(&namespace, &new).len();
        ensure(now > before + 20, format!("{now} of {before}"))
    });
    namespace.run(&new, "touch /tmp/stop").unwrap();
    let committed = committed(&namespace, &new);
    let kept = psql(&namespace, &new, "select number from kept order by number").unwrap();
    let kept: Vec<u64> = kept.lines().map(|line| line.parse().unwrap()).collect();
    let lost: Vec<u64> =
        committed.iter().map(|(number, _)| *number).filter(|number| kept.binary_search(number).is_err()).collect();
    let outage = committed.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap_or_default();
    println!("{} rows committed, {} lost; the longest write outage was {outage} ms", committed.len(), lost.len());
    assert_eq!(lost, [] as [u64; 0]);

    drop(drained);
    let status = namespace.running(CLUSTER);
    assert_eq!(status["leader"], json!(new), "the leadership moved once");
    eventually("the old leader follows", || namespace.replica_streams(&new));
    eventually("the status says that the leader may stay", || {
        let placed = namespace.condition(CLUSTER, "LeaderPlaced")?;
        ensure(placed["status"] == "True", &placed)
    });
}

/// A cluster with a member on each node.
fn spread() -> Value {
    let mut manifest = minimal(CLUSTER, 2);
    manifest["spec"]["topologySpreadConstraints"] = json!([one_member_per_node(CLUSTER)]);
    manifest
}

fn node_of(namespace: &Namespace, pod: &str) -> Result<String, String> {
    let pod = namespace.get("pod", pod)?;
    pod["spec"]["nodeName"].as_str().map(str::to_owned).ok_or_else(|| "not scheduled".to_owned())
}

/// Drains a node as an administrator does, and checks all the while that no pod is evicted that still leads. Gives the
/// last line of the drain and how often it was checked.
fn watched_drain(namespace: &Namespace, node: &str) -> (String, usize) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(evicted_leaders(namespace), [] as [String; 0]);
                looks += 1;
                std::thread::sleep(LOOK);
            }
            looks
        });
        let drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s"];
        let output = kubectl(&drain);
        done.store(true, Ordering::Relaxed);
        let looks = looks.join().expect("the budget of the leader held");
        let output = output.unwrap();
        (output.lines().last().unwrap_or_default().to_owned(), looks)
    })
}

/// The pods that are being deleted while they have the leader's label.
fn evicted_leaders(namespace: &Namespace) -> Vec<String> {
    let selector = format!("cluster-name={CLUSTER},spilo-role=master");
    let Ok(text) = namespace.kubectl(&["get", "pods", "--selector", &selector, "--output", "json"]) else {
        return Vec::new();
    };
    let pods: Value = serde_json::from_str(&text).unwrap();
    let ending = pods["items"].as_array().into_iter().flatten();
    let ending = ending.filter(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    ending.map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Starts the writer in the pod of the member that stays.
fn start_writing(namespace: &Namespace, pod: &str) {
    let script = namespace.file(pod, "write", WRITER);
    let password = namespace.password(CLUSTER, "zalando").unwrap();
    let start = format!("HOST={CLUSTER} PGPASSWORD={password} nohup sh {script} >/dev/null 2>&1 &");
    namespace.run(pod, &start).unwrap();
}

/// The rows that were committed so far, and when, in milliseconds.
fn committed(namespace: &Namespace, pod: &str) -> Vec<(u64, u64)> {
    let text = namespace.run(pod, "cat /tmp/committed 2>/dev/null || true").unwrap();
    let pair =
        |line: &str| line.split_once(' ').and_then(|(number, at)| Some((number.parse().ok()?, at.parse().ok()?)));
    text.lines().filter_map(pair).collect()
}

/// Runs a statement over the Service, from a pod that stays, and gives its result.
fn psql(namespace: &Namespace, pod: &str, statement: &str) -> Result<String, String> {
    let password = namespace.password(CLUSTER, "zalando")?;
    let target = format!("host={CLUSTER} user=zalando dbname=foo sslmode=require connect_timeout=10");
    let password = format!("PGPASSWORD={password}");
    let command = ["env", &password, "psql", &target, "-AtX", "-c", statement];
    let arguments = ["exec", pod, "--container", "postgres", "--"];
    namespace.kubectl(&[&arguments[..], &command[..]].concat())
}
