//! Measures a decision: with components, which get a fresh instance per call, and with the same logic natively.

mod native;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use pgloom_api::config::Config;
use pgloom_api::pipeline::{DEFAULT_FUEL, Document};
use pgloom_decide::plan_cache::{Entry, Key, PlanCache};
use pgloom_decide::{Observed, decide};
use pgloom_engine::{Engine, EngineConfig, Pipeline};
use serde::Deserialize;
use serde_json::{Value, json};

// The allocator of the operator. musl's own allocator would dominate the measurement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// The folder with the components and the pipeline
    #[arg(long, default_value = "dist/plugins")]
    plugins: PathBuf,
    /// The number of measured decisions
    #[arg(long, default_value_t = 2000)]
    rounds: usize,
    /// Manifests
    #[arg(default_values = ["manifests/examples/minimal.yaml", "manifests/examples/complete.yaml"])]
    manifests: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let engine = Arc::new(Engine::new(&EngineConfig::default())?);
    let components = load(&engine, &["spilo", "sidecars"], &arguments.plugins)?;
    let native = natively(&components)?;
    let shipped = Arc::new(Pipeline::load(&engine, &read_pipeline(&arguments.plugins)?, &arguments.plugins, None)?);
    let shipped_native = natively(&shipped)?;
    println!("{:<44} {:>14} {:>14} {:>8}", "decide, median of one call", "components", "native", "ratio");
    for path in &arguments.manifests {
        let manifest = read(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let (guest, host) =
            (measure(&manifest, &components, arguments.rounds)?, measure(&manifest, &native, arguments.rounds)?);
        let ratio = guest.as_secs_f64() / host.as_secs_f64();
        println!("{:<44} {:>14} {:>14} {ratio:>8.2}", format!("spilo + sidecars, {name}"), micros(guest), micros(host));
        let (guest, host) =
            (measure(&manifest, &shipped, arguments.rounds)?, measure(&manifest, &shipped_native, arguments.rounds)?);
        let ratio = guest.as_secs_f64() / host.as_secs_f64();
        let what = format!("shipped pipeline ({} steps), {name}", shipped.steps().len());
        println!("{what:<44} {:>14} {:>14} {ratio:>8.2}", micros(guest), micros(host));
        let again = measure_unchanged(&manifest, &shipped, arguments.rounds)?;
        println!("{:<44} {:>14}", format!("the same again, nothing changed, {name}"), micros(again));
        print_fuel(&manifest, &shipped)?;
    }
    Ok(())
}

/// Prints the fuel of each step's call, which is the same on every machine, and how often the default limit holds it.
fn print_fuel(manifest: &Value, pipeline: &Pipeline) -> Result<()> {
    let plan = decide(manifest, &Config::defaults(), &Observed::default(), pipeline)?;
    for (step, fuel) in &plan.fuel {
        println!("  {:<42} {fuel:>10} fuel, 1/{} of the limit", step, DEFAULT_FUEL / fuel.max(&1));
    }
    Ok(())
}

/// These steps of the shipped pipeline.
fn load(engine: &Arc<Engine>, steps: &[&str], folder: &Path) -> Result<Pipeline> {
    let mut document = read_pipeline(folder)?;
    document.steps.retain(|step| steps.contains(&step.name.as_str()));
    Ok(Pipeline::load(engine, &document, folder, None)?)
}

/// The same steps with the plugins' logic called natively.
fn natively(components: &Pipeline) -> Result<Pipeline> {
    let plugins = components.steps().iter().map(|step| {
        let make = match step.name.as_str() {
            "additional-volumes" => native::plugin::<plugin_additional_volumes::AdditionalVolumes>,
            "clone" => native::plugin::<plugin_clone::Clones>,
            "init-containers" => native::plugin::<plugin_init_containers::InitContainers>,
            "logical-backup" => native::plugin::<plugin_logical_backup::LogicalBackup>,
            "patches" => native::plugin::<plugin_patches::Patches>,
            "pooler" => native::plugin::<plugin_pooler::ConnectionPooler>,
            "sidecars" => native::plugin::<plugin_sidecars::Sidecars>,
            "spilo" => native::plugin::<plugin_spilo::Spilo>,
            "standby" => native::plugin::<plugin_standby::Standby>,
            "tls" => native::plugin::<plugin_tls::Tls>,
            "volume-resize" => native::plugin::<plugin_volume_resize::VolumeResize>,
            name => return Err(anyhow!("there is no native {name} to compare with")),
        };
        Ok(Arc::new(make(step.plugin.description.clone())))
    });
    Ok(Pipeline::of(plugins.collect::<Result<_>>()?)?)
}

fn read_pipeline(folder: &Path) -> Result<Document> {
    Document::read(&read(&folder.join("pipeline.yaml"))?).map_err(|problems| anyhow!("{problems:?}"))
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut value =
        serde_json::to_value(serde_yaml_ng::Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text))?)?;
    value["metadata"]["namespace"] = json!("default");
    Ok(value)
}

/// A reconcile of an unchanged cluster: all its objects exist, and its plan is found in the cache.
fn measure_unchanged(manifest: &Value, pipeline: &Arc<Pipeline>, rounds: usize) -> Result<Duration> {
    let (config, plans) = (Arc::new(Config::defaults()), PlanCache::default());
    let made = decide(manifest, &config, &Observed::default(), pipeline)?.documents();
    let observed = Observed::of(made);
    let plan = Arc::new(decide(manifest, &config, &observed, pipeline)?);
    let key = Key::of(manifest, &observed);
    plans.insert(&(), Entry { key, config: config.clone(), pipeline: pipeline.clone(), plan });
    median(rounds, || {
        let key = Key::of(manifest, &observed);
        plans.get(&(), &key, &config, pipeline).context("the plan is not found again")
    })
}

fn measure(manifest: &Value, pipeline: &Pipeline, rounds: usize) -> Result<Duration> {
    let (config, observed) = (Config::defaults(), Observed::default());
    median(rounds, || Ok(decide(manifest, &config, &observed, pipeline)?))
}

fn median<T>(rounds: usize, mut work: impl FnMut() -> Result<T>) -> Result<Duration> {
    let mut once = || -> Result<Duration> {
        let start = Instant::now();
        let result = work()?;
        let elapsed = start.elapsed();
        std::hint::black_box(result);
        Ok(elapsed)
    };
    for _ in 0..rounds / 10 {
        once()?;
    }
    let mut times = (0..rounds).map(|_| once()).collect::<Result<Vec<_>>>()?;
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no round was run")
}

fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}
