//! What was applied last, so that an object which the API server writes in another form is not applied again and again.

use std::collections::HashMap;

use parking_lot::Mutex;
use pgloom_common::fingerprint::fingerprint;
use pgloom_decide::Kind;
use serde_json::Value;

use crate::cache::CachedObject;

/// The hashes of one cluster's objects: what was applied last, and what came back.
#[derive(Default)]
pub struct LastApplied(Mutex<HashMap<(Kind, String), (u64, u64)>>);

impl LastApplied {
    /// Whether the same was applied before and the object has not changed since.
    pub fn is_unchanged(&self, desired: &Value, existing: &CachedObject) -> bool {
        self.0.lock().get(&slot(existing)) == Some(&(hash(desired), existing.content))
    }

    /// Records what was applied and what came back.
    pub fn record(&self, desired: &Value, answer: &CachedObject) {
        self.0.lock().insert(slot(answer), (hash(desired), answer.content));
    }
}

fn slot(kept: &CachedObject) -> (Kind, String) {
    (kept.kind.clone(), kept.name.to_string())
}

fn hash(value: &Value) -> u64 {
    fingerprint(&value.to_string())
}
