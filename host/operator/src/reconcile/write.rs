//! Applying the plan in its order, with the credentials in their place, and pruning what is no longer desired.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Error, Progress, Turn};
use crate::apply::{Step, Written, rank};
use crate::decide::Plan;
use crate::event::Announcement;
use crate::report::Condition;
use crate::rollout::doomed_leader;

impl Turn<'_> {
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

    /// Keeps the number of members as it is while the leader is one of those that would go; [`Turn::roll`] moves the
    /// leadership first.
    fn keep_leader(&self, set: &mut Value, progress: &mut Progress) {
        let wanted = set["spec"]["replicas"].as_u64().and_then(|replicas| usize::try_from(replicas).ok());
        let has = self.wanted();
        if let Some(wanted) = wanted.filter(|wanted| *wanted < has)
            && let Some((leader, among)) = doomed_leader(wanted, &progress.members.all)
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
            if let Some(announcement) = announcement(self.key, written) {
                self.context.announcer.happened(&self.about, &announcement).await;
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
fn announcement(key: &crate::store::ClusterKey, written: &Written) -> Option<Announcement> {
    let Written { kind, name, step } = written;
    let reason = match &*kind.kind {
        "Endpoints" => "Endpoints",
        "Service" => "Services",
        "StatefulSet" => "StatefulSet",
        _ => return None,
    };
    match step {
        Step::Create => Some(Announcement::normal(reason, format!("{} {}/{name} created", kind.kind, key.namespace))),
        Step::ReplaceAndOrphan => Some(Announcement::normal(
            reason,
            format!("{} {}/{name} is replaced, its pods stay", kind.kind, key.namespace),
        )),
        Step::Skip | Step::Apply | Step::TakeOver | Step::Replace => None,
    }
}
