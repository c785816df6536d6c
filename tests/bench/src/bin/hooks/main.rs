//! Measures one step as a component, and the same logic as a hook: a server in its own process, reached over a Unix socket
//! by HTTP/1 with JSON, and by gRPC.
//!
//! All three get the same request, and their answers must be equal. The connections of the hooks stay open, and there is
//! no TLS. A call of the component has a fresh instance, and includes the checks of its limits.

mod grpc;
mod http;
#[path = "../../native.rs"]
mod native;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bench::{micros, read, read_pipeline};
use clap::{Parser, Subcommand, ValueEnum};
use pgloom_api::config::Config;
use pgloom_decide::{Observed, decide};
use pgloom_engine::call::Limits;
use pgloom_engine::{Description, Engine, EngineConfig, Pipeline, Plugin, Request, Response};
use serde_json::Value;
use tokio::process::{Child, Command};

// The allocator of the operator. musl's own allocator would dominate the measurement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The measured steps, in the order of the pipeline.
const STEPS: [&str; 2] = ["spilo", "sidecars"];
/// How often a component has to be faster than a hook.
const GOAL: f64 = 5.0;
/// The longest time until a hook listens.
const START: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Role>,
    /// The folder with the components and the pipeline
    #[arg(long, default_value = "dist/plugins")]
    plugins: PathBuf,
    /// The manifest
    #[arg(long, default_value = "manifests/examples/complete.yaml")]
    manifest: PathBuf,
    /// The number of measured calls
    #[arg(long, default_value_t = 4000)]
    rounds: usize,
}

#[derive(Subcommand)]
enum Role {
    /// Serves the logic of a step as a hook; for the measurement itself
    Serve { protocol: Protocol, socket: PathBuf, step: String },
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Role::Serve { protocol: Protocol::Http, socket, step }) => http::serve(&socket, logic(&step)?).await,
        Some(Role::Serve { protocol: Protocol::Grpc, socket, step }) => grpc::serve(&socket, logic(&step)?).await,
        None => measure(&arguments).await,
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let engine = Arc::new(Engine::new(&EngineConfig::default())?);
    let mut document = read_pipeline(&arguments.plugins)?;
    document.steps.retain(|step| STEPS.contains(&step.name.as_str()));
    let pipeline = Pipeline::load(&engine, &document, &arguments.plugins, None)?;
    let requests = requests(&pipeline, &read(&arguments.manifest)?)?;
    let folder = std::env::temp_dir().join(format!("pgloom-hooks-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!(
        "{:<34} {:>12} {:>12} {:>7} {:>12} {:>7}",
        "one step, median of one call", "component", "HTTP/1 hook", "ratio", "gRPC hook", "ratio"
    );
    for step in pipeline.steps() {
        let request = requests.get(&step.name).with_context(|| format!("{} is not called", step.name))?;
        measure_step(&step.name, &step.plugin, request, &folder, arguments.rounds).await?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn measure_step(name: &str, plugin: &Plugin, request: &Request, folder: &Path, rounds: usize) -> Result<()> {
    let component = median(rounds, async || call(plugin, request)).await?;
    let (_server, socket) = start(Protocol::Http, folder, name).await?;
    let mut client = http::Client::connect(&socket).await?;
    same(&call(plugin, request)?, &client.call(request).await?)?;
    let by_http = median(rounds, async || client.call(request).await).await?;
    let (_server, socket) = start(Protocol::Grpc, folder, name).await?;
    let mut client = grpc::Client::connect(&socket).await?;
    same(&call(plugin, request)?, &client.call(request).await?)?;
    let by_grpc = median(rounds, async || client.call(request).await).await?;
    let ratio = |hook: Duration| hook.as_secs_f64() / component.as_secs_f64();
    let verdict = if ratio(by_http).min(ratio(by_grpc)) >= GOAL { "" } else { "  (below the goal of 5)" };
    println!(
        "{:<34} {:>12} {:>12} {:>7.1} {:>12} {:>7.1}{verdict}",
        format!("{name}, {} KiB in", size(request) >> 10),
        micros(component),
        micros(by_http),
        ratio(by_http),
        micros(by_grpc),
        ratio(by_grpc)
    );
    Ok(())
}

/// Calls a plugin with a copy of the request.
fn call(plugin: &Plugin, request: &Request) -> Result<Response> {
    Ok(plugin.mutate(request.clone(), &Limits::default()).result?)
}

/// The logic of a step, called natively.
fn logic(step: &str) -> Result<Plugin> {
    match step {
        "sidecars" => Ok(native::plugin::<plugin_sidecars::Sidecars>(Description::default())),
        "spilo" => Ok(native::plugin::<plugin_spilo::Spilo>(Description::default())),
        _ => Err(anyhow!("there is no native {step}")),
    }
}

/// The requests that the steps get for the manifest, by name.
fn requests(pipeline: &Pipeline, manifest: &Value) -> Result<BTreeMap<String, Request>> {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let recorders = pipeline.steps().iter().map(|step| {
        let (logic, seen, name) = (logic(&step.name)?, Arc::clone(&seen), step.name.clone());
        Ok(Arc::new(Plugin::native(step.plugin.description.clone(), move |request| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), request.clone());
            logic.mutate(request.clone(), &Limits::default()).result
        })))
    });
    let recording = Pipeline::of(recorders.collect::<Result<_>>()?)?;
    decide(manifest, &Config::defaults(), &Observed::default(), &recording)?;
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(seen)
}

/// The answers of the component and of the hook have the same objects.
fn same(component: &Response, hook: &Response) -> Result<()> {
    ensure!(component.contributions == hook.contributions, "the hook answers otherwise than the component");
    Ok(())
}

/// Starts a hook in a process of its own, which ends with the returned value, and waits until it listens.
async fn start(protocol: Protocol, folder: &Path, step: &str) -> Result<(Child, PathBuf)> {
    let socket = folder.join(format!("{step}-{}", protocol.name()));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", protocol.name()]).arg(&socket).arg(step);
    let server = command.kill_on_drop(true).spawn().context("failed to start the hook")?;
    let begun = Instant::now();
    while tokio::net::UnixStream::connect(&socket).await.is_err() {
        ensure!(begun.elapsed() < START, "the hook does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((server, socket))
}

async fn median<T>(rounds: usize, mut work: impl AsyncFnMut() -> Result<T>) -> Result<Duration> {
    let mut times = Vec::with_capacity(rounds);
    let warming = rounds / 10;
    for round in 0..rounds + warming {
        let start = Instant::now();
        let result = work().await?;
        let elapsed = start.elapsed();
        std::hint::black_box(result);
        if round >= warming {
            times.push(elapsed);
        }
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no round was run")
}

/// The size of the request's texts, in bytes.
fn size(request: &Request) -> usize {
    let objects = request.desired.iter().map(|desired| desired.object.len());
    let observed = request.observed.iter().map(|observed| observed.object.len());
    let texts = [&request.cluster, &request.operator_config, &request.config];
    texts.iter().map(|text| text.len()).chain(objects).chain(observed).sum()
}
