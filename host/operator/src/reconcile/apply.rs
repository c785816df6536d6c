//! Applying the plan in its order, with the credentials in their place, and pruning what is no longer desired.

use std::collections::BTreeSet;

use pgloom_decide::apply_order::rank;
use pgloom_decide::members::Members;
use pgloom_decide::ownership::{kinds_to_record, recorded_kinds};
use pgloom_decide::rollout::leader_to_remove;
use pgloom_decide::status::Condition;
use pgloom_decide::{Kind, Plan};
use serde_json::{Value, json};

use super::decide::Decided;
use super::roll::Rolled;
use super::steps::{Step, Underway};
use super::{Error, Reconciliation};
use crate::apply::{Operation, Written};
use crate::cache::ClusterKey;
use crate::report::Event;

/// What was applied.
#[derive(Default)]
pub struct Applied {
    /// Objects that cannot be as desired yet.
    pub underway: Option<Underway>,
    /// The change of leader that comes before the number of members gets smaller.
    pub handover: Option<Handover>,
    /// The condition `Applied`; `None` if not everything was applied.
    pub condition: Option<Condition>,
    /// What people should know of the Secrets.
    pub warnings: Vec<Event>,
}

/// A change of leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The pod that leads.
    pub leader: String,
    /// The pods that may lead instead.
    pub candidates: BTreeSet<String>,
}

impl Reconciliation<'_> {
    /// Applies the plan: the service account and its role binding, then the objects in their order.
    pub async fn apply(&self, decided: &Decided, members: &Members) -> Step<Applied> {
        let mut applied = Applied::default();
        let result = self.apply_all(&decided.plan, members, &mut applied).await;
        Step { found: applied, result }
    }

    async fn apply_all(&self, plan: &Plan, members: &Members, applied: &mut Applied) -> Result<(), Error> {
        self.report_creating().await?;
        self.ensure_service_account(plan).await;
        self.record_new_kinds(plan).await?;
        let mut objects = plan.filled().map_err(Error::Decide)?;
        applied.handover = keep_leader(&mut objects, &self.key.name, self.wanted(), members);
        let handover = applied
            .handover
            .iter()
            .map(|handover| Underway::changing(format!("{} leads and is one of the members that go", handover.leader)));
        applied.underway = Underway::all(handover);
        // What uses credentials comes after them: a pod that mounts a Secret does not start without it.
        let secrets_from =
            objects.partition_point(|object| rank(object["kind"].as_str().unwrap_or_default()) < rank("Secret"));
        let (before, after) = objects.split_at(secrets_from);
        self.write(before, applied).await?;
        self.ensure_credentials(plan, members, &mut applied.warnings).await?;
        self.write(after, applied).await?;
        applied.condition = Some(Condition::holds("Applied", "Applied", "every object is as desired"));
        Ok(())
    }

    async fn write(&self, objects: &[Value], applied: &mut Applied) -> Result<(), Error> {
        let answer = self.writer().apply(self.key, objects).await.map_err(Error::Apply)?;
        applied.warnings.extend(answer.kept.map(|note| Event::warning("StatefulSet", note)));
        let waiting = answer.waiting.map(Underway::changing);
        applied.underway = Underway::all(applied.underway.take().into_iter().chain(waiting));
        for written in &answer.written {
            if written.reclaimed {
                self.context.recorder.publish(&self.about, &reclaimed(self.key, written)).await;
            }
            if let Some(event) = event_of(self.key, written) {
                self.context.recorder.publish(&self.about, &event).await;
            }
        }
        Ok(())
    }

    /// Records the kinds that the plan adds, before an object of them is made.
    async fn record_new_kinds(&self, plan: &Plan) -> Result<(), Error> {
        let mut kinds = recorded_kinds(&self.manifest);
        let known = kinds.len();
        let made = kinds_to_record(plan.objects.iter().map(|desired| &desired.object));
        kinds.extend(made.into_iter().filter(|kind| !recorded_kinds(&self.manifest).contains(kind)));
        if kinds.len() == known {
            return Ok(());
        }
        kinds.sort();
        self.record_kinds(&kinds).await
    }

    /// Deletes what was made for the cluster and is not in the plan. Nothing is deleted while a change is under way, while
    /// pods still run a former template, which may use what would be deleted, or while the answer of a step is missing,
    /// whose objects the plan then lacks.
    pub async fn prune(
        &self,
        decided: &Decided,
        rolled: &Rolled,
        underway: [&Option<Underway>; 3],
    ) -> Result<(), Error> {
        let plan = &decided.plan;
        let is_changing = underway.into_iter().flatten().any(|underway| underway.changing);
        let is_owed = rolled.condition.as_ref().is_some_and(|condition| condition.status != "True");
        if plan.degraded || is_changing || is_owed {
            return Ok(());
        }
        let wanted = |kind: &Kind, name: &str| plan.wants(&kind.kind, name);
        let writer = self.writer();
        writer.prune(self.key, wanted).await.map_err(Error::Apply)?;
        let recorded = recorded_kinds(&self.manifest);
        let is_watched = |kind: &Kind| self.context.store.watches(kind, &self.key.namespace);
        let unwatched: Vec<Kind> = recorded.iter().filter(|kind| !is_watched(kind)).cloned().collect();
        if unwatched.is_empty() {
            return Ok(());
        }
        let left = writer.prune_kinds(self.key, &unwatched, wanted).await.map_err(Error::Apply)?;
        let made = kinds_to_record(plan.objects.iter().map(|desired| &desired.object));
        let stays = |kind: &&Kind| is_watched(kind) || left.contains(kind) || made.contains(kind);
        let rest: Vec<Kind> = recorded.iter().filter(stays).cloned().collect();
        if rest.len() == recorded.len() {
            return Ok(());
        }
        self.record_kinds(&rest).await
    }
}

