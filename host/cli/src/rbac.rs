//! `pgloom rbac`: the rights that the operator needs for a pipeline.

use anyhow::Result;
use clap::Args;

use crate::pipeline;

const HELP: &str = "\
Example:
  pgloom rbac --pipeline pipeline.yaml --plugins dist/plugins | kubectl apply --server-side --filename -

Exit codes: 0 printed; 1 the pipeline cannot be loaded, with the reason on standard error; 2 invalid command line.";

/// The flags of `pgloom rbac`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: pipeline::Arguments,
}

/// Prints the ClusterRole, and the Role for the Secrets of registries if the pipeline names some.
pub fn print(arguments: &Arguments) -> Result<()> {
    let pipeline::Loaded { document, pipeline, .. } = pipeline::load_with_document(&arguments.pipeline)?;
    let text = pgloom_operator::cluster_role(&pipeline) + &pgloom_operator::pull_secrets_role(&document.pull_secrets);
    crate::output::print(&text)
}
