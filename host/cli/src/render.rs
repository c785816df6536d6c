//! `pgloom render`: the objects that the operator would apply, by the same `decide`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_decide::{Observed, decide};
use serde_json::{Value, json};

use crate::file::{read_all, read_one};
use crate::pipeline;

/// The flags of `pgloom render`.
#[derive(Args)]
pub struct Arguments {
    /// The operator configuration: a ConfigMap or an OperatorConfiguration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pipeline: pipeline::Arguments,
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

impl Arguments {
    /// The flags that name the pipeline.
    pub fn pipeline_mut(&mut self) -> &mut pipeline::Arguments {
        &mut self.pipeline
    }
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
    let pipeline = pipeline::load(&arguments.pipeline)?;
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
    let read = Config::read(document).map_err(|problems| pipeline::refused(path, &problems))?;
    read.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", path.display()));
    Ok(read.config)
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
