//! Writes what is desired, in a stated order, by server-side apply; writes nothing where nothing differs.

mod clash;
mod compare;
mod created_as;
pub mod deletion;
mod error;
mod field_manager;
mod last_applied;
mod operation;
mod refused_fields;
mod write;

use std::sync::Arc;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use pgloom_common::name::is_patronis;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::ownership::{Identity, Origin};
use pgloom_decide::{BuiltIn, Kind};
use serde_json::{Value, json};
use tracing::info;

pub use created_as::short_hash;
pub use error::Error;
pub use last_applied::LastApplied;
pub use operation::Operation;

use crate::cache::{CachedObject, ClusterKey, Store};
use crate::rights::Resource;
use crate::serve::metrics::Metrics;
use error::{failure, foreign, unlisted};
use write::Made;

/// What an apply did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was written, in order.
    pub written: Vec<Written>,
    /// Why another reconcile is needed soon.
    pub waiting: Option<String>,
    /// What stays as it is although something else is desired, because a replacement did not change it.
    pub kept: Option<String>,
    /// The objects that were refused; the others were written nevertheless.
    pub refused: Vec<Refused>,
}

/// One object that the API server refused.
#[derive(Debug)]
pub struct Refused {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Why.
    pub error: Error,
}

/// One object that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What was done.
    pub operation: Operation,
    /// Whether it was marked for an earlier manifest of the same namespace and name.
    pub reclaimed: bool,
}

impl Applied {
    fn wrote(&mut self, kind: &Kind, name: &str, operation: Operation, reclaimed: bool) {
        self.written.push(Written { kind: kind.clone(), name: name.to_owned(), operation, reclaimed });
    }
}

/// Writes the objects of one cluster.
#[derive(Clone)]
pub struct Writer {
    /// The API server.
    pub client: Client,
    /// What identifies the cluster's objects.
    pub identity: Identity,
    /// What exists.
    pub store: Arc<Store>,
    /// What was applied last of the cluster.
    pub last_applied: Arc<LastApplied>,
    /// The metrics.
    pub metrics: Metrics,
}

impl Writer {
    /// Applies the objects in the given order, each with the cluster's mark. `objects` have no placeholders any more. One
    /// that the API server refuses holds no other one.
    ///
    /// # Errors
    /// What ends the apply: another owner has the name of an object, or the API server could not be asked.
    pub async fn apply(&self, key: &ClusterKey, objects: &[Value]) -> Result<Applied, Error> {
        let existing = self.store.objects(key);
        let mut applied = Applied::default();
        for object in objects {
            let Some(kind) = Kind::of(object) else { continue };
            let name = ObjectKey::of(object).name;
            let found = existing.iter().find(|kept| kept.kind == kind && &*kept.name == name).map(Arc::as_ref);
            match self.apply_one(key, object, &kind, found, &mut applied).await {
                Err(error) if error.is_of_one_object() => {
                    applied.refused.push(Refused { kind, name: name.to_owned(), error });
                }
                result => result?,
            }
        }
        Ok(applied)
    }

