//! The candidate of a switchover.

use std::collections::BTreeSet;

use super::{Cluster, Member, Role};

/// Why there is no candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCandidate {
    /// There are no replicas.
    #[error("there is no replica to lead")]
    NoReplica,
    /// None of them is fit.
    #[error("no replica is fit to lead: {0}")]
    NoneFit(String),
}

/// What Patroni reports of a cluster, as far as a change of leader goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The members.
    pub cluster: Cluster,
    /// Whether the cluster replicates synchronously.
    pub synchronous: bool,
}

/// The best candidate: a synchronous replica, then the replica with the lowest lag, then by name. `among` are the
/// members that may be chosen; `None` means any. In synchronous mode only a synchronous replica is one: Patroni refuses
/// any other, and names a new one up to a `loop_wait` after a change.
///
/// # Errors
/// If there is none, with the reason for each.
pub fn candidate<'a>(report: &'a Report, among: Option<&BTreeSet<String>>) -> Result<&'a Member, NoCandidate> {
    let cluster = &report.cluster;
    let timeline = cluster.leader().and_then(|leader| leader.timeline);
    let replicas: Vec<_> = cluster.members.iter().filter(|member| !member.role.leads()).collect();
    let mut fit = Vec::new();
    let mut reasons = Vec::new();
    for replica in &replicas {
        match unfit(replica, timeline, among) {
            None if report.synchronous && replica.role != Role::SyncStandby => {
                reasons.push(format!("{} is not a synchronous standby", replica.name));
            }
            None => fit.push(*replica),
            Some(reason) => reasons.push(format!("{} {reason}", replica.name)),
        }
    }
    // A synchronous replica has every committed transaction, so it comes before one with a lower lag: the lag is a
    // sample of the last loop of Patroni, and what was committed since may be missing from an asynchronous replica. An
    // unknown lag is the worst; the name makes the answer the same every time.
    let rank = |member: &&Member| {
        let waited_for = member.role == Role::SyncStandby;
        (!waited_for, member.lag.unwrap_or(u64::MAX), member.name.clone())
    };
    match fit.into_iter().min_by_key(rank) {
        Some(member) => Ok(member),
        None if replicas.is_empty() => Err(NoCandidate::NoReplica),
        None => Err(NoCandidate::NoneFit(reasons.join(", "))),
    }
}

fn unfit(member: &Member, timeline: Option<u64>, among: Option<&BTreeSet<String>>) -> Option<String> {
    if among.is_some_and(|among| !among.contains(&member.name)) {
        return Some("is not to be chosen".into());
    }
    if !matches!(member.role, Role::Replica | Role::SyncStandby) {
        return Some("is no replica".into());
    }
    if !member.is_running() {
        let state = if member.state.is_empty() { "in no known state" } else { &member.state };
        return Some(format!("is {state}"));
    }
    if member.tags.nofailover {
        return Some("has the tag nofailover".into());
    }
    if member.timeline != timeline && member.timeline.is_some() && timeline.is_some() {
        return Some("is on another timeline".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster(members: serde_json::Value) -> Cluster {
        serde_json::from_value(json!({ "members": members })).unwrap()
    }

    fn leader() -> serde_json::Value {
        json!({"name": "c-0", "role": "leader", "state": "running", "timeline": 2})
    }

    fn report(members: serde_json::Value) -> Report {
        Report { cluster: cluster(members), synchronous: false }
    }

    fn name(chosen: Result<&Member, NoCandidate>) -> Result<String, String> {
        chosen.map(|member| member.name.clone()).map_err(|error| error.to_string())
    }

    fn chosen(members: serde_json::Value) -> Result<String, String> {
        name(candidate(&report(members), None))
    }

    #[test]
    fn a_replica_that_the_leader_waits_for_comes_first() {
        let members = json!([
            leader(),
            {"name": "c-1", "role": "replica", "state": "streaming", "timeline": 2, "lag": 0},
            {"name": "c-2", "role": "sync_standby", "state": "streaming", "timeline": 2, "lag": 10},
        ]);
        assert_eq!(chosen(members).as_deref(), Ok("c-2"));
    }

    #[test]
    fn then_the_one_that_is_least_behind() {
        let members = json!([
            leader(),
            {"name": "c-1", "role": "replica", "state": "running", "timeline": 2, "lag": "unknown"},
            {"name": "c-2", "role": "replica", "state": "running", "timeline": 2, "lag": 20},
            {"name": "c-3", "role": "replica", "state": "running", "timeline": 2, "lag": 10},
            {"name": "c-4", "role": "replica", "state": "running", "timeline": 2, "lag": 10},
        ]);
        assert_eq!(chosen(members).as_deref(), Ok("c-3"));
    }

    #[test]
    fn replicas_that_are_unfit_are_named_with_the_reason() {
        let members = json!([
            leader(),
            {"name": "c-1", "role": "replica", "state": "starting"},
            {"name": "c-2", "role": "replica", "state": "running", "timeline": 1},
            {"name": "c-3", "role": "replica", "state": "running", "timeline": 2, "tags": {"nofailover": true}},
            {"name": "c-4", "role": "uninitialized", "state": "running"},
        ]);
        assert_eq!(
            chosen(members),
            Err("no replica is fit to lead: c-1 is starting, c-2 is on another timeline, c-3 has the tag nofailover, c-4 is no replica".into())
        );
        assert_eq!(chosen(json!([leader()])), Err("there is no replica to lead".into()));
        let without_state = json!([leader(), {"name": "c-1", "role": "replica"}]);
        assert_eq!(chosen(without_state), Err("no replica is fit to lead: c-1 is in no known state".into()));
    }

    #[test]
    fn only_the_members_that_may_are_chosen() {
        let members = json!([
            leader(),
            {"name": "c-1", "role": "replica", "state": "running", "lag": 0},
            {"name": "c-2", "role": "replica", "state": "running", "lag": 5},
        ]);
        let among = BTreeSet::from(["c-2".to_string()]);
        assert_eq!(candidate(&report(members), Some(&among)).unwrap().name, "c-2");
    }

    #[test]
    fn in_synchronous_mode_only_a_synchronous_standby_is_a_candidate() {
        let replica = json!({"name": "c-1", "role": "replica", "state": "streaming", "lag": 0});
        let members = json!([leader(), replica, {"name": "c-2", "role": "sync_standby", "state": "streaming"}]);
        let report = |members| Report { synchronous: true, ..report(members) };
        assert_eq!(name(candidate(&report(members), None)).as_deref(), Ok("c-2"));
        let reason = "no replica is fit to lead: c-1 is not a synchronous standby";
        assert_eq!(name(candidate(&report(json!([leader(), replica])), None)), Err(reason.into()));
    }

    #[test]
    fn the_leader_of_a_standby_cluster_leads() {
        let members = json!([
            {"name": "c-0", "role": "standby_leader", "state": "running"},
            {"name": "c-1", "role": "replica", "state": "running"},
        ]);
        assert_eq!(cluster(members.clone()).leader().unwrap().name, "c-0");
        assert_eq!(chosen(members).as_deref(), Ok("c-1"));
    }
}
