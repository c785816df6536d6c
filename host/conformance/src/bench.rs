//! The plugin among the steps that it needs, and its recorded calls.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pgloom_api::config::Config;
use pgloom_api::pipeline::{Document, Limits as StepLimits, Match, OnFailure, Source, Step};
use pgloom_decide::{Error, Observed, Plan, decide};
use pgloom_engine::call::Limits;
use pgloom_engine::{Description, DesiredObject, ObjectKind, Pipeline, Plugin, Request, Response, grant};
use serde_json::{Map, Value};

use crate::corpus::{self, Case};

/// The namespace of the operator.
const OPERATOR: &str = "pgloom-system";

/// A step that takes part beside the plugin: one of the shipped pipeline.
#[derive(Clone, Debug)]
pub struct Companion {
    /// The step of the document.
    pub step: Step,
    /// Its plugin.
    pub plugin: Arc<Plugin>,
}

/// What a run of checks is given beside the plugin.
#[derive(Default)]
pub struct Setup {
    /// The steps of the pipeline that the plugin is tried with, in order. The plugin's own step is left out.
    pub companions: Vec<Companion>,
    /// The step's configuration; `None` means the example of the description.
    pub config: Option<Map<String, Value>>,
    /// Clusters beside those of the corpus.
    pub cases: Vec<Case>,
}

/// The plugin, what it is tried with, and the clusters.
pub struct Bench {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The name of its step.
    pub step: String,
    /// The step's configuration.
    pub config: Map<String, Value>,
    /// The other steps, in the order of their pipeline.
    pub companions: Vec<Companion>,
    /// The clusters.
    pub cases: Vec<Case>,
    /// Where the pipeline of the companions has the plugin's step: in front of this companion.
    place: usize,
    unfit: Option<String>,
}

/// One call of the plugin.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it was asked.
    pub request: Request,
    /// What it answered, or the category of the failure and its sentence.
    pub answer: Result<Response, (String, String)>,
    /// The fuel of the call.
    pub fuel: u64,
    /// The memory of its instance, in bytes.
    pub memory: usize,
}

/// The calls of the plugin, as they come.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<Vec<Record>>>);

impl Calls {
    /// The calls since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, record: Record) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

impl Record {
    /// Calls the plugin in a fresh instance, as the host does.
    #[must_use]
    pub fn of(plugin: &Plugin, request: Request) -> Self {
        let reply = plugin.mutate(request.clone(), &Limits::default());
        let answer = reply.result.map_err(|error| (error.category().to_owned(), error.to_string()));
        Self { request, answer, fuel: reply.fuel, memory: reply.memory }
    }

    /// The answer as text, by which answers are compared.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.answer {
            Ok(response) => serde_json::to_string(response).unwrap_or_default(),
            Err((category, sentence)) => format!("{category}: {sentence}"),
        }
    }
}

impl Bench {
    /// Sets up a bench.
    #[must_use]
    pub fn new(plugin: Arc<Plugin>, setup: Setup) -> Self {
        let name = plugin.description.name.clone();
        let is_own = |companion: &&Companion| companion.plugin.description.name == name;
        let place = setup.companions.iter().position(|companion| is_own(&companion));
        let step = setup.companions.iter().find(is_own).map(|own| own.step.name.clone());
        let example = || match serde_json::from_str(&plugin.description.config_example) {
            Ok(Value::Object(example)) => example,
            _ => Map::new(),
        };
        let config = setup.config.unwrap_or_else(example);
        let companions: Vec<Companion> =
            setup.companions.iter().filter(|companion| !is_own(companion)).cloned().collect();
        let mut bench = Self {
            step: step.unwrap_or(name),
            config,
            place: place.unwrap_or(companions.len()),
            companions,
            cases: corpus::cases(),
            plugin,
            unfit: None,
        };
        let more = corpus::triggered(&bench.plugin.description.relevant);
        for case in setup.cases.into_iter().chain(more) {
            let name = corpus::unique(&case.name, &bench.cases);
            bench.cases.push(Case { name, ..case });
        }
        bench.unfit = bench.pipeline().err();
        bench
    }

