//! `pgloom compile`: the process in which the operator compiles a component, and the code that comes with the image.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use pgloom_engine::{Engine, EngineConfig, Plugin};

const HELP: &str = "\
Example:
  pgloom compile --into dist/compiled dist/plugins/spilo.wasm   the code that an image comes with

Exit codes: 0 compiled; 1 not compiled, with the reason on standard error; 2 invalid command line.";

/// The flags of `pgloom compile`. Without `--into` it reads a component from standard input and writes the code to
/// standard output.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The memory of this process
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// The CPU time of this process
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// The folder to which the code of the given components is written
    #[arg(long, value_name = "FOLDER", requires = "components")]
    into: Option<PathBuf>,
    /// Components
    #[arg(value_name = "FILE", requires = "into")]
    components: Vec<PathBuf>,
}

/// Compiles in this process, within the given limits.
pub fn compile(arguments: &Arguments) -> Result<()> {
    // A dump of the memory is as large as the memory.
    limit(libc::RLIMIT_CORE, Some(0))?;
    // What is written to counts, not the reserved address space, of which the allocator takes a lot.
    limit(libc::RLIMIT_DATA, arguments.memory)?;
    limit(libc::RLIMIT_CPU, arguments.time)?;
    give_way();
    let Some(folder) = &arguments.into else {
        return pgloom_engine::compile::serve(std::io::stdin().lock(), crate::output::lock())
            .map_err(|error| anyhow!("{error}"));
    };
    let engine = Arc::new(Engine::new(&EngineConfig { cache: Some(folder.clone()), ..EngineConfig::default() })?);
    for file in &arguments.components {
        let bytes = crate::file::built(file)?;
        Plugin::load(&engine, &bytes, None).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The difference to the priority of the operator: its clusters do not wait for a component that takes long to compile.
const NICE: libc::c_int = 10;

/// Lowers the priority of this process. Compiling goes on without that.
fn give_way() {
    // SAFETY: the call takes numbers alone.
    _ = unsafe { libc::nice(NICE) };
}

fn limit(resource: libc::c_int, most: Option<u64>) -> Result<()> {
    let Some(most) = most else { return Ok(()) };
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the pointer is valid for the call, which only reads.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("failed to limit the process") }
}
