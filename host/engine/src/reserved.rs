//! Kinds and fields that no plugin may write, because the host or the API server owns them.

use crate::{
    model::ObjectKind,
    path::{FieldPath, Segment},
    tree::Node,
};

/// The reason why a plugin must not create an object of a cluster-scoped kind.
pub(crate) const CLUSTER_SCOPED: &str =
    "its kind is cluster-scoped, and a plugin writes only in the namespace of its cluster";

/// The kinds that plugins must not create: group, kind (`*` means every kind of the group), reason.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "Namespace", "a plugin writes only in the namespace of its cluster"),
    ("", "Secret", "the host creates credentials; ask for them by a `credential` or `user-list` action"),
    ("", "ServiceAccount", RBAC),
    ("rbac.authorization.k8s.io", "Role", RBAC),
    ("rbac.authorization.k8s.io", "RoleBinding", RBAC),
    ("rbac.authorization.k8s.io", "ClusterRole", RBAC),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", RBAC),
    ("apiextensions.k8s.io", "CustomResourceDefinition", API),
    ("apiregistration.k8s.io", "APIService", API),
    ("admissionregistration.k8s.io", "*", API),
    ("acid.zalan.do", "*", "a plugin must not change what the user wrote"),
    ("pgloom.dev", "*", "a plugin must not change the pipeline"),
];
const RBAC: &str = "only the host creates service accounts, roles and role bindings";
const API: &str = "a plugin must not change the API of the cluster";

/// The fields of `metadata` that no plugin may set, with the reason. Most are the server's own, see
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>.
const METADATA: &[(&str, &str)] = &[
    ("creationTimestamp", SERVER),
    ("deletionGracePeriodSeconds", SERVER),
    ("deletionTimestamp", SERVER),
    ("finalizers", "the host decides when an object is deleted"),
    ("generateName", "an object is identified by its name"),
    ("generation", SERVER),
    ("managedFields", SERVER),
    ("ownerReferences", "the host sets the owners of an object"),
    ("resourceVersion", SERVER),
    ("selfLink", SERVER),
    ("uid", SERVER),
];
const SERVER: &str = "the API server sets it";
const STATUS: &str = "a status is observed, not desired";

/// The fields of `spec` that only the step that created the object may set.
const CREATOR_FIELDS: &[&str] = &["selector", "volumeClaimTemplates"];
const CREATOR: &str = "only the step that created the object may set it";

/// The reason why plugins must not create objects of the kind, if there is one.
pub(crate) fn kind(kind: &ObjectKind) -> Option<&'static str> {
    let group = group(&kind.api_version);
    let matches =
        |(reserved, name, _): &&(&str, &str, &str)| *reserved == group && (*name == "*" || *name == kind.kind);
    KINDS.iter().find(matches).map(|(_, _, reason)| *reason)
}

/// The group of an `apiVersion`, as in `apps` of `apps/v1`; empty for the core group.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The first field of a partial object that the step must not set, and the reason; `own`: the step created the object.
pub(crate) fn field(root: &Node, own: bool) -> Option<(FieldPath, &'static str)> {
    let path =
        |segments: &[&str]| FieldPath::new(segments.iter().map(|name| Segment::Field((*name).to_owned())).collect());
    if root.field("status").is_some() {
        return Some((path(&["status"]), STATUS));
    }
    let metadata = root.field("metadata")?;
    if let Some((name, reason)) = METADATA.iter().find(|(name, _)| metadata.field(name).is_some()) {
        return Some((path(&["metadata", name]), reason));
    }
    let spec = root.field("spec").filter(|_| !own)?;
    let name = CREATOR_FIELDS.iter().find(|name| spec.field(name).is_some())?;
    Some((path(&["spec", name]), CREATOR))
}

/// The reason why a step must not remove the field or anything around it, if there is one.
pub(crate) fn unremovable(path: &FieldPath, own: bool) -> Option<&'static str> {
    let names: Vec<&str> = path.segments().iter().map_while(Segment::name).collect();
    match names.as_slice() {
        ["apiVersion" | "kind" | "metadata"] | ["metadata", "name" | "namespace", ..] => {
            Some("it identifies the object")
        }
        ["status", ..] => Some(STATUS),
        ["metadata", name, ..] => METADATA.iter().find(|(field, _)| field == name).map(|(_, reason)| *reason),
        ["spec"] if !own => Some(CREATOR),
        ["spec", name, ..] if !own && CREATOR_FIELDS.contains(name) => Some(CREATOR),
        _ => None,
    }
}
