//! The next step of a rolling update: replicas first, one at a time, then a switchover, the old leader last.
//!
//! The StatefulSet is `OnDelete`: a pod takes up a changed template when it is deleted. One step is decided per
//! reconcile from what exists then; nothing is remembered between steps but how often a switchover failed.

mod member;
mod pod_template;

use std::cmp::Reverse;

pub use member::{Member, Role, State, member, ordinal};
pub use pod_template::difference;

/// How often a switchover may fail before the leader is replaced without one; its graceful end hands the lock over too.
const SWITCHOVERS: u32 = 3;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every pod runs the template.
    Done,
    /// Not now, and why.
    Wait(String),
    /// Delete this pod.
    Replace(String),
    /// Move the leadership.
    Switchover {
        /// The leader.
        from: String,
        /// The replicas that run the template.
        among: Vec<String>,
    },
}

/// The next step for a cluster of `wanted` members of which `members` have pods. `failed` switchovers have been tried.
pub fn next(wanted: usize, members: &[Member], failed: u32) -> Next {
    if !members.iter().any(|member| member.outdated) {
        return Next::Done;
    }
    if let Some(reason) = blocker(wanted, members) {
        return Next::Wait(reason);
    }
    if let Some(stuck) = last(members.iter().filter(|member| member.outdated && member.cannot_start())) {
        return Next::Replace(stuck.pod.clone());
    }
    if let Some(reason) = blocker_of_running(members) {
        return Next::Wait(reason);
    }
    if let Some(replica) = last(members.iter().filter(|member| member.outdated && member.role == Some(Role::Replica))) {
        return Next::Replace(replica.pod.clone());
    }
    leader_step(members, failed)
}

/// The leader that would go if only `wanted` members were left, and the replicas that would stay; `None` if it stays.
pub fn leader_to_remove(wanted: usize, members: &[Member]) -> Option<(String, Vec<String>)> {
    let goes = |member: &Member| ordinal(&member.pod).is_some_and(|ordinal| ordinal as usize >= wanted);
    let leader = members.iter().find(|member| member.role == Some(Role::Leader) && goes(member))?;
    let candidates =
        members.iter().filter(|member| member.role == Some(Role::Replica) && member.ready && !goes(member));
    let among: Vec<String> = candidates.map(|member| member.pod.clone()).collect();
    (!among.is_empty()).then(|| (leader.pod.clone(), among))
}

/// What has to pass before any pod may be touched.
fn blocker(wanted: usize, members: &[Member]) -> Option<String> {
    if let Some(member) = members.iter().find(|member| member.ending) {
        return Some(format!("pod {} is ending", member.pod));
    }
    if let Some(member) = members.iter().find(|member| !member.outdated && member.cannot_start()) {
        let reason = member.stuck.as_deref().unwrap_or_default();
        return Some(format!("pod {} runs the new template and cannot start: {reason}", member.pod));
    }
    let stuck = members.iter().any(Member::cannot_start);
    (members.len() < wanted && !stuck).then(|| format!("{} of {wanted} pods exist", members.len()))
}

/// What has to pass before a working pod may be touched.
fn blocker_of_running(members: &[Member]) -> Option<String> {
    members.iter().find_map(|member| {
        let pod = &member.pod;
        match &member.state {
            State::CreatingReplica => Some(format!("pod {pod} is creating its replica")),
            State::Silent => Some(format!("Patroni of pod {pod} does not answer")),
            State::Other(state) => Some(format!("pod {pod} is {state}")),
            State::Running if member.role.is_none() => Some(format!("pod {pod} has no role yet")),
            State::Running if !member.ready => Some(format!("pod {pod} is not ready")),
            State::Running => None,
        }
    })
}

fn leader_step(members: &[Member], failed: u32) -> Next {
    let leaders: Vec<&Member> = members.iter().filter(|member| member.role == Some(Role::Leader)).collect();
    let [leader] = leaders[..] else {
        return Next::Wait(format!("{} pods are labelled as leader", leaders.len()));
    };
    let candidates = members.iter().filter(|member| member.role == Some(Role::Replica) && !member.outdated);
    let among: Vec<String> = candidates.map(|member| member.pod.clone()).collect();
    if among.is_empty() || failed >= SWITCHOVERS {
        return Next::Replace(leader.pod.clone());
    }
    Next::Switchover { from: leader.pod.clone(), among }
}

