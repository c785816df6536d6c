//! Pods: where they run, with which image, with what rights and resources.

use e2e::{Namespace, ensure, eventually, kubectl, the_other};
use serde_json::{Value, json};

use super::{CLUSTER, change, configure};

const LABEL: &str = "pgloom.dev/e2e-configured";

/// The nodes have the label until this goes, whatever happens.
pub struct Labelled(Vec<String>);

impl Labelled {
    pub fn all() -> Self {
        let nodes = kubectl(&["get", "nodes", "--output", "jsonpath={.items[*].metadata.name}"]).unwrap();
        let nodes = Self(nodes.split_whitespace().map(str::to_owned).collect());
        nodes.0.iter().for_each(|node| Self::label(node, true));
        nodes
    }

    /// The label as a key of the operator configuration names it.
    pub fn key(&self) -> String {
        format!("{LABEL}:ready")
    }

    fn label(node: &str, is_ready: bool) {
        let label = if is_ready { format!("{LABEL}=ready") } else { format!("{LABEL}-") };
        kubectl(&["label", "node", node, &label, "--overwrite"]).unwrap();
    }
}

impl Drop for Labelled {
    fn drop(&mut self) {
        for node in &self.0 {
            let _ = kubectl(&["label", "node", node, &format!("{LABEL}-")]);
        }
    }
}

pub fn the_members_are_spread_and_the_leader_leaves_a_node_that_loses_its_label(
    namespace: &Namespace,
    nodes: &Labelled,
) {
    if nodes.0.len() < 2 {
        println!("SKIPPED: members on several nodes: the cluster has one node; bring it up with NODES=2");
        return;
    }
    let old = namespace.leader(CLUSTER).unwrap();
    let new = the_other(&old);
    let node = |pod: &str| namespace.get("pod", pod).unwrap()["spec"]["nodeName"].as_str().unwrap().to_owned();
    let left = node(&old);
    assert_ne!(left, node(&new), "each member is on a node of its own");
    eventually("the replica follows", || namespace.replica_streams(&old));
    Labelled::label(&left, false);
    eventually("the other member leads", || {
        let leader = namespace.leader(CLUSTER)?;
        ensure(leader == new, leader)
    });
    eventually("it was a switchover", || {
        let events = namespace.kubectl(&["get", "events", "--field-selector", "reason=Switchover"])?;
        ensure(events.contains(&format!("{new} leads")), events)
    });
    Labelled::label(&left, true);
    namespace.running(CLUSTER);
    eventually("the former leader follows", || namespace.replica_streams(&new));
}

pub fn a_new_image_waits_for_the_next_restart_while_upgrades_are_lazy(namespace: &Namespace) {
    let leader = namespace.leader(CLUSTER).unwrap();
    let replica = the_other(&leader);
    let members = [leader.as_str(), replica.as_str()];
    let images = || members.map(|pod| part(namespace, pod, "/spec/containers/0/image"));
    let old = images()[0].clone();
    // The same image under another name, which the node has.
    let id = part(namespace, &leader, "/status/containerStatuses/0/imageID");
    let new = json!(id.as_str().unwrap());
    let before = namespace.lives(CLUSTER);
    configure(namespace, &json!({"docker_image": new, "enable_lazy_spilo_upgrade": "true"}));
    eventually("the StatefulSet has the image", || {
        let image =
            namespace.get("statefulset", CLUSTER)?["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        ensure(image == new, image)
    });
    namespace.running(CLUSTER);
    assert_eq!(namespace.lives(CLUSTER), before);

    namespace.kubectl(&["delete", "pod", &replica]).unwrap();
    eventually("the pod that was restarted has it", || ensure(images()[1] == new, json!(images())));
    namespace.running(CLUSTER);
    eventually("the replica follows", || namespace.replica_streams(&leader));
    assert_eq!(images(), [old, new.clone()], "the other pod runs the image of before");

    let restarted = part(namespace, &replica, "/metadata/uid");
    configure(namespace, &json!({"enable_lazy_spilo_upgrade": "false"}));
    eventually("every pod has it", || ensure(images() == [new.clone(), new.clone()], json!(images())));
    namespace.running(CLUSTER);
    assert_eq!(namespace.leader(CLUSTER).unwrap(), replica, "the leadership moved first");
    assert_eq!(part(namespace, &replica, "/metadata/uid"), restarted, "who has the image is not restarted again");
}

pub fn capabilities_and_bounds_of_resources_reach_the_pods(namespace: &Namespace) {
    let keys = json!({
        "additional_pod_capabilities": "SYS_NICE,CHOWN",
        "max_memory_request": "300Mi",
        "min_cpu_limit": "503m",
        "min_memory_limit": "502Mi",
        "set_memory_request_to_limit": "true",
    });
    configure(namespace, &keys);
    let resources = json!({"requests": {"cpu": "10m", "memory": "50Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}});
    change(namespace, &json!({"resources": resources}));
    let wanted = json!({"requests": {"cpu": "10m", "memory": "300Mi"}, "limits": {"cpu": "503m", "memory": "502Mi"}});
    let pod = format!("{CLUSTER}-0");
    eventually(&format!("{pod} has the resources and the capabilities"), || {
        let container = part(namespace, &pod, "/spec/containers/0");
        let added = &container["securityContext"]["capabilities"]["add"];
        let now = json!([container["resources"], added]);
        ensure(now == json!([wanted, ["SYS_NICE", "CHOWN"]]), now)
    });
    namespace.running(CLUSTER);
}

/// A part of a pod; null if there is none.
fn part(namespace: &Namespace, pod: &str, pointer: &str) -> Value {
    let pod = namespace.get("pod", pod).unwrap_or_default();
    pod.pointer(pointer).cloned().unwrap_or_default()
}
