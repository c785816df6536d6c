//! The pipeline of a command: which document, and where its components are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use pgloom_api::Finding;
use pgloom_api::pipeline::{Artifact, Document};
use pgloom_engine::{Engine, EngineConfig, Pipeline};
use pgloom_operator::args::{ComponentLimits, folder_of};
use serde_json::Value;

use crate::file::read_one;
use crate::registry::{self, Registry};

/// The flags that name a pipeline.
#[derive(Args)]
pub struct Arguments {
    /// The pipeline; without it the one in the folder of the shipped plugins
    #[arg(long, env = "PGLOOM_PIPELINE", value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// The folder that `source.file` of the pipeline is relative to; without it the pipeline's own
    #[arg(long, env = "PGLOOM_PLUGINS", value_name = "FOLDER")]
    plugins: Option<PathBuf>,
    #[command(flatten)]
    limits: ComponentLimits,
    #[command(flatten)]
    registry: registry::Arguments,
}

/// A pipeline with what it was loaded from.
pub struct Loaded {
    /// The engine of its plugins.
    pub engine: Arc<Engine>,
    /// The document, with a step for each of the pipeline's.
    pub document: Document,
    /// The pipeline.
    pub pipeline: Pipeline,
}

impl Arguments {
    /// The same for another pipeline: without `pipeline` that in the folder of the shipped plugins, without `plugins` those of
    /// its folder.
    pub fn of_other(&self, pipeline: Option<PathBuf>, plugins: Option<PathBuf>) -> Self {
        Self { pipeline, plugins, limits: self.limits.clone(), registry: self.registry.clone() }
    }

    /// The limits of components.
    pub fn limits(&self) -> &ComponentLimits {
        &self.limits
    }

    /// Whether a file is named, and not left to be found.
    pub fn is_named(&self) -> bool {
        self.pipeline.is_some()
    }

    /// The folder of components for a pipeline that is in no file: that of these flags, or else of the others, or else that of
    /// the shipped plugins.
    pub fn folder(&self, others: Option<&Self>) -> PathBuf {
        let shipped = || Some(shipped_pipeline().ok()?.parent()?.to_owned());
        let named = self.plugins.clone().or_else(|| others?.plugins.clone());
        named.or_else(shipped).unwrap_or_else(|| PathBuf::from("."))
    }

    /// The pipeline's file, and the folder of its components.
    pub fn place(&self) -> Result<(PathBuf, PathBuf)> {
        let path = match &self.pipeline {
            Some(path) => path.clone(),
            None => shipped_pipeline()?,
        };
        let folder = self.plugins.clone().unwrap_or_else(|| folder_of(&path));
        Ok((path, folder))
    }
}

/// The engine of a command.
pub fn engine(limits: &ComponentLimits) -> Result<Arc<Engine>> {
    Ok(Arc::new(Engine::new(&engine_config(limits))?))
}

/// Loads the pipeline, as the operator does.
pub fn load(arguments: &Arguments) -> Result<Pipeline> {
    Ok(load_with_document(arguments)?.pipeline)
}

/// Loads the pipeline, and returns its document and its engine, too.
pub fn load_with_document(arguments: &Arguments) -> Result<Loaded> {
    let (path, folder) = arguments.place()?;
    load_document(arguments, &read_one(&path)?, &path, &folder)
}

/// Loads the pipeline of a document from a place; the components are in `folder`, or in registries.
pub fn load_document(arguments: &Arguments, document: &Value, path: &Path, folder: &Path) -> Result<Loaded> {
    let document = Document::read(document).map_err(|problems| refused(path, &problems))?;
    let engine = engine(&arguments.limits)?;
    let pulled = engine_config(&arguments.limits).cache.map(|folder| folder.join("pulled"));
    let registry = Registry::new(&arguments.registry, arguments.limits.max_component(), pulled)?;
    let remote = |artifact: &Artifact| registry.fetch(artifact);
    let pipeline = Pipeline::load_with(&engine, &document, folder, None, &remote);
    let pipeline = pipeline.with_context(|| path.display().to_string())?;
    Ok(Loaded { engine, document, pipeline })
}

/// The error of a file with these problems: a line for each. Those that are warnings are said at once.
pub fn refused(path: &Path, problems: &[Finding]) -> anyhow::Error {
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.iter().partition(|problem| problem.is_error());
    warnings.iter().for_each(|warning| crate::log::say(format_args!("warning: {}: {warning}", path.display())));
    let lines: Vec<String> = errors.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
    anyhow!("{}", lines.join("\nerror: "))
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
fn engine_config(limits: &ComponentLimits) -> EngineConfig {
    let config = EngineConfig { concurrency: 1, ..limits.engine() };
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cached = EngineConfig { cache: caches.or(home).map(|folder| folder.join("pgloom/code")), ..config.clone() };
    // If the folder cannot be used, every run compiles the plugins.
    if Engine::new(&cached).is_ok() { cached } else { config }
}
