//! Measures the operator: the time from its start until it is ready, and its memory, with no cluster and with many.
//!
//! The operator is the built binary in its own process. The API server is a fake ([`api`]) with objects in memory and
//! watches; controllers and databases are fakes, too: a StatefulSet has its pods at once, and there is no connection to
//! a database. So only the operator is measured.

mod api;
mod database;
mod process;
mod store;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};

use api::Api;
use process::Operator;

/// The namespace of everything.
const NAMESPACE: &str = "default";
/// The time without a write after which the operator is done.
const QUIET: Duration = Duration::from_secs(4);
/// The longest time until the operator is done.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The time of one of Patroni's loops.
const LOOP_WAIT: Duration = Duration::from_secs(10);
/// The number of Secrets and of Pods that are of no cluster.
const STRANGERS: usize = 10_000;
/// The counter of reconciles.
const RECONCILES: &str = "pgloom_reconcile_duration_seconds_count";

#[derive(Parser)]
struct Arguments {
    /// The operator
    #[arg(long, default_value = "dist/pgloom")]
    operator: PathBuf,
    /// The folder with the components and the pipeline
    #[arg(long, default_value = "dist/plugins")]
    plugins: PathBuf,
    /// The manifest that every cluster has
    #[arg(long, default_value = "manifests/examples/minimal.yaml")]
    manifest: PathBuf,
    /// The number of clusters
    #[arg(long, default_value_t = 1000)]
    clusters: usize,
    /// The number of clusters with a database that the operator connects to
    #[arg(long, default_value_t = 200)]
    databases: usize,
    /// The number of measured starts
    #[arg(long, default_value_t = 7)]
    starts: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let api = Api::serve().await?;
    api.put(configuration());
    let folder = std::env::temp_dir().join(format!("pgloom-scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&arguments, &api, &folder).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(arguments: &Arguments, api: &Api, folder: &std::path::Path) -> Result<()> {
    let start = || Operator::start(&arguments.operator, &arguments.plugins, folder, api.address());
    println!("{:<44} {:>14}", "start to ready, cold code cache", millis(start()?.ready().await?));
    let mut times = Vec::new();
    for _ in 0..arguments.starts {
        times.push(start()?.ready().await?);
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).context("no start was measured")?;
    println!("{:<44} {:>14}", "start to ready, warm code cache, median", millis(*median));

    let operator = start()?;
    operator.ready().await?;
    settle(api).await?;
    println!("{:<44} {:>14}", "resident memory, no cluster", operator.memory()?);

    let begun = Instant::now();
    let manifest = read(&arguments.manifest)?;
    for number in 0..arguments.clusters {
        api.put(named(&manifest, number));
    }
    let quiet = settle(api).await?;
    let (running, all) = (api.running(), arguments.clusters);
    if running != all {
        bail!("{running} of {all} clusters run; the operator's log is above");
    }
    println!("{:<44} {:>14}", format!("from {all} manifests to {all} clusters"), seconds(quiet - begun));
    println!("{:<44} {:>14}", format!("resident memory, {all} clusters"), operator.memory()?);
    at_rest(&format!("{all} clusters"), api, &operator).await?;
    println!("{:<44} {:>14}", format!("resident memory, {all} clusters at rest"), operator.memory()?);
    drop(operator);

    let operator = start()?;
    println!("{:<44} {:>14}", format!("start to ready, {all} clusters exist"), millis(operator.ready().await?));
    settle(api).await?;
    println!("{:<44} {:>14}", format!("resident memory, {all} clusters exist"), operator.memory()?);
    for number in 0..STRANGERS {
        for kind in ["Secret", "Pod"] {
            api.put(stranger(kind, number));
        }
    }
    tokio::time::sleep(QUIET).await;
    println!("{:<44} {:>14}", format!("the same, and {STRANGERS} Secrets and Pods"), operator.memory()?);

    api.keep_pending(true);
    let pending = all / 2;
    for number in all..all + pending {
        api.put(named(&manifest, number));
    }
    settle(api).await?;
    at_rest(&format!("{pending} more that are pending"), api, &operator).await?;
    drop(operator);

    let some = arguments.databases;
    let (server, address) = database::serve(&manifest, some).await?;
    let operator = Operator::start(&arguments.operator, &arguments.plugins, folder, address)?;
    let memory = database::measure(&server, &operator, some).await?;
    println!("{:<44} {:>14}", format!("resident memory, {some} clusters and databases"), memory);
    Ok(())
}

/// Measures what the operator does while nothing changes but what Patroni renews in each of its loops.
async fn at_rest(what: &str, api: &Api, operator: &Operator) -> Result<()> {
    const LOOPS: usize = 6;
    // The first loop of all tells who leads, which is no heartbeat.
    api.heartbeat(0);
    settle(api).await?;
    // On a slow machine reconciles that write nothing may still run.
    let mut before = -1.0;
    while before != operator.counter(RECONCILES).await? {
        before = operator.counter(RECONCILES).await?;
        tokio::time::sleep(QUIET).await;
    }
    let (used, writes, reconciles) = (operator.used()?, api.writes(), operator.counter(RECONCILES).await?);
    let begun = Instant::now();
    for number in 1..=LOOPS {
        api.heartbeat(number);
        tokio::time::sleep(LOOP_WAIT).await;
    }
    let share = (operator.used()? - used).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    println!("{:<44} {:>14}", format!("at rest, {what}: of a core"), format!("{share:.2} %"));
    println!("{:<44} {:>14}", format!("at rest, {what}: writes"), api.writes() - writes);
    let reconciles = operator.counter(RECONCILES).await? - reconciles;
    println!("{:<44} {:>14}", format!("at rest, {what}: reconciles a minute"), format!("{reconciles:.0}"));
    Ok(())
}

/// An object that is of no cluster.
fn stranger(kind: &str, number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": format!("other-{number}"), "namespace": NAMESPACE},
        "data": {"key": "A".repeat(1024)},
    })
}

/// Waits until there was no write for a while; returns the time of the last write.
async fn settle(api: &Api) -> Result<Instant> {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let last = api.last_write().unwrap_or(begun).max(begun);
        if last.elapsed() >= QUIET {
            return Ok(last);
        }
        if begun.elapsed() >= TIMEOUT {
            bail!("the operator writes and writes");
        }
    }
}

fn configuration() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pgloom", "namespace": NAMESPACE},
        "data": {"enable_database_access": "false", "kubernetes_use_configmaps": "false"},
    })
}

fn read(path: &std::path::Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text))?)
}

fn named(manifest: &Value, number: usize) -> Value {
    let mut manifest = manifest.clone();
    manifest["metadata"]["name"] = json!(format!("acid-cluster-{number:05}"));
    manifest["metadata"]["namespace"] = json!(NAMESPACE);
    manifest
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
