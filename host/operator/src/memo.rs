//! Plans of clusters that were looked at last, reused while nothing changed that they rest on.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};

use pgloom_api::config::Config;
use pgloom_engine::{ActionRecord, Pipeline};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::decide::Plan;
use crate::observed::Observed;

/// For how many clusters a plan is kept. A plan is large, and looks at the same cluster come in a row.
const KEPT: usize = 64;

/// What a decision rests on beside the settings, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis([u8; 32]);

impl Basis {
    /// The hash of all that [`decide`](crate::decide::decide) reads of its first and third argument. What steps answered last
    /// is left out: it matters only when a step fails, and the plan that comes of that is not kept.
    pub fn of(manifest: &Value, observed: &Observed) -> Self {
        let mut digest = Sha::default();
        for field in ["apiVersion", "kind", "spec"] {
            manifest[field].hash(&mut digest);
        }
        for field in ["name", "namespace", "uid", "labels", "annotations"] {
            manifest["metadata"][field].hash(&mut digest);
        }
        // Every field by name, so that a new one cannot be forgotten.
        let Observed { objects, actions, last: _, infrastructure, infrastructure_findings, teams } = observed;
        objects.hash(&mut digest);
        actions.len().hash(&mut digest);
        for ActionRecord { step, key, phase, message } in actions {
            (step, key, discriminant(phase), message).hash(&mut digest);
        }
        infrastructure.hash(&mut digest);
        infrastructure_findings.hash(&mut digest);
        teams.hash(&mut digest);
        Self(digest.finalize())
    }
}

/// SHA-256 as a hasher. Values write a byte here and a few there, so they are gathered first.
struct Sha {
    digest: Sha256,
    gathered: [u8; Self::BLOCK],
    length: usize,
}

impl Sha {
    const BLOCK: usize = 1024;

    #[cold]
    fn flush(&mut self) {
        self.digest.update(self.gathered.get(..self.length).unwrap_or_default());
        self.length = 0;
    }

    fn finalize(mut self) -> [u8; 32] {
        self.flush();
        self.digest.finalize().into()
    }
}

impl Default for Sha {
    fn default() -> Self {
        Self { digest: Sha256::new(), gathered: [0; Self::BLOCK], length: 0 }
    }
}

