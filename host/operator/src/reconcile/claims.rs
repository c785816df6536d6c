//! Labels and annotations of the members' claims. The StatefulSet gives them to new claims only, and cannot be changed.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::rollout::missing_metadata;
use pgloom_decide::{BuiltIn, Kind};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Error, Reconciliation};

impl Reconciliation<'_> {
    /// Patches onto the claims what the claim templates of the StatefulSet state. What they do not state stays.
    pub async fn follow_claims(&self, objects: &[Value]) -> Result<(), Error> {
        let set = objects.iter().find(|object| ObjectKey::of(object).is(BuiltIn::StatefulSet, &self.key.name));
        let spec = set.and_then(|set| StatefulSet::deserialize(set).ok()?.spec).unwrap_or_default();
        let templates = spec.volume_claim_templates.unwrap_or_default();
        let (writer, kind) = (self.writer(), Kind::new("v1", "PersistentVolumeClaim"));
        for cached in self.context.store.objects(self.key).iter().filter(|cached| cached.kind == kind) {
            let template = templates.iter().find(|template| is_claim_of(template, &self.key.name, &cached.name));
            let object = cached.object();
            let Some(template) = template.filter(|_| writer.origin(&object).is_own()) else { continue };
            let claim = PersistentVolumeClaim::deserialize(&object).unwrap_or_default();
            if let Some(mut patch) = missing_metadata(&template.metadata, &claim.metadata) {
                // The API server refuses a patch that names another uid than the object has.
                patch["metadata"]["uid"] = json!(claim.metadata.uid);
                writer.patch_metadata(self.key, &kind, &cached.name, patch).await.map_err(Error::Apply)?;
            }
        }
        Ok(())
    }
}

/// Whether a claim has the name that Kubernetes gives to one of the template, as in `pgdata-c-0`.
fn is_claim_of(template: &PersistentVolumeClaim, cluster: &str, claim: &str) -> bool {
    let prefix = format!("{}-{cluster}-", template.metadata.name.as_deref().unwrap_or_default());
    claim.strip_prefix(&prefix).is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
}
