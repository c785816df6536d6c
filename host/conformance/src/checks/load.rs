//! `load`: the component can be fetched, verified and compiled.

use super::{Check, Outcome};
use crate::bench::Bench;

/// The check. A component that does not load never reaches it: `run` reports the failed phase.
pub const CHECK: Check = Check {
    id: "load",
    proves: "The file is a component that exports the contract, imports nothing but its log, and compiles within the limits.",
    remedy: "Build it with `pgloom plugin build`, with no import but the contract's log; the failure \
             names the phase.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    Outcome::Passed(format!("contract {}", bench.plugin.contract))
}
