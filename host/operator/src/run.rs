//! Runs the operator: connect, load, watch, lead, reconcile, until it is told to stop.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::{FutureExt, StreamExt};
use kube::api::DynamicObject;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::{self, Action, ReconcileRequest, applier};
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use pgloom_api::config::Watched;
use pgloom_decide::kind::{Kind, of_every_cluster};
use pgloom_decide::plan_cache::PlanCache;
use pgloom_engine::{Engine, Pipeline};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info};

use crate::apply::{LastApplied, Writer};
use crate::args::{Config, Kubernetes, Namespaces};
use crate::cache::watch::Watches;
use crate::cache::{ClusterKey, Store, Watch, api_resource};
use crate::context::{Context, Network};
use crate::execute::patroni;
use crate::execute::task::Jobs;
use crate::leader::election::Election;
use crate::leader::fencing::Fence;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::reconcile::{self, DATABASE_DEADLINE, PATRONI_DEADLINE, reconcile};
use crate::report::Recorder;
use crate::serve::http;
use crate::serve::metrics::Metrics;
use crate::settings::{self, Loader, Settings};

/// How many clusters are observed and written at the same time. What waits for a database or for Patroni does not count.
const SLOTS: usize = 32;
/// How long what is under way may go on after the signal to stop.
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
    #[error("the leadership was lost; start again to wait for it")]
    LeadershipLost,
    /// The operator cannot be told to stop.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the operator until it gets SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start, or loses the leadership.
pub async fn run(config: Config) -> Result<(), Error> {
    let stop = stop_signal()?.shared();
    let metrics = Metrics::new();
    let listener = http::listen(config.listen).await.map_err(Error::Http)?;
    info!(address = %config.listen, "serving /healthz, /readyz and /metrics");
    let work = operate(config, metrics.clone(), stop.clone());
    tokio::select! {
        result = work => result,
        result = http::serve(listener, metrics) => result.map_err(Error::Http),
    }
}

async fn operate(config: Config, metrics: Metrics, stop: impl Future<Output = ()> + Clone) -> Result<(), Error> {
    let fence = if config.lease.is_some() { Fence::closed() } else { Fence::open() };
    let (clients, namespace, network) = connect(&config.kubernetes, &fence).await?;
    let client = clients.fenced;
    let namespace = config.operator_namespace.clone().unwrap_or(namespace);
    let engine_settings =
        pgloom_engine::EngineConfig { cache: config.cache.clone(), ..pgloom_engine::EngineConfig::default() };
    let engine = Arc::new(Engine::new(&engine_settings).map_err(Error::Engine)?);
    let recorder = Recorder::new(client.clone(), &config.controller_id);
    let loader = Loader {
        client: client.clone(),
        engine,
        config: config.clone(),
        namespace: namespace.clone(),
        recorder: recorder.clone(),
        metrics: metrics.clone(),
    };
    let first = tokio::select! {
        first = loader.first() => first.map_err(Error::Settings)?,
        () = stop.clone() => return Ok(()),
    };
    info!(pipeline = %first.pipeline.name, steps = first.pipeline.steps().len(), "settings loaded");

    let (changed, triggers) = unbounded();
    let (sender, settings) = watch::channel(first);
    let objects = Arc::new(Store::default());
    let watches = Watches::new(client.clone(), objects.clone(), changed.clone(), metrics.clone());
    let _followers = Tasks(vec![
        tokio::spawn(loader.follow(sender, objects.clone(), changed.clone())),
        tokio::spawn(keep_watching(
            watches,
            settings.clone(),
            config.namespaces.clone(),
            namespace.clone(),
            objects.clone(),
            metrics.clone(),
        )),
    ]);
    let writer = Writer {
        client: client.clone(),
        store: objects.clone(),
        last_applied: Arc::new(LastApplied::default()),
        metrics: metrics.clone(),
    };
    let context = Arc::new(Context {
        client: client.clone(),
        store: objects,
        writer,
        settings,
        recorder,
        metrics: metrics.clone(),
        controller_id: config.controller_id.clone(),
        deciding: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
        slots: Semaphore::new(SLOTS),
        databases: Jobs::new(changed.clone(), DATABASE_DEADLINE),
        patronis: Jobs::new(changed.clone(), PATRONI_DEADLINE),
        network,
        transport: match network {
            Network::InCluster => Arc::new(patroni::Direct::default()),
            Network::OutOfCluster => Arc::new(patroni::ApiServer { client: client.clone() }),
        },
        plans: PlanCache::default(),
        states: Mutex::new(HashMap::new()),
        passwords: Mutex::new(HashMap::new()),
        infrastructure_roles: InfrastructureRoles::new(client, &namespace, changed.clone()),
        accounts: Mutex::new(HashMap::new()),
        changed,
    });
    let election =
        config.lease.as_deref().map(|lease| Election::new(clients.free, &namespace, lease, &identity(), fence));
    lead(election, context, triggers, stop).await
}

