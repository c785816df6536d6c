//! `pgloom connect`: a local port that leads to the current leader of a cluster, through the API server.
//!
//! `kubectl port-forward` is bound to one pod and ends with the first connection that breaks. Here each connection gets
//! a port-forward of its own, to the pod that leads when the connection is opened, so that the port also works after a
//! failover.

mod leader;
mod relay;

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use clap::Args;
use k8s_openapi::api::core::v1::{Endpoints, Pod};
use kube::{Api, Client};
use pgloom_common::error::error_chain;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use crate::api_server;
use crate::usage::object_name;
use relay::Path;

/// PostgreSQL's port in the pod.
const POSTGRESQL: u16 = 5432;

const HELP: &str = "\
Example:
  pgloom connect acid-minimal-cluster --namespace default
  psql --host 127.0.0.1 --port 6432 --username postgres

It runs until it is ended. It needs the rights to get Endpoints and to create pods/portforward.

Exit codes: 1 failure, as a port that is taken, with the reason on standard error; 2 invalid command line.";

/// The flags of `pgloom connect`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    api_server: api_server::Arguments,
    /// The port of 127.0.0.1 to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 6432)]
    port: u16,
    /// The name of the cluster, as in its manifest
    #[arg(value_parser = object_name)]
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
    let address = listener.local_addr()?;
    crate::output::line(format_args!("{address} leads to the leader of {}/{}", cluster.namespace, cluster.name))?;
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
        warn!("connection closed: {}", error_chain(&*error));
    }
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
        let (client, namespace) = arguments.api_server.connect().await?;
        Ok(Self { name: arguments.cluster.clone(), namespace, client })
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
