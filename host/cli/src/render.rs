//! `pgloom render`: the objects that the operator would apply, by the same `decide`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_api::pipeline::Document;
use pgloom_decide::{Observed, decide};
use pgloom_engine::{Engine, EngineConfig, Pipeline};
use serde_json::{Value, json};

use crate::file::{read_all, read_one};

/// The flags of `pgloom render`.
#[derive(Args)]
pub struct Arguments {
    /// The operator configuration: a ConfigMap or an OperatorConfiguration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The pipeline; without it the one in the folder of the shipped plugins
    #[arg(long, env = "PGLOOM_PIPELINE", value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// The folder that `source.file` of the pipeline is relative to; without it the pipeline's own
    #[arg(long, env = "PGLOOM_PLUGINS", value_name = "FOLDER")]
    plugins: Option<PathBuf>,
    /// Objects that exist already
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
    /// The namespace of manifests that name none
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// The operator's own namespace, which has operator-wide Secrets; without it that of the configuration
    #[arg(long, value_name = "NAME")]
    operator_namespace: Option<String>,
    /// How the objects are printed
    #[arg(long, short, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
    /// Manifests of kind postgresql; `-` is standard input
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A YAML stream
    Yaml,
    /// A JSON list
    Json,
}

/// Prints the desired objects of all manifests, or only the errors of all manifests.
pub fn render(arguments: &Arguments) -> Result<()> {
    let document = arguments.config.as_deref().map(read_one).transpose()?;
    let config = match (&document, &arguments.config) {
        (Some(document), Some(path)) => read_config(document, path)?,
        _ => Config::defaults(),
    };
    let own = operator_namespace(arguments, document.as_ref());
    let pipeline = load_pipeline(arguments)?;
    let mut existing = arguments.observed.as_deref().map_or_else(|| Ok(Vec::new()), read_all)?;
    existing.iter_mut().for_each(|object| complete(object, &arguments.namespace));
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for path in &arguments.manifests {
        for mut manifest in read_all(path)? {
            complete(&mut manifest, &arguments.namespace);
            let observed = Observed::in_files(&existing, &manifest, &config, &pipeline, &own);
            match decide(&manifest, &config, &observed, &pipeline) {
                Ok(plan) => {
                    plan.findings.iter().for_each(|finding| eprintln!("{}", line(path, finding)));
                    objects.extend(plan.documents());
                }
                Err(error) => {
                    problems.extend(error.to_string().lines().map(|text| format!("{}: {text}", path.display())))
                }
            }
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\nerror: "));
    }
    print(&objects, arguments.output)
}

/// The namespace of operator-wide Secrets: that of the flag, or of the configuration, or of the manifests.
fn operator_namespace(arguments: &Arguments, configuration: Option<&Value>) -> String {
    let of_configuration = configuration.and_then(|document| document["metadata"]["namespace"].as_str());
    let namespace = arguments.operator_namespace.as_deref().or(of_configuration);
    namespace.unwrap_or(&arguments.namespace).to_owned()
}

fn read_config(document: &Value, path: &Path) -> Result<Config> {
    let read = Config::read(document).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        anyhow!("{}", lines.join("\nerror: "))
    })?;
    read.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", path.display()));
    Ok(read.config)
}

fn load_pipeline(arguments: &Arguments) -> Result<Pipeline> {
    let path = match &arguments.pipeline {
        Some(path) => path.clone(),
        None => shipped_pipeline()?,
    };
    let document = Document::read(&read_one(&path)?).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        anyhow!("{}", lines.join("\nerror: "))
    })?;
    let parent = path.parent().map(Path::to_owned).unwrap_or_default();
    let folder = arguments.plugins.clone().unwrap_or(parent);
    let engine = Arc::new(Engine::new(&engine_config())?);
    Pipeline::load(&engine, &document, &folder, None).with_context(|| path.display().to_string())
}

/// The pipeline in the folder of the plugins: next to the binary, or as in the image.
fn shipped_pipeline() -> Result<PathBuf> {
    let next_to_binary =
        std::env::current_exe().ok().and_then(|binary| Some(binary.parent()?.join("plugins/pipeline.yaml")));
    let candidates = next_to_binary.into_iter().chain([PathBuf::from("/plugins/pipeline.yaml")]);
    let found = candidates.into_iter().find(|path| path.exists());
    found.context("no pipeline next to the binary; give one with --pipeline, or run `make build`")
}

/// The configuration of the engine, with compiled plugins in the user's cache folder.
fn engine_config() -> EngineConfig {
    let config = EngineConfig { concurrency: 1, ..EngineConfig::of_binary() };
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cached = EngineConfig { cache: caches.or(home).map(|folder| folder.join("pgloom/code")), ..config.clone() };
    // If the folder cannot be used, every run compiles the plugins.
    if Engine::new(&cached).is_ok() { cached } else { config }
}

fn complete(manifest: &mut Value, namespace: &str) {
    if let Some(Value::Object(metadata)) = manifest.get_mut("metadata") {
        metadata.entry("namespace").or_insert_with(|| json!(namespace));
    }
}

fn line(path: &Path, finding: &Finding) -> String {
    format!("{}: {}: {finding}", finding.severity, path.display())
}

fn print(objects: &[Value], format: Format) -> Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(objects)? + "\n",
        Format::Yaml => {
            let documents: Result<Vec<String>, _> = objects.iter().map(serde_yaml_ng::to_string).collect();
            format!("---\n{}", documents?.join("---\n"))
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
