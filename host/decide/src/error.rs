//! Why there is no plan.

use pgloom_api::seal;
use pgloom_engine::{Finding, RunError};

use crate::{finding, service_account};

/// Why there is no plan. The cluster is held as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest cannot be used.
    #[error("{}", finding::joined(.0))]
    Manifest(Vec<Finding>),
    /// The operator configuration cannot be used.
    #[error("the operator configuration cannot be used: {0}")]
    Configuration(#[from] service_account::Error),
    /// A step of the pipeline gave no answer that could be used.
    #[error("{0}")]
    Pipeline(Box<RunError>),
    /// A step wrote a seal that cannot be opened.
    #[error("{kind} {name} cannot be applied: {source}")]
    Seal {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What is wrong with the seal.
        #[source]
        source: seal::Error,
    },
}

impl Error {
    /// A stable word for metrics and conditions.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "InvalidManifest",
            Self::Configuration(_) => "InvalidConfiguration",
            Self::Pipeline(error) => error.category(),
            Self::Seal { .. } => "SealBroken",
        }
    }
}
