//! The hashes of the last applies. Without them an object that the API server stores in another form would be applied
//! at every reconcile.

use std::collections::HashMap;

use parking_lot::Mutex;
use pgloom_common::fingerprint::fingerprint;
use pgloom_decide::Kind;
use serde_json::{Value, json};

use crate::cache::CachedObject;

/// Which object of the cluster.
type Slot = (Kind, String);

/// For each object of one cluster, the hashes of the last applied object and of the API server's answer.
#[derive(Default)]
pub struct LastApplied {
    applied: Mutex<HashMap<Slot, (u64, u64)>>,
    replaced: Mutex<HashMap<Slot, Replacement>>,
}

/// The last time an object was deleted or created.
struct Replacement {
    /// The uid of the object that was deleted; `None` if one was created since.
    deleted: Option<String>,
    /// A hash of what was desired and what existed.
    difference: u64,
}

impl LastApplied {
    /// Whether the last apply stated the same and the object has not changed since.
    pub fn is_unchanged(&self, desired: &Value, existing: &CachedObject) -> bool {
        self.applied.lock().get(&slot(existing)) == Some(&(hash(desired), existing.content))
    }

    /// Records an apply and the API server's answer.
    pub fn record(&self, desired: &Value, answer: &CachedObject) {
        self.applied.lock().insert(slot(answer), (hash(desired), answer.content));
    }

    /// Whether the object that exists was created after a deletion for the same difference, or differed like this at its
    /// creation. A difference is what was desired and what existed.
    pub fn is_replaced(&self, existing: &CachedObject, difference: &(Value, Value)) -> bool {
        self.replaced.lock().get(&slot(existing)).is_some_and(|last| {
            let is_new = last.deleted.as_ref().is_none_or(|deleted| *deleted != uid(existing));
            is_new && last.difference == hash(&json!(difference))
        })
    }

    /// Records that an object is deleted for a difference.
    pub fn record_deleted(&self, existing: &CachedObject, difference: &(Value, Value)) {
        let last = Replacement { deleted: Some(uid(existing)), difference: hash(&json!(difference)) };
        self.replaced.lock().insert(slot(existing), last);
    }

    /// Records how an object differed at its creation.
    pub fn record_created(&self, created: &CachedObject, difference: &(Value, Value)) {
        let last = Replacement { deleted: None, difference: hash(&json!(difference)) };
        self.replaced.lock().insert(slot(created), last);
    }

    /// Forgets what was applied to an object that is deleted.
    pub fn forget(&self, kind: &Kind, name: &str) {
        self.applied.lock().remove(&(kind.clone(), name.to_owned()));
    }
}

fn slot(object: &CachedObject) -> Slot {
    (object.kind.clone(), object.name.to_string())
}

fn uid(object: &CachedObject) -> String {
    object.object()["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn hash(value: &Value) -> u64 {
    fingerprint(&value.to_string())
}
