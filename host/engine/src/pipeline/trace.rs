//! What each step of a run did, for people who ask why an object is as it is. A trace takes longer than a run, and decides
//! the same: it calls each step as a run does, and compares the objects before and after.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::configuration;
use super::error::Error;
use super::shared::Shared;
use super::step::{Pipeline, Step};
use crate::decision::Desired;
use crate::input::Input;
use crate::model::{ObjectRef, Trigger};
use crate::ownership::{Leaves, Ownership};

/// What the steps of one run did.
#[derive(Debug)]
pub struct Trace {
    /// Every step of the pipeline, in order.
    pub steps: Vec<StepTrace>,
    /// The objects as the steps want them, in order of creation; those up to the failure if the run failed.
    pub objects: Vec<Desired>,
    /// Who set each field, for each of the objects.
    pub owners: Vec<Ownership>,
    /// Why the run failed.
    pub failure: Option<Error>,
}

/// What one step did.
#[derive(Clone, Debug)]
pub struct StepTrace {
    /// The step's name in the pipeline.
    pub step: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The component's digest.
    pub digest: String,
    /// Whether the step was called, and why not.
    pub outcome: Outcome,
    /// The fields of desired objects that are different after the step, in the order of objects and fields.
    pub changes: Vec<Change>,
    /// The kinds of the actions that it requested.
    pub actions: Vec<&'static str>,
    /// The number of its findings.
    pub findings: usize,
    /// The types of its conditions.
    pub conditions: Vec<String>,
}

/// Whether a step was called, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was called, and took this fuel.
    Called(u64),
    /// Its answer to the same request was kept.
    Reused,
    /// Its `match` is for other clusters: the rule that does not hold.
    NotMatched(String),
    /// None of the triggers of its plugin has a value.
    NotRelevant(Vec<Trigger>),
    /// It failed, and `onFailure` let the run go on.
    Replaced {
        /// Why it failed.
        error: String,
        /// Whether its last answer was used.
        by_last: bool,
    },
    /// It failed, and with it the run.
    Failed(String),
    /// An earlier step failed.
    NotReached,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Called(fuel) => write!(f, "called, fuel {fuel}"),
            Self::Reused => f.write_str("its kept answer to the same request was used"),
            Self::NotMatched(rule) => write!(f, "not called, the step is for other clusters: {rule}"),
            Self::NotRelevant(triggers) => {
                f.write_str("not called, the plugin is not asked for: ")?;
                for (index, trigger) in triggers.iter().enumerate() {
                    let joined = if index == 0 { "" } else { ", and " };
                    match trigger {
                        Trigger::Manifest(pointer) => {
                            let path = pointer.trim_start_matches('/').replace('/', ".");
                            write!(f, "{joined}{path} of the manifest has no value")?;
                        }
                        Trigger::Config(key) => write!(f, "{joined}{key} of the operator configuration has no value")?,
                    }
                }
                Ok(())
            }
            Self::Replaced { error, by_last: true } => write!(f, "failed, its last answer was used: {error}"),
            Self::Replaced { error, by_last: false } => write!(f, "failed, the run went on without it: {error}"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::NotReached => f.write_str("not called, an earlier step failed"),
        }
    }
}

/// A field of a desired object that a step changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The object.
    pub object: ObjectRef,
    /// The field's path, with the keys of entries.
    pub path: String,
    /// The value before; `None` if no earlier step had set it.
    pub before: Option<Value>,
    /// The value after; `None` if the step removed it.
    pub after: Option<Value>,
}

