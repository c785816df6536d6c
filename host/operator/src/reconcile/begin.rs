//! The beginning of a turn: the manifest is kept from vanishing unseen, and a new cluster says that it is being made.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use pgloom_api::postgresql::ClusterStatus;
use serde_json::{Value, json};

use super::{Error, Turn};
use crate::decide::Plan;
use crate::deletion::FINALIZER;
use crate::event::Announcement;
use crate::kind::Kind;
use crate::report;
use crate::trim::MANAGER;

impl Turn<'_> {
    /// Sees to it that the manifest cannot go before what was made for it.
    pub async fn hold(&self) -> Result<(), Error> {
        let Some(finalizers) = held(&self.manifest) else { return Ok(()) };
        self.set_finalizers(finalizers).await
    }

    /// Writes the list of finalizers, unless the manifest has changed since it was read.
    pub async fn set_finalizers(&self, finalizers: Vec<Value>) -> Result<(), Error> {
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": self.version.to_string()}});
        let answer = self
            .manifests()
            .patch(
                &self.key.name,
                &PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() },
                &Patch::Merge(patch),
            )
            .await;
        match answer {
            Ok(object) => {
                if let Ok(object) = serde_json::to_value(object) {
                    self.context.store.wrote(self.key, object);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Manifest { part: "finalizers", source: Box::new(source) }),
        }
    }

    /// Says that a new cluster is being made.
    pub async fn begin(&self, _plan: &Plan) -> Result<(), Error> {
        if report::phase_of(&self.manifest["status"]).is_some() {
            return Ok(());
        }
        self.write_status(&json!({"status": {"PostgresClusterStatus": ClusterStatus::Creating.as_str()}})).await?;
        let announcement = Announcement::normal("Create", "creating the objects of the cluster");
        self.context.announcer.happened(&self.about, &announcement).await;
        Ok(())
    }

    /// Patches the status.
    pub async fn write_status(&self, patch: &Value) -> Result<(), Error> {
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match self.manifests().patch_status(&self.key.name, &params, &Patch::Merge(patch)).await {
            Ok(object) => {
                if let Ok(object) = serde_json::to_value(object) {
                    self.context.store.wrote(self.key, object);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Manifest { part: "status", source: Box::new(source) }),
        }
    }

    fn manifests(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.context.client.clone(), &self.key.namespace, &Kind::cluster().resource())
    }
}

/// The finalizers with the operator's own; `None` if it is there already.
fn held(manifest: &Value) -> Option<Vec<Value>> {
    let mut finalizers = manifest["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return None;
    }
    finalizers.push(json!(FINALIZER));
    Some(finalizers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_is_added_once_and_others_stay() {
        let manifest = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
        assert_eq!(held(&manifest(json!(["theirs"]))), Some(vec![json!("theirs"), json!(FINALIZER)]));
        assert_eq!(held(&manifest(json!([FINALIZER]))), None);
        assert_eq!(held(&json!({"metadata": {}})), Some(vec![json!(FINALIZER)]));
    }
}
