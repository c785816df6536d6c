//! What was applied last, so that an object which the API server writes in another form is not applied again and again.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;
use pgloom_decide::Kind;
use serde_json::{Value, json};

use crate::cache::CachedObject;

/// The hashes of one cluster's objects: what was applied last, and what came back.
#[derive(Default)]
pub struct LastApplied {
    applied: Mutex<HashMap<(Kind, String), (u64, u64)>>,
    /// What was desired and existed when an object was replaced.
    replaced: Mutex<HashSet<u64>>,
}

impl LastApplied {
    /// Whether the same was applied before and the object has not changed since.
    pub fn is_unchanged(&self, desired: &Value, existing: &CachedObject) -> bool {
        self.applied.lock().get(&slot(existing)) == Some(&(hash(desired), existing.content))
    }

    /// Records what was applied and what came back.
    pub fn record(&self, desired: &Value, answer: &CachedObject) {
        self.applied.lock().insert(slot(answer), (hash(desired), answer.content));
    }

    /// Whether an object was replaced for the same difference before: what was desired and what existed.
    pub fn is_replaced(&self, (desired, live): &(Value, Value)) -> bool {
        self.replaced.lock().contains(&hash(&json!([desired, live])))
    }

    /// Records that an object is replaced for a difference.
    pub fn record_replaced(&self, (desired, live): &(Value, Value)) {
        self.replaced.lock().insert(hash(&json!([desired, live])));
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
