//! `compatibility`: the plugin is built for this host and for the plugins that it requires.

use pgloom_engine::{NEWEST_CONTRACT, SUPPORTED_CONTRACTS};

use super::{Check, Outcome};
use crate::bench::Bench;

/// The check.
pub const CHECK: Check = Check {
    id: "compatibility",
    proves: "The component is built against the newest version of the contract that this host has, and its step can be \
             configured in the pipeline: its configuration and the plugins that it requires are there.",
    remedy: "Build it against the newest contract; widen the version in requires, or give the pipeline that has the \
             required plugin with --pipeline.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    if let Some(reason) = bench.unfit() {
        return Outcome::Failed(reason.to_owned());
    }
    let contract = &bench.plugin.contract;
    let is_newest = contract.strip_prefix(NEWEST_CONTRACT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    // A native plugin of a test has no contract.
    if is_newest || contract == "native" {
        let required = bench.plugin.description.requires.iter();
        let required: Vec<String> = required.map(|it| format!("{} {}", it.plugin, it.version)).collect();
        let and = if required.is_empty() { String::new() } else { format!(", requires {}", required.join(" and ")) };
        return Outcome::Passed(format!("contract {contract}{and}"));
    }
    Outcome::Failed(format!(
        "it is built against contract {contract}; this host runs {SUPPORTED_CONTRACTS}, and a later one only the newest"
    ))
}