    /// Why no pipeline can have the plugin.
    #[must_use]
    pub fn unfit(&self) -> Option<&str> {
        self.unfit.as_deref()
    }

    /// The companions without which there is no use in a call: those that the plugin requires, and those that create
    /// what it reads or changes, or the database. By their index.
    #[must_use]
    pub fn base(&self) -> BTreeSet<usize> {
        let asked = &self.plugin.description;
        let mut names: BTreeSet<&str> = asked.requires.iter().map(|required| required.plugin.as_str()).collect();
        let mut kinds: BTreeSet<String> = asked.desired.iter().map(text).collect();
        kinds.extend(asked.objects.iter().filter(|object| !object.creates).map(|object| text(&object.kind)));
        let makes_database = asked.objects.iter().any(|object| {
            object.creates && object.kind.kind == "StatefulSet" && object.names.iter().any(|name| name == "{cluster}")
        });
        if !makes_database {
            kinds.insert("apps/v1 StatefulSet".to_owned());
        }
        let creates = |companion: &Companion| {
            companion
                .plugin
                .description
                .objects
                .iter()
                .any(|object| object.creates && !object.optional && kinds.contains(&text(&object.kind)))
        };
        let mut base: BTreeSet<usize> = BTreeSet::new();
        // What is required comes earlier, so that one way from the end finds everything.
        for (index, companion) in self.companions.iter().enumerate().rev() {
            let description = &companion.plugin.description;
            if names.contains(description.name.as_str()) || creates(companion) {
                names.extend(description.requires.iter().map(|required| required.plugin.as_str()));
                base.insert(index);
            }
        }
        base
    }

    /// The pipeline of the plugin and what it needs.
    ///
    /// # Errors
    /// If the step cannot be configured: the engine's sentence.
    pub fn pipeline(&self) -> Result<(Pipeline, Calls), String> {
        self.pipeline_with(&self.config)
    }

