//! The operator lacks the rights to the objects of two steps: the database is made nevertheless, the status names what is
//! missing, and a right that is granted is noticed without a restart.
//!
//! One program of one test, as the time of the process is the paused clock of tokio.

#[path = "../every_write/clock.rs"]
mod clock;
#[allow(dead_code, reason = "the other test of this crate uses the rest")]
#[path = "../every_write/operation.rs"]
mod operation;
#[allow(dead_code, reason = "the other test of this crate uses the rest")]
#[path = "../every_write/operator.rs"]
mod operator;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use pgloom_operator::args::{Named, PipelineSource};
use serde_json::{Value, json};
use stand_in::{Right, Server, State};
use tokio::time::Instant;

use operation::{CLUSTER, MANIFESTS, NAMESPACE};
use operator::{Folders, Operator};

/// What the operator does with objects that a step creates.
const VERBS: [&str; 6] = ["create", "delete", "get", "list", "patch", "watch"];
/// The longest time until the world is as expected.
const TIMEOUT: Duration = Duration::from_secs(900);
const POLL_PERIOD: Duration = Duration::from_millis(250);

const DEPLOYMENTS: &str = "apps/v1/deployments";
const CRON_JOBS: &str = "batch/v1/cronjobs";

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("test a_missing_right_stops_only_its_objects_until_it_is_granted ... ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    operator::log();
    let scratch = tempfile::tempdir()?;
    let folders = Folders::of_repository(scratch.path())?;
    clock::block_on(a_missing_right_stops_only_its_objects_until_it_is_granted(&folders))?
}

async fn a_missing_right_stops_only_its_objects_until_it_is_granted(folders: &Folders) -> Result<()> {
    let server = Server::new(world(folders)?);
    let named = Named { namespace: None, name: "default".to_owned() };
    let operator = Operator::start_with(PipelineSource::Object(named), &server, folders, false).await?;

    until(&server, "a database that serves", |state| ready(state) == "True").await?;
    until(&server, "a pooler's user list", |state| exists(state, "v1/secrets", &format!("{CLUSTER}-pooler-u"))).await?;
    let (deployments, cron_jobs) = server.with(|state| (count(state, DEPLOYMENTS), count(state, CRON_JOBS)));
    ensure!((deployments, cron_jobs) == (0, 0), "what may not be written is not there");
    for (step, rule) in [
        ("pooler", "{apiGroups: [apps], resources: [deployments], verbs: [create, delete, get, list, patch, watch]}"),
        (
            "logical-backup",
            "{apiGroups: [batch], resources: [cronjobs], verbs: [create, delete, get, list, patch, watch]}",
        ),
    ] {
        until(&server, "a step's phase", |state| phase(state, step) == "RightsMissing").await?;
        let error = server.with(|state| step_of(state, step)["error"].to_string());
        ensure!(error.contains(rule), "the status of {step} has the rule: {error}");
    }
    until(&server, "a step with its rights", |state| phase(state, "spilo") == "Running").await?;
    let applied = server.with(|state| condition(state, "Applied"));
    ensure!(applied["status"] == "False" && applied["reason"] == "Forbidden", "{applied}");
    let message = applied["message"].as_str().unwrap_or_default();
    ensure!(message.contains("step pooler") && message.contains("step logical-backup"), "{message}");

    server.with(|state| state.denied.clear());
    until(&server, "the objects", |state| count(state, DEPLOYMENTS) == 1 && count(state, CRON_JOBS) == 1).await?;
    until(&server, "the status", |state| condition(state, "Applied")["status"] == "True").await?;
    until(&server, "the phases", |state| {
        phase(state, "pooler") == "Running" && phase(state, "logical-backup") == "Running"
    })
    .await?;
    ensure!(!operator.has_ended(), "it is the same operator");
    Ok(())
}

/// A world with the shipped pipeline and a cluster with a pooler and a logical backup, without the rights to both.
fn world(folders: &Folders) -> Result<State> {
    let mut state = operation::empty();
    let text = std::fs::read_to_string(folders.plugins.join("pipeline.yaml"))?;
    let mut pipeline: Value = serde_yaml_ng::from_str(&text)?;
    pipeline["metadata"]["namespace"] = json!(NAMESPACE);
    state.put(&pipeline);
    let spec = json!({
        "teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "15"},
        "enableConnectionPooler": true, "enableLogicalBackup": true,
    });
    operation::put(&mut state, &spec);
    state.denied.extend(Right::each(&VERBS, "apps", "deployments"));
    state.denied.extend(Right::each(&VERBS, "batch", "cronjobs"));
    Ok(state)
}

async fn until(server: &Server, what: &str, is_so: impl Fn(&State) -> bool) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        if server.with(|state| is_so(state)) {
            return Ok(());
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
    let status =
        server.with(|state| state.objects.get(MANIFESTS, NAMESPACE, CLUSTER).map(|found| found["status"].clone()));
    bail!("there is never {what}: {}", status.unwrap_or_default())
}

fn exists(state: &State, collection: &str, name: &str) -> bool {
    state.objects.get(collection, NAMESPACE, name).is_some()
}

fn count(state: &State, collection: &str) -> usize {
    state.objects.of(collection, NAMESPACE).count()
}

fn ready(state: &State) -> Value {
    condition(state, "Ready")["status"].clone()
}

/// A condition of the cluster.
fn condition(state: &State, name: &str) -> Value {
    let manifest = state.objects.get(MANIFESTS, NAMESPACE, CLUSTER);
    let conditions = manifest.and_then(|manifest| manifest["status"]["conditions"].as_array());
    conditions.into_iter().flatten().find(|condition| condition["type"] == name).cloned().unwrap_or_default()
}

/// A step in the status of the Pipeline.
fn step_of(state: &State, step: &str) -> Value {
    let pipeline = state.objects.get("pgloom.dev/v1alpha1/pipelines", NAMESPACE, "default");
    let steps = pipeline.and_then(|pipeline| pipeline["status"]["steps"].as_array());
    steps.into_iter().flatten().find(|found| found["name"] == step).cloned().unwrap_or_default()
}

fn phase(state: &State, step: &str) -> Value {
    step_of(state, step)["phase"].clone()
}
