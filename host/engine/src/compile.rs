//! From a component to machine code: what the code depends on, and the child process that compiles.
//!
//! A small component can make the compiler use gigabytes of memory and minutes of time. So the operator compiles in a
//! child process with limits on both: `pgloom compile` reads a component from its standard input and writes the code to
//! its standard output. If it is stopped, only the step is not loaded.
//!
//! The code is for the oldest processor of the architecture, not for the one that compiles. So it runs on every node, and
//! code that came with the image is found by every pod.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use wasmtime::{Config, OperatorCost, OptLevel, WasmFeatures};

/// The target of all code.
#[cfg(target_arch = "x86_64")]
const TARGET: &str = "x86_64-unknown-linux-musl";
#[cfg(target_arch = "aarch64")]
const TARGET: &str = "aarch64-unknown-linux-musl";

/// The address space of a memory, in bytes: all that 32 bits can address. Then the code needs no bounds checks, which would
/// take 6 percent of the time: an access beyond the memory meets a page that is not mapped. Nothing is allocated for it.
const MEMORY_RESERVATION: u64 = 4 << 30;
/// The largest code that is accepted from a child, in bytes.
const MAX_CODE: u64 = 512 << 20;
/// How much of a child's messages is read, in bytes.
const MAX_MESSAGES: u64 = 4 << 10;
/// The time between two checks whether a child has ended.
const POLL_PERIOD: Duration = Duration::from_millis(5);
/// The signal of the system for a process that has used up its CPU time.
const SIGXCPU: i32 = 24;

/// What the toolchains of Rust, Go, JavaScript and Python do not need for a component. Each is code of the compiler that
/// an untrusted component would reach. A module with several memories is not among them: wasmtime generates one between
/// components that are composed, and ends with a panic if the feature is off. A module of the component itself may define
/// one.
const DISABLED: WasmFeatures = WasmFeatures::TAIL_CALL
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::STACK_SWITCHING)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CM_ASYNC);

/// A program that compiles as [`serve`] does, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The binary `pgloom`. It is called as `pgloom compile --memory BYTES --time SECONDS`.
    pub program: PathBuf,
    /// The memory of the process, in bytes.
    pub memory: u64,
    /// The time for one component, on the clock and of the CPU.
    pub time: Duration,
}

impl Error {
    /// The error of a component that the compiler refuses for this reason.
    pub(crate) fn refused(reason: &str) -> Self {
        // Only the text of the validator says which feature of WebAssembly is missing.
        if reason.contains("component model async") {
            return Self::Async;
        }
        match reason.split_once(" support is not enabled") {
            Some((before, _)) => Self::Feature(before.rsplit(": ").next().unwrap_or(before).to_owned()),
            None => Self::Refuse(reason.to_owned()),
        }
    }
}

impl Compiler {
    /// The default of [`memory`](Self::memory): what the operator's pod has, without what the operator
    /// and the calls of plugins take. A component of Python takes 560 MiB.
    pub const MEMORY: u64 = 640 << 20;
    /// The default of [`time`](Self::time).
    pub const TIME: Duration = Duration::from_secs(60);

    /// A compiler with the default limits.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, memory: Self::MEMORY, time: Self::TIME }
    }
}

fn hint(reason: &str) -> &'static str {
    if reason.contains("unexpected end") { "; the file is truncated: copy it again" } else { "" }
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compiler refuses the component.
    #[error("{reason}{hint}", reason = .0, hint = hint(.0))]
    Refuse(String),
    /// The component is asynchronous.
    #[error(
        "the component is built for component-model async (WASI 0.3), and the contract has no asynchronous functions; \
         build it with synchronous ones"
    )]
    Async,
    /// The component needs a feature of WebAssembly that is off, as in `tail calls`.
    #[error("the component needs {0}, which this host does not allow; build it without that feature of WebAssembly")]
    Feature(String),
    /// The process could not be started.
    #[error("failed to start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The process needs more memory than its limit, in MiB.
    #[error(
        "compiling takes more than {0} MiB of memory; use a smaller component, or raise --compile-memory \
         of the operator"
    )]
    Memory(u64),
    /// The process did not finish in time.
    #[error(
        "compiling takes longer than {0:?}; use a smaller component, or raise --compile-time of \
         the operator"
    )]
    Time(Duration),
    /// The process ended without a reason.
    #[error("the process that compiles ended with {0}; the memory of the pod may be too small for --compile-memory")]
    End(ExitStatus),
}

/// What the code depends on. Engines with the same configuration can run each other's code.
pub(crate) fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.target(TARGET)?;
    config
        .memory_reservation(MEMORY_RESERVATION)
        .consume_fuel(true)
        .operator_cost(costs())
        .epoch_interruption(true)
        .wasm_features(DISABLED, false)
        .cranelift_opt_level(OptLevel::Speed)
        // A result must not depend on the machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(1 << 20);
    Ok(config)
}

/// The fuel of instructions that call the host's runtime, whatever they are asked for: `memory.grow` by no page takes
/// hundreds of times as long as an addition.
fn costs() -> OperatorCost {
    let mut costs = OperatorCost::new();
    (costs.MemoryGrow, costs.TableGrow) = (u8::MAX, u8::MAX);
    (costs.variable.memory_grow_per_page, costs.variable.table_grow_per_element) = (u8::MAX, 1);
    costs
}