/// Waits for the leadership, reconciles while it lasts, and gives it up when told to stop.
async fn lead(
    election: Option<Election>,
    context: Arc<Context>,
    mut triggers: UnboundedReceiver<ClusterKey>,
    stop: impl Future<Output = ()> + Clone,
) -> Result<(), Error> {
    let metrics = context.metrics.clone();
    let Some(election) = election else {
        metrics.leading.set(1);
        tokio::select! {
            () = reconcile_all(context.clone(), triggers, stop.clone()) => {}
            () = shutdown_grace(stop) => {}
        }
        context.stop();
        return Ok(());
    };
    tokio::select! {
        () = election.acquire() => { metrics.leading.set(1); }
        // What changes while another leads is its business.
        () = triggers.by_ref().map(drop).collect::<()>() => return Ok(()),
        () = stop.clone() => return Ok(()),
    }
    // Whoever comes first drops the others: with the leadership all reconciles end where they are.
    let result = tokio::select! {
        () = election.hold() => Err(Error::LeadershipLost),
        () = reconcile_all(context.clone(), triggers, stop.clone()) => Ok(()),
        () = shutdown_grace(stop) => Ok(()),
    };
    metrics.leading.set(0);
    context.stop();
    if result.is_ok() {
        election.release().await;
    }
    result
}

/// Ends a while after the signal: the looks that are under way may come to their end.
async fn shutdown_grace(stop: impl Future<Output = ()>) {
    stop.await;
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}

/// Reconciles every cluster that is asked for, each by itself, until it is told to stop and what is under way has ended.
async fn reconcile_all(context: Arc<Context>, triggers: UnboundedReceiver<ClusterKey>, stop: impl Future<Output = ()>) {
    while !context.metrics.is_ready() {
        tokio::time::sleep(SYNC_PERIOD).await;
    }
    for key in context.store.clusters() {
        // The receiver is ours.
        _ = context.changed.unbounded_send(key);
    }
    let resource = api_resource(&Kind::cluster());
    let (reader, mut writer) = {
        let writer = store::Writer::<DynamicObject>::new(resource.clone());
        (writer.as_reader(), writer)
    };
    // The applier only needs to know which objects there are; what they say is in our own store.
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitDone);
    let known = Arc::new(Mutex::new(writer));
    let queue = triggers.take_until(stop).map(move |key| {
        let object = DynamicObject::new(&key.name, &resource).within(&key.namespace);
        let request = ReconcileRequest::from(ObjectRef::from_obj_with(&object, resource.clone()));
        known.lock().unwrap_or_else(PoisonError::into_inner).apply_watcher_event(&Event::Apply(object));
        Ok::<_, std::convert::Infallible>(request)
    });
    let reconcile_object = |object: Arc<DynamicObject>,
                            context: Arc<Context>|
     -> Pin<Box<dyn Future<Output = Result<Action, reconcile::Error>> + Send>> {
        Box::pin(async move {
            let key = ClusterKey::new(&object.namespace().unwrap_or_default(), &object.name_any());
            reconcile(&context, &key).await
        })
    };
    let error_policy = |object: Arc<DynamicObject>, error: &reconcile::Error, context: Arc<Context>| {
        let key = ClusterKey::new(&object.namespace().unwrap_or_default(), &object.name_any());
        let failures = context.state(&key).failures.saturating_sub(1);
        let repair = context.settings.borrow().repair();
        error.requeue(failures, repair)
    };
    let config = controller::Config::default();
    let mut done = pin!(applier(reconcile_object, error_policy, context, reader, queue, config));
    while let Some(result) = done.next().await {
        if let Err(error) = result {
            debug!(%error, "reconcile failed");
        }
    }
}

