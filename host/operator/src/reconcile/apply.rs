//! Applying the plan in its order, with the credentials in their place, and pruning what is no longer desired.

use std::sync::Arc;

use pgloom_decide::Plan;
use pgloom_decide::apply_order::rank;
use pgloom_decide::rollout::leader_to_remove;
use pgloom_decide::status::Condition;
use serde_json::{Value, json};

use super::{Error, Progress, Reconciliation};
use crate::apply::{Operation, Written};
use crate::cache::ClusterKey;
use crate::report::Event;

impl Reconciliation<'_> {
    /// Applies the objects; credentials come between the Services and what uses them.
    pub async fn apply(&self, plan: &Arc<Plan>, progress: &mut Progress) -> Result<(), Error> {
        let mut objects = plan.opened().map_err(Error::Decide)?;
        if let Some(set) = objects
            .iter_mut()
            .find(|object| object["kind"] == "StatefulSet" && object["metadata"]["name"] == *self.key.name)
        {
            self.keep_leader(set, progress);
        }
        let secrets_from =
            objects.partition_point(|object| rank(object["kind"].as_str().unwrap_or_default()) < rank("Secret"));
        let (before, after) = objects.split_at(secrets_from);
        self.write(before, progress).await?;
        self.keep_credentials(plan, progress).await?;
        self.write(after, progress).await?;
        progress.conditions.push(Condition::holds("Applied", "Applied", "every object is as desired"));
        Ok(())
    }

    /// Keeps the number of members as it is while the leader is one of those that would go; [`Reconciliation::roll`] moves the
    /// leadership first.
    fn keep_leader(&self, set: &mut Value, progress: &mut Progress) {
        let wanted = set["spec"]["replicas"].as_u64().and_then(|replicas| usize::try_from(replicas).ok());
        let has = self.wanted();
        if let Some(wanted) = wanted.filter(|wanted| *wanted < has)
            && let Some((leader, among)) = leader_to_remove(wanted, &progress.members.all)
        {
            set["spec"]["replicas"] = json!(has);
            progress.wait(format!("{leader} leads and is one of the members that go"), true);
            progress.handover = Some((leader, among));
        }
    }

    async fn write(&self, objects: &[Value], progress: &mut Progress) -> Result<(), Error> {
        let applied = self.context.writer.apply(self.key, objects).await.map_err(Error::Apply)?;
        if let Some(reason) = applied.waiting {
            progress.wait(reason, true);
        }
        for written in &applied.written {
            if let Some(event) = event_of(self.key, written) {
                self.context.recorder.publish(&self.about, &event).await;
            }
        }
        Ok(())
    }

    /// Deletes what the operator applied and the plan no longer holds, unless something is under way.
    pub async fn prune(&self, plan: &Plan, progress: &Progress) -> Result<(), Error> {
        if progress.underway.as_ref().is_some_and(|(_, changing)| *changing) {
            return Ok(());
        }
        let pruned = self.context.writer.prune(self.key, |kind, name| plan.wants(&kind.kind, name)).await;
        pruned.map(|_| ()).map_err(Error::Apply)
    }
}

/// What people are told of a write; changes of what exists show in the status.
fn event_of(key: &ClusterKey, written: &Written) -> Option<Event> {
    let Written { kind, name, operation } = written;
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
