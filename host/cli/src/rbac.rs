//! `pgloom rbac`: the rights that the operator needs for a pipeline.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

use crate::pipeline;

/// The flags of `pgloom rbac`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: pipeline::Arguments,
}

/// Prints the ClusterRole, and the Role for the Secrets of registries if the pipeline names some.
pub fn print(arguments: &Arguments) -> Result<()> {
    let pipeline::Loaded { document, pipeline, .. } = pipeline::load_with_document(&arguments.pipeline)?;
    let text = pgloom_operator::cluster_role(&pipeline) + &pgloom_operator::pull_secrets_role(&document.pull_secrets);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
