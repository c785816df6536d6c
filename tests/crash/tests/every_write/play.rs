//! Plays one operation in a world of its own, with one fault or none.

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

/// How long nothing may be written for the world to be at rest: two resyncs and more.
const QUIET_TIME: Duration = Duration::from_secs(70);
/// How long that may take.
const REST_TIMEOUT: Duration = Duration::from_secs(1200);
/// How long an operator needs to list everything.
const START_TIME: Duration = Duration::from_secs(3);
/// How long another operator seems to hold the lease, and a good deal more.
const LEASE_TIME: Duration = Duration::from_secs(30);
/// The time between two looks at the world.
const POLL_PERIOD: Duration = Duration::from_millis(250);
/// How long another edit may take at the end.
const EDIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a list is behind.
const LIST_LAG: Duration = Duration::from_secs(3);

/// One play.
#[derive(Clone, Debug)]
pub struct Play {
    /// The world before.
    pub before: State,
    /// What is done.
    pub operation: Operation,
    /// What goes wrong, and at which write, counted from one.
    pub fault: Option<(Fault, usize)>,
}

/// What came of a play.
#[derive(Debug)]
pub struct Played {
    /// The world at its end.
    pub end: State,
    /// The writes since the edit.
    pub writes: Vec<Write>,
    /// The number of changes in the history before the edit.
    pub edited_at: u64,
    /// Whether the world came to rest.
    pub rests: bool,
    /// Whether the fault struck.
    pub struck: bool,
    /// Whether another edit was still taken at the end.
    pub takes_edits: bool,
}

/// Plays it, on a clock that does not wait.
///
/// # Errors
/// If the world or the operator cannot be started.
pub fn play(play: Play, folders: &Folders) -> Result<Played> {
    let echo = clock::echo()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).on_thread_park(echo).build()?;
    let played = runtime.block_on(run(play, folders));
    clock::reset();
    // A compiling plugin is not waited for.
    runtime.shutdown_background();
    played
}

async fn run(play: Play, folders: &Folders) -> Result<Played> {
    clock::follow();
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
        version
    });
    let begun = Instant::now();
    let mut quiet_since = begun;
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
        if quiet_since.elapsed() >= QUIET_TIME {
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

/// Ends the test on SIGTERM and SIGINT, which the operator in this process would take for its own.
async fn end_on_signal() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    std::process::exit(130);
}

/// Whether the operator carries out another edit. One that waits for an answer for ever does not.
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
