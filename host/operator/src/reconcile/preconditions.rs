//! What has to hold before the first object is written: the plan has the members, what exists under the desired names is the
//! cluster's own, and the manifest still exists.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::{BuiltIn, Kind, Plan};
use serde::Deserialize as _;
use serde_json::Value;

use super::credentials::Found;
use super::{Error, Reconciliation};
use crate::apply::Refused;

/// What the check of a plan found.
pub struct Checked {
    /// The Secrets that were read for it.
    pub secrets: Option<Found>,
    /// The objects that are another owner's and without which the database is made.
    pub foreign: Vec<Refused>,
}

impl Reconciliation<'_> {
    /// Checks the plan against what exists.
    pub async fn check(&self, plan: &Plan, objects: &[Value]) -> Result<Checked, Error> {
        let name = &self.key.name;
        if self.stateful_set().is_some() && !plan.wants(&Kind::new("apps/v1", "StatefulSet"), name) {
            return Err(Error::NoStatefulSet { name: name.to_string() });
        }
        let is_extra = |kind: &Kind, of: &str| plan.is_extra(kind, of);
        let missing = self.writer().check(self.key, objects, is_extra).await.map_err(Error::Apply)?;
        let unseen =
            missing.unseen.iter().filter(|object| ObjectKey::of(object).built_in() == Some(BuiltIn::StatefulSet));
        unseen.into_iter().try_for_each(|set| self.check_name_label(set))?;
        let found = self.read_credentials(plan).await?;
        if missing.any || found.as_ref().is_some_and(|found| found.lacks(&plan.secrets)) {
            self.require_manifest().await?;
        }
        Ok(Checked { secrets: found, foreign: missing.foreign })
    }

    /// Checks for a deletion that what the cluster is made of is seen: nothing else would be deleted.
    pub async fn check_sight(&self) -> Result<(), Error> {
        if self.stateful_set().is_some() {
            return Ok(());
        }
        let (writer, kind) = (self.writer(), Kind::new("apps/v1", "StatefulSet"));
        let found = writer.read(self.key, &kind, &self.key.name).await.map_err(Error::Delete)?;
        let own = found.filter(|found| writer.origin(found).is_own());
        own.map_or(Ok(()), |set| self.check_name_label(&set))
    }

    /// Checks that a StatefulSet which the watches do not report finds its pods by the label that is configured.
    fn check_name_label(&self, set: &Value) -> Result<(), Error> {
        let (label, name) = (self.settings.config.text("cluster_name_label"), &*self.key.name);
        let spec = StatefulSet::deserialize(set).ok().and_then(|set| set.spec);
        let Some(selected) = spec.and_then(|spec| spec.selector.match_labels) else { return Ok(()) };
        if selected.get(label).is_some_and(|value| value == name) {
            return Ok(());
        }
        let former = selected.iter().find(|(_, value)| *value == name).map(|(former, _)| former.clone());
        former.map_or(Ok(()), |former| Err(Error::NameLabel { name: name.to_owned(), label: label.to_owned(), former }))
    }

    /// Checks that the manifest exists before something is made for it: its finalizer may have been removed by hand, and the
    /// watch may be late.
    async fn require_manifest(&self) -> Result<(), Error> {
        // The operator has no right to get a single manifest, only to list them.
        let named = ListParams::default().fields(&format!("metadata.name={}", self.key.name));
        let found = self.manifests().list_metadata(&named).await;
        let found = found.map_err(|source| Error::Manifest { part: "metadata", source: Box::new(source) })?;
        let uid = self.metadata().uid;
        let is_same = |metadata: &ObjectMeta| metadata.name.as_deref() == Some(&*self.key.name) && metadata.uid == uid;
        if found.items.iter().any(|found| is_same(&found.metadata)) { Ok(()) } else { Err(Error::Gone) }
    }
}
