//! One call of a plugin: a fresh instance with caps on memory, time, input and output.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Store, StoreContextMut, Trap};

use crate::contract::{BindingsPre, Description, Failure, Level, Request, Response, log};
use crate::runtime::{Engine, MEMORY_CEILING, TICK};

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Linear memory, bytes.
    pub memory: usize,
    /// Time from start to answer.
    pub deadline: Duration,
    /// The request, bytes.
    pub input: usize,
    /// The answer, bytes.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 64 << 20, deadline: Duration::from_secs(1), input: 4 << 20, output: 4 << 20 }
    }
}

/// Why a call gave no answer. None of these is the host's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin said no.
    #[error("the plugin refused: {}", summary(.0))]
    Refuse(Failure),
    /// The plugin did not finish in time.
    #[error("the plugin did not finish within {0:?}; raise `limits.deadline` of the step if it needs longer")]
    Deadline(Duration),
    /// The plugin wanted more memory than it may have.
    #[error("the plugin wanted more than {0} bytes of memory; raise `limits.memory` of the step if it needs more")]
    Memory(usize),
    /// The request is larger than the cap.
    #[error("the request has {size} bytes, the limit is {limit}")]
    Input {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// The answer is larger than the cap.
    #[error("the answer is larger than the limit of {0} bytes")]
    Output(usize),
    /// The plugin trapped.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The plugin could not be started.
    #[error("the plugin could not be started: {0}")]
    Start(String),
}

impl Error {
    /// A stable word for metrics and conditions.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Refuse(Failure::InvalidManifest(_)) => "InvalidManifest",
            Self::Refuse(Failure::InvalidConfig(_)) => "InvalidConfig",
            Self::Refuse(Failure::Internal(_)) => "PluginFailed",
            Self::Deadline(_) => "DeadlineExceeded",
            Self::Memory(_) => "MemoryExceeded",
            Self::Input { .. } => "InputTooLarge",
            Self::Output(_) => "OutputTooLarge",
            Self::Trap(_) => "Trapped",
            Self::Start(_) => "NotStarted",
        }
    }
}

fn summary(failure: &Failure) -> String {
    match failure {
        Failure::InvalidConfig(message) | Failure::Internal(message) => message.clone(),
        Failure::InvalidManifest(findings) => {
            let lines: Vec<String> = findings
                .iter()
                .map(|finding| match (&finding.path, &finding.remedy) {
                    (Some(path), Some(remedy)) => format!("{path}: {}; {remedy}", finding.message),
                    (Some(path), None) => format!("{path}: {}", finding.message),
                    (None, _) => finding.message.clone(),
                })
                .collect();
            lines.join("; ")
        }
    }
}

/// How many lines a call may log, and how long one may be; the rest is counted, not kept.
const LOG_LINES: usize = 100;
const LOG_LINE_BYTES: usize = 2 << 10;

/// What the host keeps for one running instance.
pub(crate) struct State {
    memory: Memory,
    lines: usize,
}

/// Grants memory up to the cap and remembers having refused.
struct Memory {
    cap: usize,
    refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.cap;
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }
}

impl log::Host for State {
    fn log(&mut self, level: Level, message: String) {
        self.lines += 1;
        if self.lines > LOG_LINES {
            if self.lines == LOG_LINES + 1 {
                tracing::warn!("The plugin logs too much, the rest of this call is dropped");
            }
            return;
        }
        let end = message.char_indices().map(|(at, _)| at).take_while(|&at| at <= LOG_LINE_BYTES).last().unwrap_or(0);
        let line = if message.len() > LOG_LINE_BYTES { message.get(..end).unwrap_or_default() } else { &message };
        match level {
            Level::Trace => tracing::trace!("{line}"),
            Level::Debug => tracing::debug!("{line}"),
            Level::Info => tracing::info!("{line}"),
            Level::Warn => tracing::warn!("{line}"),
            Level::Error => tracing::error!("{line}"),
        }
    }
}

/// Asks a component what it is.
pub(crate) fn describe(engine: &Engine, component: &BindingsPre<State>, limits: &Limits) -> Result<Description, Error> {
    run(engine, component, limits, |bindings, store| bindings.pgloom_plugin_mutate_resources().call_describe(store))
}

/// Asks a component what it wants.
pub(crate) fn mutate(
    engine: &Engine,
    component: &BindingsPre<State>,
    limits: &Limits,
    request: &Request,
) -> Result<Response, Error> {
    let size = size(request);
    if size > limits.input {
        return Err(Error::Input { size, limit: limits.input });
    }
    run(engine, component, limits, |bindings, store| {
        bindings.pgloom_plugin_mutate_resources().call_mutate(store, request)
    })?
    .map_err(Error::Refuse)
}

fn size(request: &Request) -> usize {
    request.cluster.len()
        + request.operator_config.len()
        + request.config.len()
        + request.desired.iter().map(|desired| desired.object.len()).sum::<usize>()
        + request.observed.iter().map(|observed| observed.object.len()).sum::<usize>()
        + request.actions.iter().map(|action| action.message.len()).sum::<usize>()
}

fn run<T>(
    engine: &Engine,
    component: &BindingsPre<State>,
    limits: &Limits,
    call: impl FnOnce(&crate::contract::Bindings, StoreContextMut<'_, State>) -> wasmtime::Result<T>,
) -> Result<T, Error> {
    let memory = Memory { cap: limits.memory.min(MEMORY_CEILING), refused: false };
    let mut store = Store::new(&engine.wasm, State { memory, lines: 0 });
    store.limiter(|state| &mut state.memory);
    let ticks = limits.deadline.as_millis().div_ceil(TICK.as_millis()) + 1;
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
    // What the host lifts out of the guest counts against this.
    store.set_hostcall_fuel(limits.output);
    let _running = engine.clock.running();
    let started = component.instantiate(&mut store);
    let bindings = match started {
        Ok(bindings) => bindings,
        Err(error) if store.data().memory.refused => return Err(name_trap(&error, &store, limits)),
        Err(error) if error.is::<Trap>() => return Err(name_trap(&error, &store, limits)),
        Err(error) => return Err(Error::Start(format!("{error:#}"))),
    };
    let result = {
        use wasmtime::AsContextMut;
        call(&bindings, store.as_context_mut())
    };
    result.map_err(|error| name_trap(&error, &store, limits))
}

fn name_trap(error: &wasmtime::Error, store: &Store<State>, limits: &Limits) -> Error {
    if store.data().memory.refused {
        return Error::Memory(limits.memory);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Error::Deadline(limits.deadline),
        Some(trap) => Error::Trap(trap.to_string()),
        // Lifting the answer failed: either it is larger than the cap, or it is not a value of the contract.
        None => {
            let text = format!("{error:#}");
            // wasmtime does not name the type of this error.
            if text.contains("allocated for hostcalls") { Error::Output(limits.output) } else { Error::Trap(text) }
        }
    }
}
