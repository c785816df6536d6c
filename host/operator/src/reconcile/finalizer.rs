//! The finalizer of the manifest: it cannot be removed before what was made for it.

use std::collections::BTreeSet;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use pgloom_decide::Kind;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::ownership::{KINDS, NAMESPACES, record_of};
use serde_json::{Value, json};

use super::{Error, Reconciliation};
use crate::apply::deletion::FINALIZER;
use crate::cache::api_resource;

/// The result of a patch of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patched {
    /// The manifest is as it is to be.
    Written,
    /// The manifest is gone.
    Gone,
    /// The manifest was changed after it was read. A watch event brings the new one.
    Outdated,
}

impl Reconciliation<'_> {
    /// Sees to it that the manifest cannot go before what was made for it. For one that is gone nothing may be made, as
    /// nothing would remove it.
    pub async fn ensure_finalizer(&self) -> Result<Patched, Error> {
        let Some(finalizers) = with_finalizer(self.metadata().finalizers) else { return Ok(Patched::Written) };
        self.set_finalizers(finalizers).await
    }

    /// Writes the list of finalizers, unless the manifest has changed since it was read.
    pub async fn set_finalizers(&self, finalizers: Vec<String>) -> Result<Patched, Error> {
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": self.version.to_string()}});
        self.patch_manifest(patch, "finalizers").await
    }

    /// Records the kinds of which objects are made for the manifest and which are not every cluster's. They are found by
    /// this record when the step that made them has left the pipeline.
    pub async fn record_kinds(&self, kinds: &[Kind]) -> Result<(), Error> {
        let record = if kinds.is_empty() { Value::Null } else { json!(record_of(kinds)) };
        let patch = json!({"metadata": {"annotations": {KINDS: record}}});
        self.patch_manifest(patch, "annotations").await.map(drop)
    }

    /// Records the other namespaces in which Secrets are created for the manifest. They are found by this record when the
    /// manifest no longer names their users.
    pub async fn record_namespaces(&self, namespaces: &BTreeSet<String>) -> Result<(), Error> {
        let record = namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let patch = json!({"metadata": {"annotations": {NAMESPACES: record}}});
        self.patch_manifest(patch, "annotations").await.map(drop)
    }

    pub(super) async fn patch_manifest(&self, patch: Value, part: &'static str) -> Result<Patched, Error> {
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match self.manifests().patch(&self.key.name, &params, &Patch::Merge(patch)).await {
            Ok(object) => {
                if let Ok(object) = serde_json::to_value(object) {
                    self.context.store.record_write(object);
                }
                Ok(Patched::Written)
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Patched::Gone),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Patched::Outdated),
            Err(source) => Err(Error::Manifest { part, source: Box::new(source) }),
        }
    }

    pub fn manifests(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.context.client.clone(), &self.key.namespace, &api_resource(&Kind::cluster()))
    }
}

/// The finalizers with the operator's own; `None` if it is there already.
fn with_finalizer(finalizers: Option<Vec<String>>) -> Option<Vec<String>> {
    let mut finalizers = finalizers.unwrap_or_default();
    if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return None;
    }
    finalizers.push(FINALIZER.to_owned());
    Some(finalizers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_is_added_once_and_others_stay() {
        let (theirs, own) = ("theirs".to_owned(), FINALIZER.to_owned());
        assert_eq!(with_finalizer(Some(vec![theirs.clone()])), Some(vec![theirs, own.clone()]));
        assert_eq!(with_finalizer(Some(vec![own.clone()])), None);
        assert_eq!(with_finalizer(None), Some(vec![own]));
    }
}
