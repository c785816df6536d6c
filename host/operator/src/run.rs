//! Runs the operator: connects, loads, watches, leads and reconciles, until the signal to stop.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt, StreamExt};
use kube::api::{ApiResource, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::{self, Action, ReconcileRequest, applier};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use pgloom_api::config::Watched;
use pgloom_decide::kind::{Kind, of_every_cluster};
use pgloom_engine::{Engine, Pipeline};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info};

use crate::args::{Kubernetes, Namespaces, Options};
use crate::cache::watch::Watches;
use crate::cache::{ClusterKey, Store, Watch, api_resource, node};
use crate::context::{Context, Network};
use crate::execute::patroni;
use crate::leader::client;
use crate::leader::election::Election;
use crate::leader::fencing::Fence;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::reconcile::{self, check_leaders, reconcile};
use crate::report::Recorder;
use crate::serve::health::{Health, HealthSender};
use crate::serve::http;
use crate::serve::metrics::Metrics;
use crate::settings::{self, Loader, Settings};
use crate::state::ClusterStates;

/// How many clusters are observed and written at the same time. What waits for a database or for Patroni does not
/// count.
const SLOTS: usize = 32;
/// How many reconciles run at the same time, those that wait for a slot or for Patroni included. All that run are polled
/// whenever one of them goes on, so that many more would slow each other down.
const CONCURRENCY: u16 = 128;
/// How long one reconcile may take. No request takes longer than a minute.
const RECONCILE_DEADLINE: Duration = Duration::from_secs(300);
/// How long reconciles may go on after the signal to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How often it is checked whether everything has been listed.
const SYNC_PERIOD: Duration = Duration::from_millis(100);

