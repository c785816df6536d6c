//! From an input to a decision: each relevant step is called, and its contributions are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pgloom_api::pipeline::OnFailure;
use pgloom_api::{Finding, placeholder};
use serde_json::{Map, Value};

use super::action::{self, Rights};
use super::answer;
use super::answers::Key;
use super::error::{Error, Failure};
use super::json::Parser;
use super::progress::{Sees, Stages, State};
use super::shared::{Shared, text_at};
use super::step::{Pipeline, Step};
use crate::call::Reply;
use crate::convert;
use crate::decision::{Condition, Decision, RequestedAction};
use crate::input::{ActionRecord, Input};
use crate::merge::{Merger, Writer};
use crate::model::{ActionState, ConditionStatus, Contribution, CredentialSource, DesiredObject, Request, Response};
use crate::ownership::Ownership;
use crate::select;

/// Checks what an answer has to keep of the contract whatever other steps want: its size, its keys and conditions, and
/// that each partial object is JSON.
///
/// # Errors
/// The first violation.
pub fn check_answer(response: &Response) -> Result<(), Failure> {
    check_form(response)?;
    let mut parser = Parser::default();
    for contribution in &response.contributions {
        if let Contribution::Apply(json) = contribution {
            parser.parse(json)?;
        }
    }
    Ok(())
}

/// The same without the partial objects.
fn check_form(response: &Response) -> Result<(), Failure> {
    answer::check_size(response)?;
    answer::check(response).map_err(Failure::Answer)
}

impl Pipeline {
    /// Decides the desired state of one cluster. Pure: no client, no clock, no random numbers.
    ///
    /// # Errors
    /// If a step with `onFailure: hold` fails, or one with `onFailure: keepLast` that has no last response, or if a call
    /// failed for a reason that is not the plugin's.
    pub fn run(&self, input: &Input) -> Result<Decision, Error> {
        let State { merger, mut decision } = self.merged(input)?;
        decision.objects = merger.finish();
        Ok(decision)
    }

    /// For each object of [`run`](Self::run), in the same order, the steps that set each leaf, and what was removed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn owners(&self, input: &Input) -> Result<Vec<Ownership>, Error> {
        Ok(self.merged(input)?.merger.owners())
    }

    fn merged(&self, input: &Input) -> Result<State, Error> {
        self.available()?;
        let shared = Shared::of(input, self.reused.as_deref());
        let cluster = || (shared.namespace.clone(), shared.name.clone());
        let mut stages = self.reused.as_ref().map(|reused| reused.progress.begin(&cluster(), input));
        let mut fuel = BTreeMap::new();
        // `None` if the last step was skipped: then it is what the stages have.
        let mut state = None;
        for step in self.steps.iter().filter(|step| step.is_called_for(&shared)) {
            let sees = step.sees(input);
            let asked = stages.as_ref().map(|stages| stages.asked(&step.name, &sees));
            if let (Some(stages), Some(asked)) = (&mut stages, &asked)
                && step.unreadable(input).is_none()
                && stages.skip(asked)
            {
                state = None;
                continue;
            }
            let kept = || stages.as_ref().and_then(Stages::state).cloned();
            let state = state.get_or_insert_with(|| kept().unwrap_or_else(|| self.start(&shared)));
            let answer = step.run(&shared, sees, state);
            fuel.append(&mut state.decision.fuel);
            let answer = answer.map_err(|error| Error { fuel: std::mem::take(&mut fuel), ..error })?;
            match (&mut stages, asked, answer) {
                (Some(stages), Some(asked), Some(answer)) => stages.push(asked, &step.name, &answer, state),
                (Some(stages), ..) => stages.end(),
                _ => {}
            }
        }
        let kept = stages.as_ref().and_then(Stages::state).cloned();
        if let (Some(reused), Some(stages)) = (&self.reused, stages) {
            reused.progress.keep(cluster(), input, stages);
        }
        let mut state = state.or(kept).unwrap_or_else(|| self.start(&shared));
        state.decision.fuel = fuel;
        state.merger.withhold_tokens();
        Ok(state)
    }

    /// Whether there is a pipeline.
    pub(super) fn available(&self) -> Result<(), Error> {
        self.unavailable.as_ref().map_or(Ok(()), |reason| Err(self.not_loaded(reason.clone())))
    }

    pub(super) fn start(&self, shared: &Shared<'_>) -> State {
        State { merger: Merger::new(self.schemas.clone(), shared.scope()), decision: Decision::default() }
    }

    fn not_loaded(&self, reason: String) -> Error {
        Error {
            step: self.name.clone(),
            plugin: "pgloom".to_owned(),
            version: env!("CARGO_PKG_VERSION").into(),
            phase: "load",
            failure: Box::new(Failure::Unavailable(reason)),
            lack: None,
            fuel: BTreeMap::new(),
        }
    }
}

