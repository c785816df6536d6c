//! Why a reconcile failed, and when it is tried again.

use std::time::Duration;

use kube::runtime::controller::Action;
use pgloom_common::duration::doubled;
use pgloom_decide as decide;

use crate::execute::password;
use crate::leader::fencing;
use crate::{apply, observe};

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that exists for the cluster, or that the manifest names, could not be read.
    #[error("failed to observe the cluster")]
    Observe(#[source] observe::Error),
    /// The infrastructure roles could not be read.
    #[error("failed to read the infrastructure roles")]
    Infrastructure(#[source] kube::Error),
    /// A request or a step took too long.
    #[error("the reconcile did not end within {} s", .0.as_secs())]
    Deadline(Duration),
    /// The leadership ended before the reconcile.
    #[error("the reconcile was stopped")]
    NotLeading(#[source] fencing::Closed),
    /// The Secrets of the cluster could not be listed.
    #[error("failed to list the Secrets of the cluster")]
    Secrets(#[source] Box<kube::Error>),
    /// No plan could be made.
    #[error("failed to decide")]
    Decide(#[source] decide::Error),
    /// The thread of the decision ended before the decision.
    #[error("the decision was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
    /// The StatefulSet exists and no step makes it. Without it in the plan everything of the cluster would be superfluous.
    #[error(
        "no step of the pipeline makes the StatefulSet {name}, which exists; nothing is changed until the pipeline has the \
        step that makes it, and the manifest matches that step"
    )]
    NoStatefulSet {
        /// Its name.
        name: String,
    },
    /// The cluster was made with another `cluster_name_label`, so the watches do not see what it is made of.
    #[error(
        "the StatefulSet {name} finds its pods by the label {former}, and cluster_name_label is {label} now; \
        set cluster_name_label of the operator configuration to {former} again"
    )]
    NameLabel {
        /// The cluster's name.
        name: String,
        /// `cluster_name_label`.
        label: String,
        /// The label by which the StatefulSet finds its pods.
        former: String,
    },
    /// The manifest was deleted, or deleted and created again, and the watch has not reported it yet.
    #[error("the manifest is gone")]
    Gone,
    /// An object was not written.
    #[error("failed to apply the plan")]
    Apply(#[source] apply::Error),
    /// One object was refused, or is another owner's; the others were written.
    #[error("{by}")]
    Object {
        /// The steps that set what was refused, or the step that created the object: as in `step patches, which set spec.a`.
        by: String,
        /// Why it was not written.
        #[source]
        source: Box<apply::Error>,
    },
    /// A Secret could not be read or written.
    #[error("failed to read or write the Secret {name}")]
    Secret {
        /// The Secret's name.
        name: String,
        /// The request's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// A system user may have a password that is not known. A new one would lock the user out.
    #[error(
        "the password of \"{username}\" is not known: its Secret {name} is missing ({reason}); \
        create the Secret with the keys username and password, or bind the ClusterRole pgloom-recover to the operator, \
        so that it reads the password from a member"
    )]
    Recover {
        /// The role's name.
        username: String,
        /// The Secret's name.
        name: String,
        /// Why the password is not known.
        reason: String,
    },
    /// A role may have a password that is not known, and the operator may not set another one in the database.
    #[error(
        "the password of \"{username}\" is not known: its Secret {name} is missing, and enable_database_access of the \
        operator configuration is false, so no other password can be set; create the Secret with the keys username and \
        password, or set enable_database_access to true"
    )]
    SetPassword {
        /// The role's name.
        username: String,
        /// The Secret's name.
        name: String,
    },
    /// No password could be made.
    #[error("failed to make a password")]
    Password(#[source] password::Error),
    /// A pod could not be read or deleted.
    #[error("failed to roll pod {pod}")]
    Roll {
        /// The pod's name.
        pod: String,
        /// The request's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// The manifest itself could not be written.
    #[error("failed to write the manifest's {part}")]
    Manifest {
        /// `finalizers`, `annotations`, `metadata` or `status`.
        part: &'static str,
        /// The request's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something that was made for the cluster could not be removed.
    #[error("failed to remove the cluster")]
    Delete(#[source] apply::Error),
}

impl Error {
    /// A stable name for metrics, conditions and events.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Observe(_) | Self::Infrastructure(_) | Self::Secrets(_) => "ObserveFailed",
            Self::Decide(error) => error.category(),
            Self::Deadline(_) => "Deadline",
            Self::NotLeading(_) => "NotLeading",
            Self::Interrupted(_) => "Interrupted",
            Self::Object { source, .. } => source.category(),
            Self::Apply(error) | Self::Delete(error) => error.category(),
            Self::Secret { .. } | Self::Manifest { .. } => "WriteFailed",
            Self::NoStatefulSet { .. } => "NoStatefulSet",
            Self::NameLabel { .. } => "NameLabelChanged",
            Self::Gone => "ManifestGone",
            Self::Recover { .. } | Self::SetPassword { .. } => "PasswordUnknown",
            Self::Password(_) => "NoPassword",
            Self::Roll { .. } => "RollFailed",
        }
    }

    /// Whether the API server refused one object, or a Secret has no usable password, while the others are as they were.
    pub fn is_of_one_object(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_of_one_object(),
            Self::Object { .. } | Self::Password(_) | Self::Recover { .. } => true,
            _ => false,
        }
    }

    /// Whether another owner has the object.
    pub fn is_foreign(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_foreign(),
            Self::Object { source, .. } => source.is_foreign(),
            _ => false,
        }
    }

    /// Whether the operator lacks a right.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Apply(error) | Self::Delete(error) => error.is_forbidden(),
            Self::Object { source, .. } => source.is_forbidden(),
            _ => false,
        }
    }

    /// When to try again after so many failures in a row, `repair` at the latest. What only people can mend is tried
    /// again after `repair`: an edit of the manifest is watched, but not every object that the manifest names.
    pub fn requeue(&self, failures: u32, repair: Duration) -> Action {
        match self {
            Self::Decide(decide::Error::Manifest(_) | decide::Error::Adoption(_) | decide::Error::Configuration(_))
            | Self::NoStatefulSet { .. }
            | Self::NameLabel { .. } => Action::requeue(repair),
            _ if self.is_foreign() || self.is_forbidden() => Action::requeue(repair),
            _ => Action::requeue(doubled(Duration::from_secs(1), failures, repair)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::{Resource, made};

    const REPAIR: Duration = Duration::from_secs(300);

    fn refused() -> Error {
        Error::Apply(apply::Error::Refused {
            kind: "Service".into(),
            name: "c".into(),
            reason: "no".into(),
            fields: vec![],
        })
    }

    #[test]
    fn a_manifest_that_cannot_be_used_is_tried_again_after_the_repair_period() {
        let error = Error::Decide(decide::Error::Manifest(vec![]));
        assert_eq!(error.requeue(0, REPAIR), Action::requeue(REPAIR));
    }

    #[test]
    fn other_failures_are_tried_again_ever_later_and_within_the_repair_period() {
        let after = |failures| refused().requeue(failures, REPAIR);
        assert_eq!(after(0), Action::requeue(Duration::from_secs(1)));
        assert_eq!(after(3), Action::requeue(Duration::from_secs(8)));
        assert_eq!(after(40), Action::requeue(REPAIR));
    }

    #[test]
    fn what_the_operator_has_no_right_to_do_is_tried_again_after_the_repair_period() {
        let forbidden = || apply::Error::Forbidden {
            verb: "create".into(),
            kind: "Service".into(),
            name: "c".into(),
            reason: "no".into(),
            rule: Box::new(made(Resource { group: String::new(), plural: "services".into() })),
        };
        for error in [
            Error::Apply(forbidden()),
            Error::Delete(forbidden()),
            Error::Object { by: "step one".into(), source: Box::new(forbidden()) },
        ] {
            assert_eq!(error.requeue(0, REPAIR), Action::requeue(REPAIR));
            assert!(error.is_forbidden());
        }
    }
}
