//! From an input to a decision: each relevant step is called, and its contributions are merged.

use std::collections::BTreeMap;

use pgloom_api::pipeline::{OnFailure, SecretsGrant};
use pgloom_api::{ActionKind, Finding};
use serde_json::{Map, Value};

use super::step::{Pipeline, Step};
use crate::contract::{self, ActionState, Contribution, DesiredObject, Request, Response};
use crate::decision::{Condition, Decision, RequestedAction};
use crate::input::Input;
use crate::merge::{self, Merger, Writer};
use crate::ownership::Ownership;
use crate::select;
use crate::{call, convert};

/// Why there is no decision: a step failed. Nothing is applied to the cluster.
#[derive(Debug, thiserror::Error)]
#[error("step {step} ({plugin} {version}): {phase} failed: {failure}")]
pub struct Error {
    /// The step's name in the pipeline.
    pub step: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// `call`, `answer` or `merge`.
    pub phase: &'static str,
    /// What failed.
    pub failure: Box<Failure>,
}

/// What failed in a step.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The call gave no answer.
    #[error(transparent)]
    Call(#[from] call::Error),
    /// The answer violates the contract.
    #[error("the answer violates the contract: {0}")]
    Answer(String),
    /// A contribution is refused.
    #[error(transparent)]
    Merge(#[from] merge::Error),
}

impl Error {
    /// A stable name in CamelCase, for metrics and as the reason of a condition.
    pub fn category(&self) -> &'static str {
        match &*self.failure {
            Failure::Call(error) => error.category(),
            Failure::Answer(_) => "BrokenAnswer",
            Failure::Merge(merge::Error::Conflict(_)) => "Conflict",
            Failure::Merge(_) => "ContributionRefused",
        }
    }

    /// The findings of a plugin that refuses the manifest; empty for every other failure.
    pub fn findings(&self) -> Vec<Finding> {
        match &*self.failure {
            Failure::Call(call::Error::Refuse(contract::Failure::InvalidManifest(findings))) => {
                findings.iter().map(|finding| convert::finding(&self.step, finding.clone())).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Pipeline {
    /// Decides the desired state of one cluster. Pure: no client, no clock, no random numbers.
    ///
    /// # Errors
    /// If a step with `onFailure: hold` fails, or one with `onFailure: keepLast` that has no last response.
    pub fn run(&self, input: &Input) -> Result<Decision, Error> {
        let (merger, mut decision) = self.merged(input)?;
        decision.objects = merger.finish();
        Ok(decision)
    }

    /// For each object of [`run`](Self::run), in the same order, the steps that set each leaf, and what was removed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn owners(&self, input: &Input) -> Result<Vec<Ownership>, Error> {
        Ok(self.merged(input)?.0.owners())
    }

    fn merged(&self, input: &Input) -> Result<(Merger, Decision), Error> {
        let shared = Shared::of(input);
        let mut merger = Merger::new(self.schemas.clone(), &shared.namespace);
        let mut decision = Decision::default();
        for step in self.steps.iter().filter(|step| step.is_called_for(input, &shared)) {
            step.run(input, &shared, &mut merger, &mut decision)?;
        }
        Ok((merger, decision))
    }
}

/// What the requests of all steps have in common.
struct Shared {
    cluster: String,
    namespace: String,
    labels: BTreeMap<String, String>,
}

impl Shared {
    fn of(input: &Input) -> Self {
        let labels = input.cluster.pointer("/metadata/labels").and_then(Value::as_object);
        let pairs = labels.into_iter().flatten();
        Self {
            cluster: input.cluster.to_string(),
            namespace: input
                .cluster
                .pointer("/metadata/namespace")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            labels: pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
        }
    }
}

impl Step {
    fn is_called_for(&self, input: &Input, shared: &Shared) -> bool {
        self.matches.covers(&shared.namespace, &shared.labels)
            && select::is_relevant(&self.plugin.description.relevant, &input.cluster, &input.config)
    }

    fn run(&self, input: &Input, shared: &Shared, merger: &mut Merger, decision: &mut Decision) -> Result<(), Error> {
        // A step may fail after some of its contributions are merged. If the run goes on without the step, these must
        // go, too.
        let savepoint = (self.on_failure != OnFailure::Hold).then(|| merger.clone());
        let failed = match self.call(input, shared, merger) {
            Ok(response) => match self.merge(&response, merger) {
                Ok(()) => return self.record(response, decision),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let Some(savepoint) = savepoint else { return Err(failed) };
        *merger = savepoint;
        decision.findings.push(self.warning(&failed));
        decision.degraded = true;
        match (self.on_failure, input.last.get(&self.name)) {
            (OnFailure::KeepLast, Some(last)) => {
                self.merge(last, merger)?;
                self.record(last.clone(), decision)
            }
            (OnFailure::KeepLast, None) => Err(failed),
            _ => Ok(()),
        }
    }

    fn call(&self, input: &Input, shared: &Shared, merger: &Merger) -> Result<Response, Error> {
        let request = self.request(input, shared, merger);
        let span = tracing::info_span!("plugin", step = %self.name, version = %self.plugin.description.version);
        let _entered = span.enter();
        self.plugin.mutate(&request, &self.limits).map_err(|error| self.error("call", error.into()))
    }

    fn request(&self, input: &Input, shared: &Shared, merger: &Merger) -> Request {
        let description = &self.plugin.description;
        let keys = description.config_keys.iter();
        let config: Map<String, Value> =
            keys.filter_map(|key| Some((key.clone(), input.config.get(key)?.clone()))).collect();
        let desired = merger
            .desired(&description.desired)
            .map(|(identity, object)| DesiredObject { identity: identity.clone(), object });
        let reads = |id: &str| match &self.secrets {
            SecretsGrant::None => false,
            SecretsGrant::All => true,
            SecretsGrant::Selectors(ids) => ids.contains(id),
        };
        let actions = input.actions.iter().filter(|record| record.step == self.name);
        Request {
            cluster: shared.cluster.clone(),
            operator_config: Value::Object(config).to_string(),
            config: self.config.clone(),
            desired: desired.collect(),
            observed: select::observe(&description.observed, &input.cluster, &input.config, &input.observed, reads),
            actions: actions
                .map(|record| ActionState {
                    key: record.key.clone(),
                    phase: record.phase.into(),
                    message: record.message.clone(),
                })
                .collect(),
        }
    }

    fn merge(&self, response: &Response, merger: &mut Merger) -> Result<(), Error> {
        let writer = Writer { step: &self.name, permissions: &self.permissions };
        for contribution in &response.contributions {
            match contribution {
                Contribution::Apply(json) => {
                    let fragment = serde_json::from_str(json).map_err(|error| {
                        self.error("answer", Failure::Answer(format!("a contribution is not JSON: {error}")))
                    })?;
                    merger.apply(&writer, fragment).map_err(|error| self.error("merge", error.into()))?;
                }
                Contribution::Remove(removal) => {
                    merger
                        .remove(&writer, &removal.object, &removal.path)
                        .map_err(|error| self.error("merge", error.into()))?;
                }
            }
        }
        Ok(())
    }

    fn record(&self, response: Response, decision: &mut Decision) -> Result<(), Error> {
        if self.on_failure == OnFailure::KeepLast {
            decision.last.insert(self.name.clone(), response.clone());
        }
        let Response { contributions: _, actions, findings, conditions } = response;
        for request in actions {
            let kind = request.action.kind();
            if !self.plugin.description.actions.iter().any(|&described| ActionKind::from(described) == kind) {
                let message = format!("action {} of kind {kind} is not in the plugin's description", request.key);
                return Err(self.error("answer", Failure::Answer(message)));
            }
            let granted = self.actions.contains(&kind);
            decision.actions.push(RequestedAction {
                step: self.name.clone(),
                key: request.key,
                action: request.action,
                granted,
            });
        }
        decision.findings.extend(findings.into_iter().map(|finding| convert::finding(&self.name, finding)));
        decision.conditions.extend(conditions.into_iter().map(|condition| Condition {
            type_name: condition.type_name,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
        }));
        Ok(())
    }

    fn warning(&self, error: &Error) -> Finding {
        let consequence = match self.on_failure {
            OnFailure::KeepLast => "the step's last response is used",
            OnFailure::Hold | OnFailure::Ignore => "the cluster is made without the step",
        };
        let finding = Finding::warning(format!("{error}; {consequence}")).remedy("fix the plugin or its configuration");
        Finding { step: Some(self.name.clone()), ..finding }
    }

    fn error(&self, phase: &'static str, failure: Failure) -> Error {
        let description = &self.plugin.description;
        Error {
            step: self.name.clone(),
            plugin: description.name.clone(),
            version: description.version.clone(),
            phase,
            failure: Box::new(failure),
        }
    }
}
