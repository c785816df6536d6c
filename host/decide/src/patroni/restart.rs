//! Which member is restarted next, because a setting takes effect only after a restart.
//!
//! It is decided from what Patroni reports now, so a restart that was interrupted is owed until Patroni no longer
//! reports it.

use std::collections::BTreeSet;

use super::configuration::LIMITS;
use super::{Member, Report, Role, candidate};

/// What is to be done about the members with a pending restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// No member waits for a restart.
    Done,
    /// Restart this member.
    Next(String),
    /// Move the leadership before the leader is restarted.
    Handover {
        /// The member that leads.
        from: String,
        /// The member that leads next.
        to: String,
    },
    /// Not now, and why.
    Wait(String),
    /// These members still wait for a restart, and all of them were restarted.
    Stuck(Vec<String>),
}

/// The next member with a pending restart: replicas before the leader, or the leader before the replicas if a limit is
/// lowered, because no limit of a replica may be lower than that of the leader. `lowers` says whether a limit was
/// lowered just now; newer versions of Patroni report it too. `restarted` are the members that were restarted already.
///
/// See [hot standby](https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN) and `pending_restart`
/// of [`GET /cluster`](https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoints).
#[must_use]
pub fn restart_next(report: &Report, lowers: bool, restarted: &BTreeSet<String>) -> Restart {
    let cluster = &report.cluster;
    let pending: Vec<&Member> = cluster.members.iter().filter(|member| member.pending_restart).collect();
    if pending.is_empty() {
        return Restart::Done;
    }
    if cluster.pause {
        return Restart::Wait("Patroni is paused".to_owned());
    }
    // A setting with which PostgreSQL does not start takes down one member, not all; and a restart would interrupt the
    // copy that a new member makes.
    if let Some(member) = cluster.members.iter().find(|member| !member.is_running()) {
        let state = if member.state.is_empty() { "in no known state" } else { &member.state };
        return Restart::Wait(format!("{} is {state}", member.name));
    }
    let leader_first = lowers || pending.iter().any(|member| lowers_a_limit(member));
    let next = pending.iter().filter(|member| !restarted.contains(&member.name));
    match next.min_by_key(|member| (member.role.leads() != leader_first, &member.name)) {
        Some(leader) if leader.role == Role::Leader && !leader_first => leader_last(report, leader),
        Some(member) => Restart::Next(member.name.clone()),
        None => Restart::Stuck(pending.iter().map(|member| member.name.clone()).collect()),
    }
}

/// The leader hands over to a replica that waits for no restart: a switchover takes less time than a restart. Where no
/// replica may ever lead, the leader is restarted in its place.
fn leader_last(report: &Report, leader: &Member) -> Restart {
    let others = report.cluster.members.iter().filter(|member| !member.role.leads());
    let may_lead = others.filter(|member| !member.tags.nofailover && !member.pending_restart);
    let among: BTreeSet<String> = may_lead.map(|member| member.name.clone()).collect();
    if among.is_empty() {
        return Restart::Next(leader.name.clone());
    }
    match candidate(report, Some(&among)) {
        Ok(to) => Restart::Handover { from: leader.name.clone(), to: to.name.clone() },
        Err(reason) => Restart::Wait(reason.to_string()),
    }
}

