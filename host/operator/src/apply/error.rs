//! Why an object was not written.

use pgloom_common::error::FIELD_IMMUTABLE;
use pgloom_decide::Kind;

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
    #[error("the operator may not write {kind} {name}; see manifests/rbac.yaml for the rights that it needs: {reason}")]
    Forbidden {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// In the API server's words.
        reason: String,
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
    /// Whether the object cannot be changed to what is desired, but could be deleted and created again.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason.contains(FIELD_IMMUTABLE))
    }
}

pub(super) fn foreign(kind: &Kind, name: &str, reason: String) -> Error {
    Error::Foreign { kind: kind.kind.to_string(), name: name.to_owned(), reason }
}

/// What refuses a request with the status 403 although the operator has the right to it, by the API server's message;
/// `None` if the right is missing.
fn denied_by(message: &str) -> Option<&'static str> {
    let says = |part: &str| message.contains(part);
    Some(match () {
        () if says("exceeded quota") || says("failed quota") => "a resource quota",
        () if says("violates PodSecurity") => "the namespace's Pod Security level",
        () if says("admission webhook") => "an admission webhook",
        () if says("ValidatingAdmissionPolicy") => "an admission policy",
        () if says("is being terminated") => "a namespace that is being deleted",
        // The words of RBAC: User "x" cannot create resource "services" in API group "".
        () if says("cannot") && says("resource \"") => return None,
        () => "an admission controller",
    })
}

pub(super) fn failure(kind: &Kind, name: &str, error: kube::Error) -> Error {
    let (kind, name) = (kind.kind.to_string(), name.to_owned());
    match error {
        kube::Error::Api(status) if status.code == 403 => match denied_by(&status.message) {
            Some(by) => Error::Denied { by, kind, name, reason: status.message },
            None => Error::Forbidden { kind, name, reason: status.message },
        },
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
            Error::Refused { kind, name, reason: status.message }
        }
        source => Error::Write { kind, name, source: Box::new(source) },
    }
}
