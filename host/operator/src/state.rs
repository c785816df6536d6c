//! The state of each cluster that the operator keeps in memory between reconciles.
//!
//! All of it may be lost, as at a restart of the operator. Then some objects are read or written and some events
//! published once more than necessary.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures::channel::mpsc::UnboundedSender;
use parking_lot::Mutex;
use pgloom_api::config::Config;
use pgloom_decide::credential::Password;
use pgloom_decide::plan_cache::PlanCache;
use pgloom_decide::rollout::Switchover;
use pgloom_engine::Response;
use pgloom_engine::pipeline::Identity;
use tokio::sync::Semaphore;

use crate::apply::LastApplied;
use crate::cache::ClusterKey;
use crate::execute::database::Resume;
use crate::execute::major_upgrade::Ended;
use crate::execute::patroni::configure::Configured;
use crate::execute::task::Job;
use crate::execute::volume::cloud::Outcomes;
use crate::report::Warnings;

/// The states of all clusters.
pub struct ClusterStates {
    /// The cached plans. Their number is limited over all clusters, so they are not part of [`ClusterState`].
    pub plans: PlanCache<ClusterKey>,
    states: Mutex<HashMap<ClusterKey, Arc<ClusterState>>>,
    changed: UnboundedSender<ClusterKey>,
    slots: Slots,
}

/// The number of concurrent database synchronisations. Each may need as much memory as a server may send.
const DATABASES: usize = 16;
/// The number of concurrent changes of Patroni configurations.
const PATRONIS: usize = 256;
/// How many clusters are promoted at the same time. A promotion waits for no change of a configuration.
const PROMOTIONS: usize = 256;
/// How many clusters are upgraded to another major version at the same time.
const UPGRADES: usize = 64;
/// How many clusters' cloud volumes are changed at the same time.
const VOLUMES: usize = 16;

/// The permits for concurrent jobs.
struct Slots {
    databases: Arc<Semaphore>,
    patronis: Arc<Semaphore>,
    promotions: Arc<Semaphore>,
    upgrades: Arc<Semaphore>,
    volumes: Arc<Semaphore>,
}

/// The state of one cluster.
pub struct ClusterState {
    /// The job that synchronises roles and databases.
    pub database: Job<Synchronization>,
    /// The database with which the next synchronisation continues.
    pub resume: Resume,
    /// The job that changes Patroni's configuration and restarts the members that wait for it.
    pub patroni: Job<Configured>,
    /// The job that promotes a standby cluster.
    pub promotion: Job<()>,
    /// The job that waits for the end of an upgrade to another major version.
    pub upgrade: Job<Ended>,
    /// The job that changes cloud volumes and grows filesystems.
    pub volumes: Job<Outcomes>,
    /// The hashes of the last applied objects.
    pub last_applied: Arc<LastApplied>,
    /// The last published warnings.
    pub warnings: Warnings,
    /// The other values.
    pub memory: Mutex<Memory>,
}

/// The result of a synchronisation of roles and databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synchronization {
    /// The warnings, one sentence each.
    pub warnings: Vec<String>,
}

/// The plain values of a cluster's state.
#[derive(Debug, Default)]
pub struct Memory {
    /// The number of consecutive failed reconciles.
    pub failures: u32,
    /// The number of consecutive reconciles that waited for what no event reports, without an event in between.
    pub asked: u32,
    /// Whether an event has woken the cluster since its last reconcile began.
    pub woken: bool,
    /// The major version of the data, as the leader's server said last.
    pub data_version: Option<String>,
    /// Whether the leader served at the last reconcile.
    pub serves: bool,
    /// The last switchover that Patroni refused.
    pub refused: Option<Refusal>,
    /// A hash of the Secrets when they were last complete.
    pub credentials: Option<u64>,
    /// The passwords of the roles to which the operator sets no other one: a deleted Secret is created again with the
    /// password that the database has.
    pub passwords: BTreeMap<String, Password>,
    /// By step name, the last response of each step with `onFailure: keepLast`.
    pub last_answers: BTreeMap<String, Response>,
    /// The same of a pipeline that is being rolled out. They are not used after it was taken back.
    pub answers_on_trial: Option<(Identity, BTreeMap<String, Response>)>,
    /// What the last reconcile came to; `None` before the first.
    pub reconciled: Option<Reconciled>,
    /// Whose fault the last failure is that was looked into.
    pub verdict: Option<(Case, Fault)>,
    /// A hash of the answers that are kept for a restart; `None` before they were read.
    pub answers_kept: Option<u64>,
    /// Whether the event of the begin of the deletion was published.
    pub deleting: bool,
    /// Why the leader has to leave its node, with the node's name, and since when.
    pub leaving: Option<(String, Instant)>,
    /// Whether the event of the begin of a rolling update was published, and that of its end was not yet.
    pub rolling: bool,
    /// By uid, pods of another revision whose template is equal to the current one, with the revision of the current
    /// one, and whether upgrades were lazy when they were compared: then another image makes no difference.
    pub same_template: HashMap<String, (String, bool)>,
    /// The `PostgresClusterStatus` under which the cluster is counted in the metrics.
    pub counted: Option<String>,
    /// The step that holds the cluster, under which it is counted in the metrics.
    pub held_by: Option<String>,
}

