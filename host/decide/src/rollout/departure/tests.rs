//! Promises about leaders on nodes that are drained.

use serde_json::{Value, json};

use super::*;
use crate::rollout::Role;

/// A member on a node, its pod ready.
fn member(pod: &str, role: Role, node: &str) -> Member {
    Member { pod: pod.into(), role: Some(role), ready: true, node: Some(node.into()), ..Member::default() }
}

/// `c-0` leads on the first node, the others follow on the next ones.
fn on(nodes: &[&str]) -> Vec<Member> {
    let one = |(ordinal, node): (usize, &&str)| {
        member(&format!("c-{ordinal}"), if ordinal == 0 { Role::Leader } else { Role::Replica }, node)
    };
    nodes.iter().enumerate().map(one).collect()
}

/// Nodes `a`, `b` and `c`, of which some are cordoned.
fn nodes(cordoned: &[&str]) -> BTreeMap<String, Node> {
    let node = |name: &str| Node {
        name: name.into(),
        labels: BTreeMap::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]),
        unschedulable: cordoned.contains(&name),
        ..Node::default()
    };
    ["a", "b", "c"].into_iter().map(|name| (name.to_owned(), node(name))).collect()
}

/// Volumes that can go to any node.
fn free(members: &[Member]) -> BTreeMap<String, Vec<NodeSelector>> {
    members.iter().map(|member| (member.pod.clone(), Vec::new())).collect()
}

/// Volumes that stay on the nodes where their pods are.
fn local(members: &[Member]) -> BTreeMap<String, Vec<NodeSelector>> {
    let volume = |node: &Option<String>| {
        let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
        serde_json::from_value(json!({"nodeSelectorTerms": [{"matchExpressions": [here]}]})).unwrap()
    };
    members.iter().map(|member| (member.pod.clone(), vec![volume(&member.node)])).collect()
}

/// What Patroni reports where all members are as they should be.
fn healthy(members: &[Member]) -> Value {
    let one = |member: &Member| {
        let role = if member.role == Some(Role::Leader) { "leader" } else { "replica" };
        json!({"name": member.pod, "role": role, "state": "running", "lag": 0})
    };
    json!({"members": members.iter().map(one).collect::<Vec<_>>()})
}

fn report(cluster: Value) -> Report {
    Report { cluster: serde_json::from_value(cluster).unwrap(), synchronous: false }
}

/// The next step of a healthy cluster with volumes that can follow.
fn next_of(members: &[Member], cordoned: &[&str]) -> Option<Next> {
    step(members, cordoned, &free(members), &report(healthy(members)))
}

fn step(
    members: &[Member],
    cordoned: &[&str],
    volumes: &BTreeMap<String, Vec<NodeSelector>>,
    report: &Report,
) -> Option<Next> {
    let (nodes, needs) = (nodes(cordoned), Needs::default());
    let places = Places { nodes: &nodes, needs: &needs, volumes };
    departure(members.len(), members, &places, Some(report)).map(|departure| departure.next)
}

fn switchover(from: &str, to: &str) -> Option<Next> {
    Some(Next::Switchover(Switchover { from: from.into(), to: to.into() }))
}

fn replace(pod: &str) -> Option<Next> {
    Some(Next::Replace(pod.into()))
}

fn waits(reason: &str) -> Option<Next> {
    Some(Next::Wait(reason.into()))
}

#[test]
fn a_leader_leaves_a_cordoned_node_by_switchover() {
    let members = on(&["a", "b"]);
    assert_eq!(next_of(&members, &["a"]), switchover("c-0", "c-1"));
    assert_eq!(next_of(&members, &["b"]), None, "replicas are evicted by the drain itself");
    assert_eq!(next_of(&members, &[]), None);
}

#[test]
fn why_it_leaves_names_the_node() {
    let (members, nodes, needs) = (on(&["a", "b"]), nodes(&["a"]), Needs::default());
    let (volumes, report) = (free(&members), report(healthy(&members)));
    let places = Places { nodes: &nodes, needs: &needs, volumes: &volumes };
    let departure = departure(2, &members, &places, Some(&report)).unwrap();
    assert_eq!(departure.cause, "node a is cordoned");
}

#[test]
fn a_leader_on_a_node_that_is_not_known_stays() {
    assert_eq!(next_of(&on(&["elsewhere", "b"]), &["a"]), None);
    let mut unscheduled = on(&["a", "b"]);
    unscheduled[0].node = None;
    assert_eq!(next_of(&unscheduled, &["a"]), None);
}

#[test]
fn a_replica_on_a_node_that_is_left_too_does_not_lead_next() {
    assert_eq!(next_of(&on(&["a", "b", "c"]), &["a", "b"]), switchover("c-0", "c-2"));
    assert_eq!(next_of(&on(&["a", "a", "b"]), &["a"]), switchover("c-0", "c-2"));
}

#[test]
fn a_replica_that_is_ending_or_that_goes_with_a_smaller_cluster_does_not_lead_next() {
    let mut members = on(&["a", "b", "c"]);
    members[1].ending = true;
    assert_eq!(next_of(&members, &["a"]), switchover("c-0", "c-2"));

    let (members, nodes, needs) = (on(&["a", "b", "c"]), nodes(&["a", "b"]), Needs::default());
    let (volumes, report) = (local(&members), report(healthy(&members)));
    let places = Places { nodes: &nodes, needs: &needs, volumes: &volumes };
    let next = departure(2, &members, &places, Some(&report)).unwrap().next;
    assert!(matches!(next, Next::Wait(_)), "{next:?}");
}

