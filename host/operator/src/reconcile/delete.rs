//! The last turns of a cluster: what was made for it goes, then the manifest.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::runtime::controller::Action;
use serde_json::Value;

use super::{Error, Turn, policy};
use crate::deletion::{FINALIZER, Keep, advance, guard, sweep};
use crate::event::Announcement;

/// When to look again for what is slow to go, should no watch tell of it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Turn<'_> {
    /// Takes the cluster down by one stage; when nothing is left the manifest may go.
    pub async fn delete(&self) -> Result<Action, Error> {
        let finalizers = self.manifest["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Action::await_change());
        }
        if let Some(reason) = self.guard() {
            self.stands(vec![Announcement::warning("Delete", reason)]).await;
            return Ok(Action::requeue(self.settings.repair()));
        }
        self.context.databases.forget(self.key);
        self.context.patronis.forget(self.key);
        if !self.context.recall(self.key).deleting {
            self.context.remember(self.key, |recollection| recollection.deleting = true);
            self.context
                .announcer
                .happened(&self.about, &Announcement::normal("Delete", "removing the objects of the cluster"))
                .await;
        }
        match self.take_down(finalizers).await {
            Ok(action) => {
                self.stands(Vec::new()).await;
                Ok(action)
            }
            Err(error) => {
                self.stands(vec![Announcement::warning("Delete", policy::chain(&error))]).await;
                Err(error)
            }
        }
    }

    async fn take_down(&self, mut finalizers: Vec<Value>) -> Result<Action, Error> {
        let writer = &self.context.writer;
        if advance(writer, self.key, self.keep()).await.map_err(Error::Delete)? {
            return Ok(Action::requeue(LOOK_AGAIN));
        }
        sweep(writer, self.key).await.map_err(Error::Delete)?;
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        self.set_finalizers(finalizers).await?;
        self.context.forget(self.key).await;
        Ok(Action::await_change())
    }

    fn keep(&self) -> Keep {
        let config = &self.settings.config;
        Keep {
            claims: !config.flag("enable_persistent_volume_claim_deletion"),
            secrets: !config.flag("enable_secrets_deletion"),
        }
    }

    fn guard(&self) -> Option<String> {
        let config = &self.settings.config;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
        let (date_key, name_key) =
            (config.text("delete_annotation_date_key"), config.text("delete_annotation_name_key"));
        guard(&self.manifest["metadata"]["annotations"], &self.key.name, date_key, name_key, &today)
    }

    /// Tells which warnings stand.
    pub async fn stands(&self, warnings: Vec<Announcement>) {
        self.context.announcer.stands(self.key, &self.about, warnings).await;
    }
}
