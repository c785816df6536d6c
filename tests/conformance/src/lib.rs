//! Helpers of the conformance tests: the engine, guests by name, documents, inputs, components that no toolchain makes,
//! guests that follow a script, hostile guests, and the search for secret values.

pub mod canary;
pub mod component;
pub mod hostile;
pub mod script;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pgloom_api::pipeline::Document;
use pgloom_engine::{Engine, EngineConfig, Input, Pipeline, Plugin, grant};
use serde_json::{Value, json};

/// The engine of all tests of a process.
///
/// # Panics
/// If the engine cannot be set up.
pub fn engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    #[allow(clippy::expect_used, reason = "a test cannot go on without an engine")]
    let engine = ENGINE.get_or_init(|| Arc::new(Engine::new(&EngineConfig::default()).expect("an engine")));
    Arc::clone(engine)
}

/// The folder with the guests' components, which `make guests` builds.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../dist/guests")
}

/// The bytes of a guest's component, as in `echo.wasm`.
///
/// # Panics
/// If it is not built.
pub fn guest(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    #[allow(clippy::panic, reason = "a test cannot go on without its guest")]
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; build the guests: make guests", path.display()))
}

/// A pipeline document of one step.
///
/// # Panics
/// If the step is invalid.
pub fn document(step: &Value) -> Document {
    let document = json!({
        "apiVersion": "pgloom.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "test"},
        "spec": {"steps": [step]},
    });
    #[allow(clippy::panic, reason = "a test cannot go on without its document")]
    Document::read(&document).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The step with grants for all that its plugin asks for, if it has none. Its file is relative to [`folder`].
///
/// # Panics
/// If the grants cannot be parsed.
pub fn granted(step: &Value) -> Value {
    let mut step = step.clone();
    let file = step["source"]["file"].as_str().map(|file| folder().join(file));
    let bytes = file.and_then(|file| std::fs::read(file).ok());
    // A component that cannot be loaded is the subject of the test.
    let plugin = bytes.and_then(|bytes| Plugin::load(&engine(), &bytes, None).ok());
    if let (None, Some(plugin)) = (step.get("grants"), plugin) {
        let grants = grant::yaml(&grant::all(&plugin.description), 0);
        #[allow(clippy::expect_used, reason = "a test cannot go on without its grants")]
        let grants: Value = serde_yaml_ng::from_str(&grants).expect("grants are YAML");
        step["grants"] = grants;
    }
    step
}

/// Loads a pipeline of one step, whose file is relative to [`folder`] and which is granted what its plugin asks for.
///
/// # Errors
/// If the step cannot be loaded.
pub fn load(step: &Value) -> Result<Pipeline, String> {
    Pipeline::load(&engine(), &document(&granted(step)), &folder(), None).map_err(|error| error.to_string())
}

/// The input of a small cluster.
pub fn input() -> Input {
    Input {
        cluster: json!({
            "apiVersion": "acid.zalan.do/v1",
            "kind": "postgresql",
            "metadata": {"name": "acid-orders", "namespace": "shop"},
            "spec": {"teamId": "acid", "numberOfInstances": 1},
        }),
        config: json!({"docker_image": "image", "secret": "not shown"}).into(),
        ..Input::default()
    }
}
