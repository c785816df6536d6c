//! Why an object was not written.

use kube::core::Status;
use pgloom_common::error::{FIELD_IMMUTABLE, one_line};
use pgloom_decide::Kind;
use pgloom_decide::kind::of_every_cluster;
use pgloom_decide::ownership::{KINDS, record_of};
use serde_json::Value;

use super::refused_fields::fields;
use crate::rights::{Resource, Rule, Verb, made};

/// How much of the API server's words is kept, in bytes.
const MAX_REASON: usize = 2048;

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused it for what it says.
    #[error("the API server refuses {kind} {name}: {reason}")]
    Refused {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
        /// The fields that it names, in its words.
        fields: Vec<String>,
    },
    /// Another owner has an object of that name.
    #[error(
        "{kind} {name} exists already and is not of this cluster: {reason}; delete it, or choose another name for the \
         cluster"
    )]
    Foreign {
        /// As in `Service`.
        kind: String,
        /// The object's name.
        name: String,
        /// Why it is not.
        reason: String,
    },
    /// The operator may not.
    #[error(
        "the operator may not {verb} {kind} {name} ({reason}); add to its ClusterRole: {rule}; `pgloom rbac` prints all \
         rules"
    )]
    Forbidden {
        /// As in `create`.
        verb: String,
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
        /// The rule that gives what the operator needs for objects of the kind.
        rule: Box<Rule>,
    },
    /// The API server refused it although the operator has the right to write it, as where a quota is exceeded.
    #[error("{by} refuses {kind} {name}: {reason}")]
    Denied {
        /// What refused it, as in `a resource quota`.
        by: &'static str,
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
    },
    /// The operator may not list the objects of a kind.
    #[error(
        "the operator may not list objects of kind {kind}, so it is not known whether the cluster has any; add to its \
         ClusterRole: {rule}{escape}"
    )]
    Unseen {
        /// As in `NetworkPolicy`.
        kind: String,
        /// The rule that gives what the operator needs to delete objects of the kind.
        rule: Box<Rule>,
        /// What else can be done.
        escape: String,
    },
    /// The objects of a kind could not be listed.
    #[error("failed to list the objects of kind {kind}")]
    List {
        /// As in `Pod`.
        kind: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server could not be asked.
    #[error("failed to write {kind} {name}")]
    Write {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// Whether the API server refused one object, while others may be written.
    pub fn is_of_one_object(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Forbidden { .. } | Self::Denied { .. })
    }

    /// The kind and the name of the object, if the API server refused it for what it says.
    pub fn refused(&self) -> Option<(&str, &str)> {
        match self {
            Self::Refused { kind, name, .. } => Some((kind, name)),
            _ => None,
        }
    }

    /// Whether another owner has the object.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign { .. })
    }

    /// Whether the operator lacks the right.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::Unseen { .. })
    }

    /// A stable name for metrics, conditions and events.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Refused { .. } | Self::Denied { .. } => "ObjectRefused",
            Self::Foreign { .. } => "ObjectForeign",
            Self::Forbidden { .. } | Self::Unseen { .. } => "Forbidden",
            Self::List { .. } => "ObserveFailed",
            Self::Write { .. } => "WriteFailed",
        }
    }

    /// Whether the object cannot be changed to what is desired, but could be deleted and created again.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason.contains(FIELD_IMMUTABLE))
    }
}

/// Why the objects of a kind are not known.
pub(super) fn unlisted(kind: &Kind, resource: Resource, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            let is_recorded = !of_every_cluster().contains(kind);
            let escape = format!(
                "; or delete them, and remove {} from the manifest's annotation {KINDS}",
                record_of(std::slice::from_ref(kind))
            );
            Error::Unseen {
                kind: kind.kind.to_string(),
                rule: Box::new(Rule { resource, verbs: [Verb::Delete, Verb::Get, Verb::List].into() }),
                escape: if is_recorded { escape } else { String::new() },
            }
        }
        source => Error::List { kind: kind.kind.to_string(), source: Box::new(source) },
    }
}

pub(super) fn foreign(kind: &Kind, name: &str, reason: String) -> Error {
    Error::Foreign { kind: kind.kind.to_string(), name: name.to_owned(), reason }
}

/// What the operator may not do, by the words of RBAC: `User "x" cannot create resource "services" in API group ""`.
/// `None` if the message has other words.
fn missing_right(message: &str) -> Option<(String, Resource)> {
    let (_, rest) = message.split_once(" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (plural, rest) = rest.split_once("\" in API group \"")?;
    let (group, _) = rest.split_once('"')?;
    Some((verb.to_owned(), Resource { group: group.to_owned(), plural: plural.to_owned() }))
}

/// What refuses a request with the status 403 although the operator has the right to it, by the API server's message;
/// `None` if it names none of them.
fn denied_by(message: &str) -> Option<&'static str> {
    let says = |part: &str| message.contains(part);
    Some(match () {
        () if says("exceeded quota") || says("failed quota") => "a resource quota",
        () if says("violates PodSecurity") => "the namespace's Pod Security level",
        () if says("admission webhook") => "an admission webhook",
        () if says("ValidatingAdmissionPolicy") => "an admission policy",
        () if says("is being terminated") => "a namespace that is being deleted",
        () => return None,
    })
}

/// Whether the API server refuses an object for what it says. An object that server-side apply cannot read as its kind,
/// as for a quantity that is none, has the status 500.
fn refuses(status: &Status) -> bool {
    let is_unreadable = ["failed to create typed patch object", "failed to convert new object"]
        .iter()
        .any(|text| status.message.starts_with(text));
    matches!(status.code, 400 | 422) || status.code == 500 && is_unreadable
}

/// Why a request about an object failed. `sent` is the object that was to be written; null if none was.
pub(super) fn failure(kind: &Kind, name: &str, sent: &Value, error: kube::Error) -> Error {
    let (kind, name) = (kind.kind.to_string(), name.to_owned());
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            let (by, reason) = (denied_by(&status.message), status.message);
            match missing_right(&reason).filter(|_| by.is_none()) {
                Some((verb, resource)) => Error::Forbidden { verb, kind, name, reason, rule: Box::new(made(resource)) },
                None => Error::Denied { by: by.unwrap_or("an admission controller"), kind, name, reason },
            }
        }
        kube::Error::Api(status) if refuses(&status) => {
            let (reason, fields) = (one_line(&status.message, MAX_REASON), fields(&status, sent));
            Error::Refused { kind, name, reason, fields }
        }
        source => Error::Write { kind, name, source: Box::new(source) },
    }
}
