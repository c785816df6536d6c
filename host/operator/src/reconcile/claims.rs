//! Labels and annotations of the members' claims. The StatefulSet gives them to new claims only, and cannot be changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_decide::Kind;
use pgloom_decide::rollout::missing_metadata;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Error, Reconciliation};

impl Reconciliation<'_> {
    /// Patches onto the claims what the claim templates of the StatefulSet state. What they do not state stays.
    pub async fn follow_claims(&self, objects: &[Value]) -> Result<(), Error> {
        let is_set = |object: &&Value| object["kind"] == "StatefulSet" && object["metadata"]["name"] == *self.key.name;
        let Some(set) = objects.iter().find(is_set) else { return Ok(()) };
        let templates = set["spec"]["volumeClaimTemplates"].as_array();
        let (writer, kind) = (self.writer(), Kind::new("v1", "PersistentVolumeClaim"));
        for cached in self.context.store.objects(self.key).iter().filter(|cached| cached.kind == kind) {
            let claim = cached.object();
            let is_made_from = |template: &&Value| is_claim_of(template, &self.key.name, &cached.name);
            let template = templates.and_then(|templates| templates.iter().find(is_made_from));
            let Some(template) = template.filter(|_| writer.origin(&claim).is_own()) else { continue };
            if let Some(mut patch) = missing_metadata(&metadata(template), &metadata(&claim)) {
                // The API server refuses a patch that names another uid than the object has.
                patch["metadata"]["uid"] = json!(claim["metadata"]["uid"]);
                writer.patch_metadata(self.key, &kind, &cached.name, patch).await.map_err(Error::Apply)?;
            }
        }
        Ok(())
    }
}

/// Whether a claim has the name that Kubernetes gives to one of the template, as in `pgdata-c-0`.
fn is_claim_of(template: &Value, cluster: &str, claim: &str) -> bool {
    let prefix = format!("{}-{cluster}-", template["metadata"]["name"].as_str().unwrap_or_default());
    claim.strip_prefix(&prefix).is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
}

fn metadata(object: &Value) -> ObjectMeta {
    ObjectMeta::deserialize(&object["metadata"]).unwrap_or_default()
}
