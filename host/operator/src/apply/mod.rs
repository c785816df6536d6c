//! Writes what is desired, in a stated order, by server-side apply; writes nothing where nothing differs.

mod compare;
pub mod deletion;
mod field_manager;
mod last_applied;
mod operation;

use std::sync::Arc;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use pgloom_decide::Kind;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::transform::MANAGER;
use serde_json::Value;
use tracing::info;

pub use last_applied::LastApplied;
pub use operation::Operation;

use crate::cache::{CachedObject, ClusterKey, Store, discover};
use crate::serve::metrics::Metrics;
use field_manager::Owner;

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused it for what it says.
    #[error("the API server refuses {kind} {name}: {reason}")]
    Refused {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
    },
    /// Another owner has an object of that name.
    #[error(
        "{kind} {name} exists already and is not of this cluster; delete it, or choose another name for the cluster"
    )]
    Foreign {
        /// As in `Service`.
        kind: String,
        /// The object's name.
        name: String,
    },
    /// The operator may not.
    #[error("the operator may not write {kind} {name}; see manifests/rbac.yaml for the rights that it needs: {reason}")]
    Forbidden {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
    },
    /// The API server could not be asked.
    #[error("failed to write {kind} {name}")]
    Write {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// Whether the object cannot be changed to what is desired, and could be made anew.
    fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason.contains("immutable"))
    }
}

/// What an apply did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was written, in order.
    pub written: Vec<Written>,
    /// Why something has to be looked at again soon.
    pub waiting: Option<String>,
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
}

/// Writes the objects of one cluster.
#[derive(Clone)]
pub struct Writer {
    /// The API server.
    pub client: Client,
    /// What exists.
    pub store: Arc<Store>,
    /// What was applied last of the cluster.
    pub last_applied: Arc<LastApplied>,
    /// The metrics.
    pub metrics: Metrics,
}

impl Writer {
    /// Applies the objects in the given order. `objects` carry no seals any more.
    pub async fn apply(&self, key: &ClusterKey, objects: &[Value]) -> Result<Applied, Error> {
        let existing = self.store.objects(key);
        let mut applied = Applied::default();
        for desired in objects {
            let Some(kind) = Kind::of(desired) else { continue };
            let name = ObjectKey::of(desired).name;
            let found = existing.iter().find(|kept| kept.kind == kind && &*kept.name == name);
            if let Some(reason) = found.and_then(|kept| is_ending(kept)) {
                applied.waiting = Some(reason);
                continue;
            }
            let operation = operation::operation(desired, found.map(Arc::as_ref));
            if operation == Operation::Skip
                || found
                    .is_some_and(|kept| operation == Operation::Apply && self.last_applied.is_unchanged(desired, kept))
            {
                continue;
            }
            let operation = match self.execute(key, &kind, name, desired, operation).await {
                Err(error) if error.is_for_good() && operation::may_be_replaced(&kind) => {
                    self.delete(key, &kind, name, None, &DeleteParams::background()).await?;
                    applied.waiting = Some(format!("{} {name} is being replaced", kind.kind));
                    Operation::Replace
                }
                result => result.map(|()| operation)?,
            };
            if operation == Operation::ReplaceAndOrphan {
                applied.waiting = Some(format!("{} {name} is being replaced; its pods stay", kind.kind));
            }
            applied.written.push(Written { kind, name: name.to_owned(), operation });
        }
        Ok(applied)
    }

    /// Deletes what the operator applied and nobody desires any more.
    pub async fn prune(
        &self,
        key: &ClusterKey,
        desired: impl Fn(&Kind, &str) -> bool,
    ) -> Result<Vec<(Kind, String)>, Error> {
        let mut pruned = Vec::new();
        for kept in self.store.objects(key) {
            if operation::is_superfluous(&kept, &desired) && is_ending(&kept).is_none() {
                self.delete(key, &kept.kind, &kept.name, Some(&kept.object()), &DeleteParams::background()).await?;
                pruned.push((kept.kind.clone(), kept.name.to_string()));
            }
        }
        Ok(pruned)
    }

