//! Registries of components, as commands ask them: with the credentials of Docker's `config.json`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, value_parser};
use pgloom_api::pipeline::Artifact;
use pgloom_engine::pipeline::Phase;
use pgloom_registry::{Client, Credentials, Settings};

use crate::file;

/// The flags that say how registries are reached.
#[derive(Args, Clone)]
pub struct Arguments {
    /// A file with the certificate authorities of the registries, in the PEM format; without it those of SSL_CERT_FILE or
    /// the system
    #[arg(long, env = "PGLOOM_REGISTRY_CA", value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// The registries that are asked by plain HTTP, as host or host:port, separated by commas. Those on the loopback
    /// interface are, unless there is --registry-ca
    #[arg(long, env = "PGLOOM_REGISTRY_PLAIN_HTTP", value_name = "HOSTS", value_delimiter = ',')]
    registry_plain_http: Vec<String>,
    /// The time for one pull or one push of a component
    #[arg(long, env = "PGLOOM_REGISTRY_TIME", value_name = "SECONDS", default_value = "60", value_parser = value_parser!(u32).range(1..))]
    registry_time: u32,
    /// A config.json of Docker with credentials; without it the one in $DOCKER_CONFIG or ~/.docker
    #[arg(long, env = "REGISTRY_AUTH_FILE", value_name = "FILE")]
    registry_auth: Option<PathBuf>,
}

/// A client, and its credentials.
pub struct Registry {
    /// The client.
    pub client: Client,
    /// The credentials.
    pub credentials: Credentials,
    runtime: tokio::runtime::Runtime,
}

impl Registry {
    /// The registry of the flags. What is pulled has at most `max_component` bytes and is kept in `cache`.
    pub fn new(arguments: &Arguments, max_component: u64, cache: Option<PathBuf>) -> Result<Self> {
        let settings = Settings {
            authorities: arguments.registry_ca.clone(),
            plain_http: arguments.registry_plain_http.clone(),
            cache,
            time: Duration::from_secs(arguments.registry_time.into()),
            ..Settings::new(max_component)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client: Client::new(settings), credentials: credentials(arguments)?, runtime })
    }

    /// Waits for the work of the client.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Fetches the component of a step.
    pub fn fetch(&self, artifact: &Artifact) -> Result<Vec<u8>, (Phase, String)> {
        let pull = self.client.pull_named(&artifact.reference, &self.credentials, &artifact.public_keys);
        match self.wait(pull) {
            Ok((_, pulled)) => Ok(pulled.component),
            Err(error) if error.is_verification() => Err((Phase::Verify, error.to_string())),
            Err(error) => Err((Phase::Fetch, error.to_string())),
        }
    }
}

fn credentials(arguments: &Arguments) -> Result<Credentials> {
    let read = |path: &Path| {
        let bytes = file::short(path)?;
        Credentials::read(&bytes).with_context(|| path.display().to_string())
    };
    if let Some(path) = &arguments.registry_auth {
        return read(path);
    }
    let docker = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    match docker.or(home).map(|folder| folder.join("config.json")) {
        Some(path) if path.exists() => read(&path),
        _ => Ok(Credentials::default()),
    }
}
