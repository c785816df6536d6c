//! How far the wanted pipeline has come: in use, or why not, and which one is in use instead.
//!
//! The last pipeline that could be loaded is kept with the digest of every component, where a new pod finds it: in the
//! status of a Pipeline object, which is as durable as the object itself; for a file in the folder of compiled plugins,
//! because the file and its components come with the image, or with a volume that has its own history. The code of the
//! components is found by digest in the folder of the plugins, in the cache and in the image.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use pgloom_api::pipeline::{LastLoaded, PipelineStatus, RolloutStatus, without_rollout};
use pgloom_common::duration::doubled;
use pgloom_common::error::error_chain;
use pgloom_engine::Pipeline;
use pgloom_engine::pipeline::Identity;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tracing::warn;

use super::Error;
use super::rights::Rights;
use super::running::Running;
use super::source::Found;

/// The time until a pipeline that could not be loaded is tried again; it doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// The file with the last pipeline that could be loaded, in the folder of compiled plugins.
const LAST_LOADED: &str = "pipeline.json";

/// How far the wanted pipeline has come.
#[derive(Default)]
pub struct Progress {
    /// The wanted document, if it was found.
    pub wanted: Option<Found>,
    /// Why the wanted pipeline is not in use.
    pub problem: Option<Problem>,
    /// Since when the wanted pipeline is being loaded; `None` if it is not, or if it is only tried again.
    pub loading: Option<Timestamp>,
    /// The pipeline that is in use.
    pub last_loaded: Option<LastLoaded>,
    /// The status that was written last.
    pub reported: Option<PipelineStatus>,
    /// The status of the Pipeline object as the watch reported it last.
    pub told: Value,
    /// Whether the operator has the rights that the steps in use need.
    pub rights: Rights,
    /// How the wanted pipeline reaches the clusters, as the status says it.
    pub rollout: Option<RolloutStatus>,
    /// The pipeline that is being rolled out.
    pub running: Option<Running>,
    /// Whether the status was read since this operator leads: another leader may have gone on with a rollout.
    pub knows_rollout: bool,
    /// The time.
    pub clock: Clock,
    /// The number of failed attempts since the last success.
    pub(super) attempts: u32,
    pub(super) retry: Option<Instant>,
}

/// The time of the day, counted from the start of the operator.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Timestamp,
    at: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Timestamp::now(), at: Instant::now() }
    }
}

impl Clock {
    /// Seconds since 1970.
    pub fn seconds(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs();
        self.started.as_second().saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }
}

/// Why a pipeline is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The step and the phase that failed, if it was a step.
    pub step: Option<(String, &'static str)>,
    /// The whole message.
    pub message: String,
}

impl Progress {
    /// A document is being loaded now, or the wanted one again. What failed is reported while it is tried again.
    pub fn begun(&mut self, found: Option<Found>, now: Timestamp) {
        if found.is_some() {
            self.problem = None;
            self.loading = None;
        }
        self.wanted = found.or_else(|| self.wanted.take());
        if self.problem.is_none() {
            self.loading.get_or_insert(now);
        }
    }

    /// The wanted pipeline was loaded and all clusters have it. The same steps with the same components are in use since
    /// they were `before`.
    pub fn succeeded(&mut self, found: Found, pipeline: &Pipeline, before: Option<LastLoaded>, now: Timestamp) {
        let mut last = pinned(&found.document, pipeline, now);
        let known = self.last_loaded.take().into_iter().chain(before);
        keep_since(&mut last, known);
        self.last_loaded = Some(last);
        self.arrived(found);
    }

    /// The wanted pipeline was loaded.
    pub fn arrived(&mut self, found: Found) {
        self.wanted = Some(found);
        self.problem = None;
        self.loading = None;
        self.attempts = 0;
        self.retry = None;
    }

    /// The wanted pipeline, if it was found, could not be loaded.
    pub fn failed(&mut self, found: Option<Found>, error: &Error) {
        let step = match error {
            Error::Load(_, load) => Some((load.step.clone(), load.phase.as_str())),
            _ => None,
        };
        self.wanted = found.or_else(|| self.wanted.take());
        self.loading = None;
        self.problem = Some(Problem { step, message: error_chain(error) });
        self.retry = Some(Instant::now() + delay(self.attempts));
        self.attempts += 1;
    }

