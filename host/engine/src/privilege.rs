//! The privileged fields: what a step may set only with a privilege, although it may set the field.
//!
//! The table is beside the merge's: it knows the built-in kinds with pods, Services and Endpoints. Custom resources
//! have no privileged fields; a pipeline that grants them decides what their operator may be asked to do.

use pgloom_api::field::Place;
use pgloom_api::{Privilege, pod_template};
use serde_json::Value;

use crate::model::ObjectKind;
use crate::scope::Scope;
use crate::tree::Node;

/// When a value needs the privilege.
#[derive(Clone, Copy)]
enum When {
    /// If it is there and not empty, zero or false.
    Set,
    /// If it is one of these texts.
    Is(&'static [&'static str]),
    /// If it is another text.
    IsNot(&'static str),
    /// If it is a text that begins so.
    Begins(&'static str),
    /// If it is zero.
    Zero,
    /// If it is false.
    False,
    /// If it is a map that has a key with a domain, as the resources of device plugins.
    Domain,
    /// If it is not the name of a Secret of the cluster.
    Secret,
}

/// A path, in which `[]` is every entry of a list; when the value needs a privilege; and the privilege.
type Rule = (&'static str, When, Privilege);

/// The rules for a pod's `spec`.
const POD: &[Rule] = &[
    ("hostNetwork", When::Set, Privilege::HostNamespaces),
    ("hostPID", When::Set, Privilege::HostNamespaces),
    ("hostIPC", When::Set, Privilege::HostNamespaces),
    ("shareProcessNamespace", When::Set, Privilege::Privileged),
    ("nodeName", When::Set, Privilege::NodeName),
    ("serviceAccountName", When::Set, Privilege::ServiceAccount),
    ("serviceAccount", When::Set, Privilege::ServiceAccount),
    ("automountServiceAccountToken", When::Set, Privilege::ServiceAccount),
    ("imagePullSecrets.[].name", When::Secret, Privilege::ForeignSecret),
    ("resourceClaims", When::Set, Privilege::OtherVolume),
    ("priorityClassName", When::Begins("system-"), Privilege::SystemPriority),
    ("runtimeClassName", When::Set, Privilege::RuntimeClass),
    ("securityContext.runAsUser", When::Zero, Privilege::RootUser),
    ("securityContext.runAsNonRoot", When::False, Privilege::RootUser),
    ("securityContext.sysctls", When::Set, Privilege::Privileged),
    ("securityContext.seLinuxOptions", When::Set, Privilege::Privileged),
    ("securityContext.seccompProfile.type", When::Is(&["Unconfined"]), Privilege::Privileged),
    ("securityContext.appArmorProfile.type", When::Is(&["Unconfined"]), Privilege::Privileged),
    ("securityContext.windowsOptions.hostProcess", When::Set, Privilege::Privileged),
    ("securityContext.windowsOptions.gmsaCredentialSpec", When::Set, Privilege::ServiceAccount),
    ("securityContext.windowsOptions.gmsaCredentialSpecName", When::Set, Privilege::ServiceAccount),
];

/// The rules for a container.
const CONTAINER: &[Rule] = &[
    ("ports.[].hostPort", When::Set, Privilege::HostPort),
    ("securityContext.privileged", When::Set, Privilege::Privileged),
    ("securityContext.procMount", When::IsNot("Default"), Privilege::Privileged),
    ("securityContext.seLinuxOptions", When::Set, Privilege::Privileged),
    ("securityContext.seccompProfile.type", When::Is(&["Unconfined"]), Privilege::Privileged),
    ("securityContext.appArmorProfile.type", When::Is(&["Unconfined"]), Privilege::Privileged),
    ("securityContext.windowsOptions.hostProcess", When::Set, Privilege::Privileged),
    ("securityContext.windowsOptions.gmsaCredentialSpec", When::Set, Privilege::ServiceAccount),
    ("securityContext.windowsOptions.gmsaCredentialSpecName", When::Set, Privilege::ServiceAccount),
    ("securityContext.allowPrivilegeEscalation", When::Set, Privilege::PrivilegeEscalation),
    ("securityContext.capabilities.add", When::Set, Privilege::Capabilities),
    ("securityContext.runAsUser", When::Zero, Privilege::RootUser),
    ("securityContext.runAsNonRoot", When::False, Privilege::RootUser),
    ("env.[].valueFrom.secretKeyRef.name", When::Secret, Privilege::ForeignSecret),
    ("envFrom.[].secretRef.name", When::Secret, Privilege::ForeignSecret),
    ("resources.limits", When::Domain, Privilege::OtherVolume),
    ("resources.requests", When::Domain, Privilege::OtherVolume),
    // The kubelet asks these hosts from the network of the node.
    ("livenessProbe.httpGet.host", When::Set, Privilege::HostNamespaces),
    ("livenessProbe.tcpSocket.host", When::Set, Privilege::HostNamespaces),
    ("readinessProbe.httpGet.host", When::Set, Privilege::HostNamespaces),
    ("readinessProbe.tcpSocket.host", When::Set, Privilege::HostNamespaces),
    ("startupProbe.httpGet.host", When::Set, Privilege::HostNamespaces),
    ("startupProbe.tcpSocket.host", When::Set, Privilege::HostNamespaces),
    ("lifecycle.postStart.httpGet.host", When::Set, Privilege::HostNamespaces),
    ("lifecycle.postStart.tcpSocket.host", When::Set, Privilege::HostNamespaces),
    ("lifecycle.preStop.httpGet.host", When::Set, Privilege::HostNamespaces),
    ("lifecycle.preStop.tcpSocket.host", When::Set, Privilege::HostNamespaces),
];

/// The lists of containers in a pod's `spec`.
pub(crate) const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// The rules for a volume: by the field with its source.
const VOLUME: &[Rule] = &[
    ("hostPath", When::Set, Privilege::HostPath),
    ("secret.secretName", When::Secret, Privilege::ForeignSecret),
    ("persistentVolumeClaim", When::Set, Privilege::Claim),
    ("projected.sources.[].secret.name", When::Secret, Privilege::ForeignSecret),
    ("projected.sources.[].serviceAccountToken", When::Set, Privilege::ServiceAccount),
    ("projected.sources.[].podCertificate", When::Set, Privilege::ServiceAccount),
];

/// The fields with the name of a ConfigMap: of a volume, and of a container.
const MAPS_OF_VOLUMES: [&str; 2] = ["configMap.name", "projected.sources.[].configMap.name"];
const MAPS_OF_CONTAINERS: [&str; 2] = ["env.[].valueFrom.configMapKeyRef.name", "envFrom.[].configMapRef.name"];

/// The fields of a volume that need no privilege of their own; every other one is a volume of another kind.
const KNOWN_VOLUMES: [&str; 8] =
    ["name", "emptyDir", "downwardAPI", "hostPath", "secret", "configMap", "persistentVolumeClaim", "projected"];

/// The rules for the templates of claims: a claim with the data of another one, or a given volume.
const CLAIM_TEMPLATES: &[Rule] = &[
    ("spec.volumeClaimTemplates.[].spec.dataSource", When::Set, Privilege::Claim),
    ("spec.volumeClaimTemplates.[].spec.dataSourceRef", When::Set, Privilege::Claim),
    ("spec.volumeClaimTemplates.[].spec.volumeName", When::Set, Privilege::Claim),
];

/// The rules for a Service.
const SERVICE: &[Rule] = &[
    ("spec.externalIPs", When::Set, Privilege::ExternalAddress),
    ("spec.externalName", When::Set, Privilege::ExternalAddress),
    ("spec.type", When::Is(&["ExternalName"]), Privilege::ExternalAddress),
    ("spec.type", When::Is(&["LoadBalancer", "NodePort"]), Privilege::ExternalService),
    ("spec.loadBalancerIP", When::Set, Privilege::ExternalService),
    ("spec.loadBalancerSourceRanges", When::Set, Privilege::ExternalService),
    ("spec.ports.[].nodePort", When::Set, Privilege::ExternalService),
];

/// The rules for Endpoints.
const ENDPOINTS: &[Rule] = &[("subsets", When::Set, Privilege::ExternalAddress)];

/// Annotations, by the beginnings of their keys, that others read as they read a privileged field.
type Annotations = [(&'static str, When, Privilege)];

/// The annotations of a pod: the AppArmor profile of a container, the role in a cloud, and what the container runtime takes
/// from pods.
const POD_ANNOTATIONS: &Annotations = &[
    ("container.apparmor.security.beta.kubernetes.io/", When::Is(&["unconfined"]), Privilege::Privileged),
    ("iam.amazonaws.com/", When::Set, Privilege::ServiceAccount),
    ("io.katacontainers.", When::Set, Privilege::Privileged),
    ("io.kubernetes.cri-o.", When::Set, Privilege::Privileged),
];

/// The annotations of a Service: names outside of the cluster, and what a cloud's load balancer lets in.
const SERVICE_ANNOTATIONS: &Annotations = &[
    ("cloud.google.com/", When::Set, Privilege::ExternalService),
    ("external-dns.alpha.kubernetes.io/", When::Set, Privilege::ExternalService),
    ("networking.gke.io/", When::Set, Privilege::ExternalService),
    ("service.beta.kubernetes.io/", When::Set, Privilege::ExternalService),
    ("tailscale.com/", When::Set, Privilege::ExternalService),
];

/// A field of a partial object, and the privilege that it needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Needed {
    /// The field, as in `spec.template.spec.volumes[0].hostPath`.
    pub(crate) path: String,
    pub(crate) privilege: Privilege,
}

/// The first field of a partial object whose privilege the step lacks.
pub(crate) fn find(
    kind: &ObjectKind,
    object: &Value,
    scope: &Scope,
    lacks: impl Fn(Privilege) -> bool,
) -> Option<Needed> {
    let search = Search { scope, lacks: &lacks };
    match (kind.api_version.as_str(), kind.kind.as_str()) {
        ("v1", "Service") => {
            search.rules(SERVICE, object, "").or_else(|| search.annotations(SERVICE_ANNOTATIONS, object, ""))
        }
        ("v1", "Endpoints") => search.rules(ENDPOINTS, object, ""),
        (api_version, name) => {
            let path = pod_template::path(api_version, name)?;
            if let Some(needed) = search.claims(object) {
                return Some(needed);
            }
            let template = path.iter().try_fold(object, |value, field| value.get(field))?;
            search.template(template, &path.join("."))
        }
    }
}

/// The names of the ConfigMaps that the pods of a partial object need, each with the field that names it.
///
/// Whether one is the cluster's is known only when the step's answer is merged: its own are those that its steps make. A
/// name that begins as the cluster's does may be that of another cluster.
pub(crate) fn config_maps(kind: &ObjectKind, object: &Value) -> Vec<(String, String)> {
    let template = pod_template::path(&kind.api_version, &kind.kind);
    let spec = template.and_then(|path| {
        let path = path.iter().copied().chain(["spec"]).collect::<Vec<_>>();
        Some((path.iter().try_fold(object, |value, field| value.get(field))?, path.join(".")))
    });
    let mut found = Vec::new();
    let Some((spec, path)) = spec else { return found };
    let lists = CONTAINERS.iter().map(|list| (*list, MAPS_OF_CONTAINERS)).chain([("volumes", MAPS_OF_VOLUMES)]);
    for (list, rules) in lists {
        for rule in rules {
            each(spec, &format!("{list}.[].{rule}"), path.clone(), &mut |path, value| {
                let name = value.as_str().unwrap_or_default().to_owned();
                found.push((name, path));
            });
        }
    }
    found
}

/// Calls `found` with the path and the value of each field that the rule means.
fn each(value: &Value, rule: &str, path: String, found: &mut impl FnMut(String, &Value)) {
    let (first, rest) = rule.split_once('.').map_or((rule, None), |(first, rest)| (first, Some(rest)));
    let mut below = |value: &Value, path: String| match rest {
        Some(rest) => each(value, rest, path, found),
        None => found(path, value),
    };
    match (first, value) {
        ("[]", Value::Array(entries)) => {
            entries.iter().enumerate().for_each(|(index, entry)| below(entry, format!("{path}[{index}]")));
        }
        ("[]", _) => {}
        (field, value) => {
            if let Some(value) = value.get(field) {
                below(value, format!("{path}.{field}"));
            }
        }
    }
}

/// The label of a pod template that the step sets and by which Services and disruption budgets would select the pods as
/// members of the cluster; `before` is the object without what the step contributes.
///
/// Another pod is a member if it has all the labels, and steps or contributions may set them one by one. So what counts
/// is the object after the merge. The members themselves have the labels, and their role is set by Patroni alone.
pub(crate) fn member_label(
    kind: &ObjectKind,
    name: &str,
    before: Option<&Node>,
    root: &Node,
    scope: &Scope,
) -> Option<Needed> {
    let path = pod_template::path(&kind.api_version, &kind.kind)?;
    let (set, before) = (labels(root, path)?, before.and_then(|before| labels(before, path)));
    let has = |(key, value): (&String, &String)| {
        let after = set.field(key).or_else(|| before?.field(key));
        after.is_some_and(|label| label.is_text(value))
    };
    let is_member = kind.kind == "StatefulSet" && name == scope.cluster;
    let key = match is_member {
        true => Some(&scope.role_label).filter(|key| set.field(key).is_some()),
        false if scope.members.iter().all(has) => scope.members.keys().find(|key| set.field(key).is_some()),
        false => None,
    }?;
    let path = format!("{}.metadata.labels[\"{key}\"]", path.join("."));
    Some(Needed { path, privilege: Privilege::MemberLabels })
}

/// The labels of a pod template.
fn labels<'a>(root: &'a Node, template: &[&str]) -> Option<&'a Node> {
    template.iter().chain(&["metadata", "labels"]).try_fold(root, |node, name| node.field(name))
}

struct Search<'a> {
    scope: &'a Scope,
    lacks: &'a dyn Fn(Privilege) -> bool,
}

