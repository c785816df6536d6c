//! `removal`: switched off, the plugin leaves nothing.

use super::fixpoint::difference;
use super::{Check, Outcome};
use crate::bench::{Bench, decided, existing};
use crate::corpus::{Case, MINIMAL};

/// The check.
pub const CHECK: Check = Check {
    id: "removal",
    proves: "When its step leaves the pipeline, or its feature the manifest, the next decision is as if it had never \
             been there: nothing keeps or copies what it made.",
    remedy: "Do not contribute an object because it exists; the host removes what no step wants any more.",
    with_others: true,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let (pipeline, calls) = match bench.pipeline() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let base = match bench.without(&bench.base()) {
        Ok(base) => base,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let Some(minimal) = bench.cases.iter().find(|case| case.name == MINIMAL) else {
        return Outcome::Skipped("there is no minimal case".to_owned());
    };
    let clean = decided(minimal, &pipeline, &[]).map(|plan| plan.documents());
    let mut cases = 0;
    for case in &bench.cases {
        let _ = calls.take();
        let with = decided(case, &pipeline, &[]);
        let is_called = !calls.take().is_empty();
        let Some(made) = with.ok().filter(|_| is_called).and_then(|plan| existing(&plan).ok()) else { continue };
        cases += 1;
        if let (Ok(fresh), Ok(after)) = (decided(case, &base, &[]), decided(case, &base, &made))
            && let Some(place) = difference(&fresh.documents(), &after.documents())
        {
            return Outcome::Failed(format!("case {}: without the step, {place} because of what it made", case.name));
        }
        // The version of a running database stays by intention.
        let version = |case: &Case| case.manifest["spec"]["postgresql"]["version"].clone();
        if version(case) != version(minimal) {
            continue;
        }
        if let (Ok(clean), Ok(after)) = (&clean, decided(minimal, &pipeline, &made))
            && let Some(place) = difference(clean, &after.documents())
        {
            return Outcome::Failed(format!("case {}, then {MINIMAL}: {place} because of what was there", case.name));
        }
    }
    match cases {
        0 => Outcome::Skipped("there is no plan in any case that calls the plugin; give one with --case".to_owned()),
        _ => Outcome::Passed(format!("{cases} cases")),
    }
}
