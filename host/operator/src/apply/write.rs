//! The writes of one object: creates, adopts and applies it.

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use pgloom_decide::field_manager::{BESIDE, MANAGER};
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::ownership::Origin;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::error::{failure, foreign};
use super::field_manager::{self, Owner};
use super::{Error, Operation, Writer, has_deletion_timestamp, operation, uid, with_kind};
use crate::cache::{CachedObject, ClusterKey};

/// What came of writing one object.
pub(super) enum Made {
    Written,
    /// It existed already and was applied.
    Adopted(Origin),
    /// Not written: the text says what is waited for.
    Waiting(String),
}

impl Writer {
    pub(super) async fn execute(
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
            return Err(Error::Refused {
                kind,
                name,
                reason: "its metadata is not that of an object".to_owned(),
                fields: Vec::new(),
            });
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
            Err(error) => Err(failure(kind, name, desired, error)),
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
    pub(super) async fn reclaim(&self, key: &ClusterKey, kind: &Kind, name: &str) -> Result<(), Error> {
        let patch = json!({"metadata": {"annotations": self.identity.marks(&key.namespace)}});
        self.patch_metadata(key, kind, name, patch).await
    }

    /// Patches the metadata of an object, which stays as it is otherwise.
    pub async fn patch_metadata(&self, key: &ClusterKey, kind: &Kind, name: &str, patch: Value) -> Result<(), Error> {
        self.patch_as(MANAGER, key, kind, name, patch).await
    }

    /// Patches fields of an object that no apply states, and none removes.
    pub async fn patch_beside(&self, key: &ClusterKey, kind: &Kind, name: &str, patch: Value) -> Result<(), Error> {
        self.patch_as(BESIDE, key, kind, name, patch).await
    }

    async fn patch_as(
        &self,
        manager: &str,
        key: &ClusterKey,
        kind: &Kind,
        name: &str,
        patch: Value,
    ) -> Result<(), Error> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let answer = self.api(key, kind).await.patch(name, &params, &Patch::Merge(patch)).await;
        let object = answer.map_err(|error| failure(kind, name, &Value::Null, error))?;
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
                let error = error_chain(&error);
                debug!(name, error, "the fields of the new object are taken over by the next write");
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
        let object = answer.map_err(|error| failure(kind, name, desired, error))?;
        self.record(key, kind, "apply", desired, object)
    }

    /// Makes what others wrote the operator's own; whether there was anything.
    async fn take_over(&self, key: &ClusterKey, kind: &Kind, name: &str, owner: Owner) -> Result<bool, Error> {
        let api = self.api(key, kind).await;
        let found = api.get_opt(name).await.map_err(|error| failure(kind, name, &Value::Null, error))?;
        let object = found.and_then(|found| serde_json::to_value(found).ok()).unwrap_or_default();
        let Some(patch) = field_manager::patch(&object, owner).and_then(|patch| serde_json::from_value(patch).ok())
        else {
            return Ok(false);
        };
        let answer = api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await;
        answer.map_err(|error| failure(kind, name, &Value::Null, error))?;
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
}
