//! `pgloom plugin push`: a component into a registry.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use pgloom_operator::args::ComponentLimits;
use pgloom_registry::{PrivateKey, Reference};

use crate::file;
use crate::registry::{self, Registry};

/// The flags of `pgloom plugin push`.
#[derive(Args)]
#[command(after_help = "\
The layout is that of the CNCF for WebAssembly, which wkg reads. The same component has the same digest. The printed
reference, with the digest, can be given as source.oci of a step.

A key for signatures:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plugin.key
  openssl pkey -in plugin.key -pubout -out plugin.pub
The signature is verified by publicKeys of the step, by `pgloom plugin pull --verify-key`, and by cosign: docs/shipping.md
says how.

Example:
  pgloom plugin push motto.wasm ghcr.io/example/motto:0.1.0 --sign-key plugin.key

Exit codes: 0 pushed; 1 not pushed, with the reason on standard error; 2 invalid command line.")]
pub struct Arguments {
    /// Sign by this key: ECDSA on the curve P-256, in the PEM format
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    #[command(flatten)]
    limits: ComponentLimits,
    #[command(flatten)]
    registry: registry::Arguments,
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to, as in ghcr.io/example/motto:0.1.0
    #[arg(value_name = "REFERENCE")]
    reference: Reference,
}

/// Pushes the component, and prints its reference with the digest.
pub fn push(arguments: &Arguments) -> Result<()> {
    let component = super::component(&arguments.file, &arguments.limits)?;
    let key = arguments.sign_key.as_deref().map(|path| {
        let key = PrivateKey::read(&file::short_text(path)?);
        key.with_context(|| path.display().to_string())
    });
    let key = key.transpose()?;
    let registry = Registry::new(&arguments.registry, arguments.limits.max_component(), None)?;
    let reference = &arguments.reference;
    let push = registry.client.push(reference, &registry.credentials, component, key.as_ref());
    let digest = registry.wait(push).with_context(|| arguments.file.display().to_string())?;
    crate::output::line(format_args!("{}", reference.clone().with_digest(digest)))
}
