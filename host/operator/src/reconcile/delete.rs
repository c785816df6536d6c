//! Deletes a cluster: what was made for it goes, then the manifest.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::runtime::controller::Action;
use pgloom_decide::ownership::{recorded_kinds, recorded_namespaces};

use super::finalizer::Patched;
use super::report::Steps;
use super::requeue::Requeue;
use super::{Error, OUTDATED, Reconciliation};
use crate::apply::deletion::{FINALIZER, Keep, Recorded, Unwatched, advance, advance_unwatched, guard, sweep};
use crate::report::Event;

/// When to look first whether something is still there. What is of a kind that is not watched goes without an event.
const REMAINING: Duration = Duration::from_secs(10);

impl Reconciliation<'_> {
    /// Takes the cluster down by one stage; when nothing is left the manifest may go.
    pub async fn delete(&self) -> Result<Action, Error> {
        let finalizers = self.metadata().finalizers.unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Action::await_change());
        }
        self.state.stop();
        if !std::mem::replace(&mut self.state.memory.lock().deleting, true) {
            let event = Event::normal("Delete", "removing the objects of the cluster");
            self.context.recorder.publish(&self.about, &event).await;
        }
        match self.take_down(finalizers).await {
            Ok(action) => {
                self.state.memory.lock().failures = 0;
                self.publish_warnings(Vec::new()).await;
                Ok(action)
            }
            Err(error) => {
                let steps = Steps { members: self.members(), failures: vec![error], ..Steps::default() };
                self.report(steps).await
            }
        }
    }

    async fn take_down(&self, mut finalizers: Vec<String>) -> Result<Action, Error> {
        let (writer, keep) = (&self.writer(), self.keep());
        let recorded = Recorded {
            kinds: recorded_kinds(&self.manifest),
            namespaces: recorded_namespaces(&self.manifest),
            everywhere: self.settings.config.flag("enable_cross_namespace_secret"),
        };
        self.check_sight().await?;
        // The watches may be late: the manifest goes only when the API server itself has nothing left.
        if advance(writer, self.key, keep).await.map_err(Error::Delete)? {
            return Ok(self.again(Requeue::asking(REMAINING)));
        }
        let Unwatched { left, unlisted } =
            advance_unwatched(writer, self.key, keep, &recorded).await.map_err(Error::Delete)?;
        if left {
            return Ok(self.again(Requeue::asking(REMAINING)));
        }
        sweep(writer, self.key).await.map_err(Error::Delete)?;
        self.forget_answers().await;
        // Only the manifest waits for what cannot be seen.
        unlisted.map_or(Ok(()), |error| Err(Error::Delete(error)))?;
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if self.set_finalizers(finalizers).await? == Patched::Outdated {
            return Ok(self.again(Requeue::asking(OUTDATED)));
        }
        self.context.forget(self.key);
        Ok(Action::await_change())
    }

    fn keep(&self) -> Keep {
        let config = &self.settings.config;
        Keep {
            claims: !config.flag("enable_persistent_volume_claim_deletion"),
            secrets: !config.flag("enable_secrets_deletion"),
        }
    }

    /// Why the manifest may not be deleted yet: the annotations that the configuration asks for are missing. `None` too
    /// where nothing is left to guard: the finalizer is gone.
    pub fn guard(&self) -> Option<String> {
        let metadata = self.metadata();
        metadata.finalizers?.iter().find(|finalizer| *finalizer == FINALIZER)?;
        let config = &self.settings.config;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
        let (date_key, name_key) =
            (config.text("delete_annotation_date_key"), config.text("delete_annotation_name_key"));
        guard(&metadata.annotations.unwrap_or_default(), &self.key.name, date_key, name_key, &today)
    }

    /// Publishes the current warnings.
    pub async fn publish_warnings(&self, warnings: Vec<Event>) {
        self.context.recorder.publish_warnings(&self.state.warnings, &self.about, warnings).await;
    }
}
