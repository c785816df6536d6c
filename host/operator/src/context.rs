//! What all reconciles share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use pgloom_api::config::Config;
use pgloom_engine::{Pipeline, Response};
use tokio::sync::{Semaphore, watch};

use crate::apply::Writer;
use crate::background::Background;
use crate::credential::Password;
use crate::event::Announcer;
use crate::infrastructure::Infrastructure;
use crate::memo::Memos;
use crate::metrics::Metrics;
use crate::patroni::Transport;
use crate::store::{ClusterKey, Store};

/// The operator configuration and the pipeline that are in use.
#[derive(Clone)]
pub struct Settings {
    /// The operator configuration.
    pub config: Arc<Config>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
}

impl Settings {
    /// The time between two looks at a cluster that nothing happened to.
    pub fn resync(&self) -> Duration {
        at_least_a_second(self.config.duration("resync_period"))
    }

    /// The longest time until something that failed is tried again.
    pub fn repair(&self) -> Duration {
        at_least_a_second(self.config.duration("repair_period"))
    }
}

/// A period of nothing would mean to never stop looking.
fn at_least_a_second(period: Duration) -> Duration {
    period.max(Duration::from_secs(1))
}

/// From where the operator reaches databases and Patroni.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From within the cluster: by Services and pod addresses.
    Inside,
    /// From without: through the API server.
    Outside,
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
    pub announcer: Announcer,
    /// The figures.
    pub metrics: Metrics,
    /// The annotation's value of the manifests that are ours.
    pub controller_id: String,
    /// How many decisions may be made at the same time.
    pub deciding: Semaphore,
    /// How many clusters may be observed and written at the same time.
    pub slots: Semaphore,
    /// The databases' synchronisation.
    pub databases: Background<Outcome>,
    /// The changes of Patroni's configuration.
    pub patronis: Background<()>,
    /// From where the databases are reached.
    pub reach: Reach,
    /// The way to Patroni.
    pub transport: Arc<dyn Transport>,
    /// Asks for a look at a cluster.
    pub changed: UnboundedSender<ClusterKey>,
    /// What is remembered of each cluster from one reconcile to the next.
    pub recollections: Mutex<HashMap<ClusterKey, Recollection>>,
    /// The plans of the clusters that were looked at last.
    pub memos: Memos<ClusterKey>,
    /// The passwords of each cluster's system users, which the database alone would know if their Secrets went.
    pub passwords: Mutex<HashMap<ClusterKey, BTreeMap<String, Password>>>,
    /// The roles that every cluster gets.
    pub infrastructure: Infrastructure,
    /// When the service account of a namespace was last seen.
    pub accounts: Mutex<HashMap<String, Instant>>,
}

/// What is remembered of a cluster. It may be lost: then something is looked at once more than needed.
#[derive(Clone, Debug, Default)]
pub struct Recollection {
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
    pub fn recall(&self, key: &ClusterKey) -> Recollection {
        let recollections = self.recollections.lock().unwrap_or_else(PoisonError::into_inner);
        recollections.get(key).cloned().unwrap_or_default()
    }

    /// Changes what is remembered of a cluster.
    pub fn remember(&self, key: &ClusterKey, change: impl FnOnce(&mut Recollection)) {
        let mut recollections = self.recollections.lock().unwrap_or_else(PoisonError::into_inner);
        change(recollections.entry(key.clone()).or_default());
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
        self.writer.memory.forget(key);
        self.memos.forget(key);
        self.announcer.forget(key).await;
        self.count(key, None);
        self.recollections.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Counts a cluster under its status; `None` if it is gone.
    pub fn count(&self, key: &ClusterKey, status: Option<String>) {
        let gauge = |status: &str| {
            let label = crate::metrics::StatusLabel { status: status.to_owned() };
            self.metrics.clusters.get_or_create(&label).clone()
        };
        self.remember(key, |recollection| {
            if recollection.counted != status {
                recollection.counted.iter().for_each(|before| _ = gauge(before).dec());
                status.iter().for_each(|now| _ = gauge(now).inc());
                recollection.counted = status;
            }
        });
    }
}
