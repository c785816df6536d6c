//! From the contract's types to those of the API crate, and back. The compiler checks that both have the same cases.

use pgloom_api::{ActionKind, ActionPhase, Finding, ObjectRef, Severity};

use crate::contract;

impl contract::Action {
    /// The kind of the action.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Credential(_) => ActionKind::Credential,
            Self::UserList(_) => ActionKind::UserList,
            Self::PoolerAccess(_) => ActionKind::PoolerAccess,
            Self::ConfigurePatroni(_) => ActionKind::ConfigurePatroni,
            Self::Promote => ActionKind::Promote,
            Self::ExpandClaim(_) => ActionKind::ExpandClaim,
            Self::ModifyVolume(_) => ActionKind::ModifyVolume,
            Self::GrowFilesystem(_) => ActionKind::GrowFilesystem,
        }
    }
}

impl From<contract::ActionKind> for ActionKind {
    fn from(kind: contract::ActionKind) -> Self {
        match kind {
            contract::ActionKind::Credential => Self::Credential,
            contract::ActionKind::UserList => Self::UserList,
            contract::ActionKind::PoolerAccess => Self::PoolerAccess,
            contract::ActionKind::ConfigurePatroni => Self::ConfigurePatroni,
            contract::ActionKind::Promote => Self::Promote,
            contract::ActionKind::ExpandClaim => Self::ExpandClaim,
            contract::ActionKind::ModifyVolume => Self::ModifyVolume,
            contract::ActionKind::GrowFilesystem => Self::GrowFilesystem,
        }
    }
}

impl From<ActionPhase> for contract::ActionPhase {
    fn from(phase: ActionPhase) -> Self {
        match phase {
            ActionPhase::Pending => Self::Pending,
            ActionPhase::Running => Self::Running,
            ActionPhase::Done => Self::Done,
            ActionPhase::Failed => Self::Failed,
            ActionPhase::Refused => Self::Refused,
        }
    }
}

impl From<contract::Severity> for Severity {
    fn from(severity: contract::Severity) -> Self {
        match severity {
            contract::Severity::Info => Self::Info,
            contract::Severity::Warning => Self::Warning,
            contract::Severity::Error => Self::Error,
        }
    }
}

impl From<contract::ObjectRef> for ObjectRef {
    fn from(object: contract::ObjectRef) -> Self {
        let contract::ObjectRef { api_version, kind, name } = object;
        Self { api_version, kind, name }
    }
}

/// A finding of a step.
pub(crate) fn finding(step: &str, finding: contract::Finding) -> Finding {
    let contract::Finding { severity, message, path, object, remedy } = finding;
    Finding {
        severity: severity.into(),
        step: Some(step.to_owned()),
        object: object.map(ObjectRef::from),
        path,
        message,
        remedy,
    }
}
