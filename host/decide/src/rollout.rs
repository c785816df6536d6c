//! The next step of a rolling update: what does not serve first, then replicas, one at a time, then a switchover, the
//! old leader last. And whether a cluster may get smaller.
//!
//! The StatefulSet is `OnDelete`: a pod takes up a changed template when it is deleted. One step is decided per
//! reconcile from what exists then; nothing is remembered between steps.
//!
//! The leader is deleted without a switchover in two cases only: it is the only member, or its PostgreSQL does not run
//! and no replica is fit to lead. A switchover that Patroni refuses, a replica that replays, a cluster that waits for
//! its next synchronous standby: the update waits.

mod departure;
mod member;
mod node;
mod pod_template;

use std::cmp::Reverse;
use std::collections::BTreeSet;

pub use departure::{Departure, Places, departure};
pub use member::{Member, Role, State, member, ordinal};
pub use node::{Needs, Node};
pub use pod_template::{difference, metadata_patch, missing_metadata, template_difference, template_differences};

use crate::patroni::{Report, candidate};

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
    Switchover(Switchover),
}

/// A change of leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switchover {
    /// The pod that leads.
    pub from: String,
    /// The pod that leads next.
    pub to: String,
}

/// Whether a cluster may get smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleDown {
    /// The members that go do not lead.
    Allowed,
    /// One of the members that go leads: the leadership moves first.
    HandOver(Switchover),
    /// Not now, and why: no member that stays is known to have the data.
    Wait(String),
}

/// The next step for a cluster of `wanted` members of which `members` have pods. `report` is what the Patroni of one of
/// them reports of all; `None` if none answered.
pub fn next(wanted: usize, members: &[Member], report: Option<&Report>) -> Next {
    if !members.iter().any(|member| member.outdated) {
        return Next::Done;
    }
    if let Some(reason) = blocker(members, report) {
        return Next::Wait(reason);
    }
    let down = || members.iter().filter(|member| member.outdated && member.is_down());
    if let Some(member) = last(down().filter(|member| !member.leads())) {
        return Next::Replace(member.pod.clone());
    }
    if let Some(leader) = last(down()) {
        return match successor(leader, members, report) {
            Some(reason) => Next::Wait(reason),
            None => Next::Replace(leader.pod.clone()),
        };
    }
    if let Some(reason) = blocker_of_running(wanted, members) {
        return Next::Wait(reason);
    }
    let replicas = members.iter().filter(|member| member.outdated && !member.leads());
    if let Some(replica) = replicas.min_by_key(|member| (member.is_well(), Reverse(ordinal(&member.pod)))) {
        return Next::Replace(replica.pod.clone());
    }
    leader_step(members, report)
}

/// Whether a cluster may get smaller, to `wanted` members. `report` is what the leader's Patroni reports; `None` if it
/// did not answer.
///
/// Kubernetes deletes the members with the highest ordinals, and may be asked to delete their volumes as well. So a
/// member that stays has to be known to have the data: the leader, or a replica that Patroni takes for a leader.
pub fn scale_down(wanted: usize, members: &[Member], report: Option<&Report>) -> ScaleDown {
    if wanted == 0 {
        return ScaleDown::Allowed;
    }
    let goes = |pod: &str| ordinal(pod).is_none_or(|ordinal| ordinal as usize >= wanted);
    let leader = match one_leader(members) {
        Ok(leader) => &leader.pod,
        Err(reason) => return ScaleDown::Wait(reason),
    };
    let Some(report) = report else { return ScaleDown::Wait(format!("Patroni of pod {leader} does not answer")) };
    match report.cluster.leader() {
        Some(answer) if answer.name != *leader => {
            return ScaleDown::Wait(format!("pod {leader} is labelled as leader, and Patroni names {}", answer.name));
        }
        Some(answer) if answer.is_running() => {}
        Some(_) => return ScaleDown::Wait(format!("PostgreSQL of the leader {leader} does not run")),
        None => return ScaleDown::Wait(format!("pod {leader} is labelled as leader, and Patroni names none")),
    }
    if !goes(leader) {
        return ScaleDown::Allowed;
    }
    if report.cluster.pause {
        return ScaleDown::Wait(PAUSED.to_owned());
    }
    let stay = members.iter().filter(|member| !member.ending && !goes(&member.pod));
    let stay: BTreeSet<String> = stay.map(|member| member.pod.clone()).collect();
    match candidate(report, Some(&stay)) {
        Ok(to) => ScaleDown::HandOver(Switchover { from: leader.clone(), to: to.name.clone() }),
        Err(reason) => ScaleDown::Wait(reason.to_string()),
    }
}

/// Patroni does nothing by itself then, because an administrator works on the cluster.
const PAUSED: &str = "Patroni is paused";

/// What has to pass before any pod may be touched.
fn blocker(members: &[Member], report: Option<&Report>) -> Option<String> {
    if let Some(member) = members.iter().find(|member| member.ending) {
        return Some(format!("pod {} is ending", member.pod));
    }
    if report.is_some_and(|report| report.cluster.pause) {
        return Some(PAUSED.to_owned());
    }
    let broken =
        members.iter().filter(|member| !member.outdated).find_map(|member| Some((member, member.cannot_start()?)));
    broken.map(|(member, reason)| format!("pod {} runs the new template and cannot start: {reason}", member.pod))
}

