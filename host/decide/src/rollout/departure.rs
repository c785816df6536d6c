//! How the leader leaves a node that is drained.
//!
//! The leader's disruption budget blocks its eviction, so that a drain would never end. Replicas are evicted by the
//! drain itself. So the leadership moves to a replica on a node that is not drained. If there is none, a replica is moved
//! to such a node first: its pod is deleted, and scheduled again. That needs a volume that can move: a local disk cannot,
//! and the member would be missing until the node is back.
//!
//! At most one member is taken down. One that is down already does not delay the switchover: during a drain it may be
//! missing until the node is back.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::NodeSelector;

use super::node::{Needs, Node, selects};
use super::{Member, Next, PAUSED, Switchover, is_surplus, last, one_leader};
use crate::patroni::{Report, candidate};

/// A leader on a node that it has to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Why, with the name of the node.
    pub cause: String,
    /// The next step; never [`Next::Done`].
    pub next: Next,
}

/// The nodes, and where pods and volumes may go.
pub struct Places<'a> {
    /// The nodes that are known, by name. One that is not known is taken to stay.
    pub nodes: &'a BTreeMap<String, Node>,
    /// What the pods need of a node.
    pub needs: &'a Needs,
    /// For each pod, on which nodes its volumes can be; a pod that is not in here has volumes of which that is not
    /// known.
    pub volumes: &'a BTreeMap<String, Vec<NodeSelector>>,
}

impl Places<'_> {
    /// Why a member leaves its node; `None` if it may stay.
    pub fn leaves(&self, member: &Member) -> Option<String> {
        self.needs.leave(self.nodes.get(member.node.as_deref()?)?)
    }

    /// Why the pod of a member would not be scheduled again; `None` if a node takes it.
    fn stranded(&self, member: &Member) -> Option<String> {
        let pod = &member.pod;
        let Some(volumes) = self.volumes.get(pod) else {
            return Some(format!("it is not known to which nodes the volume of pod {pod} can move"));
        };
        let takes = |node: &&Node| self.needs.accept(node) && volumes.iter().all(|volume| selects(volume, node));
        let none = self.nodes.values().filter(|node| member.node.as_ref() != Some(&node.name)).find(takes).is_none();
        none.then(|| format!("no other node takes pod {pod} and its volume"))
    }
}

/// How the leader leaves its node; `None` if it may stay or no member is known to lead. `wanted` is the number of
/// members that the cluster is to have, `report` what the leader's Patroni reports; `None` if it did not answer.
pub fn departure(wanted: usize, members: &[Member], places: &Places<'_>, report: Option<&Report>) -> Option<Departure> {
    let leader = one_leader(members).ok()?;
    let cause = places.leaves(leader)?;
    let next = next(wanted, members, leader, places, report).unwrap_or_else(Next::Wait);
    Some(Departure { cause, next })
}

/// The next step, or why there is none.
fn next(
    wanted: usize,
    members: &[Member],
    leader: &Member,
    places: &Places<'_>,
    report: Option<&Report>,
) -> Result<Next, String> {
    if report.is_some_and(|report| report.cluster.pause) {
        return Err(PAUSED.to_owned());
    }
    if members.len() == 1 && wanted == 1 {
        // There is no other member to lead until the pod runs again.
        return places.stranded(leader).map_or_else(|| Ok(Next::Replace(leader.pod.clone())), Err);
    }
    let report = report.ok_or_else(|| format!("Patroni of pod {} does not answer", leader.pod))?;
    match report.cluster.leader() {
        Some(answer) if answer.name == leader.pod => {}
        Some(answer) => {
            return Err(format!("pod {} is labelled as leader, and Patroni names {}", leader.pod, answer.name));
        }
        None => return Err(format!("pod {} is labelled as leader, and Patroni names none", leader.pod)),
    }
    let others = || members.iter().filter(|member| member.pod != leader.pod && !is_surplus(member, wanted));
    let excluded: BTreeMap<&str, String> =
        others().filter_map(|member| Some((member.pod.as_str(), exclusion(member, places)?))).collect();
    let fit = |member: &&Member| !excluded.contains_key(member.pod.as_str());
    let among: BTreeSet<String> = others().filter(fit).map(|member| member.pod.clone()).collect();
    let none_fit = match candidate(report, Some(&among)) {
        Ok(to) => return Ok(Next::Switchover(Switchover { from: leader.pod.clone(), to: to.name.clone() })),
        Err(reason) => reason.to_string(),
    };
    let reasons = Vec::from_iter(excluded.into_values());
    let none_fit = match among.is_empty() && !reasons.is_empty() {
        true => reasons.join(", "),
        false => [vec![none_fit], reasons].concat().join("; "),
    };
    let leaving = || others().filter(|member| !member.ending && places.leaves(member).is_some());
    let Some(replica) = last(leaving().filter(|member| among.is_empty() || is_waited_for(member, report))) else {
        return Err(none_fit);
    };
    match unrest(wanted, members).or_else(|| places.stranded(replica)) {
        Some(reason) => Err(format!("{none_fit}; {reason}")),
        None => Ok(Next::Replace(replica.pod.clone())),
    }
}

/// Why a replica must not lead next, whatever Patroni reports of it.
fn exclusion(replica: &Member, places: &Places<'_>) -> Option<String> {
    let pod = &replica.pod;
    if replica.ending {
        return Some(format!("pod {pod} is ending"));
    }
    if replica.node.is_none() {
        return Some(format!("pod {pod} is not scheduled"));
    }
    places.leaves(replica).map(|cause| format!("pod {pod} has to move as well: {cause}"))
}

/// Whether it is the synchronous standby, without which no other replica can lead.
fn is_waited_for(member: &Member, report: &Report) -> bool {
    let role = |answer: &crate::patroni::Member| answer.role == crate::patroni::Role::SyncStandby;
    report.synchronous && report.cluster.members.iter().any(|answer| answer.name == member.pod && role(answer))
}

/// Why no member may be taken down.
fn unrest(wanted: usize, members: &[Member]) -> Option<String> {
    if members.len() < wanted {
        return Some(format!("{} of {wanted} pods exist", members.len()));
    }
    let member = members.iter().find(|member| member.ending || !member.ready || member.role.is_none())?;
    Some(format!("pod {} does not serve", member.pod))
}

#[cfg(test)]
mod tests;
