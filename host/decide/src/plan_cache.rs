//! A cache of plans by cluster. A plan is reused while its input has not changed.
//!
//! A decision calls every plugin of the pipeline, which is most of the work of a reconcile, and most reconciles come
//! from events that change nothing of its input, as when a pod becomes ready. The cache is keyed by a hash instead of
//! the input itself: the input is as large as all objects of the cluster.
//!
//! Why not the crate `lru`: a plan is found by cluster and used only if its key, configuration and pipeline are the
//! same, and among so few entries the oldest is found by comparing all.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};

use pgloom_api::config::Config;
use pgloom_engine::{ActionRecord, Pipeline, Sha};
use serde_json::Value;

use crate::{Observed, Plan};

/// The number of clusters whose plan is kept. A plan is large, and reconciles of one cluster follow each other closely.
const CACHE_CAPACITY: usize = 64;

/// The SHA-256 of the input of a decision, without the configuration and the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The hash of the manifest and of the observed input that [`decide`](crate::decide) reads. [`Observed::last`] is
    /// left out: it is used only if a step fails, and such a plan is not kept.
    pub fn of(manifest: &Value, observed: &Observed) -> Self {
        let mut digest = Sha::default();
        for field in ["apiVersion", "kind", "spec"] {
            manifest[field].hash(&mut digest);
        }
        for field in ["name", "namespace", "uid", "labels", "annotations"] {
            manifest["metadata"][field].hash(&mut digest);
        }
        // Every field by name, so that a new one cannot be forgotten.
        let Observed {
            objects,
            others,
            unreadable,
            actions,
            last: _,
            infrastructure,
            infrastructure_findings,
            teams,
            knows_teams,
        } = observed;
        objects.hash(&mut digest);
        others.hash(&mut digest);
        unreadable.hash(&mut digest);
        actions.len().hash(&mut digest);
        for ActionRecord { step, key, phase, message } in actions {
            (step, key, discriminant(phase), message).hash(&mut digest);
        }
        infrastructure.hash(&mut digest);
        infrastructure_findings.hash(&mut digest);
        (teams, knows_teams).hash(&mut digest);
        Self(digest.finalize())
    }
}

/// The plans of the most recently reconciled clusters. `K` identifies a cluster.
pub struct PlanCache<K>(Mutex<Plans<K>>);

struct Plans<K> {
    /// A counter of uses, for the eviction of the least recently used plan; it replaces a clock.
    now: u64,
    /// The counter when the unused plans were last removed.
    swept: u64,
    entries: HashMap<K, Used>,
}

/// A plan and its input.
#[derive(Clone)]
pub struct Entry {
    /// The hash of the manifest and of the observed input.
    pub key: Key,
    /// The operator configuration.
    pub config: Arc<Config>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// The plan.
    pub plan: Arc<Plan>,
}

struct Used {
    entry: Entry,
    used: u64,
}

impl<K> Default for PlanCache<K> {
    fn default() -> Self {
        Self(Mutex::new(Plans { now: 0, swept: 0, entries: HashMap::new() }))
    }
}

impl<K: Clone + Eq + Hash> PlanCache<K> {
    /// The plan of a cluster, if its input, configuration and pipeline are the same.
    pub fn get(&self, cluster: &K, key: &Key, config: &Arc<Config>, pipeline: &Arc<Pipeline>) -> Option<Arc<Plan>> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.now += 1;
        let now = plans.now;
        let kept = plans.entries.get_mut(cluster).filter(|Used { entry, .. }| {
            entry.key == *key && Arc::ptr_eq(&entry.config, config) && Arc::ptr_eq(&entry.pipeline, pipeline)
        })?;
        kept.used = now;
        Some(kept.entry.plan.clone())
    }

    /// Keeps the plan of a cluster. A degraded plan is not kept, because another decision may succeed.
    pub fn insert(&self, cluster: &K, entry: Entry) {
        if entry.plan.degraded {
            return;
        }
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.now += 1;
        let used = plans.now;
        plans.entries.insert(cluster.clone(), Used { entry, used });
        if plans.entries.len() > CACHE_CAPACITY {
            let oldest = plans.entries.iter().min_by_key(|(_, kept)| kept.used).map(|(cluster, _)| cluster.clone());
            oldest.and_then(|cluster| plans.entries.remove(&cluster));
        }
    }

    /// Removes the plans that were not used since the last call: the next reconcile of a cluster at rest is far away.
    pub fn sweep(&self) {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Plans { now, swept, entries } = &mut *plans;
        let before = std::mem::replace(swept, *now);
        entries.retain(|_, kept| kept.used > before);
    }

    /// Removes the plan of a cluster that no longer exists.
    pub fn forget(&self, cluster: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries.remove(cluster);
    }
}

#[cfg(test)]
mod tests {
    use pgloom_api::ActionPhase;
    use serde_json::json;