impl Step {
    fn is_called_for(&self, shared: &Shared<'_>) -> bool {
        self.matches.covers(&shared.namespace, &shared.labels) && self.is_relevant(shared)
    }

    /// Whether a trigger of the plugin holds for the cluster.
    pub(super) fn is_relevant(&self, shared: &Shared<'_>) -> bool {
        let input = shared.input;
        select::is_relevant(&self.plugin.description.relevant, &input.cluster, &input.config, &input.credentials)
    }

    /// Takes the step's answer, and returns it; `None` if it was replaced.
    pub(super) fn run(
        &self,
        shared: &Shared<'_>,
        sees: Sees,
        state: &mut State,
    ) -> Result<Option<Arc<Response>>, Error> {
        if let Some(failed) = self.unreadable(shared.input) {
            self.counters.failed();
            let last = self.last(shared.input);
            // A right that is missing holds only what it has to: without the fields of a step in templates, pods would be
            // restarted, and a new cluster would begin with another template.
            if last.is_none() && self.on_failure != OnFailure::Ignore && self.may_restart {
                return Err(failed);
            }
            return self.replace(&failed, last, shared, state).map(|()| None);
        }
        // A step may fail after some of its contributions are merged. If the run goes on without the step, these must
        // go, too.
        let savepoint = (self.on_failure != OnFailure::Hold).then(|| state.merger.clone());
        let failed = match self.answer(shared, sees, state) {
            Ok(answer) => return Ok(Some(answer)),
            Err(failed) => failed,
        };
        self.counters.failed();
        state.merger = match savepoint {
            // What depends on the machine's load must not change what is decided.
            Some(savepoint) if !failed.is_of_host() => savepoint,
            _ => return Err(failed),
        };
        let last = self.last(shared.input);
        if self.on_failure == OnFailure::KeepLast && last.is_none() {
            return Err(failed);
        }
        self.replace(&failed, last, shared, state).map(|()| None)
    }

    /// The failure of a step that reads an object which could not be read.
    fn unreadable(&self, input: &Input) -> Option<Error> {
        let selectors = &self.plugin.description.observed;
        let found = select::unreadable(selectors, &input.cluster, &input.config, &input.unreadable)?;
        Some(self.error("observe", Failure::Unreadable(found.clone())))
    }