/// The member with the highest ordinal.
fn last<'a>(members: impl Iterator<Item = &'a Member>) -> Option<&'a Member> {
    members.min_by_key(|member| Reverse(ordinal(&member.pod)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(pod: &str, role: Role, outdated: bool) -> Member {
        Member { pod: pod.into(), outdated, role: Some(role), ready: true, state: State::Running, ..Member::default() }
    }

    fn leader(outdated: bool) -> Member {
        running("c-0", Role::Leader, outdated)
    }

    fn replica(ordinal: u32, outdated: bool) -> Member {
        running(&format!("c-{ordinal}"), Role::Replica, outdated)
    }

    #[test]
    fn a_cluster_whose_pods_run_the_template_is_done() {
        assert_eq!(next(2, &[leader(false), replica(1, false)], 0), Next::Done);
    }

    #[test]
    fn replicas_are_replaced_before_the_leader_and_the_leader_after_a_switchover() {
        let mut members = [leader(true), replica(1, true), replica(2, true)];
        let mut steps = Vec::new();
        for _ in 0..5 {
            let step = next(3, &members, 0);
            match &step {
                Next::Replace(pod) => members.iter_mut().find(|member| member.pod == *pod).unwrap().outdated = false,
                Next::Switchover { from, among } => {
                    for member in &mut members {
                        match member {
                            member if member.pod == *from => member.role = Some(Role::Replica),
                            member if member.pod == among[0] => member.role = Some(Role::Leader),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
            steps.push(step);
        }
        let switchover = Next::Switchover { from: "c-0".into(), among: vec!["c-1".into(), "c-2".into()] };
        let replace = |pod: &str| Next::Replace(pod.into());
        assert_eq!(steps, [replace("c-2"), replace("c-1"), switchover, replace("c-0"), Next::Done]);
    }

    #[test]
    fn a_single_member_is_replaced_without_a_switchover() {
        assert_eq!(next(1, &[leader(true)], 0), Next::Replace("c-0".into()));
    }

    #[test]
    fn nothing_is_touched_while_a_member_is_creating_its_replica_silent_ending_or_missing() {
        for state in [State::CreatingReplica, State::Silent, State::Other("starting".into())] {
            let members = [leader(true), Member { state, ..replica(1, false) }];
            assert!(matches!(next(2, &members, 0), Next::Wait(_)), "{members:?}");
        }
        let ending = Member { ending: true, ..replica(1, false) };
        assert_eq!(next(2, &[leader(true), ending], 0), Next::Wait("pod c-1 is ending".into()));
        assert_eq!(next(2, &[leader(true)], 0), Next::Wait("1 of 2 pods exist".into()));
        let unready = Member { ready: false, ..replica(1, false) };
        assert_eq!(next(2, &[leader(true), unready], 0), Next::Wait("pod c-1 is not ready".into()));
    }

    #[test]
    fn a_pod_that_cannot_start_is_replaced_once_the_template_is_mended_and_stops_the_update_until_then() {
        let stuck = |outdated| Member {
            stuck: Some("ImagePullBackOff".into()),
            state: State::Silent,
            ready: false,
            role: None,
            ..replica(1, outdated)
        };
        assert_eq!(next(2, &[leader(true), stuck(true)], 0), Next::Replace("c-1".into()));
        assert!(matches!(next(2, &[leader(true), stuck(false)], 0), Next::Wait(_)));
    }

    #[test]
    fn a_leader_with_a_failing_sidecar_is_still_replaced_last() {
        let failing = Member { stuck: Some("CrashLoopBackOff".into()), ready: false, ..leader(true) };
        assert_eq!(next(2, &[failing, replica(1, true)], 0), Next::Wait("pod c-0 is not ready".into()));
    }

    #[test]
    fn a_switchover_that_keeps_failing_ends_in_a_graceful_end_of_the_leader() {
        let members = [leader(true), replica(1, false)];
        assert!(matches!(next(2, &members, 2), Next::Switchover { .. }));
        assert_eq!(next(2, &members, 3), Next::Replace("c-0".into()));
    }

    #[test]
    fn a_leader_that_a_smaller_cluster_would_lose_hands_over_first() {
        let members = [
            running("c-0", Role::Replica, false),
            running("c-1", Role::Replica, false),
            running("c-2", Role::Leader, false),
        ];
        assert_eq!(leader_to_remove(2, &members), Some(("c-2".into(), vec!["c-0".into(), "c-1".into()])));
        assert_eq!(leader_to_remove(3, &members), None);
        assert_eq!(leader_to_remove(0, &members), None, "no member is left");
    }
}
