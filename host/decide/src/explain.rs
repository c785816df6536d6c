//! Why a field of a cluster's object has its value: which step set it, what other steps did to it, and what is behind it.
//!
//! A plugin does not say what it made a value from. So the cluster is decided again, each time with one field of the
//! manifest, key of the operator configuration, key of a step's configuration or existing object removed or changed, and
//! the value is compared. What is found that way is exact, for any plugin. What cannot be removed or changed alone, because
//! the manifest would be refused, is said not to be known.

mod trial;

use pgloom_api::config::Config;
use pgloom_engine::{HOST, ObjectRef, Outcome, Ownership, Pipeline, StepTrace, is_at_or_below, leaves, locate};
use serde::Serialize;
use serde_json::Value;

use crate::kind::ObjectKey;
use crate::{Error as DecideError, Observed, Plan, decide, trace};
use trial::Trials;

/// Which field is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As in `StatefulSet`; in any case of letters.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The field, as in `.spec.template.spec.containers[0].env`; empty for the whole object.
    pub path: String,
}

/// Why a field has its value.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The object.
    pub object: ObjectRef,
    /// The field's path, with the keys of entries; empty for the whole object.
    pub path: String,
    /// Who created the object.
    pub created_by: String,
    /// The leaves of the field, in the order of their paths; those that a step removed are among them.
    pub fields: Vec<Field>,
    /// What the value depends on.
    pub origins: Vec<Origin>,
    /// What could not be tried alone, and why.
    pub unknown: Vec<Unknown>,
    /// The steps that set or changed a part of it.
    pub steps: Vec<Setter>,
}

/// One leaf, and its history.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// The path, with the keys of entries.
    pub path: String,
    /// The value; absent if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The names of the steps that set it to this value, or removed it; `pgloom` is the host.
    pub set_by: Vec<String>,
    /// What steps did to the field before that, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Past>,
}

/// A value that a later step replaced or removed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Past {
    /// The step that set it.
    pub step: String,
    /// The value that it set; absent if it removed the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// A step, and what it runs.
#[derive(Clone, Debug, Serialize)]
pub struct Setter {
    /// The step's name in the pipeline.
    pub step: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The component's digest.
    pub digest: String,
}

/// What a value may come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    /// A field of the manifest.
    Manifest(String),
    /// A key of the operator configuration.
    Configuration(String),
    /// A key of a step's configuration.
    Step {
        /// The step's name.
        step: String,
        /// The key, as in `config.patches[0]`.
        path: String,
    },
    /// An existing object.
    Existing(ObjectRef),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest(path) => write!(f, "{path} of the manifest"),
            Self::Configuration(key) => write!(f, "{key} of the operator configuration"),
            Self::Step { step, path } => write!(f, "{path} of step {step}"),
            Self::Existing(ObjectRef { kind, name, .. }) => write!(f, "the existing {kind} {name}"),
        }
    }
}

/// Something that the value depends on, and how that was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    /// What it depends on.
    pub source: Source,
    /// How the source was changed.
    pub tried: Tried,
    /// The value that the field has then; null if it does not exist then.
    pub then: Option<Value>,
}

/// How a source was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tried {
    /// It was removed; of a configuration this means its default.
    Without,
    /// It was given another value.
    Other,
}

/// A source that could not be tried alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unknown {
    /// The source.
    pub source: Source,
    /// Why it could not be removed or changed.
    pub reason: String,
}

/// Why a field cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster cannot be decided.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// There is no such object.
    #[error("the cluster has no {kind} {name}; it has {exist}")]
    FindObject {
        /// The kind that was asked for.
        kind: String,
        /// The name that was asked for.
        name: String,
        /// The objects, as `Kind/name`.
        exist: String,
    },
    /// The object has no such field, and no step removed one.
    #[error("{kind} {name} has no field {path}, and no step removed it; without a path all its fields are listed")]
    FindField {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// The field that was asked for.
        path: String,
    },
}