#[test]
fn a_member_that_is_down_already_is_no_reason_to_wait() {
    let mut members = on(&["a", "b", "c"]);
    let mut cluster = healthy(&members);
    members[1].ready = false;
    members[1].node = None;
    cluster["members"][1]["state"] = json!("stopped");
    let next = step(&members, &["a"], &free(&members), &report(cluster));
    assert_eq!(next, switchover("c-0", "c-2"), "a drain that evicted a replica first goes on");
}

#[test]
fn without_a_replica_that_is_fit_the_leader_waits() {
    let members = on(&["a", "b"]);
    let mut cluster = healthy(&members);
    cluster["members"][1]["state"] = json!("starting");
    let next = step(&members, &["a"], &free(&members), &report(cluster));
    assert_eq!(next, waits("no replica is fit to lead: c-1 is starting"));
}

#[test]
fn a_replica_that_the_drain_evicted_first_and_that_no_node_takes_is_named() {
    let mut members = on(&["a", "a"]);
    members[1].node = None;
    let next = step(&members, &["a"], &local(&members), &report(healthy(&members)));
    assert_eq!(next, waits("pod c-1 is not scheduled"));
}

#[test]
fn in_synchronous_mode_only_the_synchronous_standby_leads_next() {
    let members = on(&["a", "b", "c"]);
    let synchronous = |standby: usize| {
        let mut cluster = healthy(&members);
        cluster["members"][standby]["role"] = json!("sync_standby");
        Report { synchronous: true, ..report(cluster) }
    };
    assert_eq!(step(&members, &["a"], &free(&members), &synchronous(2)), switchover("c-0", "c-2"));
    // Patroni names another standby when this one is gone.
    assert_eq!(step(&members, &["a", "c"], &free(&members), &synchronous(2)), replace("c-2"));
}

#[test]
fn a_replica_moves_first_where_every_node_of_the_cluster_is_left() {
    let members = on(&["a", "b"]);
    assert_eq!(next_of(&members, &["a", "b"]), replace("c-1"));
    let mut moving = members.clone();
    moving[1].ending = true;
    assert!(matches!(next_of(&moving, &["a", "b"]), Some(Next::Wait(_))), "one at a time");
    let moved = on(&["a", "c"]);
    assert_eq!(next_of(&moved, &["a", "b"]), switchover("c-0", "c-1"));
}

#[test]
fn no_replica_moves_while_another_member_does_not_serve() {
    let mut members = on(&["a", "b", "b"]);
    members[1].ready = false;
    let reason = "pod c-1 has to move as well: node b is cordoned, pod c-2 has to move as well: node b is cordoned; \
        pod c-1 does not serve";
    assert_eq!(next_of(&members, &["a", "b"]), waits(reason));
}

#[test]
fn a_replica_whose_volume_cannot_follow_is_not_moved() {
    let members = on(&["a", "b"]);
    let report = report(healthy(&members));
    let reason = "pod c-1 has to move as well: node b is cordoned; \
        no other node takes pod c-1 and its volume";
    assert_eq!(step(&members, &["a", "b"], &local(&members), &report), waits(reason));
    let unknown = "pod c-1 has to move as well: node b is cordoned; \
        it is not known to which nodes the volume of pod c-1 can move";
    assert_eq!(step(&members, &["a", "b"], &BTreeMap::new(), &report), waits(unknown));
}

#[test]
fn no_member_moves_where_no_node_stays() {
    let members = on(&["a", "b"]);
    let next = step(&members, &["a", "b", "c"], &free(&members), &report(healthy(&members)));
    assert!(matches!(next, Some(Next::Wait(reason)) if reason.ends_with("no other node takes pod c-1 and its volume")));
}

#[test]
fn the_only_member_moves_if_its_volume_can_follow() {
    let members = on(&["a"]);
    assert_eq!(next_of(&members, &["a"]), replace("c-0"));
    let (local, report) = (local(&members), report(healthy(&members)));
    assert_eq!(step(&members, &["a"], &local, &report), waits("no other node takes pod c-0 and its volume"));
}

#[test]
fn a_member_that_is_alone_for_a_while_is_not_moved() {
    let (members, nodes, needs) = (on(&["a"]), nodes(&["a"]), Needs::default());
    let (volumes, report) = (free(&members), report(healthy(&members)));
    let places = Places { nodes: &nodes, needs: &needs, volumes: &volumes };
    let next = departure(2, &members, &places, Some(&report)).unwrap().next;
    assert_eq!(next, Next::Wait("there is no replica to lead".into()));
}

#[test]
fn nothing_moves_while_patroni_is_paused_or_says_something_else() {
    for members in [on(&["a"]), on(&["a", "b"])] {
        let mut cluster = healthy(&members);
        cluster["pause"] = json!(true);
        assert_eq!(step(&members, &["a"], &free(&members), &report(cluster)), waits("Patroni is paused"));
    }
    let members = on(&["a", "b"]);
    let mut cluster = healthy(&members);
    cluster["members"][0]["role"] = json!("replica");
    cluster["members"][1]["role"] = json!("leader");
    let reason = "pod c-0 is labelled as leader, and Patroni names c-1";
    assert_eq!(step(&members, &["a"], &free(&members), &report(cluster)), waits(reason));
    let (nodes, needs, volumes) = (nodes(&["a"]), Needs::default(), free(&members));
    let places = Places { nodes: &nodes, needs: &needs, volumes: &volumes };
    let silent = departure(2, &members, &places, None).unwrap().next;
    assert_eq!(silent, Next::Wait("Patroni of pod c-0 does not answer".into()));
}
