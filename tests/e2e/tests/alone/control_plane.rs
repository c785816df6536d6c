//! The control plane is killed during an update: the update is completed, no pod is replaced twice, and no operator fails.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use e2e::process::kill_service;
use e2e::{Connection, Namespace, ensure, eventually, has_cluster, kubectl, minimal, namespace};
use serde_json::Value;

const CLUSTER: &str = "acid-control-plane";
const SYSTEM: &str = "pgloom-system";
/// An operator that cannot renew its Lease for ten seconds ends, so that another can lead. Whether the outage is that long
/// depends on the machine.
const LEADERSHIP_LOST: &str = "the leadership was lost";

#[test]
fn an_update_is_completed_after_the_api_server_and_etcd_are_killed() {
    if !has_cluster("control-plane") {
        return;
    }
    let namespace = namespace("control-plane");
    namespace.apply(&minimal(CLUSTER, 2));
    namespace.running(CLUSTER);
    namespace.sql(CLUSTER, &connection(), "create table kept as select 1 as value").unwrap();
    let operators = restarts_of_operators().unwrap();
    let before = uids(&namespace).unwrap();
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();

    let change = serde_json::json!({"spec": {"resources": {"requests": {"cpu": "20m"}}}});
    namespace.patch("postgresql", CLUSTER, &change);
    eventually("the first pod is deleted or replaced", || ensure(uids(&namespace)? != before, "the pods of before"));
    kill_service("kube-apiserver");
    eventually("the API server answers again", || kubectl(&["get", "--raw", "/readyz"]));
    kill_service("etcd");
    // The update goes on meanwhile.
    sleep(Duration::from_secs(3));
    kill_service("kube-apiserver");

    eventually("every pod runs the new template", || {
        for (name, uid) in uids(&namespace)? {
            let uids = seen.entry(name).or_default();
            if !uids.contains(&uid) {
                uids.push(uid);
            }
        }
        let manifest = namespace.get("postgresql", CLUSTER)?;
        let rolled = namespace.condition(CLUSTER, "RolledOut")?;
        let is_rolled =
            rolled["status"] == "True" && rolled["observedGeneration"] == manifest["metadata"]["generation"];
        ensure(is_rolled && manifest["status"]["readyInstances"] == 2, &manifest["status"])
    });
    namespace.running(CLUSTER);
    let answer = namespace.sql(CLUSTER, &connection(), "select value from kept").unwrap();
    assert_eq!(answer, "1");
    for (name, uids) in &mut seen {
        uids.retain(|uid| before.get(name) != Some(uid));
        assert_eq!(uids.len(), 1, "{name} is replaced once");
    }
    assert_eq!(containers_restarted(&namespace), 0);
    for (operator, restarts) in restarts_of_operators().unwrap() {
        if operators.get(&operator) != Some(&restarts) {
            let log = kubectl(&["--namespace", SYSTEM, "logs", "--previous", &operator]).unwrap();
            assert!(log.contains(LEADERSHIP_LOST), "{operator} ended for another reason: {log}");
        }
    }
}

fn uids(namespace: &Namespace) -> Result<BTreeMap<String, Value>, String> {
    let selector = format!("cluster-name={CLUSTER}");
    let text = namespace.kubectl(&["get", "pods", "--selector", &selector, "--output", "json"])?;
    let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let of = |pod: &Value| (pod["metadata"]["name"].as_str().unwrap().to_owned(), pod["metadata"]["uid"].clone());
    Ok(list["items"].as_array().unwrap().iter().map(of).collect())
}

fn containers_restarted(namespace: &Namespace) -> u64 {
    let names = namespace.names("pods", CLUSTER);
    let restarts =
        |name: &String| namespace.get("pod", name).unwrap()["status"]["containerStatuses"][0]["restartCount"].as_u64();
    names.iter().filter_map(restarts).sum()
}

/// How often the container of each operator was restarted, by the pod's name.
fn restarts_of_operators() -> Result<BTreeMap<String, String>, String> {
    let fields = "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}";
    let text = kubectl(&["--namespace", SYSTEM, "get", "pods", "--output", fields])?;
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(pod, n)| (pod.to_owned(), n.to_owned())).collect())
}

fn connection() -> Connection<'static> {
    Connection { user: "zalando", database: "foo", host: CLUSTER, mode: "require" }
}
