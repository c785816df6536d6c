//! The WebAssembly engine: how components are compiled, kept apart and stopped.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::call::State;
use crate::contract::log;

/// How often the clock ticks by which calls are stopped. A deadline is met to within one tick.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The most memory that any step may be given. Address space only: pages are taken when they are touched.
pub const MEMORY_CEILING: usize = 512 << 20;

/// How an engine is set up.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where compiled code is kept; none means: compile at every start.
    pub cache: Option<PathBuf>,
    /// How many calls may run at the same time; 0 means one per core.
    pub concurrency: usize,
}

/// Compiles and runs components. Cheap to share; make one per process.
pub struct Engine {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<Cache>,
    pub(crate) clock: Clock,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine or its limits do not allow the configuration.
    #[error("failed to set up the WebAssembly engine: {0:#}")]
    Configure(wasmtime::Error),
    /// Without its clock no call could be stopped.
    #[error("failed to start the clock that stops calls: {0}")]
    Clock(std::io::Error),
    /// The folder for compiled code cannot be used.
    #[error("failed to use the code cache")]
    Cache(#[from] crate::cache::Error),
}

impl Engine {
    /// Sets up an engine.
    ///
    /// # Errors
    /// If the machine does not allow the configuration, or the cache folder cannot be made.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let concurrency = match settings.concurrency {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            given => given,
        };
        let wasm = wasmtime::Engine::new(&config(concurrency)).map_err(Error::Configure)?;
        let mut linker = Linker::new(&wasm);
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(Error::Configure)?;
        let cache = settings.cache.as_deref().map(|folder| Cache::open(folder, &wasm)).transpose()?;
        Ok(Self { clock: Clock::start(wasm.weak()).map_err(Error::Clock)?, wasm, linker, cache })
    }
}

fn config(concurrency: usize) -> Config {
    let instances = u32::try_from(concurrency.saturating_mul(2).max(8)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(16))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(16))
        .max_memory_size(MEMORY_CEILING)
        .table_elements(100_000)
        .max_unused_warm_slots(instances)
        // What a call touched up to here is wiped by hand, which is cheaper than giving pages back to the system.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(MEMORY_CEILING as u64)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Nothing in a result may depend on the machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(1 << 20);
    config
}

/// Ticks while calls are running, and sleeps otherwise.
pub(crate) struct Clock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    stopped: Mutex<bool>,
    wake: Condvar,
}

/// A running call. The clock ticks as long as there is one.
pub(crate) struct Running<'a>(&'a Shared);

impl Clock {
    fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        std::thread::Builder::new().name("pgloom-clock".to_owned()).spawn(move || ticking.tick(&engine))?;
        Ok(Self { shared })
    }

    pub(crate) fn running(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0 {
            drop(self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner));
            self.shared.wake.notify_one();
        }
        Running(&self.shared)
    }
}

impl Shared {
    fn tick(&self, engine: &EngineWeak) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            if self.running.load(Ordering::SeqCst) == 0 {
                stopped = self.wake.wait(stopped).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            (stopped, _) = self.wake.wait_timeout(stopped, TICK).unwrap_or_else(PoisonError::into_inner);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        *self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
    }
}
