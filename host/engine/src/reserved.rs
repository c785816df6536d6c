//! Kinds and fields that no plugin may write, because the host or the API server owns them.

use pgloom_api::pod_template;
use pgloom_common::name::{MEMBER_STATUS, PATRONI, is_patronis};
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
const CREATOR_FIELDS: &[&str] = &["selector", "volumeClaimTemplates"];
const CREATOR: &str = "only the step that created the object may set it";

/// The reason why plugins must not create objects of the kind, if there is one. They may create some built-in kinds,
/// and custom resources.
#[must_use]
pub fn kind(kind: &ObjectKind) -> Option<&'static str> {
    let group = group(&kind.api_version);
    let matches =
        |(reserved, name, _): &&(&str, &str, &str)| *reserved == group && (*name == "*" || *name == kind.kind);
    if let Some((_, _, reason)) = REASONS.iter().find(matches) {
        return Some(reason);
    }
    let is_custom = !is_of_kubernetes(&kind.api_version);
    let is_built_in = BUILT_IN.contains(&(kind.api_version.as_str(), kind.kind.as_str()));
    (!is_custom && !is_built_in).then_some(OTHER)
}

/// Whether the kinds of the `apiVersion` are Kubernetes' own, not those of a custom resource.
pub(crate) fn is_of_kubernetes(api_version: &str) -> bool {
    let group = group(api_version);
    group.is_empty() || KUBERNETES.contains(&group) || group.ends_with(KUBERNETES_END)
}

/// The reason why plugins must not write the object, if there is one: Patroni keeps the state of the cluster in it.
pub(crate) fn name(object: &ObjectRef, scope: &Scope) -> Option<&'static str> {
    let ObjectRef { api_version, kind, name } = object;
    // Of a cluster whose name begins as this one's. People name ConfigMaps so, too, but only `-config` for other purposes,
    // and a cluster: then the object is this cluster's own.
    let suffixes: &[&str] = match kind.as_str() {
        "Endpoints" => &PATRONI,
        "ConfigMap" => PATRONI.get(1..).unwrap_or_default(),
        _ => &[],
    };
    let is_patronis = is_patronis(api_version, kind, &scope.cluster, name)
        || api_version == "v1" && *name != scope.cluster && suffixes.iter().any(|suffix| name.ends_with(suffix));
    is_patronis.then_some(PATRONIS)
}

/// The group of an `apiVersion`, as in `apps` of `apps/v1`; empty for the core group.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The first field of a partial object that the step must not set, and the reason; `own`: the step created the object.
pub(crate) fn field(object: &ObjectRef, root: &Node, own: bool, scope: &Scope) -> Option<(FieldPath, &'static str)> {
    let path =
        |segments: &[&str]| FieldPath::new(segments.iter().map(|name| Segment::Field((*name).to_owned())).collect());
    if root.field("status").is_some() {
        return Some((path(&["status"]), STATUS));
    }
    if let Some(segments) = patronis_annotation(object, root, scope) {
        return Some((path(&segments), PATRONIS));
    }
    let metadata = root.field("metadata")?;
    if let Some((name, reason)) = METADATA.iter().find(|(name, _)| metadata.field(name).is_some()) {
        return Some((path(&["metadata", name]), reason));
    }
    if let Some((map, key, reason)) = identity(metadata, scope) {
        return Some((path(&["metadata", map, key]), reason));
    }
    if let Some(found) = template(object, root, scope) {
        return Some(found);
    }
    let spec = root.field("spec").filter(|_| !own)?;
    let name = CREATOR_FIELDS.iter().find(|name| spec.field(name).is_some())?;
    Some((path(&["spec", name]), CREATOR))
}

/// The first field of the metadata of a template in the object that no plugin may set: what is made from the template has
/// it, and the host stamps no template.
fn template(object: &ObjectRef, root: &Node, scope: &Scope) -> Option<(FieldPath, &'static str)> {
    let pods = pod_template::path(&object.api_version, &object.kind)?;
    // The labels of pods are checked after the merge, together with what selects them.
    let mut templates = vec![(pods, false)];
    templates.extend(pods.strip_suffix(&["spec", "template"]).filter(|job| !job.is_empty()).map(|job| (job, true)));
    let field = |name: &&str| Segment::Field((*name).to_owned());
    let in_template = templates.into_iter().find_map(|(path, with_labels)| {
        let metadata = path.iter().chain(&["metadata"]).try_fold(root, |node, name| node.field(name))?;
        let (below, reason) = reserved_in(&metadata.clone().into_value(), with_labels, scope)?;
        let segments = path.iter().map(field).chain([field(&"metadata")]);
        Some((FieldPath::new(segments.chain(below).collect()), reason))
    });
    in_template.or_else(|| {
        let path = ["spec", "volumeClaimTemplates"];
        let claims = path.iter().try_fold(root, |node, name| node.field(name))?.clone().into_value();
        let mut metadata = claims.as_array()?.iter().filter_map(|claim| claim.get("metadata"));
        let (_, reason) = metadata.find_map(|metadata| reserved_in(metadata, true, scope))?;
        Some((FieldPath::new(path.iter().map(field).collect()), reason))
    })
}

/// The first field of the metadata of a template that no plugin may set.
fn reserved_in(metadata: &Value, with_labels: bool, scope: &Scope) -> Option<(Vec<Segment>, &'static str)> {
    let field = |name: &str| Segment::Field(name.to_owned());
    if let Some((name, reason)) = METADATA.iter().find(|(name, _)| metadata.get(name).is_some()) {
        return Some((vec![field(name)], reason));
    }
    let is_of_another = |map: &str, key: &str, value: &Value| {
        let wanted = scope.labels.get(key).filter(|_| with_labels && map == "labels");
        wanted.is_some_and(|wanted| value != wanted.as_str())
    };
    ["labels", "annotations"].into_iter().find_map(|map| {
        let mut entries = metadata.get(map)?.as_object()?.iter();
        let (key, _) = entries.find(|(key, value)| key.starts_with(HOST) || is_of_another(map, key, value))?;
        Some((vec![field(map), field(key)], STAMPED))
    })
}

/// The annotations of the leader's Endpoints in which Patroni keeps the leader's lock, and those in which it keeps its other
/// state where all is in one object.
const LOCK: [&str; 15] = [
    "acquireTime",
    "config",
    "failsafe",
    "history",
    "initialize",
    "leader",
    "member",
    "optime",
    "renewTime",
    "retain_slots",
    "scheduled_at",
    "slots",
    "sync_standby",
    "transitions",
    "ttl",
];
const PATRONIS: &str = "Patroni keeps its state there";

/// The annotation of Patroni that the partial object sets: of the leader's Endpoints, or of the pods of the members.
fn patronis_annotation(object: &ObjectRef, root: &Node, scope: &Scope) -> Option<Vec<&'static str>> {
    if object.name != scope.cluster {
        return None;
    }
    let template: &[&'static str] = match (object.api_version.as_str(), object.kind.as_str()) {
        ("v1", "Endpoints") => &[],
        (api_version, "StatefulSet") => pod_template::path(api_version, "StatefulSet")?,
        _ => return None,
    };
    let names: &[&'static str] = if template.is_empty() { &LOCK } else { &[MEMBER_STATUS] };
    let mut path = template.to_vec();
    path.extend(["metadata", "annotations"]);
    let annotations = path.iter().try_fold(root, |node, name| node.field(name))?;
    path.push(names.iter().find(|name| annotations.field(name).is_some())?);
    Some(path)
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
        _ => None,
    }
}
