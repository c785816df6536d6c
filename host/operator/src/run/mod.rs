//! Runs the operator: connects, loads, watches, leads and reconciles, until the signal to stop.

mod connect;
mod queue;
mod rest;
mod watched;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt, StreamExt};
use kube::Client;
use parking_lot::Mutex;
use pgloom_engine::Engine;
use reqsign_core::OsEnv;
use tokio::sync::{Notify, Semaphore, watch};
use tracing::info;

use crate::admission;
use crate::args::Options;
use crate::cache::watch::Watches;
use crate::cache::{ClusterKey, Store, node, postgres_team};
use crate::context::turns::Turns;
use crate::context::{Context, Network};
use crate::execute::command::Exec;
use crate::execute::ec2::Ec2;
use crate::execute::patroni;
use crate::leader::election::Election;
use crate::leader::fencing::Fence;
use crate::observe::infrastructure_roles::InfrastructureRoles;
use crate::reconcile::check_leaders;
use crate::report::Recorder;
use crate::serve::health::{Health, HealthSender};
use crate::serve::http;
use crate::serve::metrics::Metrics;
use crate::settings::{self, Loader, Registry, Settings};
use crate::state::ClusterStates;
use connect::{Connection, connect, identity};
use queue::reconcile_all;
use watched::{WatchScope, keep_watching};

/// How many clusters are observed and written at the same time. What waits for a database or for Patroni does not
/// count.
const SLOTS: usize = 32;
/// How long one reconcile may take. No request takes longer than a minute.
const RECONCILE_DEADLINE: Duration = Duration::from_secs(300);
/// How long reconciles may go on after the signal to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Why the operator does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the API server.
    #[error("failed to find the API server; give --kubeconfig, or run in a cluster")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An HTTP server does not run.
    #[error("failed to serve over HTTP")]
    Http(#[source] http::Error),
    /// The admission webhook does not run.
    #[error("failed to serve the admission webhook")]
    Admission(#[source] admission::Error),
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
    let listener = http::listen(config.listen, "--listen").await.map_err(Error::Http)?;
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
        refused: Arc::default(),
    };
    let loader = loader(&config, &connection, &shared, health.subscribe())?;
    let (first, progress) = tokio::select! {
        first = loader.first() => first.map_err(Error::Settings)?,
        () = stop.clone() => return Ok(()),
    };
    info!(pipeline = %first.pipeline.name, steps = first.pipeline.steps().len(), "settings loaded");

    let (sender, settings) = watch::channel(first);
    let context = Arc::new(context(&config, &connection, &shared, settings.clone(), (&fence, health.subscribe())));
    let admission = match config.webhook.clone() {
        Some(webhook) => {
            let started = admission::start(webhook, context.clone(), &config.configuration, health.subscribe().leading);
            started.await.map_err(Error::Admission)?.map(tokio::spawn).into()
        }
        None => Vec::new(),
    };
    let _admission = Tasks(admission);
    let rest = match config.rest {
        Some(address) => {
            let listener = http::listen(address, "--rest-listen").await.map_err(Error::Http)?;
            info!(%address, "serving the REST API");
            vec![tokio::spawn(rest::serve(listener, context.clone(), config.namespaces.clone()))]
        }
        None => Vec::new(),
    };
    let _rest = Tasks(rest);
    let health = Arc::new(health);
    let nodes =
        node::follow(shared.client.clone(), shared.store.clone(), shared.changed.clone(), shared.metrics.clone());
    let (teams, of_teams) = watch::channel(Vec::new());
    let postgres_teams = postgres_team::follow(
        shared.client.clone(),
        shared.store.clone(),
        shared.changed.clone(),
        shared.metrics.clone(),
        of_teams,
    );
    let watches = Watches::new(shared.client, shared.store.clone(), shared.changed.clone(), shared.metrics);
    let wanted = WatchScope { namespaces: config.namespaces, own: connection.namespace.clone() };
    let _followers = Tasks(vec![
        tokio::spawn(nodes),
        tokio::spawn(postgres_teams),
        tokio::spawn(loader.follow(progress, sender, (shared.store.clone(), context.clone()), shared.changed)),
        tokio::spawn(keep_watching(watches, settings, wanted, shared.store, health.clone(), teams)),
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
    refused: Arc<Notify>,
}

fn loader(config: &Options, connection: &Connection, shared: &Shared, health: Health) -> Result<Loader, Error> {
    Ok(Loader {
        client: shared.client.clone(),
        engine: Arc::new(Engine::new(&config.engine).map_err(Error::Engine)?),
        registry: Arc::new(Registry::new(config)),
        options: config.clone(),
        namespace: connection.namespace.clone(),
        recorder: shared.recorder.clone(),
        leading: health.leading,
        metrics: shared.metrics.clone(),
        refused: shared.refused.clone(),
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
        turns: Turns::of_process(config.engine.compiler.as_ref().map_or(0, |compiler| compiler.memory)),
        slots: Semaphore::new(SLOTS),
        namespace: connection.namespace.clone(),
        network: connection.network,
        transport: match connection.network {
            Network::InCluster => Arc::new(patroni::Direct::default()),
            Network::OutOfCluster => Arc::new(patroni::ApiServer { client: client.clone() }),
        },
        commands: Arc::new(Exec { client: client.clone() }),
        ec2: Arc::new(Ec2::new(OsEnv)),
        states: ClusterStates::new(changed.clone()),
        fence: fence.clone(),
        liveness: health.liveness,
        deadline: RECONCILE_DEADLINE,
        infrastructure_roles: InfrastructureRoles::new(client.clone(), &connection.namespace, changed.clone()),
        accounts: Mutex::default(),
        refused: shared.refused.clone(),
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
mod tests;
