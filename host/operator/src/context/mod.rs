//! The shared state of all reconciles: clients, caches, settings, limits.

pub mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use parking_lot::Mutex;
use pgloom_api::config::Config;
use pgloom_common::error::error_chain;
use pgloom_decide::BuiltIn;
use pgloom_decide::members::Members;
use pgloom_decide::ownership::Identity;
use pgloom_decide::patroni::Cluster;
use tokio::sync::{Notify, Semaphore, watch};

use crate::apply::Writer;
use crate::cache::{ClusterKey, Store};
use crate::execute::command::Commands;
use crate::execute::ec2::Ec2;
use crate::execute::patroni::{self, Patroni, Transport};
use crate::leader::fencing::Fence;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::report::Recorder;
use crate::serve::health::Liveness;
use crate::serve::metrics::{Metrics, StatusLabel, StepLabel};
use crate::settings::Settings;
use crate::state::{ClusterState, ClusterStates};
use turns::Turns;

/// The network from which the operator connects to databases and Patroni.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Inside the Kubernetes cluster: by Services and pod addresses.
    InCluster,
    /// Outside of it: through the API server.
    OutOfCluster,
}

/// The shared state of all reconciles.
pub struct Context {
    /// The client of the API server.
    pub client: Client,
    /// The cache of existing objects.
    pub store: Arc<Store>,
    /// The operator configuration and the pipeline in use.
    pub settings: watch::Receiver<Settings>,
    /// The recorder of events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: Metrics,
    /// The value of the annotation `acid.zalan.do/controller` of the manifests to reconcile.
    pub controller_id: String,
    /// Gives decisions their turn.
    pub turns: Turns,
    /// Limits the number of clusters that are observed and written concurrently.
    pub slots: Semaphore,
    /// The operator's own namespace.
    pub namespace: String,
    /// The network from which the operator connects to databases.
    pub network: Network,
    /// The transport of requests to Patroni.
    pub transport: Arc<dyn Transport>,
    /// Runs commands in containers.
    pub commands: Arc<dyn Commands>,
    /// The cloud of the volumes.
    pub ec2: Arc<Ec2>,
    /// The queue of clusters to reconcile.
    pub changed: UnboundedSender<ClusterKey>,
    /// The state of each cluster between reconciles.
    pub states: ClusterStates,
    /// The reader of infrastructure roles.
    pub infrastructure_roles: InfrastructureRoles,
    /// The fence of all that is written.
    pub fence: Fence,
    /// The reconciles that run.
    pub liveness: Liveness,
    /// How long one reconcile may take. Then it ends as failed and is tried again.
    pub deadline: Duration,
    /// By namespace that has clusters, the time when its service account was last seen.
    pub accounts: Mutex<HashMap<String, Instant>>,
    /// Notified when the operator had no right to a write.
    pub refused: Arc<Notify>,
}

impl Context {
    /// A writer of the objects of a cluster.
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
    pub fn members(&self, key: &ClusterKey, identity: &Identity, config: &Config) -> Members {
        let objects = self.store.objects(key);
        let pods = objects.iter().filter(|cached| cached.kind.is(BuiltIn::Pod)).map(|cached| cached.object());
        let pods = pods.filter(|pod| identity.is_member(pod));
        let lock = objects.iter().find(|cached| cached.kind.is(BuiltIn::Endpoints) && cached.name == key.name);
        Members::of(pods, lock.map(|lock| lock.object()).as_ref(), config)
    }

    /// The Patroni of a pod of a cluster.
    pub fn patroni(&self, key: &ClusterKey, name: &str, members: &Members) -> Patroni {
        let pod = members.pod(name);
        let address = pod.and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        let pod = patroni::Pod { namespace: key.namespace.to_string(), name: name.to_owned(), address };
        Patroni::new(self.transport.clone(), pod).of_cluster(&key.name)
    }

    /// What the leader's Patroni reports of all members, or why it does not; `None` without a leader that is ready.
    pub async fn ask_leader(&self, key: &ClusterKey, members: &Members) -> Option<Result<Cluster, String>> {
        let (leader, _) = members.leader().filter(|(member, _)| member.ready)?;
        let answer = self.patroni(key, &leader.pod, members).cluster().await;
        Some(answer.map_err(|error| error_chain(&error)))
    }

    /// Removes the state of a cluster that no longer exists.
    pub fn forget(&self, key: &ClusterKey) {
        self.recorder.journal().forget(key);
        if let Some(state) = self.states.forget(key) {
            self.count(&state, None);
            self.hold(&state, None);
        }
        if !self.states.any_in(&key.namespace) {
            self.accounts.lock().remove(&*key.namespace);
        }
    }

    /// Counts a cluster in the metric by its status; `None` if it no longer exists.
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

    /// Counts a cluster in the metric of those that a step holds, by the step; `None` if none does.
    pub fn hold(&self, state: &ClusterState, step: Option<String>) {
        let gauge = |step: &str| self.metrics.clusters_held.get_or_create(&StepLabel { step: step.to_owned() }).clone();
        let mut memory = state.memory.lock();
        if memory.held_by != step {
            memory.held_by.iter().for_each(|before| _ = gauge(before).dec());
            step.iter().for_each(|now| _ = gauge(now).inc());
            memory.held_by = step;
        }
    }
}