/// What a reconcile came to, as far as a rollout of a pipeline depends on it.
#[derive(Clone, Debug)]
pub struct Reconciled {
    /// The pipeline that decided.
    pub pipeline: Identity,
    /// Whether every pod runs what is wanted, and nothing failed.
    pub settled: bool,
    /// What failed; first what may be the pipeline's fault.
    pub failure: Option<Failure>,
}

/// What failed in a reconcile, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The decision, or one of its steps.
    Decision(String),
    /// An object is refused for what it says, or is missing in the decision.
    Object {
        /// As in `Service`.
        kind: String,
        /// The object's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// What no pipeline is the reason for, as a quota, a missing right or an object of another owner.
    Elsewhere(String),
}

/// A failure of a cluster and what it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// A hash of the manifest.
    pub manifest: u64,
    /// The operator configuration.
    pub config: Arc<Config>,
    /// The pipeline before, and the new one.
    pub pipelines: [Identity; 2],
    /// What failed.
    pub failure: Failure,
}

/// Whose fault a failure with a new pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// That of the new pipeline: why.
    Pipeline(String),
    /// The same fails with the pipeline before.
    Both,
    /// That of something else: why.
    Elsewhere(String),
}

/// A switchover that Patroni refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The requested switchover.
    pub switchover: Switchover,
    /// The time of the refusal.
    pub since: Instant,
    /// Patroni's answer, for the status.
    pub reason: String,
}

impl ClusterStates {
    /// No states yet. A cluster whose job ends is sent to `changed`.
    pub fn new(changed: UnboundedSender<ClusterKey>) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let slots = Slots {
            databases: semaphore(DATABASES),
            patronis: semaphore(PATRONIS),
            promotions: semaphore(PROMOTIONS),
            upgrades: semaphore(UPGRADES),
            volumes: semaphore(VOLUMES),
        };
        Self { plans: PlanCache::default(), states: Mutex::default(), changed, slots }
    }

    /// The state of a cluster, created if there is none.
    pub fn of(&self, key: &ClusterKey) -> Arc<ClusterState> {
        let new = || Arc::new(ClusterState::new(key, &self.changed, &self.slots));
        self.states.lock().entry(key.clone()).or_insert_with(new).clone()
    }

    /// The number of consecutive failed reconciles of a cluster.
    pub fn failures(&self, key: &ClusterKey) -> u32 {
        self.states.lock().get(key).map_or(0, |state| state.memory.lock().failures)
    }

    /// Records that an event wakes a cluster.
    pub fn wake(&self, key: &ClusterKey) {
        if let Some(state) = self.states.lock().get(key) {
            state.memory.lock().woken = true;
        }
    }

    /// Whether anything is remembered of the clusters of a namespace.
    pub fn any_in(&self, namespace: &str) -> bool {
        self.states.lock().keys().any(|key| &*key.namespace == namespace)
    }

    /// Whether a cluster's leader served at its last reconcile.
    pub fn serves(&self, key: &ClusterKey) -> bool {
        self.states.lock().get(key).is_some_and(|state| state.memory.lock().serves)
    }

    /// Removes and returns the state of a cluster. Its jobs are stopped.
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
            promotion: Job::new(key, changed, &slots.promotions),
            upgrade: Job::new(key, changed, &slots.upgrades),
            volumes: Job::new(key, changed, &slots.volumes),
            last_applied: Arc::default(),
            warnings: Warnings::default(),
            memory: Mutex::default(),
        }
    }

    /// Stops the jobs.
    pub fn stop(&self) {
        self.database.stop();
        self.patroni.stop();
        self.promotion.stop();
        self.upgrade.stop();
        self.volumes.stop();
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
