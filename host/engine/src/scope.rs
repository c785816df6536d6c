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
    /// The labels by which Services and disruption budgets select the members; empty if that does not matter.
    pub members: BTreeMap<String, String>,
    /// The label with the role of a member, which Patroni sets.
    pub role_label: String,
}