impl Search<'_> {
    fn template(&self, template: &Value, path: &str) -> Option<Needed> {
        self.annotations(POD_ANNOTATIONS, template, &format!("{path}.")).or_else(|| {
            let spec = template.get("spec")?;
            let path = format!("{path}.spec");
            self.rules(POD, spec, &path)
                .or_else(|| CONTAINERS.iter().find_map(|list| self.entries(spec, &path, list, Self::container)))
                .or_else(|| self.entries(spec, &path, "volumes", Self::volume))
        })
    }

    fn entries(
        &self,
        spec: &Value,
        path: &str,
        list: &str,
        check: impl Fn(&Self, &Value, &str) -> Option<Needed>,
    ) -> Option<Needed> {
        let entries = spec.get(list)?.as_array()?;
        entries.iter().enumerate().find_map(|(index, entry)| check(self, entry, &format!("{path}.{list}[{index}]")))
    }

    /// The templates of claims. A claim's name is that of its template, that of its set and a number, joined by hyphens: other
    /// parts can give the name of another cluster's claim, and the pods of the set get what exists.
    fn claims(&self, object: &Value) -> Option<Needed> {
        let templates = object.pointer("/spec/volumeClaimTemplates")?.as_array()?;
        let name =
            |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_of_others = |template: &Value| name(object) != self.scope.cluster || name(template).contains('-');
        self.rules(CLAIM_TEMPLATES, object, "").or_else(|| {
            let index = templates.iter().position(is_of_others)?;
            self.need(Privilege::Claim, || format!("spec.volumeClaimTemplates[{index}]"))
        })
    }

    /// The annotations of an object or a template; `path` is what is before its metadata.
    fn annotations(&self, rules: &Annotations, object: &Value, path: &str) -> Option<Needed> {
        let annotations = object.pointer("/metadata/annotations")?.as_object()?;
        annotations.iter().find_map(|(key, value)| {
            let rule = rules.iter().find(|(prefix, when, _)| key.starts_with(prefix) && self.holds(value, *when));
            self.need(rule?.2, || format!("{path}metadata.annotations[{key:?}]"))
        })
    }

    fn container(&self, container: &Value, path: &str) -> Option<Needed> {
        self.rules(CONTAINER, container, path)
    }

    fn volume(&self, volume: &Value, path: &str) -> Option<Needed> {
        self.rules(VOLUME, volume, path).or_else(|| {
            let source = volume.as_object()?.keys().find(|field| !KNOWN_VOLUMES.contains(&field.as_str()))?;
            self.need(Privilege::OtherVolume, || format!("{path}.{source}"))
        })
    }

    fn rules(&self, rules: &[Rule], value: &Value, path: &str) -> Option<Needed> {
        rules.iter().find_map(|(rule, when, privilege)| {
            let found = self.matches(value, rule, *when, &Place::Start(path))?;
            self.need(*privilege, || found)
        })
    }

    /// The path of the first value that the rule matches.
    fn matches(&self, value: &Value, rule: &str, when: When, place: &Place<'_>) -> Option<String> {
        let (first, rest) = rule.split_once('.').map_or((rule, None), |(first, rest)| (first, Some(rest)));
        let below = |value: &Value, place: Place<'_>| match rest {
            Some(rest) => self.matches(value, rest, when, &place),
            None => self.holds(value, when).then(|| place.to_string()),
        };
        if first == "[]" {
            let mut entries = value.as_array()?.iter().enumerate();
            return entries.find_map(|(index, entry)| below(entry, Place::Entry(place, index)));
        }
        below(value.get(first)?, Place::Member(place, first))
    }

    fn holds(&self, value: &Value, when: When) -> bool {
        match when {
            // An empty map is a source of a volume, with defaults.
            When::Set => match value {
                Value::Null | Value::Bool(false) => false,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Bool(true) | Value::Object(_) => true,
            },
            When::Is(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            When::IsNot(usual) => value.as_str() != Some(usual),
            When::Begins(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            When::Zero => value.as_f64() == Some(0.0),
            When::False => *value == Value::Bool(false),
            When::Domain => value.as_object().is_some_and(|map| map.keys().any(|key| key.contains('/'))),
            When::Secret => !value.as_str().is_some_and(|name| self.scope.secrets.contains(name)),
        }
    }

    fn need(&self, privilege: Privilege, path: impl FnOnce() -> String) -> Option<Needed> {
        (self.lacks)(privilege).then(|| Needed { path: path(), privilege })
    }
}

mod database;

pub(crate) use database::command as database_command;

#[cfg(test)]
mod tests;