    /// The same with another configuration of the step.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub fn pipeline_with(&self, config: &Map<String, Value>) -> Result<(Pipeline, Calls), String> {
        let (before, after) = self.around(&self.base());
        let subject = self.subject(config, &self.plugin.description);
        let calls = subject.1.clone();
        self.assemble(&before, Some(subject), &after).map(|pipeline| (pipeline, calls))
    }

    /// The same, with a plugin that is called for every cluster.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub fn pipeline_for_every_cluster(&self) -> Result<(Pipeline, Calls), String> {
        let mut description = self.plugin.description.clone();
        description.relevant.clear();
        let (before, after) = self.around(&self.base());
        let subject = self.subject(&self.config, &description);
        let calls = subject.1.clone();
        self.assemble(&before, Some(subject), &after).map(|pipeline| (pipeline, calls))
    }

    /// The pipeline of the plugin alone, which sees these desired objects of earlier steps: no other step refuses a
    /// cluster before it is called. What it contributes may be refused; its answers are recorded.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub fn alone(&self, desired: Vec<DesiredObject>) -> Result<(Pipeline, Calls), String> {
        let mut description = self.plugin.description.clone();
        description.requires.clear();
        let subject = self.subject_seeing(&self.config, &description, Some(desired));
        let calls = subject.1.clone();
        self.assemble(&[], Some(subject), &[]).map(|pipeline| (pipeline, calls))
    }

    /// The pipeline of these companions without the plugin. Those that require it are left out.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub fn without(&self, others: &BTreeSet<usize>) -> Result<Pipeline, String> {
        let all: Vec<usize> = others.iter().copied().collect();
        self.assemble(&all, None, &[])
    }

    /// The pipeline of the plugin between these companions, in this order.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub fn between(&self, before: &[usize], after: &[usize]) -> Result<(Pipeline, Calls), String> {
        let subject = self.subject(&self.config, &self.plugin.description);
        let calls = subject.1.clone();
        self.assemble(before, Some(subject), after).map(|pipeline| (pipeline, calls))
    }

    /// These companions before and after the place of the plugin's step.
    #[must_use]
    pub fn around(&self, others: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>) {
        others.iter().copied().partition(|index| *index < self.place)
    }

    fn subject(&self, config: &Map<String, Value>, asked: &Description) -> (Step, Calls, Arc<Plugin>) {
        self.subject_seeing(config, asked, None)
    }

    /// The plugin's step, with a plugin of this description that passes each call on and records it.
    fn subject_seeing(
        &self,
        config: &Map<String, Value>,
        asked: &Description,
        desired: Option<Vec<DesiredObject>>,
    ) -> (Step, Calls, Arc<Plugin>) {
        let calls = Calls::default();
        let (plugin, recorded) = (Arc::clone(&self.plugin), calls.clone());
        let recording = Plugin::native(asked.clone(), move |request| {
            let mut request = request.clone();
            if let Some(desired) = &desired {
                request.desired.clone_from(desired);
            }
            let reply = plugin.mutate(request.clone(), &Limits::default());
            let answer = match &reply.result {
                Ok(response) => Ok(response.clone()),
                Err(error) => Err((error.category().to_owned(), error.to_string())),
            };
            recorded.push(Record { request, answer, fuel: reply.fuel, memory: reply.memory });
            reply.result
        });
        let step = Step {
            name: self.step.clone(),
            source: Source::File(PathBuf::new()),
            digest: None,
            config: config.clone(),
            grants: grant::all(asked),
            on_failure: OnFailure::Hold,
            allow_restarts: false,
            limits: StepLimits::default(),
            matches: Match::default(),
        };
        (step, calls, Arc::new(recording))
    }

    fn assemble(
        &self,
        before: &[usize],
        subject: Option<(Step, Calls, Arc<Plugin>)>,
        after: &[usize],
    ) -> Result<Pipeline, String> {
        let companion = |index: &usize| self.companions.get(*index).map(|it| (it.step.clone(), Arc::clone(&it.plugin)));
        let subject = subject.map(|(step, _, plugin)| (step, plugin));
        let members = before.iter().filter_map(companion).chain(subject).chain(after.iter().filter_map(companion));
        let (steps, plugins): (Vec<Step>, Vec<Arc<Plugin>>) = members.unzip();
        let document = Document { name: "conformance".to_owned(), pull_secrets: Vec::new(), rollout: None, steps };
        Pipeline::assemble(&document, &plugins).map_err(|error| error.to_string())
    }
}

/// Decides a case, with more existing objects than its own.
///
/// # Errors
/// As [`decide`].
pub fn decided(case: &Case, pipeline: &Pipeline, more: &[Value]) -> Result<Plan, Error> {
    decided_of(&case.manifest, &case.config, &[case.observed.as_slice(), more].concat(), pipeline)
}

/// Decides a manifest.
///
/// # Errors
/// As [`decide`].
pub fn decided_of(manifest: &Value, config: &Config, existing: &[Value], pipeline: &Pipeline) -> Result<Plan, Error> {
    let observed = Observed::in_files(existing, manifest, config, pipeline, OPERATOR);
    decide(manifest, config, &observed, pipeline)
}

/// All objects of a plan as they would exist.
///
/// # Errors
/// As [`Plan::filled`].
pub fn existing(plan: &Plan) -> Result<Vec<Value>, Error> {
    let secrets = plan.secrets.iter().map(|secret| secret.object());
    Ok(plan.filled()?.into_iter().chain(secrets).chain(plan.accounts.iter().cloned()).collect())
}

/// As in `apps/v1 StatefulSet`.
#[must_use]
pub fn text(kind: &ObjectKind) -> String {
    format!("{} {}", kind.api_version, kind.kind)
}
