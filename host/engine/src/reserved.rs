//! Kinds and fields that no plugin may write, because the host or the API server owns them.

use pgloom_api::pod_template;
use serde_json::Value;

use crate::{
    model::{ObjectKind, ObjectRef},
    path::{FieldPath, Segment},
    scope::Scope,
    tree::Node,
};

/// The reason why a plugin must not create an object of a cluster-scoped kind.
pub(crate) const CLUSTER_SCOPED: &str =
    "its kind is cluster-scoped, and a plugin writes only in the namespace of its cluster";

/// The built-in kinds that plugins may create.
const BUILT_IN: [(&str, &str); 9] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "Service"),
];

/// The reasons for kinds that authors of plugins may expect: group, kind (`*` means every kind of the group), reason.
const REASONS: &[(&str, &str, &str)] = &[
    ("", "Namespace", "a plugin writes only in the namespace of its cluster"),
    ("", "Secret", "the host creates credentials; ask for them by a `credential` or `user-list` action"),
    ("", "ServiceAccount", RBAC),
    ("", "PersistentVolumeClaim", "a claim is created by its StatefulSet"),
    ("rbac.authorization.k8s.io", "*", RBAC),
    ("apiextensions.k8s.io", "*", API),
    ("apiregistration.k8s.io", "*", API),
    ("admissionregistration.k8s.io", "*", API),
    ("acid.zalan.do", "*", "a plugin must not change what the user wrote"),
    ("pgloom.dev", "*", "a plugin must not change the pipeline"),
];
const RBAC: &str = "only the host creates service accounts, roles and role bindings";
const API: &str = "a plugin must not change the API of the cluster";
const OTHER: &str = "plugins create Deployments, StatefulSets, CronJobs, Jobs, NetworkPolicies, PodDisruptionBudgets, \
                     ConfigMaps, Endpoints, Services and custom resources only";

/// The groups of Kubernetes without a dot in their names, besides the core group, and the end of the names of the
/// others.
const KUBERNETES: [&str; 5] = ["apps", "autoscaling", "batch", "extensions", "policy"];
const KUBERNETES_END: &str = ".k8s.io";

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
const CREATOR_FIELDS: &[&str] = &["podSelector", "selector", "volumeClaimTemplates"];
const CREATOR: &str = "only the step that created the object may set it";

/// The reason why plugins must not create objects of the kind, if there is one. They may create some built-in kinds,
/// and custom resources.
pub(crate) fn kind(kind: &ObjectKind) -> Option<&'static str> {
    let group = group(&kind.api_version);
    let matches =
        |(reserved, name, _): &&(&str, &str, &str)| *reserved == group && (*name == "*" || *name == kind.kind);
    if let Some((_, _, reason)) = REASONS.iter().find(matches) {
        return Some(reason);
    }
    let is_custom = !group.is_empty() && !KUBERNETES.contains(&group) && !group.ends_with(KUBERNETES_END);
    let is_built_in = BUILT_IN.contains(&(kind.api_version.as_str(), kind.kind.as_str()));
    (!is_custom && !is_built_in).then_some(OTHER)
}

/// The group of an `apiVersion`, as in `apps` of `apps/v1`; empty for the core group.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The first field of a partial object that the step must not set, and the reason; `own`: the step created the object.
pub(crate) fn field(root: &Node, own: bool, scope: &Scope) -> Option<(FieldPath, &'static str)> {
    let path =
        |segments: &[&str]| FieldPath::new(segments.iter().map(|name| Segment::Field((*name).to_owned())).collect());
    if root.field("status").is_some() {
        return Some((path(&["status"]), STATUS));
    }
    let metadata = root.field("metadata")?;
    if let Some((name, reason)) = METADATA.iter().find(|(name, _)| metadata.field(name).is_some()) {
        return Some((path(&["metadata", name]), reason));
    }
    if let Some((map, key, reason)) = identity(metadata, scope) {
        return Some((path(&["metadata", map, key]), reason));
    }
    let spec = root.field("spec").filter(|_| !own)?;
    let name = CREATOR_FIELDS.iter().find(|name| spec.field(name).is_some())?;
    Some((path(&["spec", name]), CREATOR))
}

/// The prefix of the host's own labels and annotations.
const HOST: &str = "pgloom.dev/";
const STAMPED: &str = "the host sets it, to find the cluster's objects";

