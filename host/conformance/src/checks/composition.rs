//! `composition`: the plugin and each plugin of the pipeline do not disturb each other.

use std::collections::BTreeSet;

use pgloom_decide::{Error, Plan};
use pgloom_engine::{Description, Pipeline};
use serde_json::Value;

use super::{Check, Outcome};
use crate::bench::{Bench, Companion, decided, text};
use crate::corpus::Case;

/// The check.
pub const CHECK: Check = Check {
    id: "composition",
    proves: "With each plugin of the pipeline, no case has a conflict that neither has alone, and the order of the \
             two steps does not matter unless one requires the other or reads what it writes.",
    remedy: "Let one plugin set a field; require the other one, or read what it wants with desired, if the order \
             matters.",
    with_others: true,
    run,
};

fn run(bench: &Bench) -> Outcome {
    if bench.companions.is_empty() {
        return Outcome::Skipped("the pipeline has no other plugin; give one with --pipeline".to_owned());
    }
    for (index, companion) in bench.companions.iter().enumerate() {
        if let Err(reason) = paired(bench, index, companion) {
            return Outcome::Failed(format!("with {}: {reason}", companion.step.name));
        }
    }
    Outcome::Passed(format!("{} plugins, {} cases", bench.companions.len(), bench.cases.len()))
}

fn paired(bench: &Bench, index: usize, companion: &Companion) -> Result<(), String> {
    let mut others: BTreeSet<usize> = bench.base();
    others.extend(required(bench, companion));
    let alone = bench.pipeline()?.0;
    let without = {
        let mut all = others.clone();
        all.insert(index);
        // A companion that requires the plugin cannot run without it.
        bench.without(&all).ok()
    };
    others.insert(index);
    let (before, after) = bench.around(&others);
    let both = bench.between(&before, &after).map_err(|reason| format!("both cannot be in one pipeline: {reason}"))?.0;
    let swapped = swapped(bench, index, companion, before, after);
    for case in &bench.cases {
        let is_sound = |pipeline: &Pipeline| !is_clash(&decided(case, pipeline, &[]));
        let together = decided(case, &both, &[]);
        if is_clash(&together) && is_sound(&alone) && without.as_ref().is_none_or(is_sound) {
            let reason = together.err().map(|error| error.to_string()).unwrap_or_default();
            return Err(format!("case {}: {reason}", case.name));
        }
        if let Some(swapped) = &swapped {
            same(case, &together, &decided(case, swapped, &[]))?;
        }
    }
    Ok(())
}

/// Two steps clash if they want different values, or if one of them is refused for what the other one made.
fn is_clash(result: &Result<Plan, Error>) -> bool {
    let Err(Error::Pipeline(error)) = result else { return false };
    ["Conflict", "ContributionRefused", "ActionRefused"].contains(&error.category())
}

/// The companions that one requires.
fn required(bench: &Bench, companion: &Companion) -> BTreeSet<usize> {
    let names = companion.plugin.description.requires.iter().map(|required| required.plugin.as_str());
    let position = |name: &str| bench.companions.iter().position(|it| it.plugin.description.name == name);
    names.filter_map(position).collect()
}

/// The pipeline with the plugin on the other side of the companion; `None` if their order is said to matter.
fn swapped(
    bench: &Bench,
    index: usize,
    companion: &Companion,
    mut before: Vec<usize>,
    mut after: Vec<usize>,
) -> Option<Pipeline> {
    let (own, other) = (&bench.plugin.description, &companion.plugin.description);
    if depends(own, other) || depends(other, own) {
        return None;
    }
    match before.iter().position(|it| *it == index) {
        Some(place) => {
            before.remove(place);
            after.insert(0, index);
        }
        None => {
            after.retain(|it| *it != index);
            before.push(index);
        }
    }
    bench.between(&before, &after).ok().map(|(pipeline, _)| pipeline)
}

/// Whether one says that it comes after the other.
fn depends(one: &Description, other: &Description) -> bool {
    let requires = one.requires.iter().any(|required| required.plugin == other.name);
    let reads = |kind: &str| one.desired.iter().any(|read| text(read) == kind);
    let changes = |kind: &str| one.objects.iter().any(|object| !object.creates && text(&object.kind) == kind);
    requires
        || other.objects.iter().any(|written| reads(&text(&written.kind)))
        // What sets fields of an object comes after what creates it.
        || other.objects.iter().any(|written| written.creates && changes(&text(&written.kind)))
}

fn same(case: &Case, one: &Result<Plan, Error>, other: &Result<Plan, Error>) -> Result<(), String> {
    let objects = |plan: &Plan| unordered(Value::Array(plan.documents()));
    match (one, other) {
        (Ok(one), Ok(other)) if objects(one) == objects(other) => Ok(()),
        (Ok(_), Ok(_)) => Err(format!("case {}: the order of the two steps changes the objects", case.name)),
        (Err(_), Err(_)) => Ok(()),
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => {
            Err(format!("case {}: only one order of the two steps gives a plan: {error}", case.name))
        }
    }
}

/// The value with sorted lists: the order of steps may be seen in the order of entries, and in nothing else.
fn unordered(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(unordered).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, unordered(field))).collect(),
        plain => plain,
    }
}
