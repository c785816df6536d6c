//! The vocabulary of the conformance tests: guests by name, documents, inputs.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pgloom_api::pipeline::Document;
use pgloom_engine::{Engine, Input, Pipeline, Settings};
use serde_json::{Value, json};

/// One engine for all tests of a process.
///
/// # Panics
/// If the machine cannot run one.
pub fn engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Arc::new(Engine::new(&Settings::default()).expect("an engine")));
    Arc::clone(engine)
}

/// The folder of the guests' components.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../dist/guests")
}

/// The bytes of a guest's component; its core module ends in `.core.wasm`.
///
/// # Panics
/// If it was not built.
pub fn guest(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; build the guests: make guests", path.display()))
}

/// A pipeline document of one step.
///
/// # Panics
/// If the document is not one.
pub fn document(step: &Value) -> Document {
    let document = json!({"apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "test"}, "spec": {"steps": [step]}});
    Document::read(&document).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Loads a pipeline of one step out of the folder of guests.
///
/// # Errors
/// As the step fails to load.
pub fn load(step: &Value) -> Result<Pipeline, String> {
    Pipeline::load(&engine(), &document(step), &folder(), None).map_err(|error| error.to_string())
}

/// A cluster as the pipeline takes it.
pub fn input() -> Input {
    Input {
        cluster: json!({
            "apiVersion": "acid.zalan.do/v1",
            "kind": "postgresql",
            "metadata": {"name": "acid-orders", "namespace": "shop"},
            "spec": {"teamId": "acid", "numberOfInstances": 1},
        }),
        config: json!({"docker_image": "image", "secret": "not shown"}),
        ..Input::default()
    }
}