impl Hasher for Sha {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() > Self::BLOCK {
            self.flush();
        }
        match self.gathered.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.digest.update(bytes),
        }
    }

    fn finish(&self) -> u64 {
        let mut digest = self.digest.clone();
        digest.update(self.gathered.get(..self.length).unwrap_or_default());
        digest.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// The plans of the clusters that were looked at last, by `K`, which names a cluster.
pub struct Memos<K>(Mutex<Shelf<K>>);

struct Shelf<K> {
    /// Counts the looks, to know which was the last.
    now: u64,
    memos: HashMap<K, Kept>,
}

/// A plan and what it was made of.
#[derive(Clone)]
pub struct Memo {
    /// What it rests on.
    pub basis: Basis,
    /// The operator configuration that it was made with.
    pub config: Arc<Config>,
    /// The pipeline that made it.
    pub pipeline: Arc<Pipeline>,
    /// The plan.
    pub plan: Arc<Plan>,
}

struct Kept {
    memo: Memo,
    used: u64,
}

impl<K> Default for Memos<K> {
    fn default() -> Self {
        Self(Mutex::new(Shelf { now: 0, memos: HashMap::new() }))
    }
}

impl<K: Clone + Eq + Hash> Memos<K> {
    /// The plan of a cluster, if it rests on the same and was made with the same settings.
    pub fn find(&self, key: &K, basis: &Basis, config: &Arc<Config>, pipeline: &Arc<Pipeline>) -> Option<Arc<Plan>> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.now += 1;
        let now = shelf.now;
        let kept = shelf.memos.get_mut(key).filter(|Kept { memo, .. }| {
            memo.basis == *basis && Arc::ptr_eq(&memo.config, config) && Arc::ptr_eq(&memo.pipeline, pipeline)
        })?;
        kept.used = now;
        Some(kept.memo.plan.clone())
    }

    /// Keeps the plan of a cluster. One that lacks a step's answer is not kept: another try may get it.
    pub fn keep(&self, key: &K, memo: Memo) {
        if memo.plan.degraded {
            return;
        }
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.now += 1;
        let used = shelf.now;
        shelf.memos.insert(key.clone(), Kept { memo, used });
        if shelf.memos.len() > KEPT {
            let oldest = shelf.memos.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone());
            oldest.and_then(|key| shelf.memos.remove(&key));
        }
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).memos.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use pgloom_engine::ActionPhase;
    use serde_json::json;

    use super::*;
    use crate::credential::Password;
    use crate::decide::decide;
    use crate::role::{Flags, InfrastructureRole, Team};

    fn manifest() -> Value {
        json!({
            "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
            "metadata": {"name": "acid-orders", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
            "spec": {"teamId": "acid", "numberOfInstances": 2}, "status": {"PostgresClusterStatus": "Creating"},
        })
    }

    fn memo(basis: Basis) -> Memo {
        let config = Arc::new(Config::defaults());
        let pipeline = Arc::new(Pipeline::of(Vec::new()).unwrap());
        let mut manifest = manifest();
        manifest["spec"]["volume"] = json!({"size": "1Gi"});
        manifest["spec"]["postgresql"] = json!({"version": "17"});
        let plan = Arc::new(decide(&manifest, &config, &Observed::default(), &pipeline).unwrap());
        Memo { basis, config, pipeline, plan }
    }

    fn find(memos: &Memos<usize>, key: usize, memo: &Memo) -> bool {
        memos.find(&key, &memo.basis, &memo.config, &memo.pipeline).is_some()
    }

    #[test]
    fn what_decisions_do_not_rest_on_changes_no_basis() {
        let before = Basis::of(&manifest(), &Observed::default());
        let mut after = manifest();
        after["status"] = json!({"PostgresClusterStatus": "Running"});
        after["metadata"]["resourceVersion"] = json!("2");
        assert_eq!(before, Basis::of(&after, &Observed::default()));
    }

    #[test]
    fn all_that_decisions_rest_on_changes_the_basis() {
        let mut seen = vec![Basis::of(&manifest(), &Observed::default())];
        for (pointer, value) in
            [("/spec/numberOfInstances", json!(3)), ("/metadata/uid", json!("v")), ("/metadata/name", json!("b"))]
        {
            let mut changed = manifest();
            *changed.pointer_mut(pointer).unwrap() = value;
            seen.push(Basis::of(&changed, &Observed::default()));
        }
        let record =
            |phase| ActionRecord { step: "pooler".into(), key: "access".into(), phase, message: String::new() };
        let role = |password: &str| InfrastructureRole {
            name: "robot".into(),
            password: Password::new(password),
            flags: Flags::default(),
            member_of: Default::default(),
            admin: None,
            parameters: Default::default(),
        };
        for observed in [
            Observed { objects: vec![json!({"kind": "Secret"})], ..Observed::default() },
            Observed { objects: vec![json!({"kind": "Service"})], ..Observed::default() },
            Observed { actions: vec![record(ActionPhase::Running)], ..Observed::default() },
            Observed { actions: vec![record(ActionPhase::Done)], ..Observed::default() },
            Observed { infrastructure: vec![role("a")], ..Observed::default() },
            Observed { infrastructure: vec![role("b")], ..Observed::default() },
            Observed { teams: vec![Team { name: "acid".into(), ..Team::default() }], ..Observed::default() },
        ] {
            seen.push(Basis::of(&manifest(), &observed));
        }
        for (index, basis) in seen.iter().enumerate() {
            assert!(!seen[..index].contains(basis), "{index} has the basis of an earlier one");
        }
    }

    #[test]
    fn a_long_text_is_hashed_as_it_is() {
        let basis = |length: usize| Basis::of(&json!({"spec": "x".repeat(length)}), &Observed::default());
        assert_eq!(basis(Sha::BLOCK * 3), basis(Sha::BLOCK * 3));
        assert_ne!(basis(Sha::BLOCK * 3), basis(Sha::BLOCK * 3 - 1));
    }

    #[test]
    fn a_plan_is_found_again_only_for_its_cluster_on_the_same_basis_and_settings() {
        let (memos, memo) = (Memos::default(), memo(Basis::of(&manifest(), &Observed::default())));
        memos.keep(&1, memo.clone());
        assert!(find(&memos, 1, &memo));
        assert!(!find(&memos, 2, &memo));
        let basis = Basis::of(&json!({}), &Observed::default());
        assert!(!find(&memos, 1, &Memo { basis, ..memo.clone() }));
        let reread = Arc::new(Config::defaults());
        assert!(!find(&memos, 1, &Memo { config: reread, ..memo.clone() }));
        let reloaded = Arc::new(Pipeline::of(Vec::new()).unwrap());
        assert!(!find(&memos, 1, &Memo { pipeline: reloaded, ..memo.clone() }));
        memos.forget(&1);
        assert!(!find(&memos, 1, &memo));
    }

    #[test]
    fn a_plan_that_lacks_a_steps_answer_is_not_kept() {
        let (memos, memo) = (Memos::default(), memo(Basis::of(&manifest(), &Observed::default())));
        let degraded = Plan { degraded: true, ..Plan::clone(&memo.plan) };
        memos.keep(&1, Memo { plan: Arc::new(degraded), ..memo.clone() });
        assert!(!find(&memos, 1, &memo));
    }

    #[test]
    fn the_cluster_that_was_not_looked_at_for_the_longest_time_gives_way() {
        let (memos, memo) = (Memos::default(), memo(Basis::of(&manifest(), &Observed::default())));
        for key in 0..KEPT {
            memos.keep(&key, memo.clone());
        }
        assert!(find(&memos, 0, &memo));
        memos.keep(&KEPT, memo.clone());
        assert!(find(&memos, 0, &memo));
        assert!(!find(&memos, 1, &memo));
    }
}
