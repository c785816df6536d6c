//! Writes what is desired, in a stated order, by server-side apply; writes nothing where nothing differs.

mod clash;
mod compare;
mod created_as;
pub mod deletion;
mod field_manager;
mod last_applied;
mod operation;

use std::sync::Arc;

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use pgloom_common::error::FIELD_IMMUTABLE;
use pgloom_decide::Kind;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::ownership::{Identity, Origin};
use serde_json::{Value, json};
use tracing::{debug, info};

pub use last_applied::LastApplied;
pub use operation::Operation;

use crate::cache::{CachedObject, ClusterKey, Store};
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
        "{kind} {name} exists already and is not of this cluster: {reason}; delete it, or choose another name for the \
         cluster"
    )]
    Foreign {
        /// As in `Service`.
        kind: String,
        /// The object's name.
        name: String,
        /// Why it is not.
        reason: String,
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
    /// The API server refused it although the operator has the right to write it, as where a quota is exceeded.
    #[error("{by} refuses {kind} {name}: {reason}")]
    Denied {
        /// What refused it, as in `a resource quota`.
        by: &'static str,
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
    },
    /// The objects of a kind could not be listed.
    #[error("failed to list the objects of kind {kind}")]
    List {
        /// As in `Pod`.
        kind: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
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
    /// Whether the object cannot be changed to what is desired, but could be deleted and created again.
    fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason.contains(FIELD_IMMUTABLE))
    }
}

/// What an apply did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was written, in order.
    pub written: Vec<Written>,
    /// Why another reconcile is needed soon.
    pub waiting: Option<String>,
    /// What stays as it is although something else is desired, because a replacement did not change it.
    pub kept: Option<String>,
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

/// What came of writing one object.
enum Made {
    Written,
    /// It existed already and was applied.
    Adopted(Origin),
    /// Not written: the text says what is waited for.
    Waiting(String),
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
    /// Applies the objects in the given order, each with the cluster's mark. `objects` have no placeholders any more.
    pub async fn apply(&self, key: &ClusterKey, objects: &[Value]) -> Result<Applied, Error> {
        let existing = self.store.objects(key);
        let mut applied = Applied::default();
        for object in objects {
            let Some(kind) = Kind::of(object) else { continue };
            let mut desired = object.clone();
            self.identity.mark(&mut desired);
            let name = ObjectKey::of(object).name;
            let found = existing.iter().find(|kept| kept.kind == kind && &*kept.name == name).map(Arc::as_ref);
            if let Some(reason) = found.and_then(is_ending) {
                applied.waiting = Some(reason);
                continue;
            }
            let origin = found.map(|kept| self.origin(&kept.object()));
            if let Some(Origin::Foreign(reason)) = origin {
                return Err(foreign(&kind, name, reason));
            }
            if let Some(kept) = found.filter(|kept| kept.kind.is("StatefulSet")) {
                operation::keep_claim_metadata(&mut desired, &kept.object());
            }
            if origin == Some(Origin::Former) && operation::is_created_once(&kind) {
                self.reclaim(key, &kind, name).await?;
                applied.written.push(Written {
                    kind,
                    name: name.to_owned(),
                    operation: Operation::Apply,
                    reclaimed: true,
                });
                continue;
            }
            created_as::state(&mut desired);
            let mut operation = operation::operation(&desired, found);
            if let (Operation::ReplaceAndOrphan, Some(kept)) = (operation, found) {
                operation = self.replacement(key, &kind, name, &mut desired, kept, &mut applied).await?;
            }
            if operation == Operation::Skip
                || found
                    .is_some_and(|kept| operation == Operation::Apply && self.last_applied.is_unchanged(&desired, kept))
            {
                continue;
            }
            let (operation, made) = match (self.execute(key, &kind, name, &desired, operation, found).await, found) {
                (Err(error), Some(found)) if error.is_for_good() && operation::may_be_replaced(&kind) => {
                    if created_as::is_as_desired(&desired, &found.object()) {
                        // What changed it when it was created, as an admission webhook does, would do so again.
                        applied.kept = Some(format!("{error}, also after it was created so; it stays as it is"));
                        continue;
                    }
                    self.delete(key, &kind, name, uid(&found.object()), &DeleteParams::background()).await?;
                    applied.waiting = Some(format!("{} {name} is being replaced", kind.kind));
                    (Operation::Replace, Made::Written)
                }
                (result, _) => (operation, result?),
            };
            if operation == Operation::ReplaceAndOrphan {
                applied.waiting = Some(format!("{} {name} is being replaced; its pods stay", kind.kind));
            }
            let (operation, origin) = match made {
                Made::Written => (operation, origin),
                Made::Adopted(origin) => (Operation::Apply, Some(origin)),
                Made::Waiting(reason) => {
                    applied.waiting = Some(reason);
                    continue;
                }
            };
            let reclaimed = origin == Some(Origin::Former);
            applied.written.push(Written { kind, name: name.to_owned(), operation, reclaimed });
        }
        Ok(applied)
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
            Err(error) => Err(failure(kind, name, error)),
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
            if operation::is_superfluous(&kept, &self.origin(&object), &desired) && is_ending(&kept).is_none() {
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
                if !self.origin(&object).is_own() || desired(kind, name) {
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
            Err(source) => return Err(Error::List { kind: kind.kind.to_string(), source: Box::new(source) }),
        };
        let objects = listed.into_iter().filter_map(|object| serde_json::to_value(object).ok());
        Ok(objects.map(|object| with_kind(object, kind)).collect())
    }

    /// An object as the API server has it now.
    pub async fn read(&self, key: &ClusterKey, kind: &Kind, name: &str) -> Result<Option<Value>, Error> {
        let found = self.api(key, kind).await.get_opt(name).await.map_err(|error| failure(kind, name, error))?;
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
        found: Option<&CachedObject>,
    ) -> Result<Made, Error> {
        match operation {
            Operation::Skip | Operation::Replace => {}
            Operation::Create => return self.create(key, kind, name, desired).await,
            Operation::Apply => self.force(key, kind, name, desired).await?,
            Operation::TakeOver => {
                self.take_over(key, kind, name, Owner::Predecessor).await?;
                self.force(key, kind, name, desired).await?;
            }
            Operation::ReplaceAndOrphan => {
                let uid = found.and_then(|found| uid(&found.object()));
                self.delete(key, kind, name, uid, &DeleteParams::orphan()).await?;
            }
        }
        Ok(Made::Written)
    }

    /// Creates an object. One that exists already is applied only if it is this cluster's: an apply would merge with what
    /// others made under this name.
    async fn create(&self, key: &ClusterKey, kind: &Kind, name: &str, desired: &Value) -> Result<Made, Error> {
        let api = self.api(key, kind).await;
        let Ok(body) = serde_json::from_value::<DynamicObject>(desired.clone()) else {
            let (kind, name) = (kind.kind.to_string(), name.to_owned());
            return Err(Error::Refused { kind, name, reason: "its metadata is not that of an object".to_owned() });
        };
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&params, &body).await {
            Ok(created) => {
                let created = match operation::is_created_once(kind) {
                    // It is never applied, so the fields need not be those of an apply.
                    true => created,
                    false => self.own_fields(&api, name, desired, created).await,
                };
                self.record(key, kind, "create", desired, created)?;
                Ok(Made::Written)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => self.adopt(key, kind, name, desired).await,
            Err(error) => Err(failure(kind, name, error)),
        }
    }

    /// Applies an object that exists and was not in the cache.
    async fn adopt(&self, key: &ClusterKey, kind: &Kind, name: &str, desired: &Value) -> Result<Made, Error> {
        let found = self.read(key, kind, name).await?;
        let Some(found) = found.filter(|found| !has_deletion_timestamp(found)) else {
            return Ok(Made::Waiting(format!("{} {name} is being deleted", kind.kind)));
        };
        let origin = self.origin(&found);
        if let Origin::Foreign(reason) = origin {
            return Err(foreign(kind, name, reason));
        }
        if !operation::is_created_once(kind) {
            self.force(key, kind, name, desired).await?;
        } else if origin == Origin::Former {
            self.reclaim(key, kind, name).await?;
        }
        Ok(Made::Adopted(origin))
    }

    /// Marks an object of an earlier manifest that is never applied.
    async fn reclaim(&self, key: &ClusterKey, kind: &Kind, name: &str) -> Result<(), Error> {
        let patch = json!({"metadata": {"annotations": self.identity.marks(&key.namespace)}});
        self.patch_metadata(key, kind, name, patch).await
    }

    /// Patches the metadata of an object, which stays as it is otherwise.
    pub async fn patch_metadata(&self, key: &ClusterKey, kind: &Kind, name: &str, patch: Value) -> Result<(), Error> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let answer = self.api(key, kind).await.patch(name, &params, &Patch::Merge(patch)).await;
        let object = answer.map_err(|error| failure(kind, name, error))?;
        self.metrics.wrote(&kind.kind, "patch");
        if let Ok(object) = serde_json::to_value(object) {
            self.store.record_write(with_kind(object, kind));
        }
        Ok(())
    }

