//! `pgloom plugin pull`: a component from a registry.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use pgloom_operator::args::ComponentLimits;
use pgloom_registry::{PublicKey, Reference};

use crate::file;
use crate::registry::{self, Registry};

/// The flags of `pgloom plugin pull`.
#[derive(Args)]
#[command(after_help = "\
The reference with its digest is printed; to pin the component, give that one as source.oci of a step.

Example:
  pgloom plugin pull ghcr.io/example/motto:0.1.0 --output motto.wasm --verify-key plugin.pub

Exit codes: 0 pulled; 1 not pulled, with the reason on standard error; 2 invalid command line.")]
pub struct Arguments {
    /// The file to write; without it the name of the repository with .wasm, in this folder
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The component must be signed by this key, or by another one that is given in the same way
    #[arg(long, value_name = "FILE")]
    verify_key: Vec<PathBuf>,
    #[command(flatten)]
    limits: ComponentLimits,
    #[command(flatten)]
    registry: registry::Arguments,
    /// Where from, as in ghcr.io/example/motto:0.1.0
    #[arg(value_name = "REFERENCE")]
    reference: Reference,
}

/// Pulls the component, writes it, and prints its reference with the digest.
pub fn pull(arguments: &Arguments) -> Result<()> {
    let reference = &arguments.reference;
    let keys = arguments.verify_key.iter().map(|path| {
        let key = PublicKey::read(&file::short_text(path)?);
        key.with_context(|| path.display().to_string())
    });
    let keys: Vec<PublicKey> = keys.collect::<Result<_>>()?;
    let registry = Registry::new(&arguments.registry, arguments.limits.max_component(), None)?;
    let pulled = registry.wait(registry.client.pull(reference, &registry.credentials, &keys))?;
    if !pgloom_package::is_component(&pulled.component) {
        bail!("{reference}: its layer is no WebAssembly component; push one by `pgloom plugin push`");
    }
    let name = reference.repository().rsplit('/').next().unwrap_or_default();
    let output = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.wasm")));
    file::replace(&output, &pulled.component)
        .with_context(|| format!("{}: cannot be written; give another file with --output", output.display()))?;
    crate::output::line(format_args!("{}", reference.clone().with_digest(pulled.digest)))
}
