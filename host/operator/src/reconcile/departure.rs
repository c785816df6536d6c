//! Lets the leader leave a node that is drained.
//!
//! Maintenance windows do not hold this up: the drain waits for the switchover, which takes seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{NodeSelector, PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use pgloom_common::error::error_chain;
use pgloom_decide::BuiltIn;
use pgloom_decide::members::Members;
use pgloom_decide::patroni::Report;
use pgloom_decide::rollout::{Departure, Member, Needs, Next, Places, departure};
use pgloom_decide::status::Condition;
use serde::Deserialize as _;
use tracing::debug;

use super::progress::Underway;
use super::requeue::Requeue;
use super::roll::Rolled;
use super::{Error, Reconciliation};
use crate::report::Event;

/// Whether the leader may stay where it is.
const CONDITION: &str = "LeaderPlaced";

/// How the leader leaves its node.
#[derive(Default)]
pub struct Departed {
    /// The condition `LeaderPlaced`; `None` if it stays as it is.
    pub condition: Option<Condition>,
    /// A wait that is too long.
    pub warning: Option<Event>,
}

impl Reconciliation<'_> {
    /// Marks the members that have to leave their nodes.
    pub fn mark_leaving(&self, set: &StatefulSet, with_state: &mut [Member]) {
        let (nodes, needs) = (self.context.store.nodes().all(), Needs::of(set, &self.settings.config));
        let places = Places { nodes: &nodes, needs: &needs, volumes: &BTreeMap::new() };
        for member in with_state.iter_mut() {
            member.leaving = places.leaves(member).is_some();
        }
    }

    /// Takes the next step of a leader's departure from its node, if one is due; returns whether it took one. `report` is
    /// what the leader's Patroni reports.
    pub async fn leave_node(
        &self,
        set: &StatefulSet,
        with_state: &[Member],
        members: &Members,
        report: Option<&Report>,
        rolled: &mut Rolled,
    ) -> Result<bool, Error> {
        let (nodes, needs) = (self.context.store.nodes().all(), Needs::of(set, &self.settings.config));
        let unknown = BTreeMap::new();
        let places = Places { nodes: &nodes, needs: &needs, volumes: &unknown };
        if members.leader().is_none_or(|(leader, _)| places.leaves(leader).is_none()) {
            rolled.departed.condition = self.placed(members);
            return Ok(false);
        }
        let volumes = self.volumes(set, members).await;
        let places = Places { volumes: &volumes, ..places };
        match departure(self.wanted(), with_state, &places, report) {
            Some(departure) => self.depart(self.held_back(departure), members, rolled).await,
            None => Ok(false),
        }
    }

    /// The departure, but for a step that must not be taken while Patroni may restart a member, or the data is upgraded.
    fn held_back(&self, departure: Departure) -> Departure {
        match (&departure.next, self.busy()) {
            (Next::Switchover(_) | Next::Replace(_), Some(busy)) => {
                Departure { next: Next::Wait(busy.to_owned()), ..departure }
            }
            _ => departure,
        }
    }

    async fn depart(&self, departure: Departure, members: &Members, rolled: &mut Rolled) -> Result<bool, Error> {
        let Departure { cause, next } = departure;
        let left = self.time_left(&cause);
        match next {
            Next::Switchover(switchover) => {
                let message = format!("{cause}: the leadership moves from {} to {}", switchover.from, switchover.to);
                rolled.departed.condition = Some(Condition::fails(CONDITION, "Switchover", message.clone()));
                rolled.wait(Underway::changing(message));
                self.switch_over(&switchover, members, rolled).await;
                Ok(true)
            }
            Next::Replace(pod) => {
                let message = format!("{cause}: pod {pod} moves to another node");
                rolled.departed.condition = Some(Condition::fails(CONDITION, "PodMoves", message.clone()));
                rolled.wait(Underway::changing(message));
                self.replace(&pod, members).await?;
                Ok(true)
            }
            Next::Wait(reason) => {
                let message = format!("{cause}, and the leader waits: {reason}");
                let overdue = left.is_none();
                let reason = if overdue { "Overdue" } else { "Waiting" };
                rolled.departed.condition = Some(Condition::fails(CONDITION, reason, message.clone()));
                rolled.departed.warning = overdue.then(|| Event::warning("LeaderPlaced", message.clone()));
                rolled.wait(Underway::waiting(message));
                rolled.requeue = rolled.requeue.min(left.map(Requeue::within).unwrap_or_default());
                Ok(false)
            }
            Next::Done => Ok(false),
        }
    }

    /// What is left of `master_pod_move_timeout` since the leader has to leave its node; `None` when it is over.
    fn time_left(&self, cause: &str) -> Option<Duration> {
        let mut memory = self.state.memory.lock();
        let since = match &memory.leaving {
            Some((before, since)) if before == cause => *since,
            _ => Instant::now(),
        };
        memory.leaving = Some((cause.to_owned(), since));
        let left = self.settings.config.duration("master_pod_move_timeout").checked_sub(since.elapsed());
        left.filter(|left| !left.is_zero())
    }

    /// The condition when the leader may stay, if the status has one that says that it may not.
    fn placed(&self, members: &Members) -> Option<Condition> {
        let (leader, pod) = members.leader()?;
        self.state.memory.lock().leaving = None;
        let before = self.status().conditions;
        before.iter().find(|condition| condition.type_ == CONDITION)?;
        let node = pod.spec.as_ref()?.node_name.as_deref()?;
        Some(Condition::holds(CONDITION, "NodeStays", format!("{} leads on node {node}", leader.pod)))
    }

    /// On which nodes the volumes of each pod can be. A pod one of whose volumes cannot be read is left out.
    async fn volumes(&self, set: &StatefulSet, members: &Members) -> BTreeMap<String, Vec<NodeSelector>> {
        let templates = set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten());
        let templates: Vec<&str> = templates.filter_map(|claim| claim.metadata.name.as_deref()).collect();
        let mut volumes = BTreeMap::new();
        for member in &members.all {
            let mut of_pod = Some(Vec::new());
            for template in &templates {
                let claim = format!("{template}-{}", member.pod);
                match (self.volume_nodes(&claim).await, of_pod.as_mut()) {
                    (Some(nodes), Some(of_pod)) => of_pod.extend(nodes),
                    _ => of_pod = None,
                }
            }
            of_pod.map(|of_pod| volumes.insert(member.pod.clone(), of_pod));
        }
        volumes
    }

    /// On which nodes the volume of a claim can be: `None` if that is not known, an empty list for any.
    async fn volume_nodes(&self, claim: &str) -> Option<Vec<NodeSelector>> {
        let objects = self.context.store.objects(self.key);
        let found = objects.iter().find(|kept| kept.kind.is(BuiltIn::PersistentVolumeClaim) && *kept.name == *claim)?;
        let volume = PersistentVolumeClaim::deserialize(found.object()).ok()?.spec?.volume_name?;
        let volumes: Api<PersistentVolume> = Api::all(self.context.client.clone());
        match volumes.get(&volume).await {
            Ok(volume) => Some(volume.spec?.node_affinity.and_then(|affinity| affinity.required).into_iter().collect()),
            Err(error) => {
                debug!(volume, error = %error_chain(&error), "the volume cannot be read");
                None
            }
        }
    }
}
