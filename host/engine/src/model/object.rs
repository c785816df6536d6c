//! Kinds of objects.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKind {
    /// Group and version, as in `apps/v1`; the core group is `v1`.
    pub api_version: String,
    /// The kind, as in `StatefulSet`.
    pub kind: String,
}

impl ObjectKind {
    /// The kind of this group, version and name, as in `("apps/v1", "StatefulSet")`.
    pub fn new(api_version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { api_version: api_version.into(), kind: kind.into() }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)
    }
}
