//! The hashes of the last applies. Without them an object that the API server stores in another form would be applied
//! at every reconcile.

use std::collections::HashMap;

use parking_lot::Mutex;
use pgloom_common::fingerprint::fingerprint;
use pgloom_decide::Kind;
use serde_json::Value;

use crate::cache::CachedObject;

/// Which object of the cluster.
type Slot = (Kind, String);

/// For each object of one cluster, the hashes of the last applied object and of the API server's answer.
#[derive(Default)]
pub struct LastApplied(Mutex<HashMap<Slot, (u64, u64)>>);

impl LastApplied {
    /// Whether the last apply stated the same and the object has not changed since.
    pub fn is_unchanged(&self, desired: &Value, existing: &CachedObject) -> bool {
        self.0.lock().get(&slot(existing)) == Some(&(hash(desired), existing.content))
    }

    /// Records an apply and the API server's answer.
    pub fn record(&self, desired: &Value, answer: &CachedObject) {
        self.0.lock().insert(slot(answer), (hash(desired), answer.content));
    }

    /// Forgets what was applied to an object that is deleted.
    pub fn forget(&self, kind: &Kind, name: &str) {
        self.0.lock().remove(&(kind.clone(), name.to_owned()));
    }
}

fn slot(object: &CachedObject) -> Slot {
    (object.kind.clone(), object.name.to_string())
}

fn hash(value: &Value) -> u64 {
    fingerprint(&value.to_string())
}
