//! What the tests share: the shipped pipeline as companions.

use std::sync::Arc;

use golden::{pipeline, shipped};
use pgloom_api::pipeline::Document;
use pgloom_conformance::{Companion, Setup};

/// The shipped pipeline.
pub fn setup() -> Setup {
    let document = Document::read(&shipped()).unwrap();
    let steps = document.steps.into_iter().zip(pipeline().steps());
    let companions = steps.map(|(step, loaded)| Companion { step, plugin: Arc::clone(&loaded.plugin) });
    Setup { companions: companions.collect(), ..Setup::default() }
}
