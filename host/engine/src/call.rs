//! One call of a plugin: a fresh instance with limits on memory, fuel, time, input and output.

use std::time::{Duration, Instant};

use pgloom_api::pipeline::{DEFAULT_DEADLINE, DEFAULT_FUEL, DEFAULT_MEMORY};
use wasmtime::{Store, StoreContextMut, Trap};

use crate::clock::TICK;
use crate::contract::{Instance, Prepared};
use crate::convert;
use crate::engine::{Engine, MEMORY_CEILING};
use crate::model::{Description, Failure, Request, Response};
use crate::state::{Refused, State, TABLE_ELEMENTS};

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// All linear memories together, in bytes.
    pub memory: usize,
    /// The WebAssembly instructions that are executed from the start of the instance to its answer. The same call takes
    /// the same fuel on every machine, so this limit decides whether a plugin is too slow.
    pub fuel: u64,
    /// The time that the same takes on the wall clock, for what fuel does not measure. It depends on the load of the
    /// machine, so that it is never the plugin's failure.
    pub deadline: Duration,
    /// The request's objects and texts, in bytes.
    pub input: usize,
    /// The answer, in bytes.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: usize::try_from(DEFAULT_MEMORY).unwrap_or(MEMORY_CEILING),
            fuel: DEFAULT_FUEL,
            deadline: DEFAULT_DEADLINE,
            input: 4 << 20,
            output: 4 << 20,
        }
    }
}

/// The result of one call.
#[derive(Debug)]
pub struct Reply<T> {
    /// The answer.
    pub result: Result<T, Error>,
    /// The fuel that the call took, as in [`Limits::fuel`].
    pub fuel: u64,
    /// The size of all linear memories at the end of the call, in bytes.
    pub memory: usize,
    /// How long the call took on the clock. No decision depends on it.
    pub time: Duration,
}

impl<T> Reply<T> {
    /// A result without a call of an instance.
    pub fn without_instance(result: Result<T, Error>) -> Self {
        Self { result, fuel: 0, memory: 0, time: Duration::ZERO }
    }
}

/// Why a call gave no answer. [`Error::is_of_host`] tells the failures of the host from those of the plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin answered with a failure.
    #[error("the plugin refused: {}", summary(.0))]
    Refuse(Failure),
    /// The plugin took more fuel than its limit.
    #[error("the plugin took more than {0} units of fuel; raise `limits.fuel` of the step if it needs more")]
    Fuel(u64),
    /// The plugin did not finish in time. A machine with less load may finish the same call.
    #[error(
        "the call did not finish within {0:?} on the wall clock; give the operator more CPU, or raise \
         `limits.deadline` of the step"
    )]
    Deadline(Duration),
    /// The plugin asked for more memory than its limit, in bytes.
    #[error("the plugin asked for more than {0} bytes of memory; raise `limits.memory` of the step if it needs more")]
    Memory(usize),
    /// The plugin asked for more table entries than the limit.
    #[error("the plugin asked for more than {0} entries of tables; a plugin has at most that many functions to call")]
    TableElements(usize),
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
            Self::Fuel(_) => "FuelExhausted",
            Self::Deadline(_) => "DeadlineExceeded",
            Self::Memory(_) => "MemoryExceeded",
            Self::TableElements(_) => "TableExceeded",
            Self::Input { .. } => "InputTooLarge",
            Self::Output(_) => "OutputTooLarge",
            Self::Trap(_) => "Trapped",
            Self::Start(_) => "NotStarted",
        }
    }

    /// Whether the failure depends on the machine and its load, so that another call with the same request may succeed.
    /// The result of a run must not depend on that: the cluster stays as it is.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::Deadline(_) | Self::Start(_))
    }
}

fn summary(failure: &Failure) -> String {
    match failure {
        Failure::InvalidConfig(message) | Failure::Internal(message) => convert::text(message),
        Failure::InvalidManifest(findings) => {
            let findings = convert::findings("", findings.clone());
            findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Calls `describe`. The inner error is the plugin's sentence on why it cannot run on this host.
pub(crate) fn describe(
    engine: &Engine,
    component: &Prepared,
    limits: &Limits,
) -> Result<Result<Description, String>, Error> {
    run(engine, component, limits, Instance::describe).result
}

/// Calls `mutate`.
pub(crate) fn mutate(engine: &Engine, component: &Prepared, limits: &Limits, request: Request) -> Reply<Response> {
    let size = size(&request);
    if size > limits.input {
        return Reply::without_instance(Err(Error::Input { size, limit: limits.input }));
    }
    let reply = run(engine, component, limits, |instance, store| instance.mutate(store, request));
    let Reply { result, fuel, memory, time } = reply;
    Reply { result: result.and_then(|answer| answer.map_err(Error::Refuse)), fuel, memory, time }
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
) -> Reply<T> {
    let begun = Instant::now();
    let mut store = Store::new(&engine.wasm, State::new(limits.memory.min(MEMORY_CEILING)));
    store.limiter(|state| &mut state.resources);
    // One more, because the tick in progress may end at once.
    let ticks = limits.deadline.as_millis().div_ceil(TICK.as_millis()) + 1;
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
    if let Err(error) = store.set_fuel(limits.fuel) {
        return Reply::without_instance(Err(Error::Start(format!("{error:#}"))));
    }
    // wasmtime takes the bytes that it copies out of the guest from this fuel, before it copies them.
    store.set_hostcall_fuel(limits.output);
    let _running = engine.clock.running();
    let result = match component.instantiate(&mut store) {
        Ok(bindings) => {
            use wasmtime::AsContextMut;
            let result = call(&bindings, store.as_context_mut());
            result.map_err(|error| classify(&error, &store, limits))
        }
        Err(error) if error.is::<Trap>() => Err(classify(&error, &store, limits)),
        Err(error) => Err(refused(&store, limits).unwrap_or_else(|| Error::Start(format!("{error:#}")))),
    };
    let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default());
    Reply { result, fuel, memory: store.data().resources.memory(), time: begun.elapsed() }
}

/// What wasmtime's text says when the answer is larger than the hostcall fuel. The error's type `HostcallFuelExhausted`
/// is private (wasmtime 48, `src/runtime/component/func/options.rs`), so only the text tells it from an answer that is
/// not a value of the contract. The conformance test `an_answer_of_a_hundred_megabytes_is_refused` fails if the text
/// changes.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls";

fn classify(error: &wasmtime::Error, store: &Store<State>, limits: &Limits) -> Error {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Error::Fuel(limits.fuel),
        Some(Trap::Interrupt) => Error::Deadline(limits.deadline),
        // How a guest ends that cannot go on without the memory.
        Some(trap @ Trap::UnreachableCodeReached) => {
            refused(store, limits).unwrap_or_else(|| Error::Trap(with_last_error(trap, store)))
        }
        Some(trap) => Error::Trap(trap.to_string()),
        None => match format!("{error:#}") {
            text if text.contains(FUEL_EXHAUSTED) => Error::Output(limits.output),
            text => Error::Trap(convert::text(&text)),
        },
    }
}

/// A panic of the guest is such a trap, and the guest has logged its text.
fn with_last_error(trap: &Trap, store: &Store<State>) -> String {
    store.data().last_error().map_or_else(|| trap.to_string(), |line| format!("{trap}: {line}"))
}

/// The limit that stopped the guest, if it asked for more last.
fn refused(store: &Store<State>, limits: &Limits) -> Option<Error> {
    store.data().resources.refused().map(|refused| match refused {
        Refused::Memory => Error::Memory(limits.memory),
        Refused::TableElements => Error::TableElements(TABLE_ELEMENTS),
    })
}