/// The child's part: reads a component, and writes its code. The caller has limited its memory and its CPU time.
///
/// # Errors
/// If the component cannot be read or compiled, or the code cannot be written.
pub fn serve(mut component: impl Read, mut code: impl Write) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut bytes = Vec::new();
    component.read_to_end(&mut bytes)?;
    let engine = config().and_then(|config| wasmtime::Engine::new(&config)).map_err(|error| format!("{error:#}"))?;
    let compiled = engine.precompile_component(&bytes).map_err(|error| error.root_cause().to_string())?;
    code.write_all(&compiled)?;
    Ok(())
}

impl Compiler {
    /// The code of a component, from a child process.
    pub(crate) fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error> {
        let mut child = self.start().map_err(|source| Error::Start { program: self.program.clone(), source })?;
        let deadline = Instant::now() + self.time;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (status, code, messages) = std::thread::scope(|scope| {
            // A child that ends early closes the pipe; its status says why.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(component)));
            let code = scope.spawn(move || read(stdout, MAX_CODE));
            let messages = scope.spawn(move || read(stderr, MAX_MESSAGES));
            let status = wait(&mut child, deadline);
            (status, code.join().unwrap_or_default(), messages.join().unwrap_or_default())
        });
        match status {
            Some(status) if status.success() && !code.is_empty() => Ok(code),
            Some(status) => Err(self.failure(status, &String::from_utf8_lossy(&messages))),
            None => Err(Error::Time(self.time)),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.program)
            .arg("compile")
            .args(["--memory", &self.memory.to_string(), "--time", &self.time.as_secs().max(1).to_string()])
            .env_clear()
            // Else the allocator takes a gigabyte at once, and all of it counts.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            // With a thread per core the memory would depend on the node.
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn failure(&self, status: ExitStatus, messages: &str) -> Error {
        use std::os::unix::process::ExitStatusExt;
        let last = messages.lines().rev().find(|line| !line.trim().is_empty());
        let out_of_memory = ["memory allocation of", "Cannot allocate memory", "Out of memory", "out of memory"];
        match last {
            _ if status.signal() == Some(SIGXCPU) => Error::Time(self.time),
            _ if out_of_memory.iter().any(|text| messages.contains(text)) => Error::Memory(self.memory >> 20),
            Some(line) if status.code().is_some() => Error::refused(line.strip_prefix("error: ").unwrap_or(line)),
            _ => Error::End(status),
        }
    }
}

/// Waits for the child until the deadline, and kills it then. The child has ended afterwards in any case.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL_PERIOD),
            // Both fail only if the child has ended.
            Ok(None) | Err(_) => {
                _ = child.kill();
                _ = child.wait();
                return None;
            }
        }
    }
}

/// What a pipe gives, up to `most` bytes.
fn read(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before a failure is of use: a message.
        _ = pipe.take(most).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A compiler that is a shell script.
    fn script(text: &str) -> (tempfile::TempDir, Compiler) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("compiler");
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        (folder, Compiler { time: Duration::from_secs(5), ..Compiler::new(program) })
    }

    #[test]
    fn an_asynchronous_component_is_called_that() {
        let engine = std::sync::Arc::new(crate::Engine::new(&crate::EngineConfig::default()).unwrap());
        // A section with one built-in function, `task.return` without a result.
        let component = [&b"\0asm\x0d\0\x01\0"[..], &[8, 5, 1, 9, 1, 0, 0]].concat();
        let error = crate::Plugin::load(&engine, &component, None).unwrap_err();
        assert!(matches!(error, crate::plugin::Error::Compile(Error::Async)), "{error:?}");
    }

    #[test]
    fn the_code_is_what_the_child_writes() {
        let (_folder, compiler) = script("/bin/cat");
        let component = vec![7; 1 << 20];
        assert_eq!(compiler.compile(&component).unwrap(), component);
    }

    #[test]
    fn a_child_gets_its_limits_and_nothing_of_the_environment() {
        let (_folder, compiler) = script("echo \"$@\" $HOME$PATH_OF_SECRETS");
        let answer = compiler.compile(b"").unwrap();
        let expected = format!("compile --memory {} --time 5\n", Compiler::MEMORY);
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        let (_folder, compiler) = script("exec /bin/sleep 1000");
        let compiler = Compiler { time: Duration::from_millis(50), ..compiler };
        assert!(matches!(compiler.compile(b"component"), Err(Error::Time(_))));
    }

    #[test]
    fn the_reason_of_a_child_that_fails_is_its_last_line() {
        let failure = |text: &str| {
            let (_folder, compiler) = script(text);
            compiler.compile(&vec![0; 1 << 20]).unwrap_err().to_string()
        };
        assert_eq!(failure("echo 'error: not a component' >&2; exit 1"), "not a component");
        assert!(failure("echo 'error: unexpected end-of-file' >&2; exit 1").ends_with("copy it again"));
        let feature = "echo 'error: Invalid input WebAssembly code at offset 7: tail calls support is not enabled' >&2";
        assert!(failure(&format!("{feature}; exit 1")).starts_with("the component needs tail calls, which"));
        assert!(failure("echo 'memory allocation of 9 bytes failed' >&2; kill -6 $$").contains("more than 640 MiB"));
        assert!(failure("kill -24 $$").contains("longer than 5s"));
        assert!(failure("kill -9 $$").contains("signal: 9"));
        assert!(failure("exit 0").contains("exit status: 0"), "no code is no success");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Compiler::new("/nowhere/pgloom".into()).compile(b"").unwrap_err();
        assert!(error.to_string().starts_with("failed to start /nowhere/pgloom: "), "{error}");
    }
}
