//! What all reconciles share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use parking_lot::Mutex;
use pgloom_api::config::Config;
use pgloom_decide::members::Members;
use pgloom_decide::ownership::Identity;
use tokio::sync::{Semaphore, watch};

use crate::apply::Writer;
use crate::cache::{ClusterKey, Store};
use crate::execute::patroni::{self, Patroni, Transport};
use crate::leader::fencing::Fence;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::report::Recorder;
use crate::serve::health::Liveness;
use crate::serve::metrics::{Metrics, StatusLabel};
use crate::settings::Settings;
use crate::state::{ClusterState, ClusterStates};

/// From where the operator reaches databases and Patroni.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// From within the cluster: by Services and pod addresses.
    InCluster,
    /// From without: through the API server.
    OutOfCluster,
}

/// What all reconciles share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What exists.
    pub store: Arc<Store>,
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
    /// From where the databases are reached.
    pub network: Network,
    /// The way to Patroni.
    pub transport: Arc<dyn Transport>,
    /// Asks for a reconcile of a cluster.
    pub changed: UnboundedSender<ClusterKey>,
    /// What is remembered of each cluster from one reconcile to the next.
    pub states: ClusterStates,
    /// The roles that every cluster gets.
    pub infrastructure_roles: InfrastructureRoles,
    /// The fence of all that is written.
    pub fence: Fence,
    /// The reconciles that run.
    pub liveness: Liveness,
    /// How long one reconcile may take. Then it ends as failed and is tried again.
    pub deadline: Duration,
    /// When the service account of a namespace was last seen.
    pub accounts: Mutex<HashMap<String, Instant>>,
}

impl Context {
    /// Writes the objects of a cluster.
    pub fn writer(&self, state: &ClusterState, identity: Identity) -> Writer {
        Writer {
            client: self.client.clone(),
            identity,
            store: self.store.clone(),
            last_applied: state.last_applied.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// The members of a cluster as their pods show them.
    pub fn members(&self, key: &ClusterKey, config: &Config) -> Members {
        let objects = self.store.objects(key);
        let pods = objects.iter().filter(|cached| cached.kind.is("Pod")).map(|cached| cached.object());
        let lock = objects.iter().find(|cached| cached.kind.is("Endpoints") && cached.name == key.name);
        Members::of(pods, lock.map(|lock| lock.object()).as_ref(), config)
    }

    /// The Patroni of a pod of a cluster.
    pub fn patroni(&self, key: &ClusterKey, name: &str, members: &Members) -> Patroni {
        let pod = members.pod(name);
        let address = pod.and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        let pod = patroni::Pod { namespace: key.namespace.to_string(), name: name.to_owned(), address };
        Patroni::new(self.transport.clone(), pod)
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, key: &ClusterKey) {
        if let Some(state) = self.states.forget(key) {
            self.count(&state, None);
        }
    }

    /// Counts a cluster under its status; `None` if it is gone.
    pub fn count(&self, state: &ClusterState, status: Option<String>) {
        let gauge = |status: &str| {
            let label = StatusLabel { status: status.to_owned() };
            self.metrics.clusters.get_or_create(&label).clone()
        };
        let mut memory = state.memory.lock();
        if memory.counted != status {
            memory.counted.iter().for_each(|before| _ = gauge(before).dec());
            status.iter().for_each(|now| _ = gauge(now).inc());
            memory.counted = status;
        }
    }
}
