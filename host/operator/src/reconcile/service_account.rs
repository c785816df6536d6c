//! The service account of a namespace's database pods and its role binding: created where they are missing.

use std::time::Instant;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::PostParams;
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use pgloom_decide::Plan;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::kind::ObjectKey;
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
        for object in &plan.accounts {
            if let Err(error) = self.create_if_missing(object).await {
                let ObjectKey { kind, name, .. } = ObjectKey::of(object);
                warn!(kind, name, error = %error_chain(&error), "the object was not created");
                return;
            }
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

    async fn create_if_missing(&self, object: &serde_json::Value) -> Result<(), kube::Error> {
        let Some(kind) = Kind::of(object) else { return Ok(()) };
        let api = kube::Api::<kube::api::DynamicObject>::namespaced_with(
            self.context.client.clone(),
            &self.key.namespace,
            &api_resource(&kind),
        );
        let name = ObjectKey::of(object).name;
        if api.get_metadata_opt(name).await?.is_some() {
            return Ok(());
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
