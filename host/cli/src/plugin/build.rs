//! `pgloom plugin build`: the component of a plugin, by the toolchain of its language.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use pgloom_engine::plugin::digest;

use super::project::{Project, Target, write};
use crate::usage::usage;

/// The flags of `pgloom plugin build`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  pgloom plugin build                                the component dist/NAME.wasm of the plugin in this folder
  pgloom plugin build module.wasm --output it.wasm   the component of a core module that is built already

Exit codes: 0 the component is written; 1 it is not, with the reason; 2 invalid command line")]
pub struct Arguments {
    /// The folder of a plugin, or a core module
    #[arg(value_name = "FOLDER|FILE", default_value = ".")]
    source: PathBuf,
    /// The file that is written; without it dist/NAME.wasm in the folder
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the crate of a plugin in Rust is compiled for; without it wasm32-unknown-unknown
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
}

/// Builds the component and prints its path, size and digest.
pub fn build(arguments: &Arguments) -> Result<()> {
    let Arguments { source, output, target } = arguments;
    let (path, bytes) = if source.is_file() {
        let Some(output) = output else {
            return Err(usage(format!("add --output with the file for the component of {}", source.display())));
        };
        if target.is_some() {
            let place = source.display();
            return Err(usage(format!("--target is for the folder of a plugin in Rust; {place} is compiled already")));
        }
        let bytes = crate::file::built(source)?;
        let bytes = pgloom_package::component(&bytes).with_context(|| source.display().to_string())?;
        write(output, &bytes)?;
        (output.clone(), bytes)
    } else {
        let built = Project::of(source)?.build(*target, output.as_deref())?;
        (built.path, built.bytes)
    };
    crate::output::line(format_args!("{}: {} bytes, {}", path.display(), bytes.len(), digest(&bytes)))
}
