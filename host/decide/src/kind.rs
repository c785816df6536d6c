//! Kinds of objects.

use std::fmt;
use std::sync::Arc;

use pgloom_api::{ObjectRef, postgresql};
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
        self.kind == other.kind && group(&self.api_version) == group(&other.api_version)
    }

    /// Whether it is this built-in kind, in any version.
    pub fn is(&self, built_in: BuiltIn) -> bool {
        built_in.means(&self.api_version, &self.kind)
    }

    /// Which built-in kind it is, in any version; `None` if it is another one.
    pub fn built_in(&self) -> Option<BuiltIn> {
        BuiltIn::of(&self.api_version, &self.kind)
    }
}

/// The group of an `apiVersion`, as in `apps` of `apps/v1`; empty for the core group.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// A built-in kind about which the host has a rule. A custom resource may have a kind of the same name, in another group:
/// no rule is about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each has the name of its kind")]
pub enum BuiltIn {
    ConfigMap,
    CronJob,
    Deployment,
    Endpoints,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    RoleBinding,
    Secret,
    Service,
    ServiceAccount,
    StatefulSet,
}

impl BuiltIn {
    const ALL: [Self; 12] = [
        Self::ConfigMap,
        Self::CronJob,
        Self::Deployment,
        Self::Endpoints,
        Self::PersistentVolumeClaim,
        Self::Pod,
        Self::PodDisruptionBudget,
        Self::RoleBinding,
        Self::Secret,
        Self::Service,
        Self::ServiceAccount,
        Self::StatefulSet,
    ];

    fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.means(api_version, kind))
    }

    fn means(self, api_version: &str, kind: &str) -> bool {
        (group(api_version), kind) == self.parts()
    }

    /// The `kind`, as in `StatefulSet`.
    pub fn name(self) -> &'static str {
        self.parts().1
    }

    /// The group and the kind.
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::ConfigMap => ("", "ConfigMap"),
            Self::CronJob => ("batch", "CronJob"),
            Self::Deployment => ("apps", "Deployment"),
            Self::Endpoints => ("", "Endpoints"),
            Self::PersistentVolumeClaim => ("", "PersistentVolumeClaim"),
            Self::Pod => ("", "Pod"),
            Self::PodDisruptionBudget => ("policy", "PodDisruptionBudget"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "RoleBinding"),
            Self::Secret => ("", "Secret"),
            Self::Service => ("", "Service"),
            Self::ServiceAccount => ("", "ServiceAccount"),
            Self::StatefulSet => ("apps", "StatefulSet"),
        }
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

    /// Whether the object is the one of this built-in kind and name.
    pub fn is(&self, built_in: BuiltIn, name: &str) -> bool {
        self.name == name && built_in.means(self.api_version, self.kind)
    }

    /// Which built-in kind the object is of; `None` if it is of another one.
    pub fn built_in(&self) -> Option<BuiltIn> {
        BuiltIn::of(self.api_version, self.kind)
    }

    /// The same as findings name it.
    pub fn reference(&self) -> ObjectRef {
        let [api_version, kind, name] = [self.api_version, self.kind, self.name].map(str::to_owned);
        ObjectRef { api_version, kind, name }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_resource_with_the_kind_of_a_built_in_one_is_another_kind() {
        for known in BuiltIn::ALL {
            let (group, name) = known.parts();
            let versions = ["v1", "v1beta1"].map(|version| match group {
                "" => version.to_owned(),
                group => format!("{group}/{version}"),
            });
            for version in versions {
                let kind = Kind::new(&version, name);
                assert!(kind.is(known) && kind.built_in() == Some(known), "{kind}");
            }
            let custom = Kind::new("example.org/v1", name);
            assert!(!custom.is(known) && custom.built_in().is_none(), "{custom}");
        }
    }
}
