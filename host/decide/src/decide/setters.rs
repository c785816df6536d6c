//! Who set the fields of the desired objects, and what each step did: for reports to people.

use pgloom_api::config::Config;
use pgloom_engine::schema::Schemas;
use pgloom_engine::{Ownership, Pipeline, Setters, Trace};
use serde_json::Value;

use super::{is_object, prepared, refusal, validated};
use crate::kind::Kind;
use crate::{Error, Observed};

/// Who set the fields of the desired objects of one cluster.
#[derive(Debug)]
pub struct Owners {
    /// The names of the steps, in order.
    steps: Vec<String>,
    schemas: Schemas,
    objects: Vec<(Value, Ownership)>,
}

/// Decides once more, and keeps of the decision who set each field. The arguments are those of [`decide`](super::decide).
///
/// # Errors
/// As of [`decide`](super::decide).
pub fn owners(manifest: &Value, config: &Config, observed: &Observed, pipeline: &Pipeline) -> Result<Owners, Error> {
    let validated = validated(manifest, config, observed)?;
    let input = prepared(&validated, config, observed).input;
    let failed = |error| refusal(error, validated.warnings());
    let objects = pipeline.run(&input).map_err(failed)?.objects;
    let owners = pipeline.owners(&input).map_err(failed)?;
    let objects = objects.into_iter().map(|desired| desired.object).zip(owners).collect();
    let steps = pipeline.steps().iter().map(|step| step.name.clone()).collect();
    Ok(Owners { steps, schemas: pipeline.schemas().clone(), objects })
}

/// What each step of the pipeline does for a cluster. The arguments are those of [`decide`](super::decide). A step that fails
/// is a part of the trace.
///
/// # Errors
/// If the manifest cannot be used, so that no step is called.
pub fn trace(manifest: &Value, config: &Config, observed: &Observed, pipeline: &Pipeline) -> Result<Trace, Error> {
    let validated = validated(manifest, config, observed)?;
    Ok(pipeline.trace(&prepared(&validated, config, observed).input))
}

impl Owners {
    /// The steps that set a field, in their order, see [`Ownership::setters`].
    pub fn setters(&self, applied: &Value, live: Option<&Value>, field: &str) -> Option<Setters> {
        let kind = Kind::of(applied)?;
        let name = crate::kind::ObjectKey::of(applied).name;
        let (_, ownership) = self.objects.iter().find(|(object, _)| is_object(object, &kind, name))?;
        let (schema, known) = self.schemas.kind(&kind.api_version, &kind.kind);
        let mut setters = ownership.setters(schema, known.root, applied, live, field)?;
        setters.steps.sort_by_key(|name| self.steps.iter().position(|step| step == name));
        Some(setters)
    }
}
