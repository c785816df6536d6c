//! Kills the operator, and lets its requests fail, at every write of every operation; checks that the cluster ends as if
//! nothing had happened and that nothing is written any more then.
//!
//! The operator is the library itself, with the shipped pipeline, run in this process over HTTP against a stand-in for the API
//! server, its controllers and Patroni (`tests/stand-in`). There is no database: `enable_database_access` is off, so that what
//! the operator does over SQL is not part of this test. Time is tokio's paused clock, which moves on when nothing else is left to do.
//!
//! `CRASH_POINTS=all` tries every point; by default an even sample of each operation's is tried. `CRASH_ONLY=OPERATION[/FAULT]`
//! tries only those and prints every difference. Points that are known to fail are listed in `known.rs`; one that is not listed
//! and fails, and one that is listed and does not, fails the test.

mod clock;
mod end;
mod fault;
mod known;
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
