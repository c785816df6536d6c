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

/// Prints the ClusterRole.
pub fn print(arguments: &Arguments) -> Result<()> {
    let text = pgloom_operator::cluster_role(&pipeline::load(&arguments.pipeline)?);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