/// The event for an object that was made for an earlier manifest of the same name, as before a restore from a backup.
fn reclaimed(key: &ClusterKey, written: &Written) -> Event {
    let Written { kind, name, .. } = written;
    let note = format!(
        "{} {}/{name} was made for an earlier manifest of this name and belongs to this one now",
        kind.kind, key.namespace
    );
    Event::normal("Reclaim", note)
}

/// Keeps the number of members at `exist` while the leader is one of those that would go: the leadership moves first.
fn keep_leader(objects: &mut [Value], name: &str, exist: usize, members: &Members) -> Option<Handover> {
    let is_set = |object: &&mut Value| object["kind"] == "StatefulSet" && object["metadata"]["name"] == name;
    let set = objects.iter_mut().find(is_set)?;
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64()?).ok().filter(|wanted| *wanted < exist)?;
    let (leader, candidates) = leader_to_remove(wanted, &members.all)?;
    set["spec"]["replicas"] = json!(exist);
    Some(Handover { leader, candidates: candidates.into_iter().collect() })
}

/// The event for a write; changes of existing objects have none, they show in the status.
fn event_of(key: &ClusterKey, written: &Written) -> Option<Event> {
    let Written { kind, name, operation, reclaimed: _ } = written;
    let reason = match &*kind.kind {
        "Endpoints" => "Endpoints",
        "Service" => "Services",
        "StatefulSet" => "StatefulSet",
        _ => return None,
    };
    match operation {
        Operation::Create => Some(Event::normal(reason, format!("{} {}/{name} created", kind.kind, key.namespace))),
        Operation::ReplaceAndOrphan => {
            Some(Event::normal(reason, format!("{} {}/{name} is replaced, its pods stay", kind.kind, key.namespace)))
        }
        Operation::Skip | Operation::Apply | Operation::TakeOver | Operation::Replace => None,
    }
}

#[cfg(test)]
mod tests {
    use pgloom_api::config::Config;

    use super::*;

    fn objects(replicas: u64) -> Vec<Value> {
        vec![json!({"kind": "StatefulSet", "metadata": {"name": "c"}, "spec": {"replicas": replicas}})]
    }

    fn members() -> Members {
        let pod = |name: &str, role: &str| {
            let labels = json!({"application": "spilo", "spilo-role": role});
            let ready = json!([{"type": "Ready", "status": "True"}]);
            json!({"metadata": {"name": name, "labels": labels}, "status": {"conditions": ready}})
        };
        Members::of([pod("c-0", "replica"), pod("c-1", "master")], None, &Config::defaults())
    }

    #[test]
    fn a_cluster_gets_smaller_only_after_its_leader_is_one_of_the_members_that_stay() {
        let mut smaller = objects(1);
        let handover = keep_leader(&mut smaller, "c", 2, &members());
        assert_eq!(handover, Some(Handover { leader: "c-1".into(), candidates: ["c-0".to_owned()].into() }));
        assert_eq!(smaller, objects(2));
        let mut same = objects(2);
        assert_eq!(keep_leader(&mut same, "c", 2, &members()), None);
        assert_eq!(same, objects(2));
    }
}
