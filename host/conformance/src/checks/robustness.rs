//! `robustness`: no cluster that the host accepts makes the plugin trap, fail or exceed a limit.

use pgloom_engine::{DesiredObject, Pipeline};
use serde_json::Value;

use super::{Check, Outcome};
use crate::bench::{Bench, Calls, decided, decided_of};
use crate::corpus::Case;
use crate::fuzz::Random;
use crate::verdict::{Verdict, of_category};

/// How many changed manifests are tried of each case, and how many changes of each existing object.
const CHANGES: usize = 100;
const CHANGES_OF_OBJECT: usize = 20;
const SEED: u64 = 0x726f_6275;

/// The check.
pub const CHECK: Check = Check {
    id: "robustness",
    proves: "Minimal, hostile and huge clusters, and hundreds with one value changed, never make the plugin trap, fail \
             without a reason or exceed its default limits.",
    remedy: "Answer with invalid-manifest and the field instead of a panic, and do not keep more of the request than needed.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let desired = match desired(bench) {
        Ok(desired) => desired,
        Err(reason) => return Outcome::Skipped(reason),
    };
    // Alone, so that no earlier step refuses a cluster before the plugin is called.
    let (pipeline, calls) = match bench.alone(desired) {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut trial = Trial { pipeline, calls, random: Random::new(SEED), called: 0 };
    for case in &bench.cases {
        if let Err((change, reason)) = trial.case(case) {
            return Outcome::Failed(format!("case {}{change}: {reason}", case.name));
        }
    }
    match trial.called {
        0 => Outcome::Skipped("no case calls the plugin; give one with --case".to_owned()),
        called => Outcome::Passed(format!("{called} calls")),
    }
}

/// What the steps before the plugin want of the first cluster that calls it.
fn desired(bench: &Bench) -> Result<Vec<DesiredObject>, String> {
    let (pipeline, calls) = bench.pipeline()?;
    let seen = bench.cases.iter().find_map(|case| {
        // Whether there is a plan does not matter here.
        let _ = decided(case, &pipeline, &[]);
        calls.take().into_iter().next()
    });
    Ok(seen.map(|call| call.request.desired).unwrap_or_default())
}

struct Trial {
    pipeline: Pipeline,
    calls: Calls,
    random: Random,
    called: usize,
}

impl Trial {
    /// Tries a case, and changes of it.
    ///
    /// # Errors
    /// The change that breaks the plugin, and how.
    fn case(&mut self, case: &Case) -> Result<(), (String, String)> {
        self.decide(case, &case.manifest, &case.observed).map_err(|reason| (String::new(), reason))?;
        for _ in 0..CHANGES {
            let mut changed = case.manifest.clone();
            let change = self.random.change(&mut changed);
            self.decide(case, &changed, &case.observed).map_err(|reason| (format!(" with {change}"), reason))?;
        }
        for index in 0..case.observed.len() {
            for _ in 0..CHANGES_OF_OBJECT {
                let mut observed = case.observed.clone();
                let Some(object) = observed.get_mut(index) else { continue };
                // Its identity stays, so that the plugin sees it.
                let identity = ["apiVersion", "kind", "metadata"].map(|field| (field, object[field].clone()));
                let change = self.random.change(object);
                identity.into_iter().for_each(|(field, value)| object[field] = value);
                self.decide(case, &case.manifest, &observed)
                    .map_err(|reason| (format!(" with {change} in an existing object"), reason))?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, case: &Case, manifest: &Value, observed: &[Value]) -> Result<(), String> {
        // The plan does not matter: alone, the plugin changes objects that no step makes.
        let _ = decided_of(manifest, &case.config, observed, &self.pipeline);
        for call in self.calls.take() {
            self.called += 1;
            let Err((category, sentence)) = call.answer else { continue };
            if let Verdict::Broken(reason) = of_category(&category, sentence) {
                return Err(reason);
            }
        }
        Ok(())
    }
}
