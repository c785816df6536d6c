//! Everything that is decided here: the examples, and the cases with a configuration and objects of their own.

use std::path::Path;

use pgloom_api::config::Config;
use pgloom_engine::Pipeline;
use serde_json::Value;

use crate::{config, decided, entries, here, name, read, read_all, repository};

/// What one decision rests on.
#[derive(Clone)]
pub struct Input {
    /// The name of the example or the case.
    pub name: String,
    /// The `postgresql` object.
    pub manifest: Value,
    /// The operator configuration.
    pub config: Config,
    /// What exists.
    pub observed: Vec<Value>,
}

impl Input {
    /// What a pipeline decides, as a document.
    pub fn decided(&self, pipeline: &Pipeline) -> Value {
        decided(self.manifest.clone(), &self.config, self.observed.clone(), pipeline)
    }
}

/// The examples that are clusters, with the default configuration.
pub fn examples() -> Vec<Input> {
    let read =
        |file: &Path| Input { name: name(file), manifest: read(file), config: config(None), observed: Vec::new() };
    let examples = entries(&repository("manifests/examples")).into_iter().map(|file| read(&file));
    examples.filter(|example| example.manifest["kind"] == "postgresql").collect()
}

/// The cases: a folder each, with `manifest.yaml` and, where they are needed, `config.yaml` and `observed.yaml`.
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
