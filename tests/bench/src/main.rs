//! Measures a decision: with components, which get a fresh instance per call, and with the same logic natively.

mod native;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bench::{micros, read, read_pipeline};
use clap::Parser;
use pgloom_api::config::Config;
use pgloom_api::pipeline::DEFAULT_FUEL;
use pgloom_decide::plan_cache::{Entry, Key, PlanCache};
use pgloom_decide::{Observed, decide};
use pgloom_engine::call::Limits;
use pgloom_engine::{Engine, EngineConfig, Pipeline, Plugin};
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
    let rounds = arguments.rounds;
    let engine = Arc::new(Engine::new(&EngineConfig::default())?);
    let few = load(&engine, &["spilo", "sidecars"], &arguments.plugins)?;
    let shipped = Pipeline::load(&engine, &read_pipeline(&arguments.plugins)?, &arguments.plugins, None)?;
    println!("{:<44} {:>14} {:>14} {:>8}", "decide, fastest of one call", "components", "native", "ratio");
    for path in &arguments.manifests {
        let manifest = read(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        compare(&format!("spilo + sidecars, {name}"), &manifest, &few, rounds)?;
        compare(&format!("shipped pipeline ({} steps), {name}", shipped.steps().len()), &manifest, &shipped, rounds)?;
        let reusing = Arc::new(shipped.clone().with_answer_cache());
        row("one step changed", measure_changed(&manifest, &reusing, rounds)?);
        row("all answers reused", measure(&manifest, &reusing, rounds)?);
        row("nothing changed", measure_unchanged(&manifest, &reusing, rounds)?);
        // A reused answer takes no fuel.
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

/// Prints what a decision costs with components and natively, and the parts of the former.
fn compare(what: &str, manifest: &Value, components: &Pipeline, rounds: usize) -> Result<()> {
    let native = natively(components)?;
    let inside = Arc::new(AtomicU64::default());
    let timed = timed(components, &inside)?;
    // The machine is not equally fast all the time, so the two are measured in turn.
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..PARTS {
        for (fastest, pipeline) in fastest.iter_mut().zip([components, &native]) {
            *fastest = measure(manifest, pipeline, rounds / PARTS)?.min(*fastest);
        }
    }
    let [guest, host] = fastest;
    let ratio = guest.as_secs_f64() / host.as_secs_f64();
    println!("{what:<44} {:>14} {:>14} {ratio:>8.2}", micros(guest), micros(host));
    let mut inside_calls = Duration::MAX;
    let whole = fastest_of(rounds, || {
        inside.store(0, Relaxed);
        let plan = decide(manifest, &Config::defaults(), &Observed::default(), &timed)?;
        inside_calls = inside_calls.min(Duration::from_nanos(inside.load(Relaxed)));
        Ok(plan)
    });
    whole?;
    row("  in the calls of the components", inside_calls);
    row("  in the host", guest.saturating_sub(inside_calls));
    Ok(())
}

fn row(what: &str, time: Duration) {
    println!("  {what:<42} {:>14}", micros(time));
}

/// In how many parts two pipelines are measured in turn.
const PARTS: usize = 5;

/// The same steps, with a clock in nanoseconds around the call of each component: a fresh instance, the request copied into it, the
/// plugin's logic, and the answer copied out.
fn timed(components: &Pipeline, inside: &Arc<AtomicU64>) -> Result<Pipeline> {
    let plugins = components.steps().iter().map(|step| {
        let (plugin, inside, limits) = (Arc::clone(&step.plugin), Arc::clone(inside), Limits::default());
        Arc::new(Plugin::native(step.plugin.description.clone(), move |request| {
            let request = request.clone();
            let start = Instant::now();
            let result = plugin.mutate(request, &limits).result;
            inside.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
            result
        }))
    });
    Ok(Pipeline::of(plugins.collect())?)
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

/// A reconcile of an unchanged cluster: all its objects exist, and its plan is found in the cache.
fn measure_unchanged(manifest: &Value, pipeline: &Arc<Pipeline>, rounds: usize) -> Result<Duration> {
    let (config, plans) = (Arc::new(Config::defaults()), PlanCache::default());
    let made = decide(manifest, &config, &Observed::default(), pipeline)?.documents();
    let observed = Observed::of(made);
    let plan = Arc::new(decide(manifest, &config, &observed, pipeline)?);
    let key = Key::of(manifest, &observed);
    plans.insert(&(), Entry { key, config: config.clone(), pipeline: pipeline.clone(), plan });
    fastest_of(rounds, || {
        let key = Key::of(manifest, &observed);
        plans.get(&(), &key, &config, pipeline).context("the plan is not found again")
    })
}

/// A reconcile after a Secret changed that one step sees, logical-backup. The answers of the others are reused.
fn measure_changed(manifest: &Value, pipeline: &Pipeline, rounds: usize) -> Result<Duration> {
    let mut manifest = manifest.clone();
    manifest["spec"]["enableLogicalBackup"] = json!(true);
    let keys = json!({"logical_backup_cronjob_environment_secret": "variables", "logical_backup_s3_bucket": "backups"});
    let config = Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": keys}));
    let config = config.map_err(|problems| anyhow!("{problems:?}"))?.config;
    let mut round = 0;
    fastest_of(rounds, || {
        round += 1;
        let mut observed = Observed::default();
        observed.add_named(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "variables", "namespace": "default"},
            "data": {format!("KEY_{round}"): "dmFsdWU="},
        }));
        Ok(decide(&manifest, &config, &observed, pipeline)?)
    })
}

fn measure(manifest: &Value, pipeline: &Pipeline, rounds: usize) -> Result<Duration> {
    let (config, observed) = (Config::defaults(), Observed::default());
    fastest_of(rounds, || Ok(decide(manifest, &config, &observed, pipeline)?))
}

/// The time of the fastest round: what the work costs while no other process takes the processor.
fn fastest_of<T>(rounds: usize, mut work: impl FnMut() -> Result<T>) -> Result<Duration> {
    let mut fastest = Duration::MAX;
    for _ in 0..rounds + rounds / 10 {
        let start = Instant::now();
        let result = work()?;
        fastest = fastest.min(start.elapsed());
        std::hint::black_box(result);
    }
    Ok(fastest)
}