    async fn apply_one(
        &self,
        key: &ClusterKey,
        object: &Value,
        kind: &Kind,
        found: Option<&CachedObject>,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let mut desired = object.clone();
        self.identity.mark(&mut desired);
        let name = ObjectKey::of(object).name;
        if let Some(reason) = found.and_then(is_ending) {
            applied.waiting = Some(reason);
            return Ok(());
        }
        let origin = found.map(|kept| self.origin(&kept.object()));
        if let Some(Origin::Foreign(reason)) = origin {
            return Err(foreign(kind, name, reason));
        }
        if let Some(kept) = found.filter(|kept| kept.kind.is(BuiltIn::StatefulSet)) {
            operation::keep_claim_metadata(&mut desired, &kept.object());
        }
        if origin == Some(Origin::Former) && operation::is_created_once(kind) {
            self.reclaim(key, kind, name).await?;
            applied.wrote(kind, name, Operation::Apply, true);
            return Ok(());
        }
        created_as::state(&mut desired);
        let mut operation = operation::operation(&desired, found);
        if let (Operation::ReplaceAndOrphan, Some(kept)) = (operation, found) {
            operation = self.replacement(key, kind, name, &mut desired, kept, applied).await?;
        }
        let is_unchanged = |kept| operation == Operation::Apply && self.last_applied.is_unchanged(&desired, kept);
        if operation == Operation::Skip || found.is_some_and(is_unchanged) {
            return Ok(());
        }
        let (operation, made) = match (self.execute(key, kind, name, &desired, operation, found).await, found) {
            (Err(error), Some(found)) if error.is_for_good() && operation::may_be_replaced(kind) => {
                if created_as::is_as_desired(&desired, &found.object()) {
                    // What changed it when it was created, as an admission webhook does, would do so again.
                    applied.kept = Some(format!("{error}, also after it was created so; it stays as it is"));
                    return Ok(());
                }
                self.delete(key, kind, name, uid(&found.object()), &DeleteParams::background()).await?;
                applied.waiting = Some(format!("{} {name} is being replaced", kind.kind));
                (Operation::Replace, Made::Written)
            }
            (result, _) => (operation, result?),
        };
        if operation == Operation::ReplaceAndOrphan {
            applied.waiting = Some(format!("{} {name} is being replaced; its pods stay", kind.kind));
        }
        match made {
            Made::Written => applied.wrote(kind, name, operation, origin == Some(Origin::Former)),
            Made::Adopted(origin) => applied.wrote(kind, name, Operation::Apply, origin == Origin::Former),
            Made::Waiting(reason) => applied.waiting = Some(reason),
        }
        Ok(())
    }

    /// What to do about an object of which a field differs that cannot be changed. It is replaced only if the API server
    /// refuses the change in a dry run. If it was created as it is desired and differs nevertheless, as where an admission
    /// webhook changes it, its fields stay.
    async fn replacement(
        &self,
        key: &ClusterKey,
        kind: &Kind,
        name: &str,
        desired: &mut Value,
        kept: &CachedObject,
        applied: &mut Applied,
    ) -> Result<Operation, Error> {
        let live = kept.object();
        if created_as::is_as_desired(desired, &live) {
            applied.kept = Some(format!(
                "{} {name} has other {} than it was created with; these stay as they are until its annotation {} is removed",
                kind.kind,
                operation::differing(desired, &live),
                created_as::CREATED_AS,
            ));
            operation::keep_fixed(desired, &live);
            return Ok(operation::operation(desired, Some(kept)));
        }
        if self.last_applied.is_unchanged(desired, kept) {
            // The API server has accepted it already.
            return Ok(Operation::Apply);
        }
        let how = PatchParams::apply(MANAGER).force().dry_run();
        match self.api(key, kind).await.patch(name, &how, &Patch::Apply(&*desired)).await {
            Ok(_) if kept.inherited => Ok(Operation::TakeOver),
            Ok(_) => Ok(Operation::Apply),
            Err(kube::Error::Api(status)) if operation::is_fixed(status.code, &status.message) => {
                Ok(Operation::ReplaceAndOrphan)
            }
            Err(error) => Err(failure(kind, name, desired, error)),
        }
    }

    /// Whose an object is that exists.
    pub fn origin(&self, object: &Value) -> Origin {
        self.identity.origin(object, |uid| self.store.has_manifest(uid))
    }

    /// Deletes what was made for the cluster and is no longer desired.
    pub async fn prune(
        &self,
        key: &ClusterKey,
        desired: impl Fn(&Kind, &str) -> bool,
    ) -> Result<Vec<(Kind, String)>, Error> {
        let mut pruned = Vec::new();
        for kept in self.store.objects(key) {
            let object = kept.object();
            if operation::is_superfluous(&kept, &key.name, &self.origin(&object), &desired)
                && is_ending(&kept).is_none()
            {
                self.delete(key, &kept.kind, &kept.name, uid(&object), &DeleteParams::background()).await?;
                pruned.push((kept.kind.clone(), kept.name.to_string()));
            }
        }
        Ok(pruned)
    }

