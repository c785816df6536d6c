//! Who contributes: the step whose contribution is being merged, and the steps that contributed before.

use crate::permission::Permissions;

/// The step whose contribution is being merged.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The step's name in the pipeline.
    pub step: &'a str,
    /// What the step may do.
    pub permissions: &'a Permissions,
}

/// A step that has contributed.
#[derive(Clone)]
pub(super) struct Contributor {
    /// The step's name in the pipeline.
    pub(super) name: String,
    /// Whether the step reads Secrets, so that no error shows its values.
    pub(super) confidential: bool,
}
