//! `pgloom connect`: a local port that leads to the current leader of a cluster, through the API server.
//!
//! `kubectl port-forward` is bound to one pod and ends with the first connection that breaks. Here each connection gets
//! a port-forward of its own, to the pod that leads when the connection is opened, so that the port also works after a
//! failover.

mod leader;
mod relay;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use k8s_openapi::api::core::v1::{Endpoints, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use relay::Path;

/// PostgreSQL's port in the pod.
const POSTGRESQL: u16 = 5432;

/// The flags of `pgloom connect`.
#[derive(Args)]
pub struct Arguments {
    /// The kubeconfig file; without it $KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The cluster's namespace; without it that of the kubeconfig
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// The port of 127.0.0.1 to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 6432)]
    port: u16,
    /// The name of the cluster, as in its manifest
    cluster: String,
}

/// Listens until the process is ended.
pub fn connect(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(listen(arguments))
}

async fn listen(arguments: Arguments) -> Result<()> {
    let cluster = Cluster::new(&arguments).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await;
    let listener = listener.with_context(|| format!("port {} of 127.0.0.1; choose another --port", arguments.port))?;
    println!("{} leads to the leader of {}/{}", listener.local_addr()?, cluster.namespace, cluster.name);
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(serve(client, cluster.clone()))),
            // For example, too many open files. Open connections continue.
            Err(error) => {
                warn!("accepting a connection failed: {error}");
                tokio::time::sleep(relay::TIMING.retry).await;
            }
        }
    }
}

async fn serve(client: TcpStream, cluster: Cluster) {
    if let Err(error) = relay::relay(client, || cluster.path(), &relay::TIMING).await {
        warn!("connection closed: {error:#}");
    }
}

/// The API server of the flags `--kubeconfig` and `--context`.
pub async fn api_server(kubeconfig: Option<&std::path::Path>, context: Option<&str>) -> Result<kube::Config> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Ok(match kubeconfig {
        Some(path) => kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if context.is_some() => kube::Config::from_kubeconfig(&options).await?,
        None => kube::Config::infer().await.context("no API server found; give --kubeconfig")?,
    })
}

/// A cluster of the API server.
#[derive(Clone)]
struct Cluster {
    name: String,
    namespace: String,
    client: Client,
}

impl Cluster {
    async fn new(arguments: &Arguments) -> Result<Self> {
        let config = api_server(arguments.kubeconfig.as_deref(), arguments.context.as_deref()).await?;
        let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { name: arguments.cluster.clone(), namespace, client: Client::try_from(config)? })
    }

    /// Opens a port-forward to the pod that leads now.
    async fn path(&self) -> Result<Path> {
        let endpoints: Api<Endpoints> = Api::namespaced(self.client.clone(), &self.namespace);
        let endpoints = endpoints.get_opt(&self.name).await.context("reading the Endpoints of the leader failed")?;
        let pod = leader::pod(&endpoints.unwrap_or_default()).context("no pod leads")?;
        debug!("connecting to pod {pod}");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let forward = pods.portforward(&pod, &[POSTGRESQL]).await;
        let mut forward = forward.with_context(|| format!("port-forward to pod {pod} failed"))?;
        let ends = forward.take_stream(POSTGRESQL).zip(forward.take_error(POSTGRESQL));
        let (stream, error) = ends.with_context(|| format!("port-forward to pod {pod} has no port {POSTGRESQL}"))?;
        Ok(Path { stream, error: Box::pin(error) })
    }
}