    /// The step's last response, if `onFailure` uses it.
    pub(super) fn last<'a>(&self, input: &'a Input) -> Option<&'a Response> {
        input.last.get(&self.name).filter(|_| self.on_failure == OnFailure::KeepLast)
    }

    /// Goes on without the step's response, or with its last one.
    fn replace(
        &self,
        failed: &Error,
        last: Option<&Response>,
        shared: &Shared<'_>,
        state: &mut State,
    ) -> Result<(), Error> {
        let decision = &mut state.decision;
        decision.findings.push(self.warning(failed, last.is_some()));
        decision.conditions.push(self.failing(failed));
        decision.degraded = true;
        match last {
            Some(last) => self.take(last, shared, state),
            None => Ok(()),
        }
    }

    /// Calls the step, or finds the answer to the same request, and takes it into the decision.
    fn answer(&self, shared: &Shared<'_>, sees: Sees, state: &mut State) -> Result<Arc<Response>, Error> {
        let request = self.request(shared, sees, &state.merger);
        let cache = shared.reused.map(|reused| &reused.answers);
        let cache = cache.map(|cache| (cache, Key::of(&self.name, &self.plugin.digest, &request)));
        let known = cache.as_ref().and_then(|(cache, key)| cache.get(key));
        let (answer, is_new) = match known {
            Some(answer) => (answer, false),
            None => (Arc::new(self.call(request, &mut state.decision)?), true),
        };
        self.take(&answer, shared, state)?;
        if let Some((cache, key)) = cache.filter(|_| is_new) {
            cache.insert(key, Arc::clone(&answer));
        }
        Ok(answer)
    }

    fn call(&self, request: Request, decision: &mut Decision) -> Result<Response, Error> {
        let span = tracing::info_span!("plugin", step = %self.name, version = %self.plugin.description.version);
        let _entered = span.enter();
        let Reply { result, fuel, memory, time } = self.plugin.mutate(request, &self.limits);
        self.counters.called(fuel, memory, time);
        decision.fuel.insert(self.name.clone(), fuel);
        result.map_err(|error| self.error("call", error.into()))
    }

    pub(super) fn sees(&self, input: &Input) -> Sees {
        let actions = input.actions.iter().filter(|record| record.step == self.name);
        let action = |record: &ActionRecord| ActionState {
            key: record.key.clone(),
            phase: record.phase,
            message: record.message.clone(),
        };
        Sees {
            observed: select::observe(
                &self.plugin.description.observed,
                &input.cluster,
                &input.config,
                &input.observed,
            ),
            actions: actions.map(action).collect(),
        }
    }

    fn request(&self, shared: &Shared<'_>, sees: Sees, merger: &Merger) -> Request {
        let description = &self.plugin.description;
        let desired = merger
            .desired(&description.desired)
            .map(|(identity, object)| DesiredObject { identity: identity.clone(), object: object.to_owned() });
        let Sees { observed, actions } = sees;
        Request {
            cluster: self.cluster(shared),
            operator_config: self.operator_config(shared.input),
            config: self.config.clone(),
            desired: desired.collect(),
            observed,
            actions,
        }
    }

    /// The keys of the operator configuration that the description names, as JSON text, with placeholders for the
    /// credentials that the step is granted.
    fn operator_config(&self, input: &Input) -> String {
        let write = || {
            let keys = self.plugin.description.config_keys.iter();
            let config: Map<String, Value> =
                keys.filter_map(|key| Some((key.clone(), input.config.get(key)?.clone()))).collect();
            let mut config = Value::Object(config);
            placeholder::show_in_config(&mut config, &self.name, self.shown(input));
            config.to_string()
        };
        match self.shown(input).any(|source| matches!(source, CredentialSource::Config(_))) {
            // The input says which credentials there are, so that the text depends on more than the configuration.
            true => write(),
            false => self.shown.text(&input.config, write),
        }
    }

    /// The manifest as JSON text, with placeholders for the credentials that the step is granted.
    fn cluster(&self, shared: &Shared<'_>) -> String {
        let is_of_manifest = |source: &&CredentialSource| matches!(source, CredentialSource::Manifest(_));
        if !self.shown(shared.input).any(|source| is_of_manifest(&source)) {
            return shared.cluster.get_or_init(|| shared.input.cluster.to_string()).clone();
        }
        let mut cluster = shared.input.cluster.clone();
        placeholder::show_in_manifest(&mut cluster, &self.name, self.shown(shared.input));
        cluster.to_string()
    }

    /// The credentials of the cluster whose placeholders the step sees.
    fn shown<'a>(&'a self, input: &'a Input) -> impl Iterator<Item = &'a CredentialSource> {
        self.credentials.intersection(&input.credentials)
    }

    /// Takes a response into the decision: it is checked before anything is merged.
    fn take(&self, response: &Response, shared: &Shared<'_>, state: &mut State) -> Result<(), Error> {
        self.check_and_merge(response, shared, state).map_err(|error| error.with_lack(&shared.name))
    }

    fn check_and_merge(
        &self,
        response: &Response,
        shared: &Shared<'_>,
        State { merger, decision }: &mut State,
    ) -> Result<(), Error> {
        let rights = Rights {
            step: &self.name,
            cluster: &shared.name,
            asked: &self.plugin.description.actions,
            granted: &self.actions,
        };
        check_form(response).map_err(|failure| self.error("answer", failure))?;
        let actions = action::check(&response.actions, &rights, &decision.actions)
            .map_err(|error| self.error("answer", error.into()))?;
        merger.own_secrets(shared.input.secrets.of_actions(&actions, |list| rights.names_list(list)));
        let shown = self.shown(shared.input).map(|source| source.placeholder(&self.name)).collect();
        let unknown = self.merge(response, &shown, merger)?;
        self.record(response, actions, decision);
        decision
            .findings
            .extend(unknown.into_iter().map(|finding| Finding { step: Some(self.name.clone()), ..finding }));
        Ok(())
    }

    /// Refuses a placeholder that the step was not shown, and one in another place than the value of a variable.
    fn check_placeholders(&self, fragment: &Value, shown: &BTreeSet<String>) -> Result<(), Error> {
        placeholder::check_contribution(fragment, shown).map_err(|source| {
            let (kind, name) = (text_at(fragment, "/kind"), text_at(fragment, "/metadata/name"));
            self.error("answer", Failure::Placeholder { kind, name, source })
        })
    }

    /// Merges the contributions. Returns a warning for each field that its kind does not have.
    fn merge(&self, response: &Response, shown: &BTreeSet<String>, merger: &mut Merger) -> Result<Vec<Finding>, Error> {
        let mut unknown = Vec::new();
        let writer = Writer { step: &self.name, permissions: &self.permissions };
        let mut parser = Parser::default();
        for contribution in &response.contributions {
            match contribution {
                Contribution::Apply(json) => {
                    let fragment = parser.parse(json).map_err(|error| self.error("answer", error.into()))?;
                    if placeholder::may_be_in(json) {
                        self.check_placeholders(&fragment, shown)?;
                    }
                    unknown.extend(merger.unknown_fields(&fragment));
                    merger.apply(&writer, fragment).map_err(|error| self.error("merge", error.into()))?;
                }
                Contribution::Remove(removal) => {
                    merger
                        .remove(&writer, &removal.object, &removal.path)
                        .map_err(|error| self.error("merge", error.into()))?;
                }
            }
        }
        let checked = merger
            .check_config_maps(&self.name)
            .and_then(|()| merger.check_selections(&self.name))
            .and_then(|()| merger.check_references(&self.name));
        checked.map(|()| unknown).map_err(|error| self.error("merge", error.into()))
    }

    /// Adds a checked and merged response to the decision.
    fn record(&self, response: &Response, actions: Vec<RequestedAction>, decision: &mut Decision) {
        if self.on_failure == OnFailure::KeepLast {
            decision.last.insert(self.name.clone(), response.clone());
        }
        let Response { contributions: _, actions: _, findings, conditions } = response;
        let (findings, conditions) = (findings.iter().cloned(), conditions.iter().cloned());
        decision.actions.extend(actions);
        decision.findings.extend(findings.map(|finding| convert::finding(&self.name, finding)));
        decision.conditions.extend(conditions.map(|condition| Condition {
            type_name: self.condition_type(&condition.type_name),
            status: condition.status,
            reason: condition.reason,
            message: convert::text(&condition.message),
        }));
    }

    /// The condition of a step that failed, while `onFailure` replaces its response.
    fn failing(&self, error: &Error) -> Condition {
        Condition {
            type_name: self.condition_type(answer::FAILED),
            status: ConditionStatus::True,
            reason: error.category().to_owned(),
            message: error.to_string(),
        }
    }

    fn condition_type(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    fn warning(&self, error: &Error, has_last: bool) -> Finding {
        let consequence = match has_last {
            true => "the step's last response is used",
            false => "the cluster is made without the step",
        };
        let finding = Finding::warning(format!("{error}; {consequence}")).remedy("fix the plugin or its configuration");
        Finding { step: Some(self.name.clone()), ..finding }
    }

    fn error(&self, phase: &'static str, failure: Failure) -> Error {
        let description = &self.plugin.description;
        Error {
            step: self.name.clone(),
            plugin: description.name.clone(),
            version: description.version.as_str().into(),
            phase,
            failure: Box::new(failure),
            lack: None,
            fuel: BTreeMap::new(),
        }
    }
}
