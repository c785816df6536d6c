//! The connection to the API server.

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Error;
use crate::args::{Kubernetes, Options};
use crate::context::Network;
use crate::leader::client;
use crate::leader::fencing::Fence;

/// The API server, and how it is reached.
pub struct Connection {
    /// Writes only while the leadership is certain.
    pub fenced: Client,
    /// Writes at any time; for the Lease.
    pub free: Client,
    /// The operator's own namespace.
    pub namespace: String,
    pub network: Network,
}

/// Connects as the flags say.
///
/// # Errors
/// If there is no way to the API server.
pub async fn connect(config: &Options, fence: &Fence) -> Result<Connection, Error> {
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
pub fn identity() -> String {
    let pod = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "pgloom".to_owned());
    format!("{pod}_{:016x}", rand::random::<u64>())
}