/// Explains a field of an object that a cluster has. The other arguments are those of [`decide`].
///
/// # Errors
/// If the cluster cannot be decided, or has no such object or field.
pub fn explain(
    manifest: &Value,
    config: &Config,
    observed: &Observed,
    pipeline: &Pipeline,
    target: &Target,
) -> Result<Explanation, Error> {
    let manifest = &with_uid(manifest);
    let plan = decide(manifest, config, observed, pipeline)?;
    let traced = trace(manifest, config, observed, pipeline)?;
    let documents = plan.documents();
    let object = find(&documents, target)?;
    let key = ObjectKey::of(object);
    let identity = key.reference();
    let (schema, kind) = pipeline.schemas().kind(key.api_version, key.kind);
    let by_steps = traced.objects.iter().zip(&traced.owners).find(|(desired, _)| is_same(&desired.object, object));
    let ownership = match by_steps {
        Some((desired, owners)) => owners.clone().with_host(schema, kind.root, &desired.object, object),
        None => Ownership::default().with_host(schema, kind.root, &Value::Object(serde_json::Map::new()), object),
    };
    let ownership = ownership.unwrap_or_default();
    let asked = target.path.trim_start_matches(['$', '.']);
    let located = if asked.is_empty() {
        Some(String::new())
    } else {
        locate(schema, kind.root, object, asked).map(|(path, _)| path)
    };
    let removed = || ownership.removed.keys().any(|path| is_at_or_below(path, asked));
    let path = match located {
        Some(path) => path,
        None if removed() => asked.to_owned(),
        None => {
            let (kind, name) = (identity.kind, identity.name);
            return Err(Error::FindField { kind, name, path: asked.to_owned() });
        }
    };
    let values = leaves(schema, kind.root, object).unwrap_or_default();
    let fields = fields(&ownership, &values, &path, &identity, &traced.steps);
    let mut trials = Trials::new(manifest, config, observed, pipeline, &identity, &path);
    trials.run();
    let is_named = |step: &&StepTrace| {
        fields.iter().any(|field| {
            let before = field.before.iter().map(|past| &past.step);
            field.set_by.iter().chain(before).any(|name| *name == step.step)
        })
    };
    let steps = traced.steps.iter().filter(is_named).map(setter).collect();
    let created_by = by_steps.map_or_else(|| HOST.to_owned(), |(desired, _)| desired.step.clone());
    let Trials { origins, unknown, .. } = trials;
    Ok(Explanation { object: identity, path, created_by, fields, origins, unknown, steps })
}

/// The manifest with an uid, which one in a file lacks: without it a reference to an owner cannot be read as an entry of its
/// list.
pub(crate) fn with_uid(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(Value::Object(metadata)) = manifest.get_mut("metadata") {
        metadata.entry("uid").or_insert_with(|| Value::from("00000000-0000-0000-0000-000000000000"));
    }
    manifest
}

fn setter(step: &StepTrace) -> Setter {
    let StepTrace { step, plugin, version, digest, .. } = step.clone();
    Setter { step, plugin, version, digest }
}

fn is_same(one: &Value, other: &Value) -> bool {
    let (one, other) = (ObjectKey::of(one), ObjectKey::of(other));
    (one.api_version, one.kind, one.name) == (other.api_version, other.kind, other.name)
}

fn find<'a>(documents: &'a [Value], target: &Target) -> Result<&'a Value, Error> {
    let is_it = |object: &&Value| {
        let key = ObjectKey::of(object);
        key.kind.eq_ignore_ascii_case(&target.kind) && key.name == target.name
    };
    documents.iter().find(is_it).ok_or_else(|| {
        let names = documents.iter().map(|object| {
            let key = ObjectKey::of(object);
            format!("{}/{}", key.kind, key.name)
        });
        let exist = names.collect::<Vec<_>>().join(", ");
        Error::FindObject { kind: target.kind.clone(), name: target.name.clone(), exist }
    })
}

/// The value at the field, in a plan; `None` if it does not exist there. Of the whole object it counts only that it exists.
fn value_in(plan: &Plan, pipeline: &Pipeline, object: &ObjectRef, path: &str) -> Option<Value> {
    let found = plan.documents().into_iter().find(|document| {
        let key = ObjectKey::of(document);
        (key.api_version, key.kind, key.name) == (&*object.api_version, &*object.kind, &*object.name)
    })?;
    if path.is_empty() {
        return Some(Value::Bool(true));
    }
    let (schema, kind) = pipeline.schemas().kind(&object.api_version, &object.kind);
    locate(schema, kind.root, &found, path).map(|(_, value)| value)
}

fn fields(
    ownership: &Ownership,
    values: &std::collections::BTreeMap<String, Value>,
    path: &str,
    object: &ObjectRef,
    steps: &[StepTrace],
) -> Vec<Field> {
    let present = values.iter().filter(|(leaf, _)| is_at_or_below(leaf, path)).map(|(leaf, value)| {
        let set_by = ownership.leaves.get(leaf).cloned().unwrap_or_else(|| vec![HOST.to_owned()]);
        Field { path: leaf.clone(), value: Some(value.clone()), before: before(object, leaf, &set_by, steps), set_by }
    });
    let removed =
        ownership.removed.iter().filter(|(removed, _)| is_at_or_below(removed, path)).map(|(removed, step)| {
            let set_by = vec![step.clone()];
            Field { path: removed.clone(), value: None, before: before(object, removed, &set_by, steps), set_by }
        });
    let mut fields: Vec<Field> = present.chain(removed).collect();
    fields.sort_by(|one, other| one.path.cmp(&other.path));
    fields
}

/// What steps other than its owners did to a leaf, in order.
fn before(object: &ObjectRef, leaf: &str, owners: &[String], steps: &[StepTrace]) -> Vec<Past> {
    let called =
        steps.iter().filter(|step| !matches!(step.outcome, Outcome::NotReached) && !owners.contains(&step.step));
    called
        .flat_map(|step| {
            let changes = step.changes.iter().filter(|change| change.object == *object);
            let of_leaf = changes.filter(move |change| is_at_or_below(&change.path, leaf));
            of_leaf.map(|change| Past { step: step.step.clone(), value: change.after.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests;
