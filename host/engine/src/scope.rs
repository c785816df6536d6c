//! The cluster whose objects are merged.

use std::collections::{BTreeMap, BTreeSet};

/// What the merge needs to know about the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The cluster's namespace. All objects are in it.
    pub namespace: String,
    /// The cluster's name.
    pub cluster: String,
    /// The names of the cluster's Secrets.
    pub secrets: BTreeSet<String>,
    /// The labels by which the host finds the cluster's objects. No object may have another value of them.
    pub labels: BTreeMap<String, String>,
}
