//! Why a step's contribution is refused.

use std::fmt::{self, Display};

use pgloom_api::{Privilege, placeholder};
use serde_json::Value;

use crate::{
    model::ObjectRef,
    path::{self, FieldPath},
    permission::Missing,
    tree::{Node, TypeMismatch},
};

/// How many characters of a value an error shows.
const MAX_SHOWN: usize = 80;

/// Why a contribution is refused. Nothing of it is merged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The partial object has no `apiVersion`, `kind` or `metadata.name` that can be used.
    #[error("step {step}: {field} of an object that it makes cannot be used: {problem}")]
    Identify {
        /// The step that contributed it.
        step: String,
        /// The field that is missing or wrong, as in `metadata.name`.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A plugin must not create objects of this kind, or not the one of this name.
    #[error("step {step}: {} must not be contributed: {reason}", Name(.object))]
    Kind {
        /// The step that contributed it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// Why, and who creates such objects.
        reason: &'static str,
    },
    /// The step may not do anything to an object of this kind and name.
    #[error("step {step}: must not write {}: {}", Name(.object), remedy(*.missing, "objects of this kind and name"))]
    Name {
        /// The step that contributed to it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// What would allow it.
        missing: Missing,
        /// What the step wants to do to it.
        change: Change,
    },
    /// The step sets a privileged field without the privilege.
    #[error(
        "step {step}: must not write `{path}` of {}, which needs the privilege {privilege}: {}",
        Name(.object),
        remedy(*.missing, "it")
    )]
    Privilege {
        /// The step that wrote it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field, with the index of a list entry, as in `spec.template.spec.volumes[0].hostPath`.
        path: String,
        /// The privilege.
        privilege: Privilege,
        /// What would allow it.
        missing: Missing,
    },
    /// The object does not exist, and the step may not create it.
    #[error(
        "step {step}: no earlier step created {}, and the step must not create it: {}",
        Name(.object),
        remedy(*.missing, "its creation")
    )]
    Create {
        /// The step that contributed it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// What would allow it.
        missing: Missing,
    },
    /// The step writes a field without the permission for it.
    #[error("step {step}: must not write `{path}` of {}: {}", Name(.object), remedy(*.missing, "the field"))]
    Permission {
        /// The step that wrote it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field, or the entry that would be added.
        path: FieldPath,
        /// What would allow it.
        missing: Missing,
    },
    /// The field is reserved for the host, for the API server, or for the step that created the object.
    #[error("step {step}: must not write `{path}` of {}: {reason}", Name(.object))]
    Reserved {
        /// The step that wrote it.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field.
        path: FieldPath,
        /// Why.
        reason: &'static str,
    },
    /// A value is not of its field's type.
    #[error("step {step}: `{path}` of {} cannot be merged: {problem}", Name(.object))]
    TypeMismatch {
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
    /// The step lacks the permission to remove the field or entry.
    #[error("step {step}: must not remove `{path}` of {}: {}", Name(.object), remedy(*.missing, "its removal"))]
    RemovePermission {
        /// The step that wants it removed.
        step: String,
        /// The object.
        object: Box<ObjectRef>,
        /// The field or entry.
        path: FieldPath,
        /// What would allow it.
        missing: Missing,
    },
    /// The field or entry cannot be removed.
    #[error("step {step}: must not remove `{path}` of {}: {reason}", Name(.object))]
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
    /// The path of a removal cannot be parsed.
    #[error("step {step}: the path of a removal from {} cannot be used", Name(.object))]
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

/// What a step wants to do to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create it.
    Create,
    /// Set fields of the object of an earlier step: the first one that is not yet as the step wants it, if there is one.
    Set(Option<FieldPath>),
    /// Remove a field or an entry of it.
    Remove(FieldPath),
}

/// Two steps that want different values for one field.
#[derive(Debug, thiserror::Error)]
#[error(
    "steps {owner} and {step} set `{path}` of {} to different values: {owned} and {value}; \
     grant {step} to override it, or let only one of them set it",
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
    /// The later step's value, shortened; a placeholder is hidden.
    pub value: String,
    /// The first step's value, shortened; a placeholder is hidden.
    pub owned: String,
}

/// Writes an object as `apps/v1 StatefulSet orders`.
struct Name<'a>(&'a ObjectRef);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.0.api_version, self.0.kind, self.0.name)
    }
}

fn remedy(missing: Missing, what: &str) -> String {
    match missing {
        Missing::Description => format!("the plugin's description does not ask for {what}"),
        Missing::Grant => format!("the pipeline does not grant the step {what}"),
    }
}

impl Error {
    /// The error of the step that contributed a value of the wrong type.
    pub(super) fn type_mismatch(step: &str, object: &ObjectRef, mismatch: TypeMismatch) -> Self {
        Self::TypeMismatch {
            step: step.to_owned(),
            object: Box::new(object.clone()),
            path: mismatch.path(),
            problem: mismatch.problem,
        }
    }
}

/// A value as an error shows it: at most [`MAX_SHOWN`] characters, and never a credential.
pub(super) fn show(node: &Node) -> String {
    let value = node.clone().into_value();
    if has_placeholder(&value) {
        return "(placeholder)".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(placeholder::PREFIX),
        Value::Array(items) => items.iter().any(has_placeholder),
        Value::Object(fields) => fields.values().any(has_placeholder),
        _ => false,
    }
}