    /// Returns when it is time to try the wanted pipeline again; never while it is in use.
    pub async fn retry(&self) {
        match self.retry {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Takes over what another leader wrote to the status of the wanted pipeline.
    pub fn take_over(&mut self, found: &Found) {
        if let Some(last) = &mut self.last_loaded {
            keep_since(last, of_status(&found.document));
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.document["status"] = found.document["status"].clone();
        }
        self.rollout = of_rollout(&found.document["status"]);
        self.knows_rollout = true;
    }

    /// Whether the status does not say yet how far the rollout is.
    pub fn is_to_be_told(&self) -> bool {
        let told = self.reported.as_ref().and_then(|reported| reported.rollout.as_ref());
        self.knows_rollout && told != self.rollout.as_ref()
    }

    /// Whether a newer pipeline than the one that was loaded is wanted.
    pub fn is_pending(&self) -> bool {
        self.loading.is_some() || self.problem.is_some()
    }

    /// Whether this document is in use already, or being loaded.
    pub fn knows(&self, found: &Found) -> bool {
        self.problem.is_none() && self.wanted.as_ref().is_some_and(|wanted| wanted.content() == found.content())
    }
}

/// The time until the next attempt, after so many failed ones.
fn delay(attempts: u32) -> Duration {
    doubled(FIRST_RETRY, attempts, LONGEST_RETRY)
}

/// The document with the digest of every component. It has no null, as a patch of the status cannot write one.
pub fn pinned(document: &Value, pipeline: &Pipeline, now: Timestamp) -> LastLoaded {
    let mut spec = document["spec"].clone();
    remove_nulls(&mut spec);
    for step in spec["steps"].as_array_mut().into_iter().flatten() {
        let loaded = pipeline.steps().iter().find(|loaded| step["name"] == *loaded.name);
        if let (Some(loaded), Some(step)) = (loaded, step.as_object_mut()) {
            step.insert("digest".to_owned(), json!(loaded.plugin.digest));
        }
    }
    LastLoaded {
        generation: document.pointer("/metadata/generation").and_then(Value::as_i64),
        since: now.round(jiff::Unit::Second).unwrap_or(now).to_string(),
        spec: spec.as_object().cloned().unwrap_or_default(),
    }
}

/// By what a pipeline of this document is known again.
pub fn identity(document: &Value, pipeline: &Pipeline) -> Identity {
    identity_of(&pinned(document, pipeline, Timestamp::UNIX_EPOCH).spec)
}

/// The same of a `spec` with the digest of every component. How it is rolled out makes no other pipeline of it.
pub fn identity_of(spec: &Map<String, Value>) -> Identity {
    Identity::of(&without_rollout(spec))
}

/// Removes each field that is null.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Keeps the time since when the pipeline is in use, if one of those that are known has the same steps with the same
/// components.
fn keep_since(last: &mut LastLoaded, known: impl IntoIterator<Item = LastLoaded>) {
    if let Some(same) = known.into_iter().find(|known| known.spec == last.spec) {
        last.since = same.since;
    }
}

/// The Pipeline document of what was loaded last.
pub fn document(last: &LastLoaded) -> Value {
    json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": "last-loaded"}, "spec": last.spec,
    })
}

/// What was loaded last, from the status of a Pipeline object.
pub fn of_status(document: &Value) -> Option<LastLoaded> {
    serde_json::from_value(document.pointer("/status/lastLoaded")?.clone()).ok()
}

/// How far a rollout has come, from the status of a Pipeline object.
pub fn of_rollout(status: &Value) -> Option<RolloutStatus> {
    serde_json::from_value(status["rollout"].clone()).ok()
}

