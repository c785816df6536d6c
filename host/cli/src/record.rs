//! `pgloom record`: what a plugin is asked for a running cluster, as a golden folder without credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use pgloom_common::golden;
use pgloom_conformance::recording::{self, Live as Running, Recording};
use pgloom_conformance::{Bench, Companion, Setup};
use pgloom_engine::Plugin;
use serde_json::Value;

use crate::live::{Live, OPERATOR_NAMESPACE, Unreadable, Wanted};
use crate::usage::{namespace, object_name};
use crate::{api_server, file, live, pipeline};

const HELP: &str = "\
Example:
  pgloom record acid-orders --namespace shop --plugin motto.wasm --output golden/orders

Credentials, values of variables, and values of ConfigMaps and Secrets are not written. The cluster, its namespace, its
uid and its team have other names. What else the manifest says, as names of roles and of buckets, is written: read it
before you commit.

Exit codes: 0 the folder is written; 1 failure, with the reason on standard error; 2 invalid command line.";

/// The flags of `pgloom record`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: pipeline::Arguments,
    #[command(flatten)]
    api_server: api_server::Arguments,
    /// The component whose requests are recorded
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    #[command(flatten)]
    configuration: live::Configuration,
    /// The operator configuration, a file; without it that of the API server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The operator's namespace
    #[arg(long, value_name = "NAME", default_value = OPERATOR_NAMESPACE, value_parser = namespace)]
    operator_namespace: String,
    /// The folder to write; it must not exist, or be empty
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
    /// The name of the cluster, as in its manifest
    #[arg(value_parser = object_name)]
    cluster: String,
}

/// Reads the cluster, and writes the folder.
pub fn record(arguments: &Arguments) -> Result<()> {
    check_output(&arguments.output)?;
    let bytes = file::component(&arguments.plugin, arguments.pipeline.limits())?;
    let loaded = pipeline::load_with_document(&arguments.pipeline)?;
    let plugin = Plugin::load(&loaded.engine, &bytes, None).with_context(|| arguments.plugin.display().to_string())?;
    let steps = loaded.document.steps.into_iter().zip(loaded.pipeline.steps());
    let companions = steps.map(|(step, loaded)| Companion { step, plugin: loaded.plugin.clone() }).collect();
    let bench = Bench::new(Arc::new(plugin), Setup { companions, ..Setup::default() });
    let recording = recording::record(&bench, &read(arguments, &bench)?).with_context(|| arguments.cluster.clone())?;
    write(&arguments.output, &recording)?;
    crate::output::line(format_args!("{} is written; read it before you commit it", arguments.output.display()))
}

fn check_output(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{}: is not empty; give a new folder with --output", folder.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be used; give a new folder", folder.display())),
    }
}

/// Reads the manifest, the configuration, and the objects that the steps read.
fn read(arguments: &Arguments, bench: &Bench) -> Result<Running> {
    let api_server::Arguments { connection, namespace } = &arguments.api_server;
    let live = Live::connect(connection, namespace.as_deref(), Some(&arguments.operator_namespace))?;
    let manifest = live.cluster(&arguments.cluster)?;
    let (configuration, config) = live.configuration(&arguments.configuration, arguments.config.as_deref())?;
    let (pipeline, _) = bench.pipeline().map_err(anyhow::Error::msg)?;
    let mut wanted = Wanted::default();
    wanted.add(&pipeline, &manifest, &config);
    let existing = live.existing(&wanted, &config, Some(&arguments.cluster), Unreadable::Fails)?;
    Ok(Running { manifest, configuration, config, existing, own: live.own().to_owned() })
}

fn write(folder: &Path, recording: &Recording) -> Result<()> {
    let Recording { manifest, operator, config, existing, desired } = recording;
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let is_empty = |config: &Value| config.as_object().is_none_or(serde_json::Map::is_empty);
    let config: &[Value] = if is_empty(config) { &[] } else { std::slice::from_ref(config) };
    for (name, documents) in [
        (golden::MANIFEST, std::slice::from_ref(manifest)),
        (golden::OPERATOR, std::slice::from_ref(operator)),
        (golden::CONFIG, config),
        (golden::EXISTING, existing.as_slice()),
        (golden::DESIRED, desired.as_slice()),
    ] {
        if documents.is_empty() {
            continue;
        }
        let texts: Result<Vec<String>, _> = documents.iter().map(pgloom_api::document::write).collect();
        let path = folder.join(name);
        std::fs::write(&path, texts?.join("---\n"))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}
