//! `robustness`: no cluster that the host accepts makes the plugin trap, fail or exceed a limit.

use std::collections::BTreeMap;

use pgloom_engine::pipeline::check_answer;
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
             without a reason, exceed its default limits or answer with what the contract does not allow.",
    remedy: "Mend what the failure names; answer with invalid-manifest and the field instead of a panic, and do not \
             keep more of the request than needed.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let desired = match desired(bench) {
        Ok(desired) => desired,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let (mut random, mut called) = (Random::new(SEED), 0);
    for case in &bench.cases {
        // The host asks no plugin about a cluster with the objects of another one.
        let Some(desired) = desired.of(case) else { continue };
        // Alone, so that no earlier step refuses a cluster before the plugin is called.
        let (pipeline, calls) = match bench.alone(desired) {
            Ok(made) => made,
            Err(reason) => return Outcome::Skipped(reason),
        };
        let mut trial = Trial { pipeline, calls, random: &mut random, called: &mut called };
        if let Err((change, reason)) = trial.case(case) {
            return Outcome::Failed(format!("case {}{change}: {reason}", case.name));
        }
    }
    match called {
        0 => Outcome::Skipped("no case calls the plugin; give one with --case".to_owned()),
        called => Outcome::Passed(format!("{called} calls")),
    }
}

/// What the steps before the plugin want.
#[derive(Default)]
struct Wanted {
    /// By case that calls the plugin.
    by_case: BTreeMap<String, Vec<DesiredObject>>,
    /// By cluster, those of its first case that calls the plugin.
    by_cluster: BTreeMap<(String, String), Vec<DesiredObject>>,
}

impl Wanted {
    /// The objects of the case; those of another case of the same cluster if it does not call the plugin, because a change
    /// of it may. `None` if no case of the cluster does.
    fn of(&self, case: &Case) -> Option<Vec<DesiredObject>> {
        self.by_case.get(&case.name).or_else(|| self.by_cluster.get(&cluster(case))).cloned()
    }
}

/// Namespace and name.
fn cluster(case: &Case) -> (String, String) {
    let text = |name: &str| case.manifest["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn desired(bench: &Bench) -> Result<Wanted, String> {
    let (pipeline, calls) = bench.pipeline()?;
    let mut wanted = Wanted::default();
    for case in &bench.cases {
        // Whether there is a plan does not matter here.
        let _ = decided(case, &pipeline, &[]);
        let Some(call) = calls.take().into_iter().next() else { continue };
        let desired = call.request.desired;
        wanted.by_cluster.entry(cluster(case)).or_insert_with(|| desired.clone());
        wanted.by_case.insert(case.name.clone(), desired);
    }
    Ok(wanted)
}

struct Trial<'a> {
    pipeline: Pipeline,
    calls: Calls,
    random: &'a mut Random,
    called: &'a mut usize,
}

impl Trial<'_> {
    /// Tries a case, and changes of it.
    ///
    /// # Errors
    /// The change that breaks the plugin, and how.
    fn case(&mut self, case: &Case) -> Result<(), (String, String)> {
        self.decide(case, &case.manifest, &case.observed).map_err(|reason| (String::new(), reason))?;
        for _ in 0..CHANGES {
            let mut changed = case.manifest.clone();
            let change = self.random.change(&mut changed);
            // It stays the cluster whose objects the plugin is shown.
            if let Some(metadata) = changed.get_mut("metadata").and_then(Value::as_object_mut) {
                let own =
                    ["name", "namespace"].map(|field| (field.to_owned(), case.manifest["metadata"][field].clone()));
                metadata.extend(own);
            }
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
            *self.called += 1;
            let failed = match &call.answer {
                Ok(answer) => {
                    check_answer(answer).err().map(|failure| (failure.category().to_owned(), failure.to_string()))
                }
                Err(failed) => Some(failed.clone()),
            };
            if let Some((category, sentence)) = failed
                && let Verdict::Broken(reason) = of_category(&category, sentence)
            {
                return Err(reason);
            }
        }
        Ok(())
    }
}
