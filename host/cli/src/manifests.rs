//! What the commands that decide offline read: manifests, the operator configuration, existing objects.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use pgloom_api::config::Config;
use pgloom_decide::Observed;
use pgloom_engine::Pipeline;
use serde_json::{Value, json};

use crate::file::{read_all, read_one};
use crate::pipeline;

/// The flags of what a decision depends on, the pipeline aside.
#[derive(Args)]
pub struct Arguments {
    /// The operator configuration: a ConfigMap or an OperatorConfiguration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Objects that exist already
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
    /// The namespace of manifests that name none
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// The operator's own namespace, which has operator-wide Secrets; without it that of the configuration
    #[arg(long, value_name = "NAME")]
    operator_namespace: Option<String>,
}

/// What a decision depends on, the manifest and the pipeline aside.
pub struct Inputs<'a> {
    arguments: &'a Arguments,
    /// The operator configuration.
    pub config: Config,
    operator_namespace: String,
    existing: Vec<Value>,
}

impl Arguments {
    /// Reads the files.
    pub fn read(&self) -> Result<Inputs<'_>> {
        let document = self.config.as_deref().map(read_one).transpose()?;
        let config = match (&document, &self.config) {
            (Some(document), Some(path)) => read_config(document, path)?,
            _ => Config::defaults(),
        };
        let mut existing = self.observed.as_deref().map_or_else(|| Ok(Vec::new()), read_all)?;
        existing.iter_mut().for_each(|object| complete(object, &self.namespace));
        let operator_namespace = self.own(document.as_ref());
        Ok(Inputs { arguments: self, config, operator_namespace, existing })
    }

    /// The namespace of operator-wide Secrets: that of the flag, or of the configuration, or of the manifests.
    fn own(&self, configuration: Option<&Value>) -> String {
        let of_configuration = configuration.and_then(|document| document["metadata"]["namespace"].as_str());
        let namespace = self.operator_namespace.as_deref().or(of_configuration);
        namespace.unwrap_or(&self.namespace).to_owned()
    }
}

impl Inputs<'_> {
    /// The manifests of a file, `-` being standard input.
    pub fn manifests(&self, path: &Path) -> Result<Vec<Value>> {
        let mut manifests = read_all(path)?;
        manifests.iter_mut().for_each(|manifest| complete(manifest, &self.arguments.namespace));
        Ok(manifests)
    }

    /// The existing objects of a cluster.
    pub fn observed(&self, manifest: &Value, pipeline: &Pipeline) -> Observed {
        Observed::in_files(&self.existing, manifest, &self.config, pipeline, &self.operator_namespace)
    }
}

/// Reads an operator configuration.
pub fn config(path: &Path) -> Result<Config> {
    read_config(&read_one(path)?, path)
}

fn read_config(document: &Value, path: &Path) -> Result<Config> {
    let read = Config::read(document).map_err(|problems| pipeline::refused(path, &problems))?;
    read.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", path.display()));
    Ok(read.config)
}

fn complete(manifest: &mut Value, namespace: &str) {
    if let Some(Value::Object(metadata)) = manifest.get_mut("metadata") {
        metadata.entry("namespace").or_insert_with(|| json!(namespace));
    }
}
