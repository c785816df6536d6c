//! `actions`: an action is asked for until it is done, and by the same key.

use std::collections::BTreeSet;

use pgloom_api::ActionPhase;
use pgloom_engine::{ActionRequest, ActionState, Request};

use super::{Check, Outcome};
use crate::bench::{Bench, Record, decided};

/// How many times the host may report what was done before the plugin is to ask for nothing new.
const ROUNDS: usize = 5;

/// The check.
pub const CHECK: Check = Check {
    id: "actions",
    proves: "After a crash, and while an action is pending, running or failed, the plugin asks for the same action \
             by the same key; reported as done, it comes to an end.",
    remedy: "Make the key of what is wanted, never of a state, a time or a count.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    if bench.plugin.description.actions.is_empty() {
        return Outcome::Skipped("it asks for no actions".to_owned());
    }
    let (pipeline, calls) = match bench.pipeline() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut replayed = 0;
    for case in &bench.cases {
        let _ = decided(case, &pipeline, &[]);
        for call in calls.take() {
            let Some(wanted) = actions(&call) else { continue };
            replayed += wanted.len();
            if let Err(reason) = replay(bench, &call.request, &wanted) {
                return Outcome::Failed(format!("case {}: {reason}", case.name));
            }
        }
    }
    match replayed {
        0 => Outcome::Skipped("it asks for an action in no case; give one with --case".to_owned()),
        _ => Outcome::Passed(format!("{replayed} actions, each in {} phases", ActionPhase::ALL.len())),
    }
}

fn actions(call: &Record) -> Option<Vec<ActionRequest>> {
    call.answer.as_ref().ok().map(|answer| answer.actions.clone()).filter(|actions| !actions.is_empty())
}

fn replay(bench: &Bench, request: &Request, wanted: &[ActionRequest]) -> Result<(), String> {
    for phase in ActionPhase::ALL {
        let answer = with(bench, request, wanted.iter().map(|action| action.key.as_str()), phase)?;
        if let Some((before, after)) = other_key(wanted, &answer) {
            return Err(format!(
                "an action that is {phase} is asked for again as {after:?}, before as {before:?}",
                phase = phase.name()
            ));
        }
        let is_open = !matches!(phase, ActionPhase::Done | ActionPhase::Refused);
        if let Some(dropped) = wanted.iter().find(|action| is_open && !answer.contains(action)) {
            return Err(format!("the action {:?} is {} and no longer asked for", dropped.key, phase.name()));
        }
    }
    let mut keys: BTreeSet<String> = wanted.iter().map(|action| action.key.clone()).collect();
    for _ in 0..ROUNDS {
        let answer = with(bench, request, keys.iter().map(String::as_str), ActionPhase::Done)?;
        let before = keys.len();
        keys.extend(answer.into_iter().map(|action| action.key));
        if keys.len() == before {
            return Ok(());
        }
    }
    Err(format!("with all actions done it asks for others, {ROUNDS} times: {keys:?}"))
}

/// The actions that are asked for when those of these keys are in a phase.
fn with<'a>(
    bench: &Bench,
    request: &Request,
    keys: impl Iterator<Item = &'a str>,
    phase: ActionPhase,
) -> Result<Vec<ActionRequest>, String> {
    let state = |key: &str| ActionState { key: key.to_owned(), phase, message: "as in a replay".to_owned() };
    let request = Request { actions: keys.map(state).collect(), ..request.clone() };
    match Record::of(&bench.plugin, request).answer {
        Ok(answer) => Ok(answer.actions),
        Err((_, sentence)) => Err(format!("with its actions {}: {sentence}", phase.name())),
    }
}

/// The keys of an action that has two.
fn other_key<'a>(before: &'a [ActionRequest], after: &'a [ActionRequest]) -> Option<(&'a str, &'a str)> {
    let pairs = before.iter().flat_map(|one| after.iter().map(move |other| (one, other)));
    let mut differing = pairs.filter(|(one, other)| one.action == other.action && one.key != other.key);
    // Two actions of one answer may be the same but for their keys.
    differing
        .find(|(one, other)| !before.contains(other) && !after.contains(one))
        .map(|(one, other)| (one.key.as_str(), other.key.as_str()))
}
