//! The check of every desired object against what exists, before the first of them is written.

use pgloom_common::name::PATRONI;
use pgloom_decide::Kind;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::ownership::Origin;
use serde_json::Value;

use super::{Error, Refused, Writer, foreign, has_deletion_timestamp};
use crate::cache::ClusterKey;

/// Which of the desired objects are not in the cache.
#[derive(Debug, Default)]
pub struct Missing {
    /// Whether there are any.
    pub any: bool,
    /// Those of them that exist and are the cluster's own.
    pub unseen: Vec<Value>,
    /// The objects that steps want beside the database's own, and that are another owner's: each is left out.
    pub foreign: Vec<Refused>,
}

impl Writer {
    /// Checks that none of the objects is another owner's. What the cache does not hold is read: others need not have the
    /// label by which the watches find objects. `is_extra` returns whether the database does without an object: one that is
    /// another owner's is in the answer.
    ///
    /// # Errors
    /// The first object of the database that is another owner's, or one that could not be read.
    pub async fn check(
        &self,
        key: &ClusterKey,
        objects: &[Value],
        is_extra: impl Fn(&Kind, &str) -> bool,
    ) -> Result<Missing, Error> {
        let mut missing = Missing::default();
        for object in objects {
            let Some(kind) = Kind::of(object) else { continue };
            let name = ObjectKey::of(object).name;
            let leave_out = |error| match is_extra(&kind, name) {
                true => Ok(Refused { kind: kind.clone(), name: name.to_owned(), error }),
                false => Err(error),
            };
            if let Some(kept) = self.store.find(&kind, &key.namespace, name) {
                if let Err(error) = self.check_origin(&kind, name, &kept.object()) {
                    missing.foreign.push(leave_out(error)?);
                }
                continue;
            }
            missing.any = true;
            let found = match self.read(key, &kind, name).await {
                // Where it may not be read it is not written either, which names the right that is missing.
                Err(Error::Forbidden { .. }) => None,
                found => found?,
            };
            let Some(found) = found else { continue };
            match self.check_origin(&kind, name, &found) {
                Ok(()) => missing.unseen.push(found),
                Err(error) => missing.foreign.push(leave_out(error)?),
            }
        }
        self.check_patronis(key)?;
        Ok(missing)
    }

    /// Checks the objects into which Patroni would write: another cluster may have one of these names, and Patroni asks for no
    /// owner.
    fn check_patronis(&self, key: &ClusterKey) -> Result<(), Error> {
        for suffix in PATRONI {
            for kind in ["Endpoints", "Service", "ConfigMap"] {
                let (kind, name) = (Kind::new("v1", kind), format!("{}{suffix}", key.name));
                let kept = self.store.find(&kind, &key.namespace, &name).map(|kept| kept.object());
                if let Some(of_another) = kept.filter(|kept| !self.identity.has_name_label(kept)) {
                    self.check_origin(&kind, &name, &of_another)?;
                }
            }
        }
        Ok(())
    }

    fn check_origin(&self, kind: &Kind, name: &str, object: &Value) -> Result<(), Error> {
        match self.origin(object) {
            Origin::Foreign(reason) if !has_deletion_timestamp(object) => Err(foreign(kind, name, reason)),
            _ => Ok(()),
        }
    }
}
