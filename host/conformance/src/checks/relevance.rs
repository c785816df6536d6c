//! `relevance`: where the plugin says that it is not concerned, it would not change anything.

use serde_json::json;

use super::{Check, Outcome};
use crate::bench::{Bench, decided};

/// The check.
pub const CHECK: Check = Check {
    id: "relevance",
    proves: "A cluster for which no trigger holds would get no object and no action of the plugin, and what the host \
             does not show it does not change its answer.",
    remedy: "Add the field or the key that the plugin acts on to its triggers, or act on nothing else.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let (pipeline, calls) = match bench.pipeline() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let (always, every_call) = match bench.pipeline_for_every_cluster() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let (mut concerned, mut others) = (0, 0);
    for case in &bench.cases {
        let _ = decided(case, &pipeline, &[]);
        let seen = calls.take();
        let mut unseen = case.clone();
        unseen.manifest["status"] = json!({"PostgresClusterStatus": "Running"});
        unseen.manifest["metadata"]["resourceVersion"] = json!("4711");
        unseen.manifest["metadata"]["generation"] = json!(4711);
        let _ = decided(&unseen, &pipeline, &[]);
        let same = calls.take();
        if seen.iter().map(crate::bench::Record::text).ne(same.iter().map(crate::bench::Record::text)) {
            return Outcome::Failed(format!("case {}: the status or the version changes the answer", case.name));
        }
        if !seen.is_empty() {
            concerned += 1;
            continue;
        }
        let _ = decided(case, &always, &[]);
        for call in every_call.take() {
            others += 1;
            let Ok(answer) = &call.answer else { continue };
            if !answer.contributions.is_empty() || !answer.actions.is_empty() {
                return Outcome::Failed(format!(
                    "case {}: no trigger holds, but the plugin would answer with {} objects or removals and {} actions",
                    case.name,
                    answer.contributions.len(),
                    answer.actions.len()
                ));
            }
        }
    }
    match concerned {
        0 => Outcome::Skipped("no case has a field or a key that calls the plugin; give one with --case".to_owned()),
        _ => Outcome::Passed(format!("{concerned} cases call it, {others} do not")),
    }
}
