//! Applying the plan in its order, with the credentials in their place, and pruning what is no longer desired.

use std::sync::Arc;

use serde_json::Value;

use super::{Error, Progress, Turn};
use crate::apply::{Step, Written, rank};
use crate::decide::Plan;
use crate::event::Announcement;
use crate::report::Condition;

impl Turn<'_> {
    /// Applies the objects; credentials come between the Services and what uses them.
    pub async fn apply(&self, plan: &Arc<Plan>, progress: &mut Progress) -> Result<(), Error> {
        let mut objects: Vec<Value> = plan.objects.iter().map(|desired| desired.object.clone()).collect();
        objects.iter_mut().for_each(|object| plan.seals.open(object));
        let secrets_from = objects.partition_point(|object| rank(object["kind"].as_str().unwrap_or_default()) < rank("Secret"));
        let (before, after) = objects.split_at(secrets_from);
        self.write(before, progress).await?;
        self.keep_credentials(plan, progress).await?;
        self.write(after, progress).await?;
        progress.conditions.push(Condition::holds("Applied", "Applied", "every object is as desired"));
        Ok(())
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
        Step::ReplaceAndOrphan => Some(Announcement::normal(reason, format!("{} {}/{name} is replaced, its pods stay", kind.kind, key.namespace))),
        Step::Skip | Step::Apply | Step::TakeOver => None,
    }
}
