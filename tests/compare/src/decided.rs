//! pgloom's decision for a recorded case, by the shipped pipeline and the operator's own `decide`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use pgloom_api::config::Config;
use pgloom_api::pipeline::Document;
use pgloom_api::placeholder;
use pgloom_decide::adoption::Adoption;
use pgloom_decide::{Error, Observed, Plan, decide};
use pgloom_engine::{Engine, EngineConfig, Pipeline};
use serde_json::{Value, json};

use crate::case::Case;

/// The namespace in which the recorded operator ran.
const OPERATOR: &str = "default";

/// Loads the shipped pipeline with the components that `make plugins` built; compiled code is kept in the folder
/// `cache`.
///
/// # Errors
/// If they have not been built.
pub fn shipped(cache: &Path) -> Result<Pipeline> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("manifests/pipeline.yaml"))?;
    let document = Document::read(&serde_yaml_ng::from_str(&text)?).map_err(|problems| anyhow!("{problems:?}"))?;
    let engine = Arc::new(Engine::new(&EngineConfig { cache: Some(cache.to_owned()), ..EngineConfig::default() })?);
    Pipeline::load(&engine, &document, &root.join("dist/plugins"), None)
        .context("build the plugins with `make plugins`")
}

/// Decides a case.
///
/// # Errors
/// If the manifest or its configuration is refused.
pub fn plan(case: &Case, pipeline: &Pipeline) -> Result<Plan> {
    let read = Config::read(&case.config).map_err(|problems| anyhow!("{problems:?}"))?;
    Ok(decide(&case.manifest, &read.config, &observed(case, &read.config, pipeline), pipeline)?)
}

/// What keeps the cluster of a case from being adopted as the Zalando operator left it; `None` if nothing does.
///
/// # Errors
/// If the manifest or its configuration is refused.
pub fn obstacle(case: &Case, pipeline: &Pipeline) -> Result<Option<Adoption>> {
    let read = Config::read(&case.config).map_err(|problems| anyhow!("{problems:?}"))?;
    let mut observed = observed(case, &read.config, pipeline);
    observed.objects.extend(Observed::of(case.stored.clone()).objects);
    match decide(&case.manifest, &read.config, &observed, pipeline) {
        Ok(_) => Ok(None),
        Err(Error::Adoption(adoption)) => Ok(Some(*adoption)),
        Err(error) => Err(error.into()),
    }
}

/// The objects that would be applied: placeholders filled in, Secrets with their keys and without their passwords.
///
/// # Errors
/// If a placeholder cannot be filled in.
pub fn objects(plan: &Plan) -> Result<Vec<Value>> {
    let mut objects = plan.documents();
    objects.iter_mut().try_for_each(|object| placeholder::fill(object, &plan.credentials))?;
    Ok(objects)
}

fn observed(case: &Case, config: &Config, pipeline: &Pipeline) -> Observed {
    let within = |namespace: &Value| -> Vec<Value> {
        let place = |object: &Value| {
            let mut object = object.clone();
            object["metadata"]["namespace"] = namespace.clone();
            object
        };
        case.prerequisites.iter().map(place).collect()
    };
    let near = within(&case.manifest["metadata"]["namespace"]);
    let mut observed = Observed::default();
    for wanted in pipeline.named(&case.manifest, config.values()) {
        let named = |object: &&Value| object["kind"] == *wanted.kind && object["metadata"]["name"] == *wanted.name;
        near.iter().find(named).into_iter().for_each(|object| observed.add_named(object.clone()));
    }
    observed.read_infrastructure(config, OPERATOR, &within(&json!(OPERATOR)));
    observed
}
