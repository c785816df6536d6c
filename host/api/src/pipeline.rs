//! The Pipeline document: which plugins run, in which order, and what each may do.
//!
//! [`Pipeline`] is the document as its author writes it, in a file or as a Kubernetes object; [`Document`] is what the
//! engine needs: units parsed, names checked, defaults filled in.

mod document;
mod rollout;
mod spec;

pub use document::{
    ActionGrant, Artifact, DEFAULT_DEADLINE, DEFAULT_FUEL, DEFAULT_MEMORY, Digest, Document, Grants, KindGrant, Limits,
    MAX_DEADLINE, MAX_FUEL, MAX_MEMORY, Match, Mismatch, ObjectGrant, OnFailure, ReadGrant, Source, Step,
};
pub use rollout::{
    ImpactExample, ImpactStatus, Rollout, RolloutPhase, RolloutSpec, RolloutStatus, UnwellStatus, without_rollout,
};
pub use spec::{
    ActionGrantSpec, GrantsSpec, KindGrantSpec, LabelRequirement, LastLoaded, LimitsSpec, MatchSpec, ObjectGrantSpec,
    OnFailureSpec, Pipeline, PipelineSpec, PipelineStatus, ReadGrantSpec, SecretNameSpec, Selector, SourceSpec,
    StepSpec, StepStatus,
};
