//! What was applied last, so that an object which the API server writes in another form is not applied again and again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use pgloom_decide::Kind;
use serde_json::Value;

use crate::cache::{CachedObject, ClusterKey};

/// The hashes of one cluster's objects: what was applied, and what came back.
type Hashes = HashMap<(Kind, String), (u64, u64)>;

/// The hashes of what was applied last and of what came back, by object.
#[derive(Default)]
pub struct LastApplied {
    last: Mutex<HashMap<ClusterKey, Hashes>>,
}

impl LastApplied {
    /// Whether the same was applied before and the object has not changed since.
    pub fn is_unchanged(&self, key: &ClusterKey, desired: &Value, existing: &CachedObject) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = last.get(key).and_then(|objects| objects.get(&slot(existing)));
        noted == Some(&(hash(desired), existing.content))
    }

    /// Records what was applied and what came back.
    pub fn record(&self, key: &ClusterKey, desired: &Value, answer: &CachedObject) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.entry(key.clone()).or_default().insert(slot(answer), (hash(desired), answer.content));
    }

    /// Forgets a cluster.
    pub fn forget(&self, key: &ClusterKey) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

fn slot(kept: &CachedObject) -> (Kind, String) {
    (kept.kind.clone(), kept.name.to_string())
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}
