//! One call of a plugin: a fresh instance with limits on memory, time, input and output.

use std::time::Duration;

use wasmtime::{Store, StoreContextMut, Trap};

use crate::clock::TICK;
use crate::contract::{Instance, Prepared};
use crate::convert;
use crate::engine::{Engine, MEMORY_CEILING};
use crate::model::{Description, Failure, Request, Response};
use crate::state::State;

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// One linear memory, in bytes.
    pub memory: usize,
    /// Time from the start of the instance to its answer, on the wall clock.
    pub deadline: Duration,
    /// The request's objects and texts, in bytes.
    pub input: usize,
    /// The answer, in bytes.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 64 << 20, deadline: Duration::from_secs(1), input: 4 << 20, output: 4 << 20 }
    }
}

/// Why a call gave no answer. Each is a failure of the plugin, not of the host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin answered with a failure.
    #[error("the plugin refused: {}", summary(.0))]
    Refuse(Failure),
    /// The plugin did not finish in time.
    #[error("the plugin did not finish within {0:?}; raise `limits.deadline` of the step if it needs longer")]
    Deadline(Duration),
    /// The plugin asked for more memory than its limit, in bytes.
    #[error("the plugin asked for more than {0} bytes of memory; raise `limits.memory` of the step if it needs more")]
    Memory(usize),
    /// The request is larger than its limit.
    #[error("the request has {size} bytes, the limit is {limit}")]
    Input {
        /// The request's size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is larger than its limit, in bytes.
    #[error("the answer is larger than the limit of {0} bytes")]
    Output(usize),
    /// The plugin trapped.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The component could not be instantiated.
    #[error("the plugin could not be started: {0}")]
    Start(String),
}

impl Error {
    /// A stable name in CamelCase, for metrics and as the reason of a condition.
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
            let findings = findings.iter().map(|finding| convert::finding("", finding.clone()).to_string());
            findings.collect::<Vec<_>>().join("; ")
        }
    }
}

/// Calls `describe`. The inner error is the plugin's sentence on why it cannot run on this host.
pub(crate) fn describe(
    engine: &Engine,
    component: &Prepared,
    limits: &Limits,
) -> Result<Result<Description, String>, Error> {
    run(engine, component, limits, Instance::describe)
}

/// Calls `mutate`.
pub(crate) fn mutate(
    engine: &Engine,
    component: &Prepared,
    limits: &Limits,
    request: Request,
) -> Result<Response, Error> {
    let size = size(&request);
    if size > limits.input {
        return Err(Error::Input { size, limit: limits.input });
    }
    run(engine, component, limits, |instance, store| instance.mutate(store, request))?.map_err(Error::Refuse)
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
    component: &Prepared,
    limits: &Limits,
    call: impl FnOnce(&Instance, StoreContextMut<'_, State>) -> wasmtime::Result<T>,
) -> Result<T, Error> {
    let mut store = Store::new(&engine.wasm, State::new(limits.memory.min(MEMORY_CEILING)));
    store.limiter(|state| &mut state.memory);
    // One more, because the tick in progress may end at once.
    let ticks = limits.deadline.as_millis().div_ceil(TICK.as_millis()) + 1;
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
    // wasmtime takes the bytes that it copies out of the guest from this fuel, before it copies them.
    store.set_hostcall_fuel(limits.output);
    let _running = engine.clock.running();
    let started = component.instantiate(&mut store);
    let instance = match started {
        Ok(instance) => instance,
        Err(error) if store.data().memory.refused => return Err(classify(&error, &store, limits)),
        Err(error) if error.is::<Trap>() => return Err(classify(&error, &store, limits)),
        Err(error) => return Err(Error::Start(format!("{error:#}"))),
    };
    let result = {
        use wasmtime::AsContextMut;
        call(&instance, store.as_context_mut())
    };
    result.map_err(|error| classify(&error, &store, limits))
}

/// What wasmtime's text says when the answer is larger than the hostcall fuel. The error's type `HostcallFuelExhausted`
/// is private (wasmtime 48, `src/runtime/component/func/options.rs`), so only the text tells it from an answer that is
/// not a value of the contract. The conformance test `an_answer_of_a_hundred_megabytes_is_refused` fails if the text
/// changes.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls";

fn classify(error: &wasmtime::Error, store: &Store<State>, limits: &Limits) -> Error {
    if store.data().memory.refused {
        return Error::Memory(limits.memory);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Error::Deadline(limits.deadline),
        Some(trap) => Error::Trap(trap.to_string()),
        None => match format!("{error:#}") {
            text if text.contains(FUEL_EXHAUSTED) => Error::Output(limits.output),
            text => Error::Trap(text),
        },
    }
}
