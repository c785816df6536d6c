//! What the operator remembers of each cluster from one reconcile to the next.
//!
//! All of it may be lost, as at a restart of the operator: then something is read, written or published once more than
//! needed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use parking_lot::Mutex;
use pgloom_decide::credential::Password;
use pgloom_decide::plan_cache::PlanCache;
use pgloom_decide::rollout::Switchover;
use pgloom_engine::Response;
use tokio::sync::Semaphore;

use crate::apply::LastApplied;
use crate::cache::ClusterKey;
use crate::execute::database::Resume;
use crate::execute::task::Job;
use crate::report::Warnings;

/// What is remembered of the clusters.
pub struct ClusterStates {
    /// The plans. How many are kept is bounded over all clusters, so they are not part of [`ClusterState`].
    pub plans: PlanCache<ClusterKey>,
    states: Mutex<HashMap<ClusterKey, Arc<ClusterState>>>,
    changed: UnboundedSender<ClusterKey>,
    slots: Slots,
}

/// How many databases are synchronised at the same time. Each may take as much memory as a server may send.
const DATABASES: usize = 16;
/// How many clusters' Patroni configurations are changed at the same time.
const PATRONIS: usize = 256;

/// The slots in which jobs run.
struct Slots {
    databases: Arc<Semaphore>,
    patronis: Arc<Semaphore>,
}

/// What is remembered of one cluster.
pub struct ClusterState {
    /// The job that synchronises roles and databases.
    pub database: Job<Synchronization>,
    /// Where the next synchronisation continues.
    pub resume: Resume,
    /// The job that changes Patroni's configuration.
    pub patroni: Job<()>,
    /// The change of Patroni's configuration whose restarts are owed. After a restart of the operator it is not known,
    /// and Patroni is asked which members wait.
    pub restarts: Arc<Mutex<Option<ConfigurationChange>>>,
    /// The objects as they were applied last.
    pub last_applied: Arc<LastApplied>,
    /// The warnings as they were published last.
    pub warnings: Warnings,
    /// Everything else.
    pub memory: Mutex<Memory>,
}

/// What a synchronisation of roles and databases came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synchronization {
    /// What people should know.
    pub warnings: Vec<String>,
}

/// What is remembered of one cluster as plain values.
#[derive(Debug, Default)]
pub struct Memory {
    /// Reconciles in a row that failed.
    pub failures: u32,
    /// The switchover that Patroni refused last.
    pub refused: Option<Refusal>,
    /// A hash of the Secrets as they were last found to be complete.
    pub credentials: Option<u64>,
    /// The passwords of the system users. Without them a Secret that is deleted could not be restored with the password
    /// that the database has.
    pub passwords: BTreeMap<String, Password>,
    /// The last answers of the steps that keep them.
    pub last_answers: BTreeMap<String, Response>,
    /// Whether the begin of the deletion was published.
    pub deleting: bool,
    /// The node that the leader has to leave, and since when.
    pub leaving: Option<(String, Instant)>,
    /// Whether the begin of a rolling update was published, and not yet its end.
    pub rolling: bool,
    /// Pods of another revision that run the template all the same, by uid, with the template's revision.
    pub same_template: HashMap<String, String>,
    /// The `PostgresClusterStatus` under which the cluster is counted in the metrics.
    pub counted: Option<String>,
}

/// A change of Patroni's configuration.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationChange {
    /// When it was made.
    pub at: Instant,
    /// How long it takes until every member has seen it.
    pub seen_after: Duration,
    /// Whether the leader has to be restarted before the replicas.
    pub leader_first: bool,
}

/// A switchover that Patroni refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What was asked for.
    pub switchover: Switchover,
    /// When.
    pub since: Instant,
    /// What Patroni answered, for the status.
    pub reason: String,
}

impl ClusterStates {
    /// Nothing is remembered yet. A cluster whose job ended is sent to `changed`.
    pub fn new(changed: UnboundedSender<ClusterKey>) -> Self {
        let slots =
            Slots { databases: Arc::new(Semaphore::new(DATABASES)), patronis: Arc::new(Semaphore::new(PATRONIS)) };
        Self { plans: PlanCache::default(), states: Mutex::default(), changed, slots }
    }

    /// What is remembered of a cluster.
    pub fn of(&self, key: &ClusterKey) -> Arc<ClusterState> {
        let new = || Arc::new(ClusterState::new(key, &self.changed, &self.slots));
        self.states.lock().entry(key.clone()).or_insert_with(new).clone()
    }

    /// Reconciles of a cluster in a row that failed.
    pub fn failures(&self, key: &ClusterKey) -> u32 {
        self.states.lock().get(key).map_or(0, |state| state.memory.lock().failures)
    }

    /// Forgets a cluster and returns what was remembered. Its jobs are stopped.
    pub fn forget(&self, key: &ClusterKey) -> Option<Arc<ClusterState>> {
        self.plans.forget(key);
        let state = self.states.lock().remove(key)?;
        state.stop();
        Some(state)
    }

    /// Stops all jobs.
    pub fn stop(&self) {
        self.states.lock().values().for_each(|state| state.stop());
    }
}

impl ClusterState {
    fn new(key: &ClusterKey, changed: &UnboundedSender<ClusterKey>, slots: &Slots) -> Self {
        Self {
            database: Job::new(key, changed, &slots.databases),
            resume: Resume::default(),
            patroni: Job::new(key, changed, &slots.patronis),
            restarts: Arc::default(),
            last_applied: Arc::default(),
            warnings: Warnings::default(),
            memory: Mutex::default(),
        }
    }

    /// Stops the jobs.
    pub fn stop(&self) {
        self.database.stop();
        self.patroni.stop();
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;

    use super::*;

    #[test]
    fn a_forgotten_cluster_leaves_nothing_to_one_of_the_same_name() {
        let (states, key) = (ClusterStates::new(unbounded().0), ClusterKey::new("ns", "c"));
        states.of(&key).memory.lock().failures = 3;
        assert_eq!((states.failures(&key), states.failures(&ClusterKey::new("ns", "other"))), (3, 0));
        assert!(states.forget(&key).is_some_and(|state| state.memory.lock().failures == 3));
        assert_eq!(states.failures(&key), 0);
        assert!(states.forget(&key).is_none());
    }
}
