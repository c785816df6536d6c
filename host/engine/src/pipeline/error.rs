//! Why there is no decision.

use std::collections::BTreeMap;

use pgloom_api::{Finding, placeholder};
use pgloom_common::error::one_line;

use super::lack::Lack;
use super::{action, answer, json};
use crate::input::Unreadable;
use crate::{call, convert, merge, model};

/// The longest text of what failed, in bytes: names and values in it are the plugin's.
const MAX_ERROR: usize = 2 << 10;

/// Why there is no decision: a step failed. Nothing is applied to the cluster.
#[derive(Debug, thiserror::Error)]
#[error("step {step} ({plugin} {version}): {phase} failed: {}{}", one_line(&failure.to_string(), MAX_ERROR), remedy(lack.as_deref()))]
pub struct Error {
    /// The step's name in the pipeline.
    pub step: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: Box<str>,
    /// `observe`, `call`, `answer` or `merge`; `load` if there is no pipeline.
    pub phase: &'static str,
    /// What failed.
    pub failure: Box<Failure>,
    /// The permission that the step lacks, if that is why it failed.
    pub lack: Option<Box<Lack>>,
    /// By step name, the fuel of the calls up to the failure, as in [`Decision::fuel`](crate::Decision::fuel).
    pub fuel: BTreeMap<String, u64>,
}

/// What failed in a step.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No pipeline could be loaded.
    #[error("no pipeline is in use: {0}")]
    Unavailable(String),
    /// An object that the step reads could not be read, so the step was not called.
    #[error(transparent)]
    Unreadable(Unreadable),
    /// The call gave no answer.
    #[error(transparent)]
    Call(#[from] call::Error),
    /// The answer violates the contract.
    #[error("the answer violates the contract: {0}")]
    Answer(String),
    /// The answer has too many parts.
    #[error(transparent)]
    Limit(#[from] answer::Limit),
    /// A partial object is not JSON, or is too large.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// An action is refused.
    #[error(transparent)]
    Action(#[from] action::Error),
    /// A contribution holds the placeholder of a credential where it may not.
    #[error("{kind} {name}: {source}")]
    Placeholder {
        /// As in `StatefulSet`.
        kind: String,
        /// The object's name.
        name: String,
        /// The field, and why it is refused.
        source: placeholder::Error,
    },
    /// A contribution is refused.
    #[error(transparent)]
    Merge(#[from] merge::Error),
}

impl Failure {
    /// A stable name in CamelCase.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Call(error) => error.category(),
            Self::Unavailable(_) => "PipelineNotLoaded",
            Self::Unreadable(Unreadable::Forbidden { .. }) => "RightsMissing",
            Self::Unreadable(Unreadable::Unknown { .. }) => "KindUnknown",
            Self::Answer(_) | Self::Json(json::Error::Parse(_)) => "BrokenAnswer",
            Self::Limit(_) | Self::Json(json::Error::Values | json::Error::Depth) => "OutputTooLarge",
            Self::Merge(merge::Error::Conflict(_)) | Self::Action(action::Error::Conflict(_)) => "Conflict",
            Self::Action(_) => "ActionRefused",
            Self::Placeholder { .. } => "InvalidPlaceholder",
            Self::Merge(_) => "ContributionRefused",
        }
    }
}

fn remedy(lack: Option<&Lack>) -> String {
    lack.map(|lack| one_line(&format!("; {lack}"), MAX_ERROR)).unwrap_or_default()
}

impl Error {
    /// The same for a cluster, with the permission that the step lacks.
    pub(super) fn with_lack(mut self, cluster: &str) -> Self {
        let lack = match &*self.failure {
            Failure::Action(action::Error::NotAsked { kind, subject, .. }) => {
                Some(Lack::of_action(*kind, subject, cluster))
            }
            Failure::Merge(error) => Lack::of_merge(error, cluster),
            _ => None,
        };
        self.lack = lack.map(Box::new);
        self
    }

    /// A stable name in CamelCase, for metrics and as the reason of a condition.
    pub fn category(&self) -> &'static str {
        self.failure.category()
    }

    /// Whether the failure depends on the machine and its load; see [`call::Error::is_of_host`].
    pub fn is_of_host(&self) -> bool {
        matches!(&*self.failure, Failure::Call(error) if error.is_of_host())
    }

    /// The findings of a plugin that refuses the manifest; empty for every other failure.
    pub fn findings(&self) -> Vec<Finding> {
        match &*self.failure {
            Failure::Call(call::Error::Refuse(model::Failure::InvalidManifest(findings))) => {
                convert::findings(&self.step, findings.clone())
            }
            _ => Vec::new(),
        }
    }
}
