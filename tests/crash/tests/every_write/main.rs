//! Kills the operator, and makes its requests fail, at every write of every operation; checks that the end state is
//! that of a run without faults and that there are no further writes.
//!
//! The operator is the library itself, with the shipped pipeline. It runs in this process and uses HTTP to connect to a
//! stand-in for the API server, its controllers, Patroni and the database (`tests/stand-in`). A transaction that changes
//! the database is a write like any other. Time is tokio's paused clock, which advances when all tasks are idle.
//!
//! `CRASH_POINTS=all` tries every point; by default an even sample of each operation's points is tried.
//! `CRASH_ONLY=OPERATION[/FAULT]` tries only those and prints every difference.

mod clock;
mod end;
mod fault;
mod operation;
mod operator;
mod play;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
