//! Runs one operation in its own world, with one fault or none.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stand_in::{Open, Server, State, Write};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::clock;
use crate::fault::{Fault, Strike};
use crate::operation::{self, CLUSTER, NAMESPACE, Operation};
use crate::operator::{Folders, Operator};

/// The time without a write after which the world is at rest: more than two resyncs.
const QUIET_TIME: Duration = Duration::from_secs(70);
/// The same after a hang: more than the deadline of a request or a synchronisation of the database, and the wait after
/// it.
const QUIET_TIME_OF_HANG: Duration = Duration::from_secs(200);
/// The longest time until the world is at rest.
const REST_TIMEOUT: Duration = Duration::from_secs(1200);
/// The time that an operator needs to list everything.
const START_TIME: Duration = Duration::from_secs(3);
/// More than the time until the lease of another operator expires.
const LEASE_TIME: Duration = Duration::from_secs(30);
/// The time between two checks of the world.
const POLL_PERIOD: Duration = Duration::from_millis(250);
/// The longest time until another edit at the end has an effect.
const EDIT_TIMEOUT: Duration = Duration::from_secs(60);
/// The time for which a list is behind.
const LIST_LAG: Duration = Duration::from_secs(3);

/// One run of an operation.
#[derive(Clone, Debug)]
pub struct Play {
    /// The world before.
    pub before: State,
    /// The operation.
    pub operation: Operation,
    /// The fault, and its write, counted from one; `None` for a run without a fault.
    pub fault: Option<(Fault, usize)>,
}

/// The result of a run.
#[derive(Debug)]
pub struct Played {
    /// The world at its end.
    pub end: State,
    /// The writes since the edit.
    pub writes: Vec<Write>,
    /// The number of changes in the history before the edit.
    pub edited_at: u64,
    /// Whether the world is at rest at the end.
    pub rests: bool,
    /// Whether the fault was injected.
    pub struck: bool,
    /// Whether the operator still executes another edit at the end.
    pub takes_edits: bool,
}

/// Runs an operation on the paused clock.
///
/// # Errors
/// If the world or the operator cannot be started.
pub fn play(play: Play, folders: &Folders) -> Result<Played> {
    clock::block_on(run(play, folders))?
}

async fn run(play: Play, folders: &Folders) -> Result<Played> {
    tokio::spawn(end_on_signal());
    let Play { before, operation, fault } = play;
    let with_lease = matches!(fault, Some((Fault::LeaseLost, _)));
    let server = Server::new(before);
    let mut operator = Operator::start(&server, folders, with_lease).await?;
    tokio::time::sleep(START_TIME).await;
    let strike = fault.map(|(fault, at)| Strike::new(fault, at));
    let written = server.writes().len();
    match &strike {
        Some(strike) => server.set_gate(strike.clone()),
        None => server.set_gate(Open),
    }
    let edited_at = server.with(|state| {
        let version = state.objects.version();
        match &operation.after {
            Some(spec) => operation::put(state, spec),
            None => operation::delete(state),
        }
        if operation.rotates {
            operation::pass_time(state);
        }
        version
    });
    let begun = Instant::now();
    let mut quiet_since = begun;
    let quiet_time = if matches!(fault, Some((Fault::Hanging, _))) { QUIET_TIME_OF_HANG } else { QUIET_TIME };
    let rests = loop {
        tokio::time::sleep(POLL_PERIOD).await;
        if !server.is_alive() || operator.has_ended() {
            drop(operator);
            if matches!(fault, Some((Fault::StaleList, _))) {
                let writes = server.writes();
                let shown = writes.get(writes.len().saturating_sub(3)..).and_then(<[Write]>::first);
                server.lag(shown.map_or(edited_at, |write| write.version.max(edited_at)), LIST_LAG);
            }
            operator = Operator::start(&server, folders, with_lease).await?;
            quiet_since = Instant::now() + if with_lease { LEASE_TIME } else { Duration::ZERO };
        }
        quiet_since = quiet_since.max(server.last_write().unwrap_or(begun));
        if quiet_since.elapsed() >= quiet_time {
            break true;
        }
        if begun.elapsed() >= REST_TIMEOUT {
            break false;
        }
    };
    let writes = server.writes().get(written..).context("writes are never forgotten")?.to_vec();
    let struck = strike.is_none_or(|strike| strike.has_struck());
    let end = server.with(|state| state.clone());
    let takes_edits = match &operation.after {
        Some(spec) if !matches!(fault, Some((Fault::Deleted, _))) => takes_edits(&server, spec).await,
        _ => true,
    };
    Ok(Played { end, writes, edited_at, rests, struck, takes_edits })
}

/// Ends the test on SIGTERM and SIGINT, which the operator in this process would handle otherwise.
async fn end_on_signal() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    std::process::exit(130);
}

/// Whether the operator executes another edit. One that still waits for an answer does not.
async fn takes_edits(server: &Server, spec: &Value) -> bool {
    let mut spec = spec.clone();
    spec["serviceAnnotations"]["edited"] = json!("again");
    server.with(|state| operation::put(state, &spec));
    let begun = Instant::now();
    while begun.elapsed() < EDIT_TIMEOUT {
        tokio::time::sleep(POLL_PERIOD).await;
        let is_done = server.with(|state| {
            let service = state.objects.get("v1/services", NAMESPACE, CLUSTER);
            service.is_some_and(|service| service["metadata"]["annotations"]["edited"] == "again")
        });
        if is_done {
            return true;
        }
    }
    false
}