/// What was loaded last, from the folder of compiled plugins.
pub fn of_folder(folder: &Path) -> Option<LastLoaded> {
    let text = std::fs::read_to_string(folder.join(LAST_LOADED)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Keeps what was loaded in the folder of compiled plugins. A failure is logged only.
pub fn keep_in_folder(folder: &Path, last: &LastLoaded) {
    let unfinished = folder.join(format!("{LAST_LOADED}.part"));
    let written = serde_json::to_string(last).map_err(std::io::Error::other).and_then(|text| {
        std::fs::write(&unfinished, text)?;
        std::fs::rename(&unfinished, folder.join(LAST_LOADED))
    });
    if let Err(error) = written {
        warn!(%error, "the pipeline in use is not kept for a restart");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pgloom_engine::{Description, Plugin, Response};

    use super::*;

    fn found() -> Found {
        let spec = json!({"steps": [{"name": "hello", "source": {"file": "hello.wasm"}}]});
        let metadata = json!({"name": "default", "generation": 7});
        let document =
            json!({"apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": metadata, "spec": spec});
        Found { name: "Pipeline ns/default".into(), document }
    }

    #[test]
    fn what_was_loaded_is_kept_in_a_folder_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_folder(folder.path()), None);
        let last = pinned(&found().document, &Pipeline::of(vec![]).unwrap(), Timestamp::UNIX_EPOCH);
        keep_in_folder(folder.path(), &last);
        assert_eq!(of_folder(folder.path()), Some(last.clone()));
        assert_eq!(last.generation, Some(7));
        let document = json!({"status": {"lastLoaded": last}});
        assert_eq!(of_status(&document), Some(last));
    }

    #[test]
    fn what_was_loaded_has_no_null_as_the_status_cannot_hold_one() {
        let mut found = found();
        found.document["spec"]["steps"][0]["config"] =
            json!({"a": null, "b": [1, {"c": null, "d": 2}], "e": {"f": null}});
        let last = pinned(&found.document, &Pipeline::of(vec![]).unwrap(), Timestamp::UNIX_EPOCH);
        assert_eq!(last.spec["steps"][0]["config"], json!({"b": [1, {"d": 2}], "e": {}}));
    }

    #[test]
    fn a_pipeline_is_known_again_by_its_document_and_its_components_whatever_its_rollout_is() {
        let with = |digest: &str| {
            let description = Description { name: "hello".into(), ..Description::default() };
            let mut plugin = Plugin::native(description, |_| Ok(Response::default()));
            plugin.digest = digest.to_owned();
            Pipeline::of(vec![Arc::new(plugin)]).unwrap()
        };
        let of = |pointer: &str, value: Value, digest: &str| {
            let mut document = found().document;
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[field] = value;
            identity(&document, &with(digest))
        };
        let same = identity(&found().document, &with("sha256:1"));
        assert_eq!(of("/spec/rollout", json!({"paused": true}), "sha256:1"), same);
        assert_eq!(of("/metadata/generation", json!(8), "sha256:1"), same);
        assert_ne!(of("/metadata/generation", json!(8), "sha256:2"), same);
        assert_ne!(of("/spec/steps/0/config", json!({"a": 1}), "sha256:1"), same);
        assert_ne!(with("sha256:1").identity, with("sha256:1").identity, "of no document");
    }

    #[test]
    fn the_time_until_the_next_attempt_doubles_up_to_the_longest() {
        assert_eq!([0, 1, 2, 3, 4, 5, 100].map(|attempts| delay(attempts).as_secs()), [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn the_end_of_a_rollout_is_to_be_told_although_nothing_runs_any_more() {
        let rollout = |phase: &str| {
            let rollout = json!({"phase": phase, "since": "2026-01-01T00:00:00Z", "message": "it is so", "spec": {}});
            serde_json::from_value::<RolloutStatus>(rollout).unwrap()
        };
        let reported = PipelineStatus { rollout: Some(rollout("Progressing")), ..PipelineStatus::default() };
        let mut progress = Progress { knows_rollout: true, reported: Some(reported), ..Progress::default() };
        progress.rollout = Some(rollout("Progressing"));
        assert!(!progress.is_to_be_told());
        progress.rollout = Some(rollout("Complete"));
        assert!(progress.is_to_be_told());
        // Only the leader tells it.
        progress.knows_rollout = false;
        assert!(!progress.is_to_be_told());
    }

    #[test]
    fn only_a_document_that_was_loaded_is_in_use() {
        let mut progress = Progress::default();
        progress.failed(Some(found()), &Error::Missing("Pipeline ns/default".into()));
        assert!(!progress.knows(&found()));
        progress.succeeded(found(), &Pipeline::of(vec![]).unwrap(), None, Timestamp::UNIX_EPOCH);
        assert!(progress.knows(&found()) && progress.problem.is_none());
    }
}
