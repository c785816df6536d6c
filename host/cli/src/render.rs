//! `pgloom render`: the objects that the operator would apply, by the same `decide`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pgloom_api::Finding;
use pgloom_decide::{decide, trace};
use pgloom_engine::Pipeline;
use serde_json::Value;

use crate::{manifests, pipeline, steps};

const HELP: &str = "\
Examples:
  pgloom render manifest.yaml
  pgloom render --config configuration.yaml --pipeline pipeline.yaml --explain-steps manifest.yaml

Exit codes: 0 the objects are on standard output; 1 they are not, as of a manifest that is refused, with the field and the
remedy on standard error; 2 invalid command line.";

/// The flags of `pgloom render`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    inputs: manifests::Arguments,
    #[command(flatten)]
    pipeline: pipeline::Arguments,
    /// How the objects are printed
    #[arg(long, short, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
    /// Say on standard error of each step whether it was called, why not, and what it contributed
    #[arg(long)]
    explain_steps: bool,
    /// Manifests of kind postgresql; `-` is standard input
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
}

impl Arguments {
    /// The flags that name the pipeline.
    pub fn pipeline(&self) -> &pipeline::Arguments {
        &self.pipeline
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
    render_with(arguments, &pipeline::load(&arguments.pipeline)?)
}

/// The same with a pipeline that is loaded.
pub fn render_with(arguments: &Arguments, pipeline: &Pipeline) -> Result<()> {
    let inputs = arguments.inputs.read()?;
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for path in &arguments.manifests {
        for manifest in inputs.manifests(path)? {
            let observed = inputs.observed(&manifest, pipeline);
            if arguments.explain_steps
                && let Ok(trace) = trace(&manifest, &inputs.config, &observed, pipeline)
            {
                crate::log::say(format_args!("{}", steps::text(&manifest, &trace).trim_end()));
            }
            match decide(&manifest, &inputs.config, &observed, pipeline) {
                Ok(plan) => {
                    plan.findings.iter().for_each(|finding| crate::log::say(format_args!("{}", line(path, finding))));
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

fn line(path: &Path, finding: &Finding) -> String {
    format!("{}: {}: {finding}", finding.severity, path.display())
}

fn print(objects: &[Value], format: Format) -> Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(objects)? + "\n",
        Format::Yaml => {
            let documents: Result<Vec<String>, _> = objects.iter().map(pgloom_api::document::write).collect();
            format!("---\n{}", documents?.join("---\n"))
        }
    };
    crate::output::print(&text)
}
