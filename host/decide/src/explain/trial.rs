//! Decides a cluster again with one of its sources removed or changed, to see whether a value depends on it.

use pgloom_api::config::{Config, KEYS};
use pgloom_api::field::member;
use pgloom_engine::{ObjectRef, Pipeline};
use serde_json::{Map, Value, json};

use super::{Origin, Source, Tried, Unknown, value_in};
use crate::kind::ObjectKey;
use crate::{Observed, decide};

/// The most decisions about one field. One takes some milliseconds.
const MOST: usize = 4000;

/// The place of a value: names of fields and indices of entries.
type Place = Vec<Step>;

/// One part of a place.
#[derive(Clone)]
enum Step {
    Field(String),
    Index(usize),
}

/// The trials about one field.
pub(super) struct Trials<'a> {
    manifest: &'a Value,
    config: &'a Config,
    observed: &'a Observed,
    pipeline: Pipeline,
    object: &'a ObjectRef,
    path: &'a str,
    value: Option<Value>,
    decisions: usize,
    pub(super) origins: Vec<Origin>,
    pub(super) unknown: Vec<Unknown>,
}

/// What a trial came to: the field's value, or why there is none.
type Result<T = Option<Value>> = std::result::Result<T, String>;

/// Decides with a document that has a value less, or another one.
type Decide<'a> = dyn Fn(&Trials<'_>, &Value) -> Result + 'a;

impl<'a> Trials<'a> {
    pub(super) fn new(
        manifest: &'a Value,
        config: &'a Config,
        observed: &'a Observed,
        pipeline: &Pipeline,
        object: &'a ObjectRef,
        path: &'a str,
    ) -> Self {
        // A trial changes what few steps see.
        let pipeline = pipeline.clone().with_answer_cache();
        let (origins, unknown) = (Vec::new(), Vec::new());
        Self { manifest, config, observed, pipeline, object, path, value: None, decisions: 0, origins, unknown }
    }

    /// Tries every source.
    pub(super) fn run(&mut self) {
        let Ok(value) = self.decided(self.manifest, self.config, self.observed, &self.pipeline) else { return };
        self.value = value;
        self.try_manifest();
        self.try_configuration();
        self.try_steps();
        self.try_existing();
    }

    fn decided(&self, manifest: &Value, config: &Config, observed: &Observed, pipeline: &Pipeline) -> Result {
        let plan = decide(manifest, config, observed, pipeline);
        let plan = plan.map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        Ok(value_in(&plan, pipeline, self.object, self.path))
    }

    fn try_manifest(&mut self) {
        let document = self.manifest.clone();
        let decide: &Decide<'_> =
            &|trials, manifest| trials.decided(manifest, trials.config, trials.observed, &trials.pipeline);
        for section in [&["spec"][..], &["metadata", "labels"], &["metadata", "annotations"]] {
            let place: Place = section.iter().map(|name| Step::Field((*name).to_owned())).collect();
            for child in children(&document, &place) {
                self.examine(&document, child, &Source::Manifest, decide);
            }
        }
    }

    fn try_configuration(&mut self) {
        for key in KEYS.iter().map(|key| key.name) {
            let current = self.config.values()[key].clone();
            let others = [None].into_iter().chain(others(&current).into_iter().map(Some));
            for other in others {
                let tried = if other.is_none() { Tried::Without } else { Tried::Other };
                let Some(config) = self.config.with(key, other).filter(|config| config != self.config) else {
                    continue;
                };
                self.decisions += 1;
                // A value that the configuration may not have is not one to learn from.
                let Ok(then) = self.decided(self.manifest, &config, self.observed, &self.pipeline) else { continue };
                if then != self.value {
                    self.origins.push(Origin { source: Source::Configuration(key.to_owned()), tried, then });
                    break;
                }
            }
        }
    }

