//! The errors of a decision.

use pgloom_api::finding::errors;
use pgloom_api::{Finding, placeholder};
use pgloom_engine::RunError;

use crate::adoption::Adoption;
use crate::service_account;

/// The reason why there is no plan. The running cluster is not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest cannot be used.
    #[error("{}", errors(.0, "\n"))]
    Manifest(Vec<Finding>),
    /// Taking over the cluster of the Zalando operator would restart its pods, and the manifest does not allow it.
    #[error("{0}")]
    Adoption(Box<Adoption>),
    /// The operator configuration cannot be used.
    #[error("the operator configuration cannot be used: {0}")]
    Configuration(#[from] service_account::Error),
    /// A step of the pipeline failed.
    #[error("{0}")]
    Pipeline(Box<RunError>),
    /// A step wrote a placeholder that cannot be filled in.
    #[error("{kind} {name} cannot be applied: {source}")]
    Placeholder {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// The reason why it cannot be filled in.
        #[source]
        source: placeholder::Error,
    },
}

impl Error {
    /// A stable name in CamelCase, for metrics and as the reason of a condition.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "InvalidManifest",
            Self::Adoption(_) => "AdoptionRestarts",
            Self::Configuration(_) => "InvalidConfiguration",
            Self::Pipeline(error) => error.category(),
            Self::Placeholder { .. } => "InvalidPlaceholder",
        }
    }
}