/// Why a leader whose PostgreSQL does not run is not deleted: another member leads soon, or may. `None` if none can.
fn successor(leader: &Member, members: &[Member], report: Option<&Report>) -> Option<String> {
    let others = || members.iter().filter(|member| member.pod != leader.pod);
    if let Some(silent) = others().find(|member| member.state == State::Silent && !member.is_down()) {
        return Some(format!("Patroni of pod {} does not answer", silent.pod));
    }
    let among: BTreeSet<String> = others().map(|member| member.pod.clone()).collect();
    let next = report.and_then(|report| candidate(report, Some(&among)).ok());
    next.map(|next| format!("PostgreSQL of pod {} does not run, and {} is about to lead", leader.pod, next.name))
}

/// What has to pass before a working pod may be touched. An outdated member that is not well is no reason: it is
/// replaced to become well.
fn blocker_of_running(wanted: usize, members: &[Member]) -> Option<String> {
    if members.len() < wanted {
        return Some(format!("{} of {wanted} pods exist", members.len()));
    }
    if let Some(member) = members.iter().find(|member| is_surplus(member, wanted)) {
        return Some(format!("pod {} is one of those that go", member.pod));
    }
    let blocker = members.iter().filter(|member| !member.outdated).find_map(blocker_of_member);
    if blocker.is_some() {
        return blocker;
    }
    if let Some((pod, state)) = members.iter().find_map(bootstrapping) {
        return Some(in_state(pod, state));
    }
    if let Some(reason) = members.iter().find_map(contradiction) {
        return Some(reason);
    }
    if members.len() == 1 && !members.iter().any(Member::leads) {
        return None;
    }
    match one_leader(members) {
        // Its other containers may fail. Whether PostgreSQL runs is what its replicas depend on.
        Ok(leader) => blocker_of_database(leader),
        Err(reason) => Some(reason),
    }
}

fn is_surplus(member: &Member, wanted: usize) -> bool {
    ordinal(&member.pod).is_some_and(|ordinal| ordinal as usize >= wanted)
}

fn bootstrapping(member: &Member) -> Option<(&str, &str)> {
    match &member.state {
        State::Bootstrapping(state) => Some((&member.pod, state)),
        _ => None,
    }
}

/// Why a member that runs the template is not done with its start.
fn blocker_of_member(member: &Member) -> Option<String> {
    let pod = &member.pod;
    blocker_of_database(member).or_else(|| match member {
        member if member.role.is_none() => Some(format!("pod {pod} has no role yet")),
        member if !member.ready => Some(format!("pod {pod} is not ready")),
        _ => None,
    })
}

fn blocker_of_database(member: &Member) -> Option<String> {
    let pod = &member.pod;
    match &member.state {
        State::Running => None,
        State::Silent => Some(format!("Patroni of pod {pod} does not answer")),
        State::Bootstrapping(state) | State::Stopped(state) | State::Other(state) => Some(in_state(pod, state)),
    }
}

fn in_state(pod: &str, state: &str) -> String {
    format!("Patroni of pod {pod} reports the state \"{state}\"")
}

/// The label follows a change of leader a moment later. Until then it is not known which pod must not be deleted.
fn contradiction(member: &Member) -> Option<String> {
    let answered = member.answered.filter(|answered| member.role.is_some_and(|role| role != *answered))?;
    let role = member.role.map(Role::name).unwrap_or_default();
    Some(format!("pod {} is labelled as {role}, and its Patroni says {}", member.pod, answered.name()))
}

fn one_leader(members: &[Member]) -> Result<&Member, String> {
    let leaders: Vec<&Member> = members.iter().filter(|member| member.leads() && !member.ending).collect();
    match leaders[..] {
        [leader] => Ok(leader),
        [] => Err("no pod is known to lead".to_owned()),
        _ => Err(format!("{} pods say that they lead", leaders.len())),
    }
}

fn leader_step(members: &[Member], report: Option<&Report>) -> Next {
    let leader = match one_leader(members) {
        Ok(leader) => &leader.pod,
        Err(reason) => return Next::Wait(reason),
    };
    if members.len() == 1 {
        return Next::Replace(leader.clone());
    }
    let Some(report) = report else { return Next::Wait(format!("Patroni of pod {leader} does not name the members")) };
    // One on a node that is drained would have to hand over again.
    let among = members.iter().filter(|member| member.pod != *leader && !member.outdated && !member.leaving);
    let among: BTreeSet<String> = among.map(|member| member.pod.clone()).collect();
    match candidate(report, Some(&among)) {
        Ok(to) => Next::Switchover(Switchover { from: leader.clone(), to: to.name.clone() }),
        Err(reason) => Next::Wait(match members.iter().find(|member| member.pod != *leader && member.leaving) {
            Some(member) => format!("{reason}; {} has to leave its node", member.pod),
            None => reason.to_string(),
        }),
    }
}

/// The member with the highest ordinal.
fn last<'a>(members: impl Iterator<Item = &'a Member>) -> Option<&'a Member> {
    members.min_by_key(|member| Reverse(ordinal(&member.pod)))
}

#[cfg(test)]
mod tests;
