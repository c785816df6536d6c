//! The service account of a namespace's database pods and its role binding: created where they are missing. An existing
//! account gets the annotation with the role of AWS.

use std::time::Instant;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use pgloom_decide::Plan;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::service_account::ROLE;
use serde_json::{Value, json};
use tracing::warn;

use super::Reconciliation;
use crate::cache::api_resource;

impl Reconciliation<'_> {
    /// Creates what is missing. A failure is logged only: the operator need not have the right to create these objects,
    /// as an administrator may create them in advance.
    pub async fn ensure_service_account(&self, plan: &Plan) {
        if self.was_seen_recently() {
            return;
        }
        let mut is_complete = true;
        for object in &plan.accounts {
            if let Err(error) = self.create_if_missing(object).await {
                let ObjectKey { kind, name, .. } = ObjectKey::of(object);
                warn!(kind, name, error = %error_chain(&error), "the object was not created, or not annotated");
                is_complete = false;
            }
        }
        if !is_complete {
            return;
        }
        let mut accounts = self.context.accounts.lock();
        accounts.insert(self.key.namespace.to_string(), Instant::now());
    }

    /// Whether they were seen less than a resync period ago. They are not watched, and without them no pod can be
    /// created: as long as pods are missing they are read at every reconcile.
    fn was_seen_recently(&self) -> bool {
        let has_every_pod = |set: StatefulSet| {
            let (wanted, found) = (set.spec.and_then(|spec| spec.replicas), set.status.map(|status| status.replicas));
            wanted == found
        };
        if !self.stateful_set().is_some_and(has_every_pod) {
            return false;
        }
        let accounts = self.context.accounts.lock();
        accounts.get(&*self.key.namespace).is_some_and(|seen| seen.elapsed() < self.settings.resync())
    }

    async fn create_if_missing(&self, object: &Value) -> Result<(), kube::Error> {
        let Some(kind) = Kind::of(object) else { return Ok(()) };
        let api = kube::Api::<kube::api::DynamicObject>::namespaced_with(
            self.context.client.clone(),
            &self.key.namespace,
            &api_resource(&kind),
        );
        let name = ObjectKey::of(object).name;
        if let Some(existing) = api.get_metadata_opt(name).await? {
            return match missing_role(object, &existing.metadata) {
                Some(patch) => {
                    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
                    api.patch_metadata(name, &params, &Patch::Merge(patch)).await?;
                    self.context.metrics.wrote(&kind.kind, "apply");
                    Ok(())
                }
                None => Ok(()),
            };
        }
        let Ok(body) = serde_json::from_value(object.clone()) else { return Ok(()) };
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        match api.create(&params, &body).await {
            Ok(_) => self.context.metrics.wrote(&kind.kind, "create"),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The patch that gives an existing account the role of AWS that the configuration names; `None` if it has it. Its other
/// annotations are those of who made it. The API server refuses the patch of another account of that name.
fn missing_role(wanted: &Value, existing: &ObjectMeta) -> Option<Value> {
    let role = wanted.get("metadata")?.get("annotations")?.get(ROLE)?.as_str()?;
    let found = existing.annotations.as_ref().and_then(|annotations| annotations.get(ROLE));
    (found.map(String::as_str) != Some(role))
        .then(|| json!({"metadata": {"uid": existing.uid, "annotations": {ROLE: role}}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_account_gets_the_role_alone() {
        let of = |annotations: Value| {
            serde_json::from_value::<ObjectMeta>(json!({"uid": "1", "annotations": annotations})).unwrap()
        };
        let wanted = json!({"metadata": {"annotations": {"a": "b", ROLE: "arn"}}});
        let patch = json!({"metadata": {"uid": "1", "annotations": {ROLE: "arn"}}});
        assert_eq!(missing_role(&wanted, &of(json!({}))), Some(patch.clone()));
        assert_eq!(missing_role(&wanted, &of(json!({ROLE: "other", "a": "c"}))), Some(patch));
        assert_eq!(missing_role(&wanted, &of(json!({ROLE: "arn"}))), None);
        assert_eq!(missing_role(&json!({"metadata": {"name": "n"}}), &of(json!({ROLE: "arn"}))), None);
    }
}
