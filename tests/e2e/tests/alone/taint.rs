//! A node that is kept for databases: only pods that tolerate its taint run there.

use e2e::{ensure, eventually, has_cluster, kubectl, minimal, namespace};
use serde_json::json;

const CLUSTER: &str = "acid-taint";
const POD: &str = "acid-taint-0";
const TAINT: &str = "pgloom.dev/e2e";

/// The node has the taint until this goes, whatever happens.
struct Tainted(String);

impl Tainted {
    fn new(node: &str) -> Self {
        kubectl(&["taint", "node", node, &format!("{TAINT}=databases:NoSchedule"), "--overwrite"]).unwrap();
        Self(node.to_owned())
    }
}

impl Drop for Tainted {
    fn drop(&mut self) {
        let _ = kubectl(&["taint", "node", &self.0, &format!("{TAINT}-")]);
    }
}

#[test]
fn a_pod_runs_on_a_tainted_node_as_soon_as_the_manifest_tolerates_the_taint() {
    if !has_cluster("taint") {
        return;
    }
    let nodes = kubectl(&["get", "nodes", "--output", "name"]).unwrap();
    let node = nodes.lines().last().unwrap().trim_start_matches("node/");
    let tainted = Tainted::new(node);
    let namespace = namespace("taint");
    let mut manifest = minimal(CLUSTER, 1);
    let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
    manifest["spec"]["nodeAffinity"] = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}});
    namespace.apply(&manifest);
    eventually("the taint keeps the pod away", || {
        let conditions = namespace.get("pod", POD)?["status"]["conditions"].to_string();
        ensure(conditions.contains("Unschedulable") && conditions.contains("untolerated taint"), conditions)
    });

    let toleration = json!({"key": TAINT, "operator": "Equal", "value": "databases", "effect": "NoSchedule"});
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"tolerations": [toleration]}}));
    namespace.running(CLUSTER);
    assert_eq!(namespace.get("pod", POD).unwrap()["spec"]["nodeName"], node);
    drop(tainted);
}
