//! Promises about the order of a rolling update, and about a cluster that gets smaller.

use serde_json::{Value, json};

use super::*;

fn running(pod: &str, role: Role, outdated: bool) -> Member {
    Member {
        pod: pod.into(),
        outdated,
        role: Some(role),
        ready: true,
        state: State::Running,
        answered: Some(role),
        ..Member::default()
    }
}

fn leader(outdated: bool) -> Member {
    running("c-0", Role::Leader, outdated)
}

fn replica(ordinal: u32, outdated: bool) -> Member {
    running(&format!("c-{ordinal}"), Role::Replica, outdated)
}

/// A pod whose database container does not run.
fn down(reason: &str, member: Member) -> Member {
    let (stuck, stopped) = (Some(reason.into()), Some(reason.into()));
    Member { stuck, stopped, ready: false, state: State::Silent, answered: None, ..member }
}

/// A pod whose PostgreSQL runs and whose sidecar does not.
fn failing_sidecar(member: Member) -> Member {
    Member { stuck: Some("ImagePullBackOff".into()), ready: false, ..member }
}

/// A pod whose container runs and whose Patroni does not answer.
fn silent(member: Member) -> Member {
    Member { state: State::Silent, answered: None, ..member }
}

fn report(members: Value) -> Report {
    Report { cluster: serde_json::from_value(json!({ "members": members })).unwrap(), synchronous: false }
}

/// What Patroni reports of the members.
fn reported(members: &[Member]) -> Report {
    let of_member = |member: &Member| {
        let role = if member.role == Some(Role::Leader) { "leader" } else { "replica" };
        let state = if member.state == State::Running { "running" } else { "stopped" };
        json!({"name": member.pod, "role": role, "state": state, "lag": 0})
    };
    report(members.iter().map(of_member).collect())
}

fn step(wanted: usize, members: &[Member]) -> Next {
    next(wanted, members, Some(&reported(members)))
}

fn replace(pod: &str) -> Next {
    Next::Replace(pod.into())
}

fn wait(reason: &str) -> Next {
    Next::Wait(reason.into())
}

fn switchover(from: &str, to: &str) -> Switchover {
    Switchover { from: from.into(), to: to.into() }
}

#[test]
fn a_cluster_whose_pods_run_the_template_is_done() {
    assert_eq!(step(2, &[leader(false), replica(1, false)]), Next::Done);
}

#[test]
fn replicas_are_replaced_before_the_leader_and_the_leader_after_a_switchover() {
    let mut members = [leader(true), replica(1, true), replica(2, true)];
    let mut steps = Vec::new();
    for _ in 0..5 {
        let step = step(3, &members);
        match &step {
            Next::Replace(pod) => members.iter_mut().find(|member| member.pod == *pod).unwrap().outdated = false,
            Next::Switchover(Switchover { from, to }) => {
                for member in &mut members {
                    if member.pod == *from {
                        (member.role, member.answered) = (Some(Role::Replica), Some(Role::Replica));
                    } else if member.pod == *to {
                        (member.role, member.answered) = (Some(Role::Leader), Some(Role::Leader));
                    }
                }
            }
            _ => {}
        }
        steps.push(step);
    }
    let moved = Next::Switchover(switchover("c-0", "c-1"));
    assert_eq!(steps, [replace("c-2"), replace("c-1"), moved, replace("c-0"), Next::Done]);
}

#[test]
fn a_leader_does_not_hand_over_to_a_member_that_has_to_leave_its_node() {
    let leaving = Member { leaving: true, ..replica(1, false) };
    let moved = Next::Switchover(switchover("c-0", "c-2"));
    assert_eq!(step(3, &[leader(true), leaving.clone(), replica(2, false)]), moved);
    let reason = "no replica is fit to lead: c-1 is not to be chosen; c-1 has to leave its node";
    assert_eq!(step(2, &[leader(true), leaving]), wait(reason));
}

#[test]
fn a_single_member_is_replaced_without_a_switchover() {
    assert_eq!(step(1, &[leader(true)]), replace("c-0"));
}

#[test]
fn nothing_is_touched_while_a_member_that_runs_the_template_is_not_done_with_its_start() {
    for state in [State::Bootstrapping("creating replica".into()), State::Silent, State::Other("starting".into())] {
        let members = [leader(true), Member { state, ..replica(1, false) }];
        assert!(matches!(step(2, &members), Next::Wait(reason) if reason.contains("c-1")), "{members:?}");
    }
    let ending = Member { ending: true, ..replica(1, false) };
    assert_eq!(step(2, &[leader(true), ending]), wait("pod c-1 is ending"));
    assert_eq!(step(2, &[leader(true)]), wait("1 of 2 pods exist"));
    let unready = Member { ready: false, ..replica(1, false) };
    assert_eq!(step(2, &[leader(true), unready]), wait("pod c-1 is not ready"));
    let without_role = Member { role: None, ..replica(1, false) };
    assert_eq!(step(2, &[leader(true), without_role]), wait("pod c-1 has no role yet"));
}

