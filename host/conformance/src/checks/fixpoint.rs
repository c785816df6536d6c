//! `fixpoint`: what was decided, once it exists, changes nothing.

use super::{Check, Outcome};
use crate::bench::{Bench, decided, existing};

/// The check.
pub const CHECK: Check = Check {
    id: "fixpoint",
    proves: "When all decided objects exist as they were decided, the next decision is the same.",
    remedy: "Decide from the manifest and the configuration; of an existing object use only what the plugin itself \
             did not write.",
    with_others: true,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let (pipeline, calls) = match bench.pipeline() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut cases = 0;
    for case in &bench.cases {
        let _ = calls.take();
        let first = decided(case, &pipeline, &[]);
        let is_called = !calls.take().is_empty();
        let Ok(first) = first else { continue };
        let Ok(made) = existing(&first) else { continue };
        match decided(case, &pipeline, &made) {
            Ok(second) => {
                if let Some(place) = difference(&first.documents(), &second.documents()) {
                    return Outcome::Failed(format!("case {}: once it exists, {place}", case.name));
                }
            }
            Err(error) => return Outcome::Failed(format!("case {}: once its objects exist: {error}", case.name)),
        }
        cases += usize::from(is_called);
    }
    match cases {
        0 => Outcome::Skipped("there is no plan in any case that calls the plugin; give one with --case".to_owned()),
        _ => Outcome::Passed(format!("{cases} cases")),
    }
}

/// The first difference of two lists of objects.
pub(super) fn difference(before: &[serde_json::Value], after: &[serde_json::Value]) -> Option<String> {
    let name = |object: &serde_json::Value| {
        format!(
            "{} {}",
            object["kind"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    if let Some(gone) = before.iter().find(|object| !after.iter().any(|other| name(other) == name(object))) {
        return Some(format!("{} is gone", name(gone)));
    }
    if let Some(more) = after.iter().find(|object| !before.iter().any(|other| name(other) == name(object))) {
        return Some(format!("{} is there, too", name(more)));
    }
    let other = |object: &serde_json::Value| after.iter().find(|other| name(other) == name(object)).cloned();
    let changed = before.iter().find(|object| other(object).as_ref() != Some(*object))?;
    Some(format!("{} is different", name(changed)))
}