    /// Deletes an object; one that is gone already is fine. With `seen` only if it is still the same object.
    pub async fn delete(
        &self,
        key: &ClusterKey,
        kind: &Kind,
        name: &str,
        seen: Option<&Value>,
        how: &DeleteParams,
    ) -> Result<(), Error> {
        let uid = seen.and_then(|object| object["metadata"]["uid"].as_str()).map(str::to_owned);
        let how = DeleteParams {
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..how.clone()
        };
        match self.api(key, kind).await.delete(name, &how).await {
            Ok(_) => {
                self.metrics.wrote(&kind.kind, "delete");
                info!(kind = %kind.kind, name, "deleted");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(failure(kind, name, error)),
        }
    }

    async fn execute(
        &self,
        key: &ClusterKey,
        kind: &Kind,
        name: &str,
        desired: &Value,
        operation: Operation,
    ) -> Result<(), Error> {
        match operation {
            Operation::Skip | Operation::Replace => Ok(()),
            Operation::Create => self.create(key, kind, name, desired).await,
            Operation::Apply => self.force(key, kind, name, desired).await,
            Operation::TakeOver => {
                self.take_over(key, kind, name, Owner::Predecessor).await?;
                self.force(key, kind, name, desired).await
            }
            Operation::ReplaceAndOrphan => self.delete(key, kind, name, None, &DeleteParams::orphan()).await,
        }
    }

    /// Applies without force: what others have made under this name shows itself as a conflict.
    async fn create(&self, key: &ClusterKey, kind: &Kind, name: &str, desired: &Value) -> Result<(), Error> {
        let api = self.api(key, kind).await;
        let answer = api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(desired)).await;
        match answer {
            Ok(object) => self.record(key, kind, "create", desired, object),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let found = api.get_opt(name).await.map_err(|error| failure(kind, name, error))?;
                if found.is_some_and(|found| !is_of_cluster(&found, desired)) {
                    return Err(Error::Foreign { kind: kind.kind.to_string(), name: name.to_owned() });
                }
                self.force(key, kind, name, desired).await
            }
            Err(error) => Err(failure(kind, name, error)),
        }
    }

    /// Applies with force. What is refused may be in conflict with an entry that an editor has left: that is taken over, so
    /// that it goes, and the apply is tried once more.
    async fn force(&self, key: &ClusterKey, kind: &Kind, name: &str, desired: &Value) -> Result<(), Error> {
        let api = self.api(key, kind).await;
        let how = PatchParams::apply(MANAGER).force();
        let answer = match api.patch(name, &how, &Patch::Apply(desired)).await {
            Err(kube::Error::Api(status))
                if status.code == 422 && self.take_over(key, kind, name, Owner::Editors).await? =>
            {
                api.patch(name, &how, &Patch::Apply(desired)).await
            }
            answer => answer,
        };
        let object = answer.map_err(|error| failure(kind, name, error))?;
        self.record(key, kind, "apply", desired, object)
    }

    /// Makes what others wrote the operator's own; whether there was anything.
    async fn take_over(&self, key: &ClusterKey, kind: &Kind, name: &str, owner: Owner) -> Result<bool, Error> {
        let api = self.api(key, kind).await;
        let found = api.get_opt(name).await.map_err(|error| failure(kind, name, error))?;
        let object = found.and_then(|found| serde_json::to_value(found).ok()).unwrap_or_default();
        let Some(patch) = field_manager::patch(&object, owner).and_then(|patch| serde_json::from_value(patch).ok())
        else {
            return Ok(false);
        };
        let answer = api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await;
        answer.map_err(|error| failure(kind, name, error))?;
        info!(kind = %kind.kind, name, "took over what others wrote");
        Ok(true)
    }

    fn record(
        &self,
        key: &ClusterKey,
        kind: &Kind,
        verb: &'static str,
        desired: &Value,
        answer: DynamicObject,
    ) -> Result<(), Error> {
        self.metrics.wrote(&kind.kind, verb);
        info!(kind = %kind.kind, name = %answer.name_any(), verb, "applied");
        if let Ok(object) = serde_json::to_value(answer) {
            self.store.record_write(key, object);
            let name = ObjectKey::of(desired).name;
            if let Some(kept) = self.store.objects(key).iter().find(|kept| kept.kind == *kind && &*kept.name == name) {
                self.last_applied.record(desired, kept);
            }
        }
        Ok(())
    }

    /// The API of a kind in the cluster's namespace.
    pub async fn api(&self, key: &ClusterKey, kind: &Kind) -> Api<DynamicObject> {
        let resource = discover(&self.client, kind).await;
        Api::namespaced_with(self.client.clone(), &key.namespace, &resource)
    }
}

fn is_ending(kept: &CachedObject) -> Option<String> {
    let object = kept.object();
    let ending = object["metadata"]["deletionTimestamp"].is_string();
    ending.then(|| format!("{} {} is being deleted", kept.kind.kind, kept.name))
}

/// Whether an object carries every label that is desired of it.
fn is_of_cluster(found: &DynamicObject, desired: &Value) -> bool {
    let labels = desired["metadata"]["labels"].as_object();
    labels.into_iter().flatten().all(|(key, value)| found.labels().get(key).map(String::as_str) == value.as_str())
}

fn failure(kind: &Kind, name: &str, error: kube::Error) -> Error {
    let (kind, name) = (kind.kind.to_string(), name.to_owned());
    match error {
        kube::Error::Api(status) if status.code == 403 => Error::Forbidden { kind, name, reason: status.message },
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
            Error::Refused { kind, name, reason: status.message }
        }
        source => Error::Write { kind, name, source: Box::new(source) },
    }
}

#[cfg(test)]
mod tests;
