//! The WebAssembly engine: how components are compiled, isolated from each other and stopped.

use std::path::PathBuf;

use pgloom_api::pipeline::MAX_MEMORY;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmFeatures};

use crate::cache::{self, Cache};
use crate::clock::Clock;
use crate::contract::log;
use crate::state::{INSTANCES, MEMORIES, State, TABLE_ELEMENTS, TABLES};

/// The most memory that a step may be given, in bytes. This is address space: a page is used only once it is written.
pub const MEMORY_CEILING: usize = MAX_MEMORY as usize;

/// How an [`Engine`] is set up.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// The folder in which compiled code is kept; `None` means that every start compiles.
    pub cache: Option<PathBuf>,
    /// The number of calls that may run at the same time; 0 means one per core.
    pub concurrency: usize,
}

/// Compiles and runs components. A process needs one, shared by all plugins.
pub struct Engine {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<Cache>,
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
    /// If the machine does not allow the configuration, or the cache folder cannot be created or is writable by others.
    pub fn new(settings: &EngineConfig) -> Result<Self, Error> {
        let concurrency = match settings.concurrency {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            given => given,
        };
        let wasm = wasmtime::Engine::new(&config(concurrency)).map_err(Error::Configure)?;
        let mut linker = Linker::new(&wasm);
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(Error::Configure)?;
        let cache = settings.cache.as_deref().map(|folder| Cache::open(folder, &wasm)).transpose()?;
        let weak = wasm.weak();
        let clock = Clock::start(move || weak.upgrade().map(|engine| engine.increment_epoch()).is_some());
        Ok(Self { clock: clock.map_err(Error::Clock)?, wasm, linker, cache })
    }
}

/// What the toolchains of Rust, Go, JavaScript and Python do not need for a component. Each is code of the compiler that
/// an untrusted component would reach.
const DISABLED: WasmFeatures = WasmFeatures::TAIL_CALL
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::STACK_SWITCHING)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CM_ASYNC);

fn config(concurrency: usize) -> Config {
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
        // system.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(MEMORY_CEILING as u64)
        .consume_fuel(true)
        .epoch_interruption(true)
        .wasm_features(DISABLED, false)
        .cranelift_opt_level(OptLevel::Speed)
        // A result must not depend on the machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(1 << 20);
    config
}
