//! Why a step's contribution is refused.

use std::fmt::{self, Display};

use pgloom_api::placeholder;
use serde_json::Value;

use super::node::Node;
use crate::{
    claim::Missing,
    contract::ObjectRef,
    path::{self, FieldPath},
    schema,
};

/// How many characters of a value an error shows.
const SHOWN: usize = 80;

/// Why a contribution was refused. Nothing of it was merged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The merge table is broken.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// The partial object does not say which object it is part of.
    #[error("step {step}: a contribution has no usable {field}: {problem}")]
    Identify {
        /// The step that contributed it.
        step: String,
        /// The field that is missing or wrong, as in `metadata.name`.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Plugins do not make objects of this kind.
    #[error("step {step}: {} must not be contributed: {reason}", Name(.object))]
    Kind {
        /// The step that contributed it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// Why plugins do not make it, and who does.
        reason: &'static str,
    },
    /// The object does not exist, and the step may not create it.
    #[error("step {step}: no earlier step made {}, and the step must not: {}", Name(.object), remedy(*.missing, "the creation of its kind"))]
    Create {
        /// The step that contributed it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// What would allow it.
        missing: Missing,
    },
    /// The step writes outside of what it claims and is granted.
    #[error("step {step}: it must not write `{path}` of {}: {}", Name(.object), remedy(*.missing, "the field"))]
    Claim {
        /// The step that wrote it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field, or the entry that would be added.
        path: FieldPath,
        /// What would allow it.
        missing: Missing,
    },
    /// The field is nobody's to set, or only the creator's.
    #[error("step {step}: it must not write `{path}` of {}: {reason}", Name(.object))]
    Forbid {
        /// The step that wrote it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field.
        path: FieldPath,
        /// Why.
        reason: &'static str,
    },
    /// A value is not what its field holds.
    #[error("step {step}: `{path}` of {} cannot be merged: {problem}", Name(.object))]
    Shape {
        /// The step that contributed it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field.
        path: FieldPath,
        /// What is wrong with the value.
        problem: String,
    },
    /// An earlier step set the field to another value.
    #[error(transparent)]
    Conflict(Box<Conflict>),
    /// Something cannot be removed.
    #[error("step {step}: it must not remove `{path}` of {}: {reason}", Name(.object))]
    Remove {
        /// The step that wants it removed.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field or entry.
        path: FieldPath,
        /// Why, and what would allow it.
        reason: &'static str,
    },
    /// The path of a removal cannot be read.
    #[error("step {step}: a removal from {} has no usable path", Name(.object))]
    Path {
        /// The step that wants it removed.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// What is wrong with the path.
        #[source]
        source: path::Error,
    },
}

/// Two steps that want different values for one field.
#[derive(Debug, thiserror::Error)]
#[error(
    "steps {owner} and {step} set `{path}` of {} to different values: {owned} and {value}; grant {step} to override it, or let only one of them set it",
    Name(.object)
)]
pub struct Conflict {
    /// The later step.
    pub step: String,
    /// The step that set the field first.
    pub owner: String,
    /// The object.
    pub object: ObjectRef,
    /// The field.
    pub path: FieldPath,
    /// What the later step says, as it may be shown.
    pub value: String,
    /// What the first step said, as it may be shown.
    pub owned: String,
}

/// An object's name as people write it.
struct Name<'a>(&'a ObjectRef);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.0.api_version, self.0.kind, self.0.name)
    }
}

fn remedy(missing: Missing, what: &str) -> String {
    match missing {
        Missing::Claim => format!("the plugin's description does not claim {what}"),
        Missing::Grant => format!("the pipeline does not grant the step {what}"),
    }
}

/// A value as an error may show it: cut to a sane length, and never a credential.
pub(crate) fn show(node: &Node, confidential: bool) -> String {
    if confidential {
        return "(confidential)".to_owned();
    }
    let value = node.clone().into_value();
    if is_sealed(&value) {
        return "(sealed)".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

fn is_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(placeholder::PREFIX),
        Value::Array(items) => items.iter().any(is_sealed),
        Value::Object(fields) => fields.values().any(is_sealed),
        _ => false,
    }
}