/// Whether a member waits for its restart because a limit is lowered.
fn lowers_a_limit(member: &Member) -> bool {
    LIMITS.iter().any(|name| {
        let number = |value: &str| value.parse::<u64>().ok();
        member.pending_restart_reason.get(*name).is_some_and(|change| {
            matches!((number(&change.old_value), number(&change.new_value)), (Some(old), Some(new)) if new < old)
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report(cluster: Value) -> Report {
        Report { cluster: serde_json::from_value(cluster).unwrap(), synchronous: false }
    }

    fn next(cluster: Value, restarted: &[&str]) -> Restart {
        let restarted = restarted.iter().map(|name| (*name).to_owned()).collect();
        restart_next(&report(cluster), false, &restarted)
    }

    fn member(name: &str, role: &str, state: &str, pending: bool) -> Value {
        json!({"name": name, "role": role, "state": state, "pending_restart": pending})
    }

    fn both_pending() -> Value {
        json!({"members": [member("c-0", "leader", "running", true), member("c-1", "replica", "streaming", true)]})
    }

    fn changes(name: &str, old: &str, new: &str) -> Value {
        let mut cluster = both_pending();
        cluster["members"][0]["pending_restart_reason"] = json!({ name: {"old_value": old, "new_value": new} });
        cluster
    }

    #[test]
    fn replicas_are_restarted_before_the_leader() {
        assert_eq!(next(both_pending(), &[]), Restart::Next("c-1".into()));
        assert_eq!(next(both_pending(), &["c-1"]), Restart::Next("c-0".into()));
    }

    #[test]
    fn the_leader_is_restarted_first_if_a_limit_is_lowered() {
        assert_eq!(restart_next(&report(both_pending()), true, &BTreeSet::new()), Restart::Next("c-0".into()));
        // What was lowered before an interruption is known from Patroni alone.
        assert_eq!(next(changes("max_connections", "100", "50"), &[]), Restart::Next("c-0".into()));
        for raised in [changes("max_connections", "50", "100"), changes("shared_buffers", "100", "50")] {
            assert_eq!(next(raised, &[]), Restart::Next("c-1".into()));
        }
    }

    #[test]
    fn nothing_is_restarted_while_patroni_is_paused() {
        let mut paused = both_pending();
        paused["pause"] = json!(true);
        assert_eq!(next(paused, &[]), Restart::Wait("Patroni is paused".into()));
    }

    #[test]
    fn nothing_is_restarted_while_a_member_does_not_run() {
        let with = |state: &str| json!({"members": [member("c-0", "leader", "running", true), member("c-1", "replica", state, false)]});
        for (state, reason) in [
            ("start failed", "c-1 is start failed"),
            ("creating replica", "c-1 is creating replica"),
            ("", "c-1 is in no known state"),
        ] {
            assert_eq!(next(with(state), &["c-1"]), Restart::Wait(reason.into()));
        }
    }

    #[test]
    fn a_member_that_waits_after_its_restart_is_reported_and_not_restarted_again() {
        assert_eq!(next(both_pending(), &["c-0", "c-1"]), Restart::Stuck(vec!["c-0".into(), "c-1".into()]));
    }

    #[test]
    fn the_leader_hands_over_to_a_replica_that_waits_for_no_restart() {
        let with = |replica: Value| json!({"members": [member("c-0", "leader", "running", true), replica]});
        let restarted = member("c-1", "replica", "streaming", false);
        let handover = Restart::Handover { from: "c-0".into(), to: "c-1".into() };
        assert_eq!(next(with(restarted.clone()), &["c-1"]), handover);
        let synchronous = Report { synchronous: true, ..report(with(restarted.clone())) };
        let reason = "no replica is fit to lead: c-1 is not a synchronous standby";
        assert_eq!(restart_next(&synchronous, false, &BTreeSet::new()), Restart::Wait(reason.into()));
    }

    #[test]
    fn a_leader_without_a_replica_that_may_ever_lead_is_restarted_in_its_place() {
        let mut tagged = member("c-1", "replica", "streaming", false);
        tagged["tags"] = json!({"nofailover": true});
        let leader = || member("c-0", "leader", "running", true);
        let standby_leader = member("c-0", "standby_leader", "running", true);
        for members in [
            json!([leader()]),
            json!([leader(), tagged]),
            json!([standby_leader, member("c-1", "replica", "streaming", false)]),
        ] {
            assert_eq!(next(json!({"members": members}), &[]), Restart::Next("c-0".into()));
        }
    }

    #[test]
    fn it_is_done_when_no_member_waits_whatever_was_restarted() {
        assert_eq!(next(json!({"members": [member("c-0", "leader", "running", false)]}), &["c-0"]), Restart::Done);
        assert_eq!(next(json!({"members": [], "pause": true}), &[]), Restart::Done);
    }
}
