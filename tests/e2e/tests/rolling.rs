//! A changed template reaches the replicas first and the leader last, after a switchover; a change without a restart restarts no pod.

use e2e::{Namespace, ensure, eventually, has_cluster, minimal, namespace, the_other};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-rolling";

#[test]
fn a_changed_template_restarts_the_replicas_first_and_the_old_leader_last() {
    if !has_cluster("rolling") {
        return;
    }
    let namespace = namespace("rolling");
    namespace.apply(&minimal(CLUSTER, 2));
    namespace.running(CLUSTER);
    let old = namespace.leader(CLUSTER).unwrap();
    let replica = the_other(&old);
    let before = [pod(&namespace, &old), pod(&namespace, &replica)];

    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"allowedSourceRanges": ["10.0.0.0/8"]}}));
    namespace.running(CLUSTER);
    assert_eq!(before, [pod(&namespace, &old), pod(&namespace, &replica)], "source ranges cost no pod");

    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"resources": {"requests": {"cpu": "20m"}}}}));
    eventually("every pod runs the new template", || {
        let rolled = namespace.condition(CLUSTER, "RolledOut")?;
        ensure(rolled["status"] == "True" && rolled["observedGeneration"] == 3, &rolled)?;
        let pods = [pod(&namespace, &old), pod(&namespace, &replica)];
        ensure(pods.iter().all(|pod| pod["requests"] == "20m"), json!(pods))
    });
    let status = namespace.running(CLUSTER);
    assert_eq!(status["leader"], json!(replica), "the leadership moved, once");
    let after = [pod(&namespace, &old), pod(&namespace, &replica)];
    assert!(before.iter().zip(&after).all(|(before, after)| before["uid"] != after["uid"]));
    let created = |pod: &Value| pod["created"].as_str().unwrap().to_owned();
    assert!(created(&after[1]) < created(&after[0]), "the old leader is the last: {after:?}");
    let events = namespace.kubectl(&["get", "events", "--field-selector", "reason=Switchover"]).unwrap();
    assert!(events.contains(&format!("{replica} leads")), "{events}");
}

fn pod(namespace: &Namespace, name: &str) -> Value {
    let Ok(pod) = namespace.get("pod", name) else { return Value::Null };
    let requests = &pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    json!({"uid": pod["metadata"]["uid"], "created": pod["metadata"]["creationTimestamp"], "requests": requests})
}