impl Pipeline {
    /// Runs the pipeline as [`run`](Self::run) does, and keeps what each step did.
    pub fn trace(&self, input: &Input) -> Trace {
        if let Err(failure) = self.available() {
            return Trace { steps: Vec::new(), objects: Vec::new(), owners: Vec::new(), failure: Some(failure) };
        }
        let shared = Shared::of(input, self.reused.as_deref());
        let mut state = self.start(&shared);
        let (mut steps, mut failure) = (Vec::new(), None);
        for step in &self.steps {
            let mut traced = step.untraced();
            let not_called = if failure.is_some() { Some(Outcome::NotReached) } else { step.not_called_for(&shared) };
            if let Some(outcome) = not_called {
                steps.push(StepTrace { outcome, ..traced });
                continue;
            }
            let before = state.merger.leaves();
            let (actions, conditions) = (state.decision.actions.len(), state.decision.conditions.len());
            let findings = state.decision.findings.len();
            let result = step.run(&shared, step.sees(input), &mut state);
            let decision = &mut state.decision;
            let fuel = decision.fuel.remove(&step.name);
            traced.outcome = match result {
                Ok(Some(_)) => fuel.map_or(Outcome::Reused, Outcome::Called),
                Ok(None) => {
                    let failed = decision.conditions.get(conditions);
                    let error = failed.map(|failed| failed.message.clone()).unwrap_or_default();
                    Outcome::Replaced { error, by_last: step.last(input).is_some() }
                }
                Err(error) => {
                    let outcome = Outcome::Failed(error.to_string());
                    failure = Some(error);
                    outcome
                }
            };
            traced.actions = decision.actions.iter().skip(actions).map(|action| action.action.kind().name()).collect();
            let new = decision.conditions.iter().skip(conditions);
            traced.conditions = new.map(|condition| condition.type_name.clone()).collect();
            traced.findings = decision.findings.len() - findings;
            traced.changes = changes(&before, &state.merger.leaves());
            steps.push(traced);
        }
        state.merger.withhold_tokens();
        let owners = state.merger.owners();
        Trace { steps, objects: state.merger.finish(), owners, failure }
    }

    /// The same with another configuration of a step, to see what depends on it.
    ///
    /// # Errors
    /// If the plugin's schema refuses it, or there is no such step.
    pub fn with_config(&self, step: &str, config: &Map<String, Value>) -> Result<Self, String> {
        let mut pipeline = self.clone();
        let found = pipeline.steps.iter_mut().find(|known| known.name == step);
        let found = found.ok_or_else(|| format!("the pipeline has no step {step}"))?;
        found.config = configuration::complete(config, &found.plugin.description.config_schema)?;
        Ok(pipeline.reused_anew())
    }
}

impl Step {
    /// The step's configuration, with the defaults of the plugin's schema.
    pub fn config(&self) -> Map<String, Value> {
        serde_json::from_str(&self.config).unwrap_or_default()
    }

    fn untraced(&self) -> StepTrace {
        StepTrace {
            step: self.name.clone(),
            plugin: self.plugin.description.name.clone(),
            version: self.plugin.description.version.clone(),
            digest: self.plugin.digest.clone(),
            outcome: Outcome::NotReached,
            changes: Vec::new(),
            actions: Vec::new(),
            findings: 0,
            conditions: Vec::new(),
        }
    }

    /// Why the step is not called for the cluster; `None` if it is.
    fn not_called_for(&self, shared: &Shared<'_>) -> Option<Outcome> {
        if let Some(rule) = self.matches.mismatch(&shared.namespace, &shared.labels) {
            return Some(Outcome::NotMatched(rule.to_string()));
        }
        (!self.is_relevant(shared)).then(|| Outcome::NotRelevant(self.plugin.description.relevant.clone()))
    }
}

fn changes(before: &Leaves, after: &Leaves) -> Vec<Change> {
    let mut changes = Vec::new();
    let none = BTreeMap::new();
    for (index, (object, after)) in after.iter().enumerate() {
        let before = before.get(index).map_or(&none, |(_, leaves)| leaves);
        changes.extend(differences(before, after).map(|(path, before, after)| Change {
            object: object.clone(),
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }));
    }
    changes
}

/// A path, and the values before and after.
type Difference<'a> = (&'a str, Option<&'a Value>, Option<&'a Value>);

/// The leaves that differ, in the order of their paths.
fn differences<'a>(
    before: &'a BTreeMap<String, Value>,
    after: &'a BTreeMap<String, Value>,
) -> impl Iterator<Item = Difference<'a>> {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    let mut paths: Vec<&String> = paths.filter(|path| before.get(*path) != after.get(*path)).collect();
    paths.sort_unstable();
    paths.into_iter().map(|path| (path.as_str(), before.get(path), after.get(path)))
}

#[cfg(test)]
mod tests;