    fn try_steps(&mut self) {
        let steps: Vec<(String, Map<String, Value>)> =
            self.pipeline.steps().iter().map(|step| (step.name.clone(), step.config())).collect();
        for (step, config) in steps {
            let document = json!({ "config": config });
            let decide: &Decide<'_> = &|trials, document| {
                let none = Map::new();
                let config = document["config"].as_object().unwrap_or(&none);
                let pipeline = trials.pipeline.with_config(&step, config)?;
                trials.decided(trials.manifest, trials.config, trials.observed, &pipeline)
            };
            let source = |path| Source::Step { step: step.clone(), path };
            for child in children(&document, &vec![Step::Field("config".to_owned())]) {
                self.examine(&document, child, &source, decide);
            }
        }
    }

    fn try_existing(&mut self) {
        for index in 0..self.observed.objects.len() {
            let mut observed = self.observed.clone();
            let object = observed.objects.remove(index);
            self.decisions += 1;
            let Ok(then) = self.decided(self.manifest, self.config, &observed, &self.pipeline) else { continue };
            if then != self.value {
                let key = ObjectKey::of(&object);
                let (api_version, kind, name) = (key.api_version.into(), key.kind.into(), key.name.into());
                let source = Source::Existing(ObjectRef { api_version, kind, name });
                self.origins.push(Origin { source, tried: Tried::Without, then });
            }
        }
    }

    /// Tries the value at a place of a document, and the values in it; whether the field depends on it.
    fn examine(
        &mut self,
        document: &Value,
        place: Place,
        source: &dyn Fn(String) -> Source,
        decide: &Decide<'_>,
    ) -> bool {
        if self.decisions > MOST {
            return false;
        }
        self.decisions += 1;
        let without = decide(self, &removed(document, &place));
        let is_other = |then: &Result| then.as_ref().is_ok_and(|then| *then != self.value);
        let has_effect = is_other(&without);
        let inner = children(document, &place);
        if !inner.is_empty() && (has_effect || without.is_err()) {
            let mut found = false;
            for child in inner {
                found |= self.examine(document, child, source, decide);
            }
            if found {
                return true;
            }
        }
        let named = || source(written(&place));
        if has_effect {
            self.origins.push(Origin { source: named(), tried: Tried::Without, then: without.ok().flatten() });
            return true;
        }
        let others = at(document, &place).map(others).unwrap_or_default();
        let mut decided = without.is_ok();
        for other in others {
            self.decisions += 1;
            let then = decide(self, &replaced(document, &place, other));
            decided |= then.is_ok();
            if then.as_ref().is_ok_and(|then| *then != self.value) {
                self.origins.push(Origin { source: named(), tried: Tried::Other, then: then.ok().flatten() });
                return true;
            }
        }
        if let (false, Err(reason)) = (decided, without) {
            self.unknown.push(Unknown { source: named(), reason });
        }
        false
    }
}

/// Other values of the same form.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Number(number) => {
            number.as_i64().map(|number| vec![json!(number + 1), json!(number - 1)]).unwrap_or_default()
        }
        Value::String(text) => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = text.split_at(digits);
            match number.parse::<u32>() {
                Ok(number) if number > 0 && unit.is_empty() => {
                    vec![json!(format!("{}", number + 1)), json!(format!("{}", number - 1))]
                }
                Ok(number) if number > 0 => vec![json!(format!("{}{unit}", u64::from(number) * 2))],
                _ => vec![json!(format!("{text}x"))],
            }
        }
        Value::Array(_) | Value::Object(_) | Value::Null => Vec::new(),
    }
}

fn at<'v>(document: &'v Value, place: &[Step]) -> Option<&'v Value> {
    place.iter().try_fold(document, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
    })
}

fn at_mut<'v>(document: &'v mut Value, place: &[Step]) -> Option<&'v mut Value> {
    place.iter().try_fold(document, |value, step| match step {
        Step::Field(name) => value.get_mut(name),
        Step::Index(index) => value.get_mut(index),
    })
}

fn children(document: &Value, place: &Place) -> Vec<Place> {
    let child = |step: Step| place.iter().cloned().chain([step]).collect();
    match at(document, place) {
        Some(Value::Object(fields)) => fields.keys().map(|name| child(Step::Field(name.clone()))).collect(),
        Some(Value::Array(items)) => (0..items.len()).map(|index| child(Step::Index(index))).collect(),
        _ => Vec::new(),
    }
}

fn removed(document: &Value, place: &[Step]) -> Value {
    let mut document = document.clone();
    if let Some((last, parents)) = place.split_last() {
        match (at_mut(&mut document, parents), last) {
            (Some(Value::Object(fields)), Step::Field(name)) => drop(fields.remove(name)),
            (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => drop(items.remove(*index)),
            _ => {}
        }
    }
    document
}

fn replaced(document: &Value, place: &[Step], other: Value) -> Value {
    let mut document = document.clone();
    if let Some(value) = at_mut(&mut document, place) {
        *value = other;
    }
    document
}

/// The place as people write it, as in `spec.sidecars[0].image`.
fn written(place: &[Step]) -> String {
    place.iter().fold(String::new(), |path, step| match step {
        Step::Field(name) if path.is_empty() => name.clone(),
        Step::Field(name) => member(&path, name),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}
