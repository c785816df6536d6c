//! `purity`: the answer depends on the request alone.

use super::{Check, Outcome};
use crate::bench::{Bench, Record, decided};

/// How often each request is asked.
const TIMES: usize = 10;

/// The check.
pub const CHECK: Check = Check {
    id: "purity",
    proves: "Ten fresh instances give the same bytes and take the same fuel for the same request.",
    remedy: "Use no time, no random number and no address in the answer, and walk through maps in the order of their keys.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let (pipeline, calls) = match bench.pipeline() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut requests = 0;
    for case in &bench.cases {
        // What the decision comes to is the subject of other checks.
        let _ = decided(case, &pipeline, &[]);
        for first in calls.take() {
            requests += 1;
            if let Some(reason) = (2..=TIMES).find_map(|call| differs(bench, &first, call)) {
                return Outcome::Failed(format!("case {}: {reason}", case.name));
            }
        }
    }
    match requests {
        0 => Outcome::Skipped("no case calls the plugin; give one with --case".to_owned()),
        _ => Outcome::Passed(format!("{requests} requests, {TIMES} calls each")),
    }
}

fn differs(bench: &Bench, first: &Record, call: usize) -> Option<String> {
    let again = Record::of(&bench.plugin, first.request.clone());
    if again.text() != first.text() {
        return Some(format!("call {call} of the same request gives another answer"));
    }
    (again.fuel != first.fuel).then(|| {
        format!("call {call} of the same request takes {} units of fuel, the first {}", again.fuel, first.fuel)
    })
}
