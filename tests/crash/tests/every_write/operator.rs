//! The operator in this process, connected to a served world.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use pgloom_operator::Options;
use pgloom_operator::args::{EngineConfig, Kubernetes, Named, Namespaces, PipelineSource, RegistrySettings, Source};
use stand_in::Server;
use tokio::task::JoinHandle;

use crate::operation::{CONFIGURATION, NAMESPACE};

/// The name of the lease, in runs with leader election.
pub const LEASE: &str = "pgloom";

/// The folders of the operator.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The components and the pipeline.
    pub plugins: PathBuf,
    /// The compiled components.
    pub code: PathBuf,
    /// Temporary files of the test.
    pub scratch: PathBuf,
}

impl Folders {
    /// Those of this repository.
    ///
    /// # Errors
    /// If the components are not built.
    pub fn of_repository(scratch: &Path) -> Result<Self> {
        let folders = Self {
            plugins: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/plugins"))
                .canonicalize()
                .context("dist/plugins does not exist; run `make plugins`")?,
            code: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("code"),
            scratch: scratch.to_owned(),
        };
        std::fs::create_dir_all(&folders.code)?;
        Ok(folders)
    }
}

/// Prints the operator's log lines that the filter `CRASH_LOG` has, if it is set.
pub fn log() {
    if let Ok(filter) = std::env::var("CRASH_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}

/// A running operator. It is killed when dropped.
pub struct Operator {
    task: JoinHandle<Result<(), pgloom_operator::Error>>,
}

impl Operator {
    /// Starts an operator. The world no longer answers earlier ones.
    pub async fn start(server: &Server, folders: &Folders, with_lease: bool) -> Result<Self> {
        let pipeline = PipelineSource::File(folders.plugins.join("pipeline.yaml"));
        Self::start_with(pipeline, server, folders, with_lease).await
    }

    /// The same with another source of the pipeline.
    pub async fn start_with(
        pipeline: PipelineSource,
        server: &Server,
        folders: &Folders,
        with_lease: bool,
    ) -> Result<Self> {
        let kubeconfig = kubeconfig(&folders.scratch, server.listen().await?)?;
        let options = Options {
            kubernetes: Kubernetes { kubeconfig: Some(kubeconfig), context: None },
            namespaces: Some(Namespaces::Some(vec![NAMESPACE.to_owned()])),
            operator_namespace: Some(NAMESPACE.to_owned()),
            configuration: Source::ConfigMap(Named { namespace: None, name: CONFIGURATION.to_owned() }),
            pipeline,
            plugins: folders.plugins.clone(),
            engine: EngineConfig { cache: Some(folders.code.clone()), ..EngineConfig::default() },
            registry: RegistrySettings::new(EngineConfig::MAX_COMPONENT),
            registry_poll: None,
            controller_id: String::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rest: None,
            webhook: None,
            lease: with_lease.then(|| LEASE.to_owned()),
        };
        Ok(Self { task: tokio::spawn(pgloom_operator::run(options)) })
    }

    /// Whether the operator ended without being killed.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn kubeconfig(folder: &Path, api: SocketAddr) -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let path = folder.join(format!("kubeconfig-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
        contexts: [{{name: it, context: {{cluster: it, user: it, namespace: {NAMESPACE}}}}}]\n\
        clusters: [{{name: it, cluster: {{server: \"http://{api}\"}}}}]\nusers: [{{name: it, user: {{}}}}]\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}