#[test]
fn a_pod_that_cannot_start_stops_the_update_until_the_template_is_corrected_and_is_replaced_first_then() {
    for reason in ["ImagePullBackOff", "Unschedulable", "CrashLoopBackOff", "CreateContainerConfigError"] {
        let stuck = |outdated| down(reason, Member { role: None, ..replica(1, outdated) });
        assert_eq!(step(2, &[leader(true), stuck(true)]), replace("c-1"));
        assert_eq!(
            step(2, &[leader(true), stuck(false)]),
            wait(&format!("pod c-1 runs the new template and cannot start: {reason}"))
        );
    }
}

#[test]
fn a_pod_whose_containers_are_created_for_ever_is_replaced_once_the_template_is_corrected() {
    let waits = Member { stuck: None, role: None, ..down("ContainerCreating", replica(1, true)) };
    assert_eq!(step(2, &[leader(true), waits]), replace("c-1"));
}

#[test]
fn a_database_that_failed_to_start_is_replaced_once_the_template_is_corrected() {
    let stopped = Member { state: State::Stopped("start failed".into()), answered: None, ..replica(1, true) };
    assert_eq!(step(2, &[leader(true), stopped.clone()]), replace("c-1"));
    let corrected = Member { outdated: false, ..stopped };
    assert_eq!(step(2, &[leader(true), corrected]), wait(r#"Patroni of pod c-1 reports the state "start failed""#));
}

#[test]
fn a_pod_whose_patroni_never_came_up_is_replaced_once_the_template_is_corrected() {
    let never = silent(Member { role: None, ..replica(1, true) });
    assert_eq!(step(2, &[leader(true), never]), replace("c-1"));
}

#[test]
fn a_single_member_that_no_node_takes_is_replaced_once_the_template_is_corrected() {
    assert_eq!(step(1, &[down("Unschedulable", Member { role: None, ..leader(true) })]), replace("c-0"));
    assert_eq!(step(1, &[down("Unschedulable", leader(true))]), replace("c-0"));
}

#[test]
fn members_that_do_not_serve_are_replaced_although_other_pods_are_missing() {
    assert_eq!(step(2, &[down("Unschedulable", Member { role: None, ..leader(true) })]), replace("c-0"));
}

#[test]
fn a_replica_with_a_failing_sidecar_is_the_first_of_the_replicas() {
    let members = [leader(true), failing_sidecar(replica(1, true)), replica(2, true)];
    assert_eq!(step(3, &members), replace("c-1"));
}

#[test]
fn a_leader_with_a_failing_sidecar_hands_over_and_is_replaced_last() {
    assert_eq!(step(2, &[failing_sidecar(leader(true)), replica(1, true)]), replace("c-1"));
    let moved = Next::Switchover(switchover("c-0", "c-1"));
    assert_eq!(step(2, &[failing_sidecar(leader(true)), replica(1, false)]), moved);
}

#[test]
fn one_running_member_is_down_at_a_time() {
    let starting = Member { state: State::Other("starting".into()), ..replica(2, false) };
    let members = [leader(true), failing_sidecar(replica(1, true)), starting];
    assert_eq!(step(3, &members), wait(r#"Patroni of pod c-2 reports the state "starting""#));
}

#[test]
fn an_outdated_member_whose_data_directory_is_being_made_is_left_to_it() {
    let making = Member { state: State::Bootstrapping("creating replica".into()), ..replica(1, true) };
    assert_eq!(step(2, &[leader(true), making]), wait(r#"Patroni of pod c-1 reports the state "creating replica""#));
}

#[test]
fn a_leader_that_does_not_run_is_replaced_only_if_no_replica_is_fit_to_lead() {
    let stopped = || down("CrashLoopBackOff", leader(true));
    let members = [stopped(), replica(1, false)];
    assert_eq!(step(2, &members), wait("PostgreSQL of pod c-0 does not run, and c-1 is about to lead"));
    let members = [stopped(), Member { state: State::Other("starting".into()), answered: None, ..replica(1, false) }];
    assert_eq!(step(2, &members), replace("c-0"));
    let members = [stopped(), silent(replica(1, false))];
    assert_eq!(next(2, &members, None), wait("Patroni of pod c-1 does not answer"));
}

#[test]
fn silence_of_every_patroni_is_no_proof_that_the_leader_does_not_run() {
    let members = [silent(failing_sidecar(leader(true))), silent(failing_sidecar(replica(1, true)))];
    assert_eq!(next(2, &members, None), wait("Patroni of pod c-0 does not answer"));
    assert_eq!(next(1, &[silent(leader(true))], None), wait("Patroni of pod c-0 does not answer"));
}

#[test]
fn a_label_that_patroni_contradicts_holds_the_update() {
    let members = [
        Member { answered: Some(Role::Replica), ..leader(true) },
        Member { answered: Some(Role::Leader), ..replica(1, true) },
    ];
    assert_eq!(step(2, &members), wait("pod c-0 is labelled as leader, and its Patroni says replica"));
}

#[test]
fn without_a_leader_no_working_member_is_replaced() {
    assert_eq!(step(2, &[replica(0, true), replica(1, true)]), wait("no pod is known to lead"));
}

#[test]
fn a_leader_without_a_candidate_is_never_deleted() {
    let members = [leader(true), replica(1, false)];
    let unfit = report(json!([
        {"name": "c-0", "role": "leader", "state": "running"},
        {"name": "c-1", "role": "replica", "state": "running", "tags": {"nofailover": true}},
    ]));
    let reason = "no replica is fit to lead: c-1 has the tag nofailover";
    assert_eq!(next(2, &members, Some(&unfit)), wait(reason));
    assert_eq!(next(2, &members, None), wait("Patroni of pod c-0 does not name the members"));
}

#[test]
fn a_synchronous_cluster_waits_until_patroni_has_named_the_next_synchronous_standby() {
    let members = [leader(true), replica(1, false)];
    let with_role = |role: &str| Report {
        synchronous: true,
        ..report(json!([
            {"name": "c-0", "role": "leader", "state": "running"},
            {"name": "c-1", "role": role, "state": "streaming"},
        ]))
    };
    let reason = "no replica is fit to lead: c-1 is not a synchronous standby";
    assert_eq!(next(2, &members, Some(&with_role("replica"))), wait(reason));
    let moved = Next::Switchover(switchover("c-0", "c-1"));
    assert_eq!(next(2, &members, Some(&with_role("sync_standby"))), moved);
}

#[test]
fn nothing_is_touched_while_patroni_is_paused() {
    for members in [vec![leader(true)], vec![leader(false), down("ImagePullBackOff", replica(1, true))]] {
        let mut paused = reported(&members);
        paused.cluster.pause = true;
        assert_eq!(next(members.len(), &members, Some(&paused)), wait("Patroni is paused"));
    }
}

#[test]
fn a_cluster_that_gets_smaller_is_not_rolled_before_it_is_small() {
    let members = [leader(true), replica(1, true), replica(2, true)];
    assert_eq!(step(2, &members), wait("pod c-2 is one of those that go"));
}

/// `c-0` and `c-1` replicate from `c-2`.
fn led_by_the_last() -> [Member; 3] {
    [replica(0, false), replica(1, false), running("c-2", Role::Leader, false)]
}

#[test]
fn a_leader_that_a_smaller_cluster_would_lose_hands_over_first() {
    let members = led_by_the_last();
    let of = |wanted| scale_down(wanted, &members, Some(&reported(&members)));
    assert_eq!(of(2), ScaleDown::HandOver(switchover("c-2", "c-0")));
    assert_eq!(of(0), ScaleDown::Allowed, "no member is left");
    let led_by_the_first = [leader(false), replica(1, false)];
    assert_eq!(scale_down(1, &led_by_the_first, Some(&reported(&led_by_the_first))), ScaleDown::Allowed);
}

#[test]
fn a_cluster_does_not_get_smaller_while_no_member_that_stays_is_fit_to_lead() {
    // Without a readiness probe a pod is ready as soon as its containers run.
    let members = led_by_the_last();
    let copying = report(json!([
        {"name": "c-0", "role": "replica", "state": "creating replica"},
        {"name": "c-1", "role": "replica", "state": "starting"},
        {"name": "c-2", "role": "leader", "state": "running"},
    ]));
    let reason = "no replica is fit to lead: c-0 is creating replica, c-1 is starting";
    assert_eq!(scale_down(2, &members, Some(&copying)), ScaleDown::Wait(reason.into()));
    let alone = [running("c-2", Role::Leader, false)];
    let reason = "there is no replica to lead";
    assert_eq!(scale_down(2, &alone, Some(&reported(&alone))), ScaleDown::Wait(reason.into()));
}

#[test]
fn a_cluster_without_a_known_leader_does_not_get_smaller() {
    let mut members = led_by_the_last();
    members[2].role = None;
    members[2].answered = None;
    let of = |wanted| scale_down(wanted, &members, None);
    assert_eq!(of(2), ScaleDown::Wait("no pod is known to lead".into()));
    assert_eq!(of(0), ScaleDown::Allowed);
    let reason = "Patroni of pod c-2 does not answer";
    assert_eq!(scale_down(2, &led_by_the_last(), None), ScaleDown::Wait(reason.into()));
}

#[test]
fn a_cluster_does_not_get_smaller_by_a_label_that_patroni_contradicts() {
    let by_label = [leader(false), replica(1, false), replica(2, false)];
    let by_patroni = reported(&led_by_the_last());
    let reason = "pod c-0 is labelled as leader, and Patroni names c-2";
    assert_eq!(scale_down(2, &by_label, Some(&by_patroni)), ScaleDown::Wait(reason.into()));
}

#[test]
fn a_cluster_whose_leader_does_not_run_or_whose_patroni_is_paused_does_not_get_smaller() {
    let members = led_by_the_last();
    let mut stopped = reported(&members);
    stopped.cluster.members[2].state = "stopped".into();
    let reason = "PostgreSQL of the leader c-2 does not run";
    assert_eq!(scale_down(2, &members, Some(&stopped)), ScaleDown::Wait(reason.into()));
    let mut paused = reported(&members);
    paused.cluster.pause = true;
    assert_eq!(scale_down(2, &members, Some(&paused)), ScaleDown::Wait("Patroni is paused".into()));
}