    /// Turns the entry of a creation among the managed fields into that of an apply. Where this fails the next write does
    /// it.
    async fn own_fields(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        desired: &Value,
        created: DynamicObject,
    ) -> DynamicObject {
        let object = serde_json::to_value(&created).unwrap_or_default();
        let patch = field_manager::patch_created(&object, desired);
        let Some(patch) = patch.and_then(|patch| serde_json::from_value(patch).ok()) else { return created };
        match api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await {
            Ok(patched) => patched,
            Err(error) => {
                debug!(name, %error, "the fields of the new object are taken over by the next write");
                created
            }
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
            self.store.record_write(object);
            let name = ObjectKey::of(desired).name;
            if let Some(kept) = self.store.objects(key).iter().find(|kept| kept.kind == *kind && &*kept.name == name) {
                self.last_applied.record(desired, kept);
            }
        }
        Ok(())
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

fn foreign(kind: &Kind, name: &str, reason: String) -> Error {
    Error::Foreign { kind: kind.kind.to_string(), name: name.to_owned(), reason }
}

/// What refuses a request with the status 403 although the operator has the right to it, by the API server's message;
/// `None` if the right is missing.
fn denied_by(message: &str) -> Option<&'static str> {
    let says = |part: &str| message.contains(part);
    Some(match () {
        () if says("exceeded quota") || says("failed quota") => "a resource quota",
        () if says("violates PodSecurity") => "the namespace's Pod Security level",
        () if says("admission webhook") => "an admission webhook",
        () if says("ValidatingAdmissionPolicy") => "an admission policy",
        () if says("is being terminated") => "a namespace that is being deleted",
        // The words of RBAC: User "x" cannot create resource "services" in API group "".
        () if says("cannot") && says("resource \"") => return None,
        () => "an admission controller",
    })
}

fn failure(kind: &Kind, name: &str, error: kube::Error) -> Error {
    let (kind, name) = (kind.kind.to_string(), name.to_owned());
    match error {
        kube::Error::Api(status) if status.code == 403 => match denied_by(&status.message) {
            Some(by) => Error::Denied { by, kind, name, reason: status.message },
            None => Error::Forbidden { kind, name, reason: status.message },
        },
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
            Error::Refused { kind, name, reason: status.message }
        }
        source => Error::Write { kind, name, source: Box::new(source) },
    }
}

#[cfg(test)]
mod tests;
