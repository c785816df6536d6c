//! `pgloom plugin`: write, build and test a plugin; what a component is, and what it asks for; to a registry and from one.

mod ask;
mod bench;
mod build;
mod config_map;
mod exports;
mod golden;
mod language;
mod new;
mod project;
mod pull;
mod push;
mod run;
mod step;
mod test;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use pgloom_api::pipeline::Grants;
use pgloom_engine::{Engine, EngineConfig, Plugin, grant};
use pgloom_operator::args::ComponentLimits;

/// The examples of the group.
pub const HELP: &str = "\
Examples:
  pgloom plugin new motto --sdk ~/pgloom        begin a plugin
  pgloom plugin test motto                      build it, and test it
  pgloom plugin inspect motto/dist/motto.wasm   what it asks for

Each command has its own help: pgloom plugin COMMAND --help.

Exit codes: 0 success; 1 failure, with the reason on standard error; 2 invalid command line";

/// The commands about components.
#[derive(Subcommand)]
pub enum Command {
    /// Begin a plugin: write its folder
    New(new::Arguments),
    /// Build the component of a plugin
    Build(build::Arguments),
    /// Run the native tests of a plugin, and its golden folder natively and against the component
    Test(test::Arguments),
    /// Print what a call of a plugin costs
    Bench(bench::Arguments),
    /// Print the objects of a manifest, with a plugin as the last step of the pipeline
    Run(Box<run::Arguments>),
    /// Print what a component is and what it asks for
    Inspect(Inspect),
    /// Print components as a ConfigMap, for a cluster without a registry
    ConfigMap(config_map::Arguments),
    /// Push a component to an OCI registry, and sign it
    Push(push::Arguments),
    /// Pull a component from an OCI registry, and verify its signature
    Pull(pull::Arguments),
}

/// The flags of `pgloom plugin inspect`.
#[derive(Args)]
#[command(after_help = "\
Example:
  pgloom plugin inspect --grants dist/motto.wasm   the grants for the step, to paste

Exit codes: 0 printed; 1 the file is no component that this host can load, with the reason; 2 invalid command line")]
pub struct Inspect {
    /// Print only the grants that the plugin needs, for its step in a pipeline
    #[arg(long)]
    grants: bool,
    #[command(flatten)]
    limits: ComponentLimits,
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs a command.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::New(arguments) => new::new(&arguments),
        Command::Build(arguments) => build::build(&arguments),
        Command::Test(arguments) => test::test(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Inspect(arguments) => inspect(&arguments),
        Command::ConfigMap(arguments) => config_map::print(&arguments),
        Command::Push(arguments) => push::push(&arguments),
        Command::Pull(arguments) => pull::pull(&arguments),
    }
}

fn inspect(arguments: &Inspect) -> Result<()> {
    let plugin = load(&arguments.file, &arguments.limits)?;
    let text = if arguments.grants { block(&plugin) } else { description(&plugin) };
    crate::output::print(&text)
}

fn load(file: &Path, limits: &ComponentLimits) -> Result<Plugin> {
    let place = || file.display().to_string();
    let bytes = crate::file::component(file, limits)?;
    let engine = Arc::new(Engine::new(&EngineConfig { concurrency: 1, ..limits.engine() })?);
    Plugin::load(&engine, &bytes, None).with_context(place)
}

/// The bytes of a component that this host can load: a plugin that it cannot would be refused in the cluster only.
fn component(file: &Path, limits: &ComponentLimits) -> Result<Vec<u8>> {
    let bytes = crate::file::component(file, limits)?;
    Plugin::load(&crate::pipeline::engine(limits)?, &bytes, None).with_context(|| file.display().to_string())?;
    Ok(bytes)
}

/// The name, version, digest and contract, and what the plugin asks for.
fn description(plugin: &Plugin) -> String {
    let asked = &plugin.description;
    let mut text = String::new();
    for (name, value) in [
        ("name", &asked.name),
        ("version", &asked.version),
        ("digest", &plugin.digest),
        ("contract", &plugin.contract),
        ("summary", &asked.summary),
    ] {
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    text.push_str(&section("needs:", &grant::needed(asked)));
    text.push_str(&section("optional:", &grant::optional(asked)));
    text
}

/// The block to paste into the step: what is needed; what is optional in comments.
fn block(plugin: &Plugin) -> String {
    let needed = grant::needed(&plugin.description);
    let optional = grant::optional(&plugin.description);
    let mut text = section("grants:", &needed);
    if !grant::is_empty(&optional) {
        text.push_str("# Optional:\n");
        for line in grant::yaml(&optional, 2).lines() {
            let _ = writeln!(text, "# {line}");
        }
    }
    text
}

fn section(title: &str, grants: &Grants) -> String {
    match grant::is_empty(grants) {
        true => format!("{title} {{}}\n"),
        false => format!("{title}\n{}", grant::yaml(grants, 2)),
    }
}