/// Why the operator does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the API server.
    #[error("failed to find the API server; give --kubeconfig, or run in a cluster")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP server does not run.
    #[error("failed to serve health and metrics")]
    Http(#[source] http::Error),
    /// The WebAssembly engine could not be set up.
    #[error("failed to set up the plugins' engine")]
    Engine(#[source] pgloom_engine::Error),
    /// There are no settings to start with.
    #[error("failed to load the settings")]
    Settings(#[source] settings::Error),
    /// Another operator leads now, or the API server cannot be reached. Nothing is written any more.
    #[error("the leadership was lost; restart the operator to wait for it")]
    LeadershipLost,
    /// The signals to stop cannot be received.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the operator until it gets SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start, or loses the leadership.
pub async fn run(config: Options) -> Result<(), Error> {
    let stop = stop_signal()?.shared();
    let (metrics, health) = (Metrics::new(), HealthSender::new());
    let listener = http::listen(config.listen).await.map_err(Error::Http)?;
    info!(address = %config.listen, "serving /healthz, /readyz and /metrics");
    let served = http::serve(listener, metrics.clone(), health.subscribe());
    tokio::select! {
        result = operate(config, metrics, health, stop) => result,
        result = served => result.map_err(Error::Http),
    }
}

async fn operate(
    config: Options,
    metrics: Metrics,
    health: HealthSender,
    stop: impl Future<Output = ()> + Clone,
) -> Result<(), Error> {
    let fence = if config.lease.is_some() { Fence::closed() } else { Fence::open() };
    let connection = connect(&config, &fence).await?;
    let (changed, triggers) = unbounded();
    let shared = Shared {
        client: connection.fenced.clone(),
        store: Arc::new(Store::default()),
        recorder: Recorder::new(connection.fenced.clone(), &config.controller_id),
        metrics,
        changed,
    };
    let loader = loader(&config, &connection, &shared, health.subscribe())?;
    let (first, progress) = tokio::select! {
        first = loader.first() => first.map_err(Error::Settings)?,
        () = stop.clone() => return Ok(()),
    };
    info!(pipeline = %first.pipeline.name, steps = first.pipeline.steps().len(), "settings loaded");

    let (sender, settings) = watch::channel(first);
    let context = Arc::new(context(&config, &connection, &shared, settings.clone(), (&fence, health.subscribe())));
    let health = Arc::new(health);
    let nodes =
        node::follow(shared.client.clone(), shared.store.clone(), shared.changed.clone(), shared.metrics.clone());
    let watches = Watches::new(shared.client, shared.store.clone(), shared.changed.clone(), shared.metrics);
    let wanted = WatchScope { namespaces: config.namespaces, own: connection.namespace.clone() };
    let _followers = Tasks(vec![
        tokio::spawn(nodes),
        tokio::spawn(loader.follow(progress, sender, shared.store.clone(), shared.changed)),
        tokio::spawn(keep_watching(watches, settings, wanted, shared.store, health.clone())),
    ]);
    let election =
        config.lease.map(|lease| Election::new(connection.free, &connection.namespace, &lease, &identity(), fence));
    lead(election, context, &health, triggers, stop).await
}

/// What nearly every part of the operator uses.
struct Shared {
    client: Client,
    store: Arc<Store>,
    recorder: Recorder,
    metrics: Metrics,
    changed: UnboundedSender<ClusterKey>,
}

fn loader(config: &Options, connection: &Connection, shared: &Shared, health: Health) -> Result<Loader, Error> {
    Ok(Loader {
        client: shared.client.clone(),
        engine: Arc::new(Engine::new(&config.engine).map_err(Error::Engine)?),
        options: config.clone(),
        namespace: connection.namespace.clone(),
        recorder: shared.recorder.clone(),
        leading: health.leading,
        metrics: shared.metrics.clone(),
    })
}

fn context(
    config: &Options,
    connection: &Connection,
    shared: &Shared,
    settings: watch::Receiver<Settings>,
    (fence, health): (&Fence, Health),
) -> Context {
    let (client, changed) = (shared.client.clone(), shared.changed.clone());
    Context {
        store: shared.store.clone(),
        settings,
        recorder: shared.recorder.clone(),
        metrics: shared.metrics.clone(),
        controller_id: config.controller_id.clone(),
        deciding: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
        slots: Semaphore::new(SLOTS),
        network: connection.network,
        transport: match connection.network {
            Network::InCluster => Arc::new(patroni::Direct::default()),
            Network::OutOfCluster => Arc::new(patroni::ApiServer { client: client.clone() }),
        },
        states: ClusterStates::new(changed.clone()),
        fence: fence.clone(),
        liveness: health.liveness,
        deadline: RECONCILE_DEADLINE,
        infrastructure_roles: InfrastructureRoles::new(client.clone(), &connection.namespace, changed.clone()),
        accounts: Mutex::default(),
        client,
        changed,
    }
}

/// Waits for the leadership, reconciles while it lasts, and gives it up at the signal to stop.
async fn lead(
    election: Option<Election>,
    context: Arc<Context>,
    health: &HealthSender,
    mut triggers: UnboundedReceiver<ClusterKey>,
    stop: impl Future<Output = ()> + Clone,
) -> Result<(), Error> {
    if let Some(election) = &election {
        tokio::select! {
            () = election.acquire() => {}
            // What changes while another operator leads is reconciled by that one.
            () = triggers.by_ref().map(drop).collect::<()>() => return Ok(()),
            () = stop.clone() => return Ok(()),
        }
    }
    health.set_leading(true);
    // The first to end drops the others: when the leadership is lost all reconciles end where they are.
    let result = tokio::select! {
        () = lost(election.as_ref()) => Err(Error::LeadershipLost),
        () = check_leaders(&context) => Ok(()),
        () = reconcile_all(context.clone(), health.subscribe(), triggers, stop.clone()) => Ok(()),
        () = shutdown_grace(stop) => Ok(()),
    };
    health.set_leading(false);
    context.states.stop();
    if let Some(election) = election
        && result.is_ok()
    {
        election.release().await;
    }
    result
}

/// Returns when the leadership is lost; never without an election.
async fn lost(election: Option<&Election>) {
    match election {
        Some(election) => election.hold().await,
        None => std::future::pending().await,
    }
}

/// Returns a while after the signal to stop, so that reconciles that run may end.
async fn shutdown_grace(stop: impl Future<Output = ()>) {
    stop.await;
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}

/// Reconciles every cluster that is sent to `triggers`, each by itself, until the signal to stop and the end of what
/// runs.
async fn reconcile_all(
    context: Arc<Context>,
    mut health: Health,
    triggers: UnboundedReceiver<ClusterKey>,
    stop: impl Future<Output = ()>,
) {
    if health.ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    for key in context.store.clusters() {
        // The receiver is ours.
        _ = context.changed.unbounded_send(key);
    }
    let known = Arc::new(Known::default());
    let reader = known.reader();
    let queue = triggers.take_until(stop).map({
        let known = known.clone();
        move |key| Ok::<_, std::convert::Infallible>(known.request(&key))
    });
    let reconcile_object = move |object: Arc<DynamicObject>, context: Arc<Context>| {
        let known = known.clone();
        async move {
            let key = key_of(&object);
            let result = reconcile(&context, &key).await;
            // A reconcile that waits for new watches is requeued: a manifest that they have not listed yet is not gone.
            let ended = result.as_ref().is_ok_and(|action| *action == Action::await_change());
            if ended && context.store.manifest(&key).is_none() {
                known.forget(&object);
            }
            result
        }
        .boxed()
    };
    let error_policy = |object: Arc<DynamicObject>, error: &reconcile::Error, context: Arc<Context>| {
        let failures = context.states.failures(&key_of(&object)).saturating_sub(1);
        error.requeue(failures, context.settings.borrow().repair())
    };
    let config = controller::Config::default().concurrency(CONCURRENCY);
    let mut done = pin!(applier(reconcile_object, error_policy, context, reader, queue, config));
    while let Some(result) = done.next().await {
        if let Err(error) = result {
            debug!(%error, "reconcile failed");
        }
    }
}

fn key_of(object: &DynamicObject) -> ClusterKey {
    ClusterKey::new(&object.namespace().unwrap_or_default(), &object.name_any())
}

/// The clusters that kube's `applier` knows.
///
/// `applier` never runs two reconciles of one object at the same time, merges triggers and requeues, and counts none of
/// them twice. But it takes each object from a kube reflector store and reconciles none that is missing there. The
/// objects themselves are in our own [`Store`], which several kinds share and which holds them as compact text. So this
/// reflector store holds names only: of a cluster from its first trigger until its manifest is gone.
struct Known {
    writer: Mutex<reflector::store::Writer<DynamicObject>>,
    resource: ApiResource,
}

impl Known {
    fn reader(&self) -> reflector::Store<DynamicObject> {
        self.writer.lock().as_reader()
    }

    /// Adds a cluster, and returns the request for its reconcile.
    fn request(&self, key: &ClusterKey) -> ReconcileRequest<DynamicObject> {
        let object = DynamicObject::new(&key.name, &self.resource).within(&key.namespace);
        let request = ReconcileRequest::from(ObjectRef::from_obj_with(&object, self.resource.clone()));
        self.writer.lock().apply_watcher_event(&Event::Apply(object));
        request
    }

    /// Removes a cluster that is gone. A manifest of the same name that comes later is a trigger, which adds it again.
    fn forget(&self, object: &DynamicObject) {
        self.writer.lock().apply_watcher_event(&Event::Delete(object.clone()));
    }
}

impl Default for Known {
    fn default() -> Self {
        let resource = api_resource(&Kind::cluster());
        let mut writer = reflector::store::Writer::new(resource.clone());
        // Without the end of a list the reader would wait for it.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self { writer: Mutex::new(writer), resource }
    }
}

/// Which namespaces are watched, as far as the settings do not say it.
struct WatchScope {
    /// The namespaces of the flags.
    namespaces: Option<Namespaces>,
    /// The operator's own namespace.
    own: String,
}

/// Keeps the wanted watches running as the settings change, and sets the operator ready when everything has been
/// listed.
async fn keep_watching(
    mut watches: Watches,
    mut settings: watch::Receiver<Settings>,
    wanted: WatchScope,
    store: Arc<Store>,
    health: Arc<HealthSender>,
) {
    let mut ready = false;
    loop {
        let current = settings.borrow_and_update().clone();
        watches.run_exactly(wanted.watches(&current));
        let changed = loop {
            if !ready && current.pipeline.is_available() && store.settled() {
                ready = true;
                health.set_ready();
                info!(clusters = store.clusters().len(), "ready");
            }
            if ready {
                break settings.changed().await;
            }
            // Other settings may watch what can be listed.
            if let Ok(changed) = tokio::time::timeout(SYNC_PERIOD, settings.changed()).await {
                break changed;
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

impl WatchScope {
    /// The watches of the `postgresql` objects and of what belongs to them, in every watched namespace.
    fn watches(&self, settings: &Settings) -> Vec<Watch> {
        let label = settings.config.text("cluster_name_label");
        let mut kinds = of_every_cluster();
        for kind in kinds_of(&settings.pipeline) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let whole_pods = observes_whole_pods(&settings.pipeline);
        let own: Vec<String> = settings.config.map("cluster_labels").into_keys().map(str::to_owned).collect();
        let mut watches = Vec::new();
        for namespace in self.scopes(settings) {
            watches.push(Watch {
                kind: Kind::cluster(),
                namespace: namespace.clone(),
                label: None,
                whole: false,
                own: vec![],
            });
            for kind in &kinds {
                watches.push(Watch {
                    kind: kind.clone(),
                    namespace: namespace.clone(),
                    label: Some(label.to_owned()),
                    whole: whole_pods && kind.is("Pod"),
                    own: own.clone(),
                });
            }
        }
        watches
    }

    /// The watched namespaces; `None` is a watch of all namespaces.
    fn scopes(&self, settings: &Settings) -> Vec<Option<String>> {
        let watched = match &self.namespaces {
            Some(Namespaces::All) => Watched::All,
            Some(Namespaces::Some(names)) => Watched::These(names.iter().cloned().collect()),
            None => settings.config.watched(),
        };
        match watched {
            Watched::All => vec![None],
            Watched::Own => vec![Some(self.own.clone())],
            Watched::These(names) => names.into_iter().map(Some).collect(),
        }
    }
}

/// Whether a plugin observes the specification of the clusters' pods, which is otherwise not kept.
fn observes_whole_pods(pipeline: &Pipeline) -> bool {
    let selectors = pipeline.steps().iter().flat_map(|step| &step.plugin.description.observed);
    let mut of_pods = selectors.filter(|selector| selector.kind.kind == "Pod");
    of_pods.any(|selector| selector.fields.is_empty() || selector.fields.iter().any(|field| field.starts_with("spec")))
}

/// The kinds that the pipeline's steps may create or observe of the clusters' own.
fn kinds_of(pipeline: &Pipeline) -> Vec<Kind> {
    let kinds = pipeline.steps().iter().flat_map(|step| {
        let observed = step.plugin.description.observed.iter();
        let owned = observed.filter(|selector| matches!(selector.from, pgloom_engine::Selection::Owned));
        step.creates().iter().chain(owned.map(|selector| &selector.kind))
    });
    kinds.map(|kind| Kind::new(&kind.api_version, &kind.kind)).collect()
}

/// The API server, and how it is reached.
struct Connection {
    /// Writes only while the leadership is certain.
    fenced: Client,
    /// Writes at any time; for the Lease.
    free: Client,
    /// The operator's own namespace.
    namespace: String,
    network: Network,
}

async fn connect(config: &Options, fence: &Fence) -> Result<Connection, Error> {
    let kubernetes = &config.kubernetes;
    let client_config = client_config(kubernetes).await.map_err(Error::Connect)?;
    let in_cluster = kubernetes.kubeconfig.is_none() && kube::Config::incluster().is_ok();
    let namespace = config.operator_namespace.clone().unwrap_or_else(|| client_config.default_namespace.clone());
    let free = Client::try_from(client_config.clone()).map_err(|error| Error::Connect(error.into()))?;
    Ok(Connection {
        fenced: client::fenced(client_config, fence).map_err(|error| Error::Connect(error.into()))?,
        free,
        namespace,
        network: if in_cluster { Network::InCluster } else { Network::OutOfCluster },
    })
}

async fn client_config(kubernetes: &Kubernetes) -> Result<kube::Config, Box<dyn std::error::Error + Send + Sync>> {
    let options = KubeConfigOptions { context: kubernetes.context.clone(), ..KubeConfigOptions::default() };
    Ok(match &kubernetes.kubeconfig {
        Some(path) => kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if kubernetes.context.is_some() => kube::Config::from_kubeconfig(&options).await?,
        None => kube::Config::infer().await?,
    })
}

/// The operator's identity in the Lease: the pod's name, and a random part for this process.
fn identity() -> String {
    let pod = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "pgloom".to_owned());
    format!("{pod}_{:016x}", rand::random::<u64>())
}

fn stop_signal() -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
    }))
}

/// Tasks that end with the operator.
struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_known_from_its_first_trigger_until_its_manifest_is_gone() {
        let known = Known::default();
        let (reader, key) = (known.reader(), ClusterKey::new("ns", "c"));
        known.request(&key);
        known.request(&key);
        let state = reader.state();
        assert_eq!(state.iter().map(|object| key_of(object)).collect::<Vec<_>>(), std::slice::from_ref(&key));
        known.forget(&state[0]);
        assert!(reader.is_empty());
        known.request(&key);
        assert_eq!(reader.len(), 1);
    }
}
