//! The `pgloom` binary: the operator, the same decisions offline, and a way to the database.
//!
//! Exit codes: 0 success; 1 failure, with the reason on standard error; 2 invalid command line. `conformance` and `diff` have
//! their own. Each command has them in its help, with an example.
#![deny(clippy::print_stdout, clippy::print_stderr, reason = "a closed output is no panic: see `output` and `log`")]

mod api_server;
mod compile;
mod conformance;
mod connect;
mod crd;
mod diff;
mod explain;
mod file;
mod live;
mod log;
mod manifests;
mod output;
mod pipeline;
mod plugin;
mod rbac;
mod record;
mod registry;
mod render;
mod steps;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pgloom_common::error::error_chain;
use pgloom_operator::args::Error as InvalidFlag;

/// mimalloc returns unused memory to the system. musl's allocator is slower and fragments in a process that runs for
/// weeks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged by a command that asks the API server: of a request that fails the command says so itself.
const WITH_API_SERVER: &str = "warn,kube_client=off";

/// The exit code of an invalid command line, as that of clap.
const USAGE: u8 = 2;

const HELP: &str = "\
Example:
  pgloom render manifest.yaml

Each command has an example and its exit codes in its own help: pgloom COMMAND --help.

Exit codes: 0 success; 1 failure, with the reason on standard error; 2 invalid command line.";

const RUN: &str = "\
Example:
  pgloom run --pipeline /plugins/pipeline.yaml --config-map pgloom --cache-dir /cache

manifests/deployment.yaml runs it in a cluster.

Exit codes: 0 ended by SIGTERM or SIGINT; 1 it cannot start, or has lost the leadership, with the reason on standard error;
2 invalid command line.";

const CRD: &str = "\
Example:
  pgloom crd | kubectl apply --server-side --filename -

Exit codes: 0 printed; 1 failure, with the reason on standard error; 2 invalid command line.";

/// A Kubernetes operator for PostgreSQL whose every feature is a WebAssembly component
#[derive(Parser)]
#[command(name = "pgloom", version, propagate_version = true, after_help = HELP)]
struct Arguments {
    #[command(flatten)]
    log: log::Arguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator
    #[command(after_help = RUN)]
    Run(Box<pgloom_operator::Args>),
    /// Print the objects that the operator would apply, offline
    Render(render::Arguments),
    /// Say which step set a field of an object, and what its value depends on
    Explain(explain::Arguments),
    /// Say what another pipeline would change, and which pods it would restart
    Diff(diff::Arguments),
    /// Open a local port that leads to the leader of a cluster, also after a failover
    Connect(connect::Arguments),
    /// Write, build, test, inspect and ship plugins
    #[command(subcommand, after_help = plugin::HELP)]
    Plugin(plugin::Command),
    /// Check whether a plugin keeps what the contract promises, and write a report
    Conformance(conformance::Arguments),
    /// Write what a plugin is asked for a running cluster as a golden folder, without credentials
    Record(record::Arguments),
    /// Print the ClusterRole that a pipeline needs
    Rbac(rbac::Arguments),
    /// Print the CustomResourceDefinitions
    #[command(after_help = CRD)]
    Crd,
    /// Compile components: the operator calls this for itself
    #[command(hide = true)]
    Compile(compile::Arguments),
}

fn main() -> ExitCode {
    let Arguments { log, command } = Arguments::parse();
    let result = match command {
        Command::Run(arguments) => {
            log.start("info");
            run(*arguments)
        }
        Command::Render(arguments) => {
            log.start("warn");
            render::render(&arguments)
        }
        Command::Explain(arguments) => {
            log.start(WITH_API_SERVER);
            explain::print(&arguments)
        }
        Command::Diff(arguments) => {
            log.start(WITH_API_SERVER);
            match diff::diff(&arguments) {
                Ok(code) => return code,
                Err(error) => Err(error),
            }
        }
        Command::Connect(arguments) => {
            log.start("pgloom=info");
            connect::connect(arguments)
        }
        Command::Plugin(command) => {
            log.start("warn");
            plugin::run(command)
        }
        Command::Conformance(arguments) => {
            // Guests that panic are a part of the checks, and a failure has their text.
            log.start("off");
            return conformance::conformance(&arguments);
        }
        Command::Record(arguments) => {
            log.start(WITH_API_SERVER);
            record::record(&arguments)
        }
        Command::Rbac(arguments) => {
            log.start("warn");
            rbac::print(&arguments)
        }
        Command::Crd => crd::print(),
        Command::Compile(arguments) => {
            log.start("error");
            compile::compile(&arguments)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(format_args!("error: {}", error_chain(&*error)));
            if usage::is_usage(&error) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: pgloom_operator::Args) -> anyhow::Result<()> {
    let config = arguments.try_into().map_err(|error: InvalidFlag| usage::usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(to_the_end(runtime, pgloom_operator::run(config))?)
}

/// Waits for the work, and for nothing else: a component that is being compiled does not delay the end of the process.
fn to_the_end<T>(runtime: tokio::runtime::Runtime, work: impl Future<Output = T>) -> T {
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use clap::CommandFactory as _;

    use super::*;

    /// The command, and those below it, each with its whole name.
    fn commands(command: &clap::Command, above: &str) -> Vec<(String, clap::Command)> {
        let name = format!("{above}{}", command.get_name());
        let below = command.get_subcommands().flat_map(|below| commands(below, &format!("{name} ")));
        below.chain([(name.clone(), command.clone())]).collect()
    }

    #[test]
    fn every_command_has_an_example_and_its_exit_codes_in_its_help() {
        let all = commands(&Arguments::command(), "");
        assert!(all.len() > 15, "{}", all.len());
        for (name, command) in all {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = help.split("Example").nth(1).unwrap_or_default();
            assert!(example.contains(&format!("  {name} ")), "{name}: no example: {help}");
            assert!(help.contains("Exit codes:"), "{name}: no exit codes: {help}");
        }
    }

    #[test]
    fn a_component_that_is_being_compiled_does_not_delay_the_end() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let (compiled, compiling) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        std::thread::spawn(move || {
            to_the_end(runtime, async move {
                tokio::task::spawn_blocking(move || {
                    begun.send(()).unwrap();
                    compiling.recv()
                });
            });
            end.send(()).unwrap();
        });
        begins.recv().unwrap();
        ended.recv_timeout(std::time::Duration::from_secs(60)).expect("it waits for the thread");
        drop(compiled);
    }
}
