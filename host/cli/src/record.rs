//! `pgloom record`: what a plugin is asked for a running cluster, as a golden folder without credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Client, discovery};
use pgloom_api::config::Config;
use pgloom_conformance::recording::{self, Live, Recording};
use pgloom_conformance::{Bench, Companion, Setup};
use pgloom_engine::Plugin;
use serde_json::Value;

use crate::{api_server, file, pipeline};

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
    /// The operator configuration, a file; without it the ConfigMap `pgloom` of the operator's namespace
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The operator's namespace
    #[arg(long, value_name = "NAME", default_value = "pgloom-system")]
    operator_namespace: String,
    /// The folder to write; it must not exist, or be empty
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
    /// The name of the cluster, as in its manifest
    cluster: String,
}

/// Reads the cluster, and writes the folder.
pub fn record(arguments: &Arguments) -> Result<()> {
    check_output(&arguments.output)?;
    let bytes = file::component(&arguments.plugin)?;
    let loaded = pipeline::load_with_document(&arguments.pipeline)?;
    let plugin = Plugin::load(&loaded.engine, &bytes, None).with_context(|| arguments.plugin.display().to_string())?;
    let steps = loaded.document.steps.into_iter().zip(loaded.pipeline.steps());
    let companions = steps.map(|(step, loaded)| Companion { step, plugin: loaded.plugin.clone() }).collect();
    let bench = Bench::new(Arc::new(plugin), Setup { companions, ..Setup::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let live = runtime.block_on(read(arguments, &bench))?;
    let recording = recording::record(&bench, &live).with_context(|| arguments.cluster.clone())?;
    write(&arguments.output, &recording)?;
    println!("{} is written; read it before you commit it", arguments.output.display());
    Ok(())
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
async fn read(arguments: &Arguments, bench: &Bench) -> Result<Live> {
    let (client, namespace) = arguments.api_server.connect().await?;
    let name = arguments.cluster.as_str();
    let manifest = get(&client, ("acid.zalan.do/v1", "postgresql"), &namespace, name).await?;
    let manifest = manifest.with_context(|| format!("there is no postgresql {namespace}/{name}; check --namespace"))?;
    let configuration = match &arguments.config {
        Some(path) => file::read_one(path)?,
        None => {
            let own = arguments.operator_namespace.as_str();
            let found = get(&client, ("v1", "ConfigMap"), own, "pgloom").await?;
            found
                .with_context(|| format!("there is no ConfigMap {own}/pgloom; give the configuration with --config"))?
        }
    };
    let place = arguments.config.clone().unwrap_or_else(|| PathBuf::from("ConfigMap pgloom"));
    let config = Config::read(&configuration).map_err(|problems| pipeline::refused(&place, &problems))?.config;
    let (pipeline, _) = bench.pipeline().map_err(anyhow::Error::msg)?;
    let (kinds, named) = recording::wanted(&pipeline, &manifest, &config);
    let label = format!("{}={name}", config.text("cluster_name_label"));
    let mut existing = Vec::new();
    for (api_version, kind) in &kinds {
        let api = api(&client, (api_version, kind), &namespace).await?;
        let found = api.list(&ListParams::default().labels(&label)).await;
        let found = found.with_context(|| format!("the {kind} objects of {name} cannot be listed"))?;
        existing.extend(found.items.into_iter().map(|object| whole(object, (api_version, kind))));
    }
    for wanted in &named {
        let kind = (wanted.api_version.as_str(), wanted.kind.as_str());
        let place = wanted.namespace.as_deref().unwrap_or(&namespace);
        existing.extend(get(&client, kind, place, &wanted.name).await?);
    }
    Ok(Live { manifest, configuration, config, existing, own: arguments.operator_namespace.clone() })
}

async fn get(client: &Client, kind: (&str, &str), namespace: &str, name: &str) -> Result<Option<Value>> {
    let api = api(client, kind, namespace).await?;
    let found = api.get_opt(name).await.with_context(|| format!("{} {namespace}/{name} cannot be read", kind.1))?;
    Ok(found.map(|object| whole(object, kind)))
}

async fn api(client: &Client, (api_version, kind): (&str, &str), namespace: &str) -> Result<Api<DynamicObject>> {
    let gvk = match api_version.split_once('/') {
        Some((group, version)) => GroupVersionKind::gvk(group, version, kind),
        None => GroupVersionKind::gvk("", api_version, kind),
    };
    // The plural of a custom resource may be anything; that of the others follows from the kind.
    let is_custom = gvk.group.contains('.') && !gvk.group.ends_with(".k8s.io") && gvk.group != "acid.zalan.do";
    let resource = match is_custom {
        true => discovery::pinned_kind(client, &gvk).await.with_context(|| format!("the API server has no {kind}"))?.0,
        false => ApiResource::from_gvk(&gvk),
    };
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// The object with its kind, which the entries of a list do not have.
fn whole(object: DynamicObject, (api_version, kind): (&str, &str)) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    value
}

fn write(folder: &Path, recording: &Recording) -> Result<()> {
    let Recording { manifest, operator, config, existing, desired } = recording;
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let is_empty = |config: &Value| config.as_object().is_none_or(serde_json::Map::is_empty);
    let config: &[Value] = if is_empty(config) { &[] } else { std::slice::from_ref(config) };
    for (name, documents) in [
        ("manifest.yaml", std::slice::from_ref(manifest)),
        ("operator.yaml", std::slice::from_ref(operator)),
        ("config.yaml", config),
        ("existing.yaml", existing.as_slice()),
        ("desired.yaml", desired.as_slice()),
    ] {
        if documents.is_empty() {
            continue;
        }
        let texts: Result<Vec<String>, _> = documents.iter().map(serde_yaml_ng::to_string).collect();
        let path = folder.join(name);
        std::fs::write(&path, texts?.join("---\n"))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}
