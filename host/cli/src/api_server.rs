//! How a command reaches the API server, and the namespace of the cluster that it is about.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use kube::Client;
use kube::config::{Config, InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};

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
            None => Config::infer().await.map_err(|error| not_inferred(&error))?,
        };
        let namespace = config.default_namespace.clone();
        Ok((Client::try_from(config)?, namespace))
    }
}

/// No flag, variable or file names an API server.
#[derive(Debug)]
struct NotFound;

impl std::error::Error for NotFound {}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no API server found: neither $KUBECONFIG nor ~/.kube/config leads to one; give --kubeconfig")
    }
}

/// A kubeconfig that exists is meant: what is wrong with it is the reason then, and that this is no pod is none.
fn not_inferred(error: &InferConfigError) -> anyhow::Error {
    let reason = error.source().and_then(<dyn Error>::downcast_ref);
    match reason {
        None | Some(KubeconfigError::FindPath | KubeconfigError::CurrentContextNotSet) => NotFound.into(),
        Some(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => NotFound.into(),
        Some(reason) => anyhow!("the kubeconfig cannot be used: {reason}; mend it, or give --kubeconfig"),
    }
}

/// The error of a command that takes a manifest instead.
pub fn or_manifest(error: anyhow::Error) -> anyhow::Error {
    if error.is::<NotFound>() { anyhow!("{error}, or name a manifest") } else { error }
}

impl Arguments {
    /// The client of the API server, and the namespace.
    pub async fn connect(&self) -> Result<(Client, String)> {
        let (client, default) = self.connection.connect().await?;
        Ok((client, self.namespace.clone().unwrap_or(default)))
    }
}