    use super::*;
    use crate::credential::Password;
    use crate::decide;
    use crate::role::{Attributes, InfrastructureRole, Team};

    fn manifest() -> Value {
        json!({
            "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
            "metadata": {"name": "acid-orders", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
            "spec": {"teamId": "acid", "numberOfInstances": 2}, "status": {"PostgresClusterStatus": "Creating"},
        })
    }

    fn entry(key: Key) -> Entry {
        let config = Arc::new(Config::defaults());
        let pipeline = Arc::new(Pipeline::of(Vec::new()).unwrap());
        let mut manifest = manifest();
        manifest["spec"]["volume"] = json!({"size": "1Gi"});
        manifest["spec"]["postgresql"] = json!({"version": "17"});
        let plan = Arc::new(decide(&manifest, &config, &Observed::default(), &pipeline).unwrap());
        Entry { key, config, pipeline, plan }
    }

    fn find(plans: &PlanCache<usize>, key: usize, entry: &Entry) -> bool {
        plans.get(&key, &entry.key, &entry.config, &entry.pipeline).is_some()
    }

    #[test]
    fn what_decisions_do_not_depend_on_changes_no_key() {
        let before = Key::of(&manifest(), &Observed::default());
        let mut after = manifest();
        after["status"] = json!({"PostgresClusterStatus": "Running"});
        after["metadata"]["resourceVersion"] = json!("2");
        assert_eq!(before, Key::of(&after, &Observed::default()));
    }

    #[test]
    fn all_that_decisions_depend_on_changes_the_key() {
        let mut seen = vec![Key::of(&manifest(), &Observed::default())];
        for (pointer, value) in
            [("/spec/numberOfInstances", json!(3)), ("/metadata/uid", json!("v")), ("/metadata/name", json!("b"))]
        {
            let mut changed = manifest();
            *changed.pointer_mut(pointer).unwrap() = value;
            seen.push(Key::of(&changed, &Observed::default()));
        }
        let record =
            |phase| ActionRecord { step: "pooler".into(), key: "access".into(), phase, message: String::new() };
        let role = |password: &str| InfrastructureRole {
            name: "robot".into(),
            password: Password::new(password),
            attributes: Attributes::default(),
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
            Observed { knows_teams: true, ..Observed::default() },
            Observed { teams: vec![Team { name: "acid".into(), ..Team::default() }], ..Observed::default() },
        ] {
            seen.push(Key::of(&manifest(), &observed));
        }
        for (index, key) in seen.iter().enumerate() {
            assert!(!seen[..index].contains(key), "{index} has the key of an earlier one");
        }
    }

    #[test]
    fn a_plan_is_found_again_only_for_its_cluster_with_the_same_key_and_settings() {
        let (plans, entry) = (PlanCache::default(), entry(Key::of(&manifest(), &Observed::default())));
        plans.insert(&1, entry.clone());
        assert!(find(&plans, 1, &entry));
        assert!(!find(&plans, 2, &entry));
        let key = Key::of(&json!({}), &Observed::default());
        assert!(!find(&plans, 1, &Entry { key, ..entry.clone() }));
        let reread = Arc::new(Config::defaults());
        assert!(!find(&plans, 1, &Entry { config: reread, ..entry.clone() }));
        let reloaded = Arc::new(Pipeline::of(Vec::new()).unwrap());
        assert!(!find(&plans, 1, &Entry { pipeline: reloaded, ..entry.clone() }));
        plans.forget(&1);
        assert!(!find(&plans, 1, &entry));
    }

    #[test]
    fn a_plan_that_lacks_a_steps_answer_is_not_kept() {
        let (plans, entry) = (PlanCache::default(), entry(Key::of(&manifest(), &Observed::default())));
        let degraded = Plan { degraded: true, ..Plan::clone(&entry.plan) };
        plans.insert(&1, Entry { plan: Arc::new(degraded), ..entry.clone() });
        assert!(!find(&plans, 1, &entry));
    }

    #[test]
    fn a_plan_that_was_not_used_between_two_sweeps_is_removed() {
        let (plans, entry) = (PlanCache::default(), entry(Key::of(&manifest(), &Observed::default())));
        plans.insert(&1, entry.clone());
        plans.insert(&2, entry.clone());
        plans.sweep();
        assert!(find(&plans, 1, &entry));
        plans.sweep();
        assert!(find(&plans, 1, &entry));
        assert!(!find(&plans, 2, &entry));
    }

    #[test]
    fn the_cluster_whose_plan_was_not_used_for_the_longest_time_gives_way() {
        let (plans, entry) = (PlanCache::default(), entry(Key::of(&manifest(), &Observed::default())));
        for key in 0..CACHE_CAPACITY {
            plans.insert(&key, entry.clone());
        }
        assert!(find(&plans, 0, &entry));
        plans.insert(&CACHE_CAPACITY, entry.clone());
        assert!(find(&plans, 0, &entry));
        assert!(!find(&plans, 1, &entry));
    }
}
