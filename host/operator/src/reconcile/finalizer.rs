//! The finalizer of the manifest: it cannot be removed before what was made for it.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use pgloom_decide::Kind;
use pgloom_decide::transform::MANAGER;
use serde_json::{Value, json};

use super::{Error, Reconciliation};
use crate::apply::deletion::FINALIZER;
use crate::cache::api_resource;

impl Reconciliation<'_> {
    /// Sees to it that the manifest cannot go before what was made for it.
    pub async fn ensure_finalizer(&self) -> Result<(), Error> {
        let Some(finalizers) = with_finalizer(&self.manifest) else { return Ok(()) };
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
                    self.context.store.record_write(self.key, object);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Manifest { part: "finalizers", source: Box::new(source) }),
        }
    }

    pub fn manifests(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.context.client.clone(), &self.key.namespace, &api_resource(&Kind::cluster()))
    }
}

/// The finalizers with the operator's own; `None` if it is there already.
fn with_finalizer(manifest: &Value) -> Option<Vec<Value>> {
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
        assert_eq!(with_finalizer(&manifest(json!(["theirs"]))), Some(vec![json!("theirs"), json!(FINALIZER)]));
        assert_eq!(with_finalizer(&manifest(json!([FINALIZER]))), None);
        assert_eq!(with_finalizer(&json!({"metadata": {}})), Some(vec![json!(FINALIZER)]));
    }
}