/// The first label or annotation by which the host identifies objects, if the object would have another value: whether
/// it is a label or an annotation, and its key.
fn identity<'a>(metadata: &'a Node, scope: &Scope) -> Option<(&'static str, &'a str, &'static str)> {
    let entries = |map: &'static str| {
        let fields = metadata.field(map).into_iter().flat_map(Node::fields);
        fields.map(move |(key, value)| (map, key, value))
    };
    let is_wrong = |(map, key, value): &(&str, &str, &Node)| {
        let wanted = scope.labels.get(*key).filter(|_| *map == "labels");
        key.starts_with(HOST) || wanted.is_some_and(|wanted| !value.is_text(wanted))
    };
    let (map, key, _) = entries("labels").chain(entries("annotations")).find(is_wrong)?;
    Some((map, key, STAMPED))
}

/// What selects pods: the labels that a pod must have. A disruption budget or a policy without that of the cluster would
/// hold the pods of others, or close their ports.
const SELECTORS: [(&str, &str, &[&str]); 3] = [
    ("v1", "Service", &["spec", "selector"]),
    ("policy/v1", "PodDisruptionBudget", &["spec", "selector", "matchLabels"]),
    ("networking.k8s.io/v1", "NetworkPolicy", &["spec", "podSelector", "matchLabels"]),
];
const OF_CLUSTER: &str = "it has to be the cluster's own, so that the object reaches no pod of others";

/// The first label by which the object's pods would be those of another cluster, or by which it would select pods of
/// others; `creates`: no earlier step has contributed to the object.
pub(crate) fn pods(
    kind: &ObjectKind,
    object: &Value,
    creates: bool,
    scope: &Scope,
) -> Option<(FieldPath, &'static str)> {
    let at =
        |path: &[&str]| path.iter().try_fold(object, |value, name| value.get(name)).filter(|value| !value.is_null());
    let wrong = |path: &[&str], is_required: bool| {
        let labels = at(path);
        let is_wrong = |(key, wanted): &(&String, &String)| match labels.and_then(|labels| labels.get(*key)) {
            Some(value) => value != *wanted,
            None => is_required,
        };
        let (key, _) = scope.labels.iter().find(is_wrong)?;
        let names = path.iter().copied().chain([key.as_str()]);
        Some((FieldPath::new(names.map(|name| Segment::Field(name.to_owned())).collect()), OF_CLUSTER))
    };
    let (api_version, name) = (kind.api_version.as_str(), kind.kind.as_str());
    if let Some(template) = pod_template::path(api_version, name) {
        let labels = [template, &["metadata", "labels"]].concat();
        return wrong(&labels, false).or_else(|| wrong(&["spec", "selector", "matchLabels"], false));
    }
    let (_, _, path) = SELECTORS.iter().find(|(version, kind, _)| (*version, *kind) == (api_version, name))?;
    let is_required = match name {
        // It changes nothing for the pods that it selects.
        "Service" => false,
        _ => creates || at(&path[..2]).is_some(),
    };
    wrong(path, is_required)
}

/// The reason why no step must write the object, if there is one.
pub(crate) fn kept(object: &ObjectRef, scope: &Scope) -> Option<&'static str> {
    let key = (object.kind.clone(), object.name.clone());
    scope.kept.contains(&key).then_some("the members of the database keep their state in it")
}

/// The reason why a step must not remove the field or anything around it, if there is one.
pub(crate) fn unremovable(path: &FieldPath, own: bool, scope: &Scope) -> Option<&'static str> {
    let names: Vec<&str> = path.segments().iter().map_while(Segment::name).collect();
    match names.as_slice() {
        ["apiVersion" | "kind" | "metadata"] | ["metadata", "name" | "namespace", ..] => {
            Some("it identifies the object")
        }
        ["status", ..] => Some(STATUS),
        ["metadata", "labels"] => Some(STAMPED),
        ["metadata", "labels", key] if scope.labels.contains_key(*key) => Some(STAMPED),
        ["metadata", name, ..] => METADATA.iter().find(|(field, _)| field == name).map(|(_, reason)| *reason),
        ["spec"] if !own => Some(CREATOR),
        ["spec", name, ..] if !own && CREATOR_FIELDS.contains(name) => Some(CREATOR),
        ["spec", "podSelector", ..] => Some(OF_CLUSTER),
        _ => None,
    }
}
