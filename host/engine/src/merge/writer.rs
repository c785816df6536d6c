//! Who contributes: the step whose contribution is being merged.

use crate::permission::Permissions;

/// The step whose contribution is being merged.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The step's name in the pipeline.
    pub step: &'a str,
    /// What the step may do.
    pub permissions: &'a Permissions,
}