/// Keeps the wanted watches running as the settings change, and says once when everything has been listed.
async fn keep_watching(
    mut watches: Watches,
    mut settings: watch::Receiver<Settings>,
    namespaces: Option<Namespaces>,
    own: String,
    store: Arc<Store>,
    metrics: Metrics,
) {
    loop {
        let current = settings.borrow_and_update().clone();
        watches.run_exactly(wanted_watches(&current, namespaces.as_ref(), &own)).await;
        while !metrics.is_ready() {
            if store.synced() {
                metrics.set_ready();
                info!(clusters = store.clusters().len(), "ready");
            }
            tokio::time::sleep(SYNC_PERIOD).await;
        }
        if settings.changed().await.is_err() {
            return;
        }
    }
}

/// What is to be watched.
fn wanted_watches(settings: &Settings, namespaces: Option<&Namespaces>, own: &str) -> Vec<Watch> {
    let watched = match namespaces {
        Some(Namespaces::All) => Watched::All,
        Some(Namespaces::Some(names)) => Watched::These(names.iter().cloned().collect()),
        None => settings.config.watched(),
    };
    let scopes: Vec<Option<String>> = match watched {
        Watched::All => vec![None],
        Watched::Own => vec![Some(own.to_owned())],
        Watched::These(names) => names.into_iter().map(Some).collect(),
    };
    let label = settings.config.text("cluster_name_label").to_owned();
    let mut kinds = of_every_cluster();
    for kind in kinds_of(&settings.pipeline) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let whole_pods = observes_whole_pods(&settings.pipeline);
    let mut watches = Vec::new();
    for namespace in scopes {
        watches.push(Watch { kind: Kind::cluster(), namespace: namespace.clone(), label: None, whole: false });
        for kind in &kinds {
            watches.push(Watch {
                kind: kind.clone(),
                namespace: namespace.clone(),
                label: Some(label.clone()),
                whole: whole_pods && kind.is("Pod"),
            });
        }
    }
    watches
}

/// Whether a plugin looks into the specification of the clusters' pods.
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

/// Two ways to the API server.
struct Clients {
    /// Writes only while the leadership is certain.
    fenced: Client,
    /// Writes at any time; for the Lease.
    free: Client,
}

async fn connect(kubernetes: &Kubernetes, fence: &Fence) -> Result<(Clients, String, Network), Error> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Connect(error);
    let options = KubeConfigOptions { context: kubernetes.context.clone(), ..KubeConfigOptions::default() };
    let config = match &kubernetes.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(error.into()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| failed(error.into()))?
        }
        None if kubernetes.context.is_some() => {
            kube::Config::from_kubeconfig(&options).await.map_err(|error| failed(error.into()))?
        }
        None => kube::Config::infer().await.map_err(|error| failed(error.into()))?,
    };
    let inside = kubernetes.kubeconfig.is_none() && kube::Config::incluster().is_ok();
    let namespace = config.default_namespace.clone();
    let free = Client::try_from(config.clone()).map_err(|error| failed(error.into()))?;
    let fenced = ClientBuilder::try_from(config).map_err(|error| failed(error.into()))?.with_layer(fence).build();
    Ok((Clients { fenced, free }, namespace, if inside { Network::InCluster } else { Network::OutOfCluster }))
}

/// Who we are among the operators: the pod, and this process of it.
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
