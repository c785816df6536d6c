//! The operator lacks rights. To the objects of two steps: the database is made nevertheless, the status names what is
//! missing, and a right that is granted is noticed without a restart. To change Secrets: passwords stay as they are.
//!
//! One program whose tests run one after the other, as the time of the process is the paused clock of tokio.

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
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
        Ok(()) => ExitCode::SUCCESS,
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
    clock::block_on(a_missing_right_stops_only_its_objects_until_it_is_granted(&folders))??;
    println!("test a_missing_right_stops_only_its_objects_until_it_is_granted ... ok");
    clock::block_on(a_password_stays_while_its_secret_cannot_be_written(&folders))??;
    println!("test a_password_stays_while_its_secret_cannot_be_written ... ok");
    Ok(())
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

async fn a_password_stays_while_its_secret_cannot_be_written(folders: &Folders) -> Result<()> {
    let mut state = operation::empty();
    let spec = json!({
        "teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "15"},
        "users": {"job": []}, "usersWithInPlaceSecretRotation": ["job"],
    });
    operation::put(&mut state, &spec);
    let server = Server::new(state);
    let operator = Operator::start(&server, folders, false).await?;
    until(&server, "a role with its password", opens).await?;
    let before = server.with(|state| job(state));
    server.with(|state| {
        state.denied.extend(Right::each(&["patch"], "", "secrets"));
        operation::pass_time(state);
    });
    let (mut times, mut refused) = (0, 0);
    while times < 1200 {
        tokio::time::sleep(POLL_PERIOD).await;
        times += 1;
        refused += usize::from(!server.with(|state| opens(state)));
    }
    ensure!(server.with(|state| job(state)) == before, "the Secret cannot be written");
    let tried = server.writes().iter().filter(|write| write.what.contains("ALTER ROLE")).count();
    ensure!(tried >= 4, "it is tried again: {tried}");
    ensure!(refused * 20 < times, "the Secret did not open the database {refused} of {times} times");

    server.with(|state| state.denied.clear());
    until(&server, "another password", |state| job(state) != before).await?;
    until(&server, "a role with the other password", opens).await?;
    ensure!(!operator.has_ended(), "it is the same operator");
    Ok(())
}

/// The password in the Secret of the role `job`.
fn job(state: &State) -> String {
    let secret =
        state.objects.get("v1/secrets", NAMESPACE, &format!("job.{CLUSTER}.credentials.postgresql.acid.zalan.do"));
    let text = secret.and_then(|secret| STANDARD.decode(secret["data"]["password"].as_str()?).ok());
    text.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// Whether the Secret of the role `job` opens the database.
fn opens(state: &State) -> bool {
    state.patroni.values().any(|patroni| patroni.database.accepts("job", &job(state)))
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