    /// Deletes the marked objects of kinds that are not watched, except the desired ones. Returns the kinds of which there
    /// were any.
    pub async fn prune_kinds(
        &self,
        key: &ClusterKey,
        kinds: &[Kind],
        desired: impl Fn(&Kind, &str) -> bool,
    ) -> Result<Vec<Kind>, Error> {
        let mut found = Vec::new();
        for kind in kinds {
            for object in self.list(Some(key), kind, None).await? {
                let name = ObjectKey::of(&object).name;
                let is_patronis = is_patronis(&kind.api_version, &kind.kind, &key.name, name);
                if is_patronis || !self.origin(&object).is_own() || desired(kind, name) {
                    continue;
                }
                found.push(kind.clone());
                if !has_deletion_timestamp(&object) {
                    self.delete(key, kind, name, uid(&object), &DeleteParams::background()).await?;
                }
            }
        }
        found.dedup();
        Ok(found)
    }

    /// The objects of a kind in the cluster's namespace, or in all, as the API server has them now. None of a kind that it
    /// does not serve.
    pub async fn list(
        &self,
        key: Option<&ClusterKey>,
        kind: &Kind,
        selector: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let resource = self.store.resources.discover(&self.client, kind).await;
        let api: Api<DynamicObject> = match key {
            Some(key) => Api::namespaced_with(self.client.clone(), &key.namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
        let listed = match api.list(&params).await {
            Ok(listed) => listed.items,
            Err(kube::Error::Api(status)) if status.is_not_found() => Vec::new(),
            Err(error) => {
                return Err(unlisted(kind, Resource { group: resource.group, plural: resource.plural }, error));
            }
        };
        let objects = listed.into_iter().filter_map(|object| serde_json::to_value(object).ok());
        Ok(objects.map(|object| with_kind(object, kind)).collect())
    }

    /// An object as the API server has it now.
    pub async fn read(&self, key: &ClusterKey, kind: &Kind, name: &str) -> Result<Option<Value>, Error> {
        let found =
            self.api(key, kind).await.get_opt(name).await.map_err(|error| failure(kind, name, &Value::Null, error))?;
        Ok(found.and_then(|found| serde_json::to_value(found).ok()).map(|found| with_kind(found, kind)))
    }

    /// Deletes an object if it still has that uid; one that is gone already is fine.
    pub async fn delete(
        &self,
        key: &ClusterKey,
        kind: &Kind,
        name: &str,
        uid: Option<String>,
        how: &DeleteParams,
    ) -> Result<(), Error> {
        let how = DeleteParams {
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..how.clone()
        };
        match self.api(key, kind).await.delete(name, &how).await {
            Ok(_) => {
                self.last_applied.forget(kind, name);
                self.metrics.wrote(&kind.kind, "delete");
                info!(kind = %kind.kind, name, "deleted");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(failure(kind, name, &Value::Null, error)),
        }
    }

    /// The API of a kind in the cluster's namespace.
    pub async fn api(&self, key: &ClusterKey, kind: &Kind) -> Api<DynamicObject> {
        let resource = self.store.resources.discover(&self.client, kind).await;
        Api::namespaced_with(self.client.clone(), &key.namespace, &resource)
    }
}

fn is_ending(kept: &CachedObject) -> Option<String> {
    let ending = has_deletion_timestamp(&kept.object());
    ending.then(|| format!("{} {} is being deleted", kept.kind.kind, kept.name))
}

fn has_deletion_timestamp(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn uid(object: &Value) -> Option<String> {
    object["metadata"]["uid"].as_str().map(str::to_owned)
}

/// The object with its kind, which the items of a list lack.
fn with_kind(mut object: Value, kind: &Kind) -> Value {
    object["apiVersion"] = json!(&*kind.api_version);
    object["kind"] = json!(&*kind.kind);
    object
}

#[cfg(test)]
mod tests;
