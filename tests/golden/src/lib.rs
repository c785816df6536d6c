//! Helpers of the golden tests: the shipped pipeline, a decision as a document, and files that `UPDATE=1` rewrites.

mod describe;
mod input;
mod text;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use pgloom_api::config::Config;
use pgloom_api::pipeline::Document;
use pgloom_decide::{Error, Observed, Plan, decide};
use pgloom_engine::{Engine, EngineConfig, Pipeline};
use serde_json::{Value, json};

pub use describe::describe;
pub use input::{Input, cases, examples};
pub use text::{read, read_all, shuffled, yaml};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A file or folder of this crate.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The entries of a folder, sorted by name.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// A file's or folder's name, without its extension.
pub fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The document of the shipped pipeline.
pub fn shipped() -> Value {
    read(&repository("manifests/pipeline.yaml"))
}

/// Loads a pipeline of shipped plugins. Plugins that [`pipeline`] has compiled are not compiled again.
pub fn load(document: &Value) -> Pipeline {
    load_beside(document, Some(pipeline()))
}

/// The engine of all tests of a process.
pub fn engine() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| Arc::new(Engine::new(&EngineConfig::default()).expect("an engine")))
}

fn load_beside(document: &Value, running: Option<&Pipeline>) -> Pipeline {
    let document = Document::read(document).unwrap_or_else(|problems| panic!("the pipeline: {problems:?}"));
    Pipeline::load(engine(), &document, &repository("dist/plugins"), running)
        .unwrap_or_else(|error| panic!("{error}; build the plugins: make plugins"))
}

/// The shipped pipeline, loaded once.
pub fn pipeline() -> &'static Pipeline {
    static PIPELINE: OnceLock<Pipeline> = OnceLock::new();
    PIPELINE.get_or_init(|| load_beside(&shipped(), None))
}

/// The operator configuration of a document, or the defaults.
pub fn config(document: Option<&Value>) -> Config {
    document.map_or_else(Config::defaults, |document| Config::read(document).expect("an operator configuration").config)
}

/// A configuration that differs from the defaults in these keys, each as a ConfigMap has it.
pub fn config_of(keys: &Value) -> Config {
    config(Some(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": keys})))
}

/// The namespace of the operator.
const OPERATOR: &str = "pgloom-system";

/// The decision of a pipeline, as a document.
pub fn decided(manifest: Value, config: &Config, observed: Vec<Value>, pipeline: &Pipeline) -> Value {
    describe(&decision(manifest, config, observed, pipeline))
}

/// The decision of a pipeline. Observed objects in the operator's namespace may define infrastructure roles.
pub fn decision(
    mut manifest: Value,
    config: &Config,
    mut observed: Vec<Value>,
    pipeline: &Pipeline,
) -> Result<Plan, Error> {
    for object in observed.iter_mut().chain([&mut manifest]) {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.entry("namespace").or_insert_with(|| json!("default"));
        }
    }
    decide(&manifest, config, &Observed::in_files(&observed, &manifest, config, pipeline, OPERATOR), pipeline)
}

/// Compares a text with a committed file; `UPDATE=1` rewrites it. Returns the difference, for tests of several files.
pub fn differs(file: &Path, text: &str) -> Option<String> {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(file, text).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    if committed == text {
        return None;
    }
    let line = committed.lines().zip(text.lines()).position(|(was, is)| was != is);
    let line = line.unwrap_or_else(|| committed.lines().count().min(text.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").trim().to_owned();
    Some(format!("{}:{}: was `{}`, is `{}`", file.display(), line + 1, at(&committed), at(text)))
}

/// Fails with all differences.
pub fn report(differences: &[String]) {
    assert!(differences.is_empty(), "UPDATE=1 rewrites what differs, if it is meant:\n{}", differences.join("\n"));
}
