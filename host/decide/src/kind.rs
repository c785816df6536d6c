//! Kinds of objects.

use std::fmt;
use std::sync::Arc;

use pgloom_api::postgresql;
use serde_json::Value;

/// A kind of object, as in `apps/v1` `StatefulSet`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Group and version; the core group is just `v1`.
    pub api_version: Arc<str>,
    /// In CamelCase, except for `postgresql`.
    pub kind: Arc<str>,
}

impl Kind {
    /// A kind by `apiVersion` and `kind`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        Self { api_version: api_version.into(), kind: kind.into() }
    }

    /// The kind of an object; `None` if it has no `apiVersion` or no `kind`.
    pub fn of(object: &Value) -> Option<Self> {
        Some(Self::new(object.get("apiVersion")?.as_str()?, object.get("kind")?.as_str()?))
    }

    /// The kind of a cluster: `acid.zalan.do/v1` `postgresql`.
    pub fn cluster() -> Self {
        Self::new(postgresql::API_VERSION, postgresql::KIND)
    }

    /// Whether it is the same kind of the same group, in any version: all versions of a kind are the same objects.
    pub fn is_same(&self, other: &Self) -> bool {
        fn group(kind: &Kind) -> &str {
            kind.api_version.split_once('/').map_or("", |(group, _)| group)
        }
        self.kind == other.kind && group(self) == group(other)
    }

    /// Whether the `kind` is this one, without a look at the `apiVersion`: for the kinds of [`of_every_cluster`].
    pub fn is(&self, kind: &str) -> bool {
        &*self.kind == kind
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)
    }
}

/// The fields that identify an object, borrowed from it. A missing field is an empty string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey<'a> {
    /// Group and version, as in `apps/v1`.
    pub api_version: &'a str,
    /// The kind, as in `StatefulSet`.
    pub kind: &'a str,
    /// `metadata.namespace`; empty for a cluster-wide object and for a file that names none.
    pub namespace: &'a str,
    /// `metadata.name`.
    pub name: &'a str,
}

impl<'a> ObjectKey<'a> {
    /// What identifies `object`.
    pub fn of(object: &'a Value) -> Self {
        let text = |value: Option<&'a Value>| value.and_then(Value::as_str).unwrap_or_default();
        let of_metadata = |field: &str| text(object.get("metadata").and_then(|metadata| metadata.get(field)));
        Self {
            api_version: text(object.get("apiVersion")),
            kind: text(object.get("kind")),
            namespace: of_metadata("namespace"),
            name: of_metadata("name"),
        }
    }

    /// Whether the object is the one of this kind and name.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        (self.kind, self.name) == (kind, name)
    }
}

/// The kinds of objects that any cluster may have, without those that plugins add.
pub fn of_every_cluster() -> Vec<Kind> {
    [
        ("v1", "Service"),
        ("v1", "Endpoints"),
        ("v1", "Secret"),
        ("v1", "Pod"),
        ("v1", "PersistentVolumeClaim"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "Deployment"),
        ("batch/v1", "CronJob"),
        ("policy/v1", "PodDisruptionBudget"),
    ]
    .map(|(api_version, kind)| Kind::new(api_version, kind))
    .to_vec()
}
