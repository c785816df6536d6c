//! Prunes: deletes what was made for the cluster and is no longer desired.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Preconditions};
use pgloom_decide::credential::USER_LIST;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::ownership::{kinds_to_record, recorded_kinds};
use pgloom_decide::{BuiltIn, Kind, Plan};
use serde_json::Value;

use super::credentials::failed;
use super::decide::Decided;
use super::progress::Underway;
use super::{Error, Reconciliation};

impl Reconciliation<'_> {
    /// Deletes what was made for the cluster and is not in the plan. Nothing is deleted while a change is under way, while
    /// pods still run a former template, which may use what would be deleted, or while the answer of a step is missing,
    /// whose objects the plan then lacks.
    pub async fn prune(&self, decided: &Decided, settled: bool, underway: [&Option<Underway>; 3]) -> Result<(), Error> {
        let plan = &decided.plan;
        let is_changing = underway.into_iter().flatten().any(|underway| underway.changing);
        if plan.degraded || is_changing || !settled {
            return Ok(());
        }
        let wanted = |kind: &Kind, name: &str| plan.wants(kind, name);
        let writer = self.writer();
        writer.prune(self.key, wanted).await.map_err(Error::Apply)?;
        self.prune_user_lists(plan).await?;
        let recorded = recorded_kinds(&self.manifest);
        let is_watched = |kind: &Kind| self.context.store.watches(kind, &self.key.namespace);
        let unwatched: Vec<Kind> = recorded.iter().filter(|kind| !is_watched(kind)).cloned().collect();
        if unwatched.is_empty() {
            return Ok(());
        }
        let left = writer.prune_kinds(self.key, &unwatched, wanted).await.map_err(Error::Apply)?;
        let made = kinds_to_record(plan.objects.iter().map(|desired| &desired.object));
        let stays = |kind: &&Kind| is_watched(kind) || left.contains(kind) || made.contains(kind);
        let rest: Vec<Kind> = recorded.iter().filter(stays).cloned().collect();
        if rest.len() == recorded.len() {
            return Ok(());
        }
        self.record_kinds(&rest).await
    }

    /// Deletes the user lists that no step asks for any more, if the operator made them. Secrets of roles stay, as the roles
    /// do.
    async fn prune_user_lists(&self, plan: &Plan) -> Result<(), Error> {
        if plan.degraded {
            // The answer of a step is missing, and with it perhaps what it asks for.
            return Ok(());
        }
        for cached in self.context.store.objects(self.key) {
            let object = cached.object();
            if !cached.kind.is(BuiltIn::Secret) || !is_user_list(&object) || plan.wants(&cached.kind, &cached.name) {
                continue;
            }
            let api: Api<Secret> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
            let found = api.get_opt(&cached.name).await.map_err(|source| failed(&cached.name, source))?;
            let Some(found) = found.filter(|found| made_user_list(&found.metadata)) else { continue };
            let how = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: found.metadata.uid,
                    resource_version: found.metadata.resource_version,
                }),
                ..DeleteParams::background()
            };
            match api.delete(&cached.name, &how).await {
                Ok(_) => self.context.metrics.wrote("Secret", "delete"),
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                Err(source) => return Err(failed(&cached.name, source)),
            }
        }
        Ok(())
    }
}

/// Whether a Secret holds a user list and nothing else.
fn is_user_list(secret: &Value) -> bool {
    secret["data"].as_object().is_some_and(|data| data.len() == 1 && data.contains_key(USER_LIST))
}

/// Whether the operator wrote the user list that a Secret holds.
fn made_user_list(metadata: &ObjectMeta) -> bool {
    let entries = metadata.managed_fields.iter().flatten();
    let mut ours = entries.filter(|entry| entry.manager.as_deref() == Some(MANAGER));
    ours.any(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0["f:data"].get(format!("f:{USER_LIST}")).is_some())
    })
}
