//! The WebAssembly engine: how components are compiled, isolated from each other and stopped.

use std::path::{Path, PathBuf};

use pgloom_api::pipeline::MAX_MEMORY;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::{self, Cache};
use crate::clock::Clock;
use crate::compile::{self, Compiler};
use crate::contract;
use crate::state::{INSTANCES, MEMORIES, State, TABLE_ELEMENTS, TABLES};

/// The most memory that a step may be given, in bytes. This is address space: a page is used only once it is written.
pub const MEMORY_CEILING: usize = MAX_MEMORY as usize;

/// How an [`Engine`] is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// The folder in which compiled code is kept; `None` means that every start compiles.
    pub cache: Option<PathBuf>,
    /// A folder with code that was compiled before, as the image has it. It is only read.
    pub shipped: Option<PathBuf>,
    /// The program that compiles; `None` means that this process compiles, without limits. That is for tests, whose
    /// binary is not `pgloom`, and for components of the own build.
    pub compiler: Option<Compiler>,
    /// The largest component, in bytes.
    pub max_component: u64,
    /// The number of calls that may run at the same time; 0 means one per core.
    pub concurrency: usize,
}

impl EngineConfig {
    /// The default of [`max_component`](Self::max_component): 32 MiB. A component of Python has 18 MB.
    pub const MAX_COMPONENT: u64 = 32 << 20;

    /// The configuration for the binary `pgloom`: it compiles by calling itself, and the code of the shipped components
    /// is in the folder `compiled` next to it. No cache.
    pub fn of_binary() -> Self {
        let program = std::env::current_exe().ok();
        Self {
            shipped: program.as_deref().and_then(Path::parent).map(|folder| folder.join("compiled")),
            compiler: program.map(Compiler::new),
            ..Self::default()
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { cache: None, shipped: None, compiler: None, max_component: Self::MAX_COMPONENT, concurrency: 0 }
    }
}

/// Compiles and runs components. A process needs one, shared by all plugins.
pub struct Engine {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Cache,
    pub(crate) compiler: Option<Compiler>,
    pub(crate) max_component: u64,
    pub(crate) clock: Clock,
}

/// Why an engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine or its limits do not allow the configuration.
    #[error("failed to set up the WebAssembly engine: {0:#}")]
    Configure(wasmtime::Error),
    /// The clock's thread could not be started.
    #[error("failed to start the clock that stops calls: {0}")]
    Clock(std::io::Error),
    /// The folder for compiled code cannot be used.
    #[error("failed to use the code cache")]
    Cache(#[from] cache::Error),
}

impl Engine {
    /// Sets up an engine.
    ///
    /// # Errors
    /// If the machine does not allow the configuration, or the cache folder cannot be created or trusted.
    pub fn new(settings: &EngineConfig) -> Result<Self, Error> {
        let concurrency = match settings.concurrency {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            given => given,
        };
        let wasm = config(concurrency).and_then(|config| wasmtime::Engine::new(&config)).map_err(Error::Configure)?;
        let mut linker = Linker::new(&wasm);
        contract::add_to_linker(&mut linker).map_err(Error::Configure)?;
        let cache = Cache::open(settings.cache.as_deref(), settings.shipped.as_deref(), &wasm)?;
        let weak = wasm.weak();
        let clock = Clock::start(move || weak.upgrade().map(|engine| engine.increment_epoch()).is_some());
        let (compiler, max_component) = (settings.compiler.clone(), settings.max_component);
        Ok(Self { clock: clock.map_err(Error::Clock)?, wasm, linker, cache, compiler, max_component })
    }
}

fn config(concurrency: usize) -> wasmtime::Result<Config> {
    let instances = u32::try_from(concurrency.saturating_mul(2).max(8)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // Enough of everything for calls that take all that a component may have: one call does not take what another
        // needs.
        .total_core_instances(instances.saturating_mul(INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(MEMORY_CEILING)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(instances)
        // Up to this size the memory that a call wrote is zeroed, which is cheaper than giving its pages back to the
        // system. The kernel says which pages were written (since Linux 6.7, else all of them are zeroed).
        .linear_memory_keep_resident(384 << 10)
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(64 << 10);
    let mut config = compile::config()?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}
