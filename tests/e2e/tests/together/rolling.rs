//! A changed template is rolled out to the replicas first and to the leader last, after a switchover; a change that
//! needs no restart restarts no pod.

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

#[test]
fn annotations_and_settings_of_patroni_reach_a_running_cluster_without_a_restart() {
    if !has_cluster("rolling-metadata") {
        return;
    }
    let namespace = namespace("rolling-metadata");
    let mut manifest = minimal(CLUSTER, 2);
    // For logical slots.
    manifest["spec"]["postgresql"]["parameters"] = json!({"wal_level": "logical"});
    namespace.apply(&manifest);
    namespace.running(CLUSTER);
    let leader = namespace.leader(CLUSTER).unwrap();
    let names = [leader.clone(), the_other(&leader)];
    let lives = namespace.lives(CLUSTER);
    annotations_and_settings_are_those_of_the_manifest(&namespace, &names);
    slots_are_those_of_the_manifest_and_those_that_were_made_by_hand(&namespace, &leader);
    a_lowered_limit_reaches_every_member(&namespace, &names);
    assert_eq!(namespace.lives(CLUSTER), lives, "no pod and no container was restarted");
    a_pod_with_the_mark_of_the_zalando_operator_is_replaced_after_a_switchover(&namespace);
}

fn annotations_and_settings_are_those_of_the_manifest(namespace: &Namespace, names: &[String; 2]) {
    let settings = json!({"ttl": 29, "loop_wait": 9, "retry_timeout": 9});
    let change = json!({"spec": {"podAnnotations": {"owner": "acid"}, "patroni": settings}});
    namespace.patch("postgresql", CLUSTER, &change);
    eventually("every pod has the annotation", || {
        let pods = names.each_ref().map(|name| namespace.get("pod", name).unwrap_or_default());
        let owner = |pod: &Value| pod["metadata"]["annotations"]["owner"] == "acid";
        ensure(pods.iter().all(owner), json!(pods))
    });
    eventually("Patroni has the settings", || {
        let text = namespace.run(&names[1], "curl --silent --fail localhost:8008/config")?;
        let now: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        ensure(settings.as_object().unwrap().iter().all(|(key, value)| now[key] == *value), now)
    });
    namespace.running(CLUSTER);
}

fn slots_are_those_of_the_manifest_and_those_that_were_made_by_hand(namespace: &Namespace, leader: &str) {
    let by_hand = "patronictl -c /home/postgres/postgres.yml edit-config --force --set slots.by_hand.type=physical";
    namespace.run(leader, by_hand).unwrap();
    let moved = |database: &str| json!({"type": "logical", "database": database, "plugin": "pgoutput"});
    let are = |slots: &str| {
        eventually(&format!("the slots are {slots}"), || {
            let statement = "select string_agg(concat(slot_name, ' ', database), ', ' order by slot_name) \
                from pg_replication_slots where slot_name !~ '^acid'";
            let answer = psql(namespace, leader, statement)?;
            ensure(answer == slots, answer)
        });
    };
    let set = |slots: Value| namespace.patch("postgresql", CLUSTER, &json!({"spec": {"patroni": {"slots": slots}}}));
    set(json!({"moved": moved("foo"), "former": {"type": "physical"}}));
    are("by_hand , former , moved foo");
    set(json!({"moved": moved("postgres"), "former": null}));
    are("by_hand , moved postgres");
    set(json!({"moved": null}));
    are("by_hand ");
}

fn a_lowered_limit_reaches_every_member(namespace: &Namespace, names: &[String; 2]) {
    let limit = json!({"spec": {"postgresql": {"parameters": {"max_connections": "50"}}}});
    namespace.patch("postgresql", CLUSTER, &limit);
    for name in names {
        eventually(&format!("{name} has the limit"), || {
            let answer = psql(namespace, name, "show max_connections")?;
            ensure(answer == "50", answer)
        });
    }
    namespace.running(CLUSTER);
}

fn a_pod_with_the_mark_of_the_zalando_operator_is_replaced_after_a_switchover(namespace: &Namespace) {
    let leader = namespace.leader(CLUSTER).unwrap();
    let replica = the_other(&leader);
    let before = [pod(namespace, &leader), pod(namespace, &replica)];
    let mark = "zalando-postgres-operator-rolling-update-required=true";
    namespace.kubectl(&["annotate", "pod", &leader, mark]).unwrap();
    eventually("the pod is another one", || {
        let now = pod(namespace, &leader);
        ensure(now["uid"].is_string() && now["uid"] != before[0]["uid"], now)
    });
    let status = namespace.running(CLUSTER);
    assert_eq!(status["leader"], json!(replica));
    assert_eq!(pod(namespace, &replica), before[1], "the other pod has no mark");
}

/// The answer of a member to its own superuser.
fn psql(namespace: &Namespace, name: &str, statement: &str) -> Result<String, String> {
    let command = format!("psql -U postgres -h /run/postgresql -AtXc \"{statement}\"");
    let answer = namespace.run(name, &format!("su postgres -c '{}'", command.replace('\'', "'\\''")))?;
    Ok(answer.trim_end_matches('\n').to_owned())
}

#[test]
fn a_pod_that_no_node_takes_is_replaced_when_the_manifest_is_corrected() {
    if !has_cluster("rolling-pending") {
        return;
    }
    let namespace = namespace("rolling-pending");
    let mut manifest = minimal(CLUSTER, 1);
    manifest["spec"]["resources"] = json!({"requests": {"cpu": "400"}, "limits": {"cpu": "400"}});
    namespace.apply(&manifest);
    let name = format!("{CLUSTER}-0");
    eventually("the pod is pending", || {
        let pod = pod(&namespace, &name);
        ensure(pod["requests"] == "400", &pod)
    });
    let resources = json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "1"}});
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"resources": resources}}));
    namespace.running(CLUSTER);
    assert_eq!(pod(&namespace, &name)["requests"], "10m");
}

#[test]
fn a_synchronous_cluster_is_rolled_by_a_switchover() {
    if !has_cluster("rolling-synchronous") {
        return;
    }
    let namespace = namespace("rolling-synchronous");
    let mut manifest = minimal(CLUSTER, 2);
    manifest["spec"]["patroni"] = json!({"synchronous_mode": true});
    namespace.apply(&manifest);
    namespace.running(CLUSTER);
    let old = namespace.leader(CLUSTER).unwrap();
    let replica = the_other(&old);
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"resources": {"requests": {"cpu": "20m"}}}}));
    eventually("every pod runs the new template", || {
        let pods = [pod(&namespace, &old), pod(&namespace, &replica)];
        ensure(pods.iter().all(|pod| pod["requests"] == "20m"), json!(pods))
    });
    let events = namespace.kubectl(&["get", "events", "--field-selector", "reason=Switchover"]).unwrap();
    assert!(events.contains(&format!("{replica} leads")) && !events.contains("stays with"), "{events}");
}

fn pod(namespace: &Namespace, name: &str) -> Value {
    let Ok(pod) = namespace.get("pod", name) else { return Value::Null };
    let requests = &pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    json!({"uid": pod["metadata"]["uid"], "created": pod["metadata"]["creationTimestamp"], "requests": requests})
}
