//! What all reconciles share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use pgloom_decide::credential::Password;
use pgloom_decide::plan_cache::PlanCache;
use pgloom_engine::Response;
use tokio::sync::{Semaphore, watch};

use crate::apply::Writer;
use crate::cache::{ClusterKey, Store};
use crate::execute::patroni::Transport;
use crate::execute::task::Jobs;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::report::Recorder;
use crate::serve::metrics::{Metrics, StatusLabel};
use crate::settings::Settings;

/// From where the operator reaches databases and Patroni.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// From within the cluster: by Services and pod addresses.
    InCluster,
    /// From without: through the API server.
    OutOfCluster,
}

/// What a synchronisation of roles and databases came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What people should know.
    pub warnings: Vec<String>,
}

/// What all reconciles share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What exists.
    pub store: Arc<Store>,
    /// Writes objects.
    pub writer: Writer,
    /// What is in use at the moment.
    pub settings: watch::Receiver<Settings>,
    /// Publishes events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: Metrics,
    /// The annotation's value of the manifests that are ours.
    pub controller_id: String,
    /// How many decisions may be made at the same time.
    pub deciding: Semaphore,
    /// How many clusters may be observed and written at the same time.
    pub slots: Semaphore,
    /// The databases' synchronisation.
    pub databases: Jobs<Outcome>,
    /// The changes of Patroni's configuration.
    pub patronis: Jobs<()>,
    /// From where the databases are reached.
    pub network: Network,
    /// The way to Patroni.
    pub transport: Arc<dyn Transport>,
    /// Asks for a reconcile of a cluster.
    pub changed: UnboundedSender<ClusterKey>,
    /// What is remembered of each cluster from one reconcile to the next.
    pub states: Mutex<HashMap<ClusterKey, ClusterState>>,
    /// The plans of the clusters that were reconciled last.
    pub plans: PlanCache<ClusterKey>,
    /// The passwords of each cluster's system users, which the database alone would know if their Secrets went.
    pub passwords: Mutex<HashMap<ClusterKey, BTreeMap<String, Password>>>,
    /// The roles that every cluster gets.
    pub infrastructure_roles: InfrastructureRoles,
    /// When the service account of a namespace was last seen.
    pub accounts: Mutex<HashMap<String, Instant>>,
}

/// What is remembered of a cluster. It may be lost: then something is read once more than needed.
#[derive(Clone, Debug, Default)]
pub struct ClusterState {
    /// Reconciles in a row that failed.
    pub failures: u32,
    /// Switchovers in a row that failed.
    pub switchovers: u32,
    /// The credentials as they were last found to be in order.
    pub credentials: Option<u64>,
    /// What steps that keep their last answer answered last.
    pub last: BTreeMap<String, Response>,
    /// Whether the deletion was told.
    pub deleting: bool,
    /// Whether a rolling update was told.
    pub rolling: bool,
    /// Pods of another revision that run the template all the same, by uid, with the template's revision.
    pub equals: HashMap<String, String>,
    /// The status as it was counted.
    pub counted: Option<String>,
}

impl Context {
    /// What is remembered of a cluster.
    pub fn state(&self, key: &ClusterKey) -> ClusterState {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(key).cloned().unwrap_or_default()
    }

    /// Changes what is remembered of a cluster.
    pub fn update_state(&self, key: &ClusterKey, change: impl FnOnce(&mut ClusterState)) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        change(states.entry(key.clone()).or_default());
    }

    /// Ends what runs in the background.
    pub fn stop(&self) {
        self.databases.stop();
        self.patronis.stop();
    }

    /// Forgets a cluster that is gone.
    pub async fn forget(&self, key: &ClusterKey) {
        self.databases.forget(key);
        self.patronis.forget(key);
        self.writer.last_applied.forget(key);
        self.plans.forget(key);
        self.recorder.forget(key).await;
        self.count(key, None);
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Counts a cluster under its status; `None` if it is gone.
    pub fn count(&self, key: &ClusterKey, status: Option<String>) {
        let gauge = |status: &str| {
            let label = StatusLabel { status: status.to_owned() };
            self.metrics.clusters.get_or_create(&label).clone()
        };
        self.update_state(key, |state| {
            if state.counted != status {
                state.counted.iter().for_each(|before| _ = gauge(before).dec());
                status.iter().for_each(|now| _ = gauge(now).inc());
                state.counted = status;
            }
        });
    }
}
