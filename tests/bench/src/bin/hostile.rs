//! Measures what hostile plugins cost other clusters: the time of a decision of each other cluster while the plugins run
//! for one cluster in the same process, beside the time while they do not.
//!
//! The plugins are those of the hostile suite (`conformance::hostile`), all of a group in turn and without the wait that
//! the operator makes after a failure. As in the operator, one cluster has at most one decision at a time. What is
//! refused when it is loaded is loaded again and again. Rounds with and without plugins alternate, so that other load of
//! the machine is in both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench::{micros, read, read_pipeline};
use clap::Parser;
use conformance::hostile::{Case, STEP, cases};
use pgloom_api::config::Config;
use pgloom_api::pipeline::Document;
use pgloom_decide::{Observed, decide};
use pgloom_engine::{Compiler, Engine, EngineConfig, Pipeline};
use serde_json::{Value, json};

// The allocator of the operator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// The operator, which compiles
    #[arg(long, default_value = "dist/pgloom")]
    operator: PathBuf,
    /// The folder with the components and the pipeline
    #[arg(long, default_value = "dist/plugins")]
    plugins: PathBuf,
    /// The manifest that every cluster has
    #[arg(long, default_value = "manifests/examples/minimal.yaml")]
    manifest: PathBuf,
    /// The number of other clusters
    #[arg(long, default_value_t = 50)]
    clusters: usize,
    /// The number of rounds with plugins, and of rounds without
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

/// What a hostile plugin has the process do.
enum Work {
    Decide(Arc<Pipeline>),
    Load(Box<Document>, PathBuf),
}

struct Host {
    engine: Arc<Engine>,
    shipped: Pipeline,
    config: Config,
}

/// The times of decisions, sorted.
struct Times(Vec<Duration>);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let compiler = Some(Compiler::new(arguments.operator.clone()));
    let engine = Arc::new(Engine::new(&EngineConfig { compiler, ..EngineConfig::default() })?);
    let document = read(&arguments.plugins.join("pipeline.yaml"))?;
    let shipped = Pipeline::load(&engine, &read_pipeline(&arguments.plugins)?, &arguments.plugins, None)?;
    let host = Host { engine, shipped, config: Config::defaults() };
    let manifest = read(&arguments.manifest)?;
    let place = tempfile::tempdir()?;
    let cases = cases();
    let mut groups: Vec<&str> = cases.iter().map(|case| case.group).collect();
    groups.dedup();
    println!(
        "{:<14} {:>8} {:>12} {:>12} {:>8} {:>12} {:>12} {:>8}",
        "plugins", "number", "median", "beside", "ratio", "p99", "beside", "ratio"
    );
    for group in groups {
        let of_group: Vec<&Case> = cases.iter().filter(|case| case.group == group).collect();
        let works = of_group.iter().map(|case| prepare(&host, case, &document, &arguments.plugins, place.path()));
        let works: Vec<Work> = works.filter_map(Result::transpose).collect::<Result<_>>()?;
        let (quiet, beside) = measure(&host, &works, &manifest, &arguments)?;
        print_row(group, of_group.len(), &quiet, &beside)?;
    }
    Ok(())
}

fn print_row(group: &str, number: usize, quiet: &Times, beside: &Times) -> Result<()> {
    let part = |of: f64| -> Result<String> {
        let (quiet, beside) = (quiet.quantile(of)?, beside.quantile(of)?);
        let ratio = beside.as_secs_f64() / quiet.as_secs_f64();
        Ok(format!("{:>12} {:>12} {ratio:>8.2}", micros(quiet), micros(beside)))
    };
    println!("{group:<14} {number:>8} {} {}", part(0.5)?, part(0.99)?);
    Ok(())
}

/// What the plugin of a case has the process do; nothing, if the document is refused.
fn prepare(host: &Host, case: &Case, shipped: &Value, plugins: &Path, place: &Path) -> Result<Option<Work>> {
    let folder = place.join(case.name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
    std::fs::create_dir(&folder)?;
    for entry in std::fs::read_dir(plugins)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    std::fs::write(folder.join("hostile.wasm"), &case.component)?;
    let mut step = json!({"name": STEP, "source": {"file": "hostile.wasm"}});
    if let (Some(step), Some(fields)) = (step.as_object_mut(), case.step.as_object()) {
        step.extend(fields.clone());
    }
    let mut document = shipped.clone();
    document["spec"]["steps"].as_array_mut().context("the pipeline has steps")?.push(step);
    let Ok(document) = Document::read(&document) else { return Ok(None) };
    let loaded = Pipeline::load(&host.engine, &document, &folder, Some(&host.shipped));
    Ok(Some(match loaded {
        Ok(pipeline) => Work::Decide(Arc::new(pipeline)),
        Err(_) => Work::Load(Box::new(document), folder),
    }))
}

/// The times of decisions of other clusters: without the plugins, and beside them.
fn measure(host: &Host, works: &[Work], manifest: &Value, arguments: &Arguments) -> Result<(Times, Times)> {
    let (is_on, is_idle, is_over) = (AtomicBool::new(false), AtomicBool::new(true), AtomicBool::new(false));
    let manifests: Vec<Value> =
        (0..arguments.clusters).map(|number| named(manifest, &format!("acid-{number}"))).collect();
    let hostile = named(manifest, "acid-orders");
    let mut times = (Vec::new(), Vec::new());
    let measured = std::thread::scope(|scope| {
        scope.spawn(|| {
            for work in works.iter().cycle() {
                while !is_on.load(Ordering::SeqCst) {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    is_idle.store(true, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                }
                is_idle.store(false, Ordering::SeqCst);
                work.run(host, &hostile);
            }
        });
        let result = (0..arguments.rounds * 2).try_for_each(|round| -> Result<()> {
            let beside = round % 2 == 1;
            is_on.store(beside, Ordering::SeqCst);
            while is_idle.load(Ordering::SeqCst) == beside {
                std::thread::sleep(Duration::from_millis(1));
            }
            for manifest in &manifests {
                let start = Instant::now();
                std::hint::black_box(decide(manifest, &host.config, &Observed::default(), &host.shipped)?);
                if beside { &mut times.1 } else { &mut times.0 }.push(start.elapsed());
            }
            Ok(())
        });
        is_on.store(false, Ordering::SeqCst);
        is_over.store(true, Ordering::SeqCst);
        result
    });
    measured?;
    Ok((Times::of(times.0), Times::of(times.1)))
}

impl Work {
    /// Does it. That it fails is what is measured.
    fn run(&self, host: &Host, manifest: &Value) {
        match self {
            Self::Decide(pipeline) => drop(decide(manifest, &host.config, &Observed::default(), pipeline)),
            Self::Load(document, folder) => {
                drop(Pipeline::load(&host.engine, document, folder, Some(&host.shipped)));
            }
        }
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that this part of the decisions does not exceed.
    fn quantile(&self, part: f64) -> Result<Duration> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = ((self.0.len() as f64) * part) as usize;
        self.0.get(index.min(self.0.len().saturating_sub(1))).copied().context("no round was run")
    }
}

fn named(manifest: &Value, name: &str) -> Value {
    let mut manifest = manifest.clone();
    manifest["metadata"]["name"] = json!(name);
    manifest
}
