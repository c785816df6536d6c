//! How a command reaches the API server, and the namespace of the cluster that it is about.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

/// The flags that name the API server.
#[derive(Args)]
pub struct Connection {
    /// The kubeconfig file; without it $KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// The flags that name the API server and the namespace.
#[derive(Args)]
pub struct Arguments {
    /// How the API server is reached.
    #[command(flatten)]
    pub connection: Connection,
    /// The cluster's namespace; without it that of the kubeconfig
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
}

impl Connection {
    /// The client of the API server, and the namespace of the kubeconfig.
    pub async fn connect(&self) -> Result<(Client, String)> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None if self.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await.context("no API server found; give --kubeconfig")?,
        };
        let namespace = config.default_namespace.clone();
        Ok((Client::try_from(config)?, namespace))
    }
}

impl Arguments {
    /// The client of the API server, and the namespace.
    pub async fn connect(&self) -> Result<(Client, String)> {
        let (client, default) = self.connection.connect().await?;
        Ok((client, self.namespace.clone().unwrap_or(default)))
    }
}
