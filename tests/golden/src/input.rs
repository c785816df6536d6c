//! The inputs of the golden tests: the examples, and the cases with their own configuration and objects.

use std::path::Path;

use pgloom_api::config::Config;
use pgloom_decide::{Error, Plan};
use pgloom_engine::Pipeline;
use serde_json::Value;

use crate::{config, decided, decision, entries, here, name, read, read_all, repository};

/// The input of one decision.
#[derive(Clone)]
pub struct Input {
    /// The name of the example or the case.
    pub name: String,
    /// The `postgresql` object.
    pub manifest: Value,
    /// The operator configuration.
    pub config: Config,
    /// The existing objects.
    pub observed: Vec<Value>,
}

impl Input {
    /// The decision of a pipeline, as a document.
    pub fn decided(&self, pipeline: &Pipeline) -> Value {
        decided(self.manifest.clone(), &self.config, self.observed.clone(), pipeline)
    }

    /// The decision of a pipeline.
    pub fn decision(&self, pipeline: &Pipeline) -> Result<Plan, Error> {
        decision(self.manifest.clone(), &self.config, self.observed.clone(), pipeline)
    }
}

/// The examples of kind `postgresql`, with the default configuration.
pub fn examples() -> Vec<Input> {
    let read =
        |file: &Path| Input { name: name(file), manifest: read(file), config: config(None), observed: Vec::new() };
    let examples = entries(&repository("manifests/examples")).into_iter().map(|file| read(&file));
    examples.filter(|example| example.manifest["kind"] == "postgresql").collect()
}

/// The cases: one folder each, with `manifest.yaml` and optional `config.yaml` and `observed.yaml`.
pub fn cases() -> Vec<Input> {
    let optional = |file: &Path| file.exists().then(|| read(file));
    let read = |folder: &Path| {
        let observed = folder.join("observed.yaml");
        Input {
            name: name(folder),
            manifest: read(&folder.join("manifest.yaml")),
            config: config(optional(&folder.join("config.yaml")).as_ref()),
            observed: if observed.exists() { read_all(&observed) } else { Vec::new() },
        }
    };
    entries(&here("cases")).iter().map(|folder| read(folder)).collect()
}
