//! The Pipeline document: which plugins run, in which order, and what each may do.
//!
//! [`Pipeline`] is the document as its author writes it, in a file or as a Kubernetes object; [`Document`] is what the
//! engine needs: units parsed, names checked, defaults filled in.

mod document;
mod spec;

pub use document::{
    DEFAULT_DEADLINE, DEFAULT_FUEL, DEFAULT_MEMORY, Digest, Document, Grants, KindPaths, Limits, MAX_DEADLINE,
    MAX_FUEL, MAX_MEMORY, Match, OnFailure, SecretsGrant, Source, Step, WriteGrant,
};
pub use spec::{
    GrantsSpec, KindPathsSpec, LabelRequirement, LastLoaded, LimitsSpec, MatchSpec, OnFailureSpec, Pipeline,
    PipelineSpec, PipelineStatus, Selector, SourceSpec, StepSpec, StepStatus, WriteGrantSpec,
};
