//! How a command reaches the API server, and the namespace of the cluster that it is about.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use kube::Client;
use kube::config::{Config, InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use pgloom_common::error::{error_chain, root_cause};

use crate::usage::namespace;

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
    #[arg(long, short, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
}

impl Connection {
    /// The client of the API server, and the namespace of the kubeconfig.
    pub async fn connect(&self) -> Result<(Client, String)> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => {
                let read = async { Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await };
                read.await.map_err(|error| unusable(&error))?
            }
            None if self.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| unusable(&error))?
            }
            None => Config::infer().await.map_err(|error| not_inferred(&error))?,
        };
        let namespace = config.default_namespace.clone();
        // Without a user and a password before the host.
        let address = config.cluster_url.authority().map_or("", |authority| authority.as_str());
        let address = address.rsplit('@').next().unwrap_or_default().to_owned();
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        match client.apiserver_version().await {
            // What the caller may not ask, or what another release does not have, is said of the requests that follow.
            Ok(_) | Err(kube::Error::Api(_)) => Ok((client, namespace)),
            Err(error) => Err(unreachable(&address, &error)),
        }
    }
}

/// The error of a request that the API server did not answer.
fn unreachable(address: &str, error: &kube::Error) -> anyhow::Error {
    let (how, remedy) = match error {
        kube::Error::SerdeError(_) => ("does not answer as an API server", "check its address in the kubeconfig"),
        _ => ("cannot be reached", "check --kubeconfig and --context, and whether it runs"),
    };
    anyhow!("the API server {address} {how}: {}; {remedy}", root_cause(error))
}

fn unusable(error: &dyn Error) -> anyhow::Error {
    anyhow!("the kubeconfig cannot be used: {}; mend it, or give another --kubeconfig", error_chain(error))
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
        Some(reason) => unusable(reason),
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
