//! Whether a pod runs what a template says, whatever revision it was made from.
//!
//! A StatefulSet's revision changes with any change of its template, as when a new version of Kubernetes adds a default.
//! A pod whose specification is the same does not need a restart, so the fields are compared. What the API server and its
//! controllers add to every pod is ignored.
//!
//! Specifications are compared as JSON trees on purpose: a field that a later Kubernetes adds to the types is compared
//! without a line of code here, and a comparison field by field would miss it and leave pods with an old template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use serde_json::Value;

use crate::api_defaults::{POD_LABELS, TOKEN_PATH, is_added_toleration};

/// Fields of the pod's specification that nothing but the template sets. The pod has many fields that the template does
/// not state, as `nodeName`; only in these does an absence in the template mean that the pod is outdated.
const SET_BY_THE_TEMPLATE_ONLY: [&str; 5] =
    ["affinity", "initContainers", "topologySpreadConstraints", "hostAliases", "dnsConfig"];

/// The first difference between a pod and a template, both as the API server completes them, as in
/// `containers[postgres].image`; `None` if the pod runs the template. With `lazy` another image of the first container
/// is no difference.
pub fn difference(template: &PodTemplateSpec, pod: &Pod, role_label: &str, lazy: bool) -> Option<String> {
    let of_template = template.metadata.clone().unwrap_or_default();
    let of_pod = &pod.metadata;
    let empty = BTreeMap::new();
    let (wanted, found) = (of_template.labels.unwrap_or_default(), of_pod.labels.as_ref().unwrap_or(&empty));
    if let Some(key) = other_label(&wanted, found, role_label) {
        return Some(format!("label {key}"));
    }
    // Network plugins and Patroni add annotations, so only those of the template have to be there.
    let (wanted, found) = (of_template.annotations.unwrap_or_default(), of_pod.annotations.as_ref().unwrap_or(&empty));
    if let Some((key, _)) = wanted.iter().find(|(key, value)| found.get(*key) != Some(value)) {
        return Some(format!("annotation {key}"));
    }
    spec(&tree(template.spec.as_ref()), &tree(pod.spec.as_ref()), lazy)
}

fn tree(spec: Option<&PodSpec>) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

/// The first label that differs. Patroni sets the role label, and the StatefulSet controller adds its own.
fn other_label<'a>(
    wanted: &'a BTreeMap<String, String>,
    found: &'a BTreeMap<String, String>,
    role_label: &str,
) -> Option<&'a str> {
    let changed = wanted.iter().find(|(key, value)| *key != role_label && found.get(*key) != Some(value));
    let is_added = |key: &str| key == role_label || POD_LABELS.contains(&key);
    let removed = || found.keys().find(|key| !wanted.contains_key(*key) && !is_added(key));
    changed.map(|(key, _)| key).or_else(removed).map(String::as_str)
}

fn spec(template: &Value, pod: &Value, lazy: bool) -> Option<String> {
    let stated = keys(template).find_map(|key| {
        let (wanted, found) = (&template[key], &pod[key]);
        match key {
            "containers" => containers(key, wanted, found, lazy),
            "initContainers" => containers(key, wanted, found, false),
            "volumes" => unmatched(wanted, found, |volume| &volume["name"]).map(|name| format!("volumes[{name}]")),
            "tolerations" => tolerations(wanted, found),
            _ => (wanted != found).then(|| key.to_owned()),
        }
    });
    stated.or_else(|| {
        let dropped = SET_BY_THE_TEMPLATE_ONLY.into_iter().find(|key| template[key].is_null() && !pod[key].is_null());
        dropped.map(str::to_owned)
    })
}

fn containers(key: &str, wanted: &Value, found: &Value, lazy: bool) -> Option<String> {
    let (wanted, found) = (list(wanted), list(found));
    if wanted.len() != found.len() {
        return Some(key.to_owned());
    }
    wanted.iter().zip(found).enumerate().find_map(|(index, (wanted, found))| {
        let mut found = found.clone();
        if let Some(mounts) = found["volumeMounts"].as_array_mut() {
            mounts.retain(|mount| mount["mountPath"] != TOKEN_PATH || list(&wanted["volumeMounts"]).contains(mount));
            if mounts.is_empty() && wanted["volumeMounts"].is_null() {
                found["volumeMounts"] = Value::Null;
            }
        }
        if lazy && index == 0 {
            found["image"] = wanted["image"].clone();
        }
        let field = keys(wanted).chain(keys(&found)).find(|field| wanted[*field] != found[*field])?;
        Some(format!("{key}[{}].{field}", wanted["name"].as_str().unwrap_or_default()))
    })
}

/// The name of the first entry that the pod lacks or has otherwise.
fn unmatched(wanted: &Value, found: &Value, name: impl Fn(&Value) -> &Value) -> Option<String> {
    let missing = list(wanted).iter().find(|entry| !list(found).contains(entry))?;
    Some(name(missing).as_str().unwrap_or_default().to_owned())
}

fn tolerations(wanted: &Value, found: &Value) -> Option<String> {
    let wanted = list(wanted);
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
    let is_added = |toleration: &Value| is_added_toleration(&text(toleration, "key"), &text(toleration, "effect"));
    let missing = wanted.iter().any(|toleration| !list(found).contains(toleration));
    let added = list(found).iter().any(|toleration| !wanted.contains(toleration) && !is_added(toleration));
    (missing || added).then(|| "tolerations".to_owned())
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template() -> Value {
        json!({
            "metadata": {"labels": {"cluster-name": "c"}, "annotations": {"a": "1"}},
            "spec": {
                "containers": [{"name": "postgres", "image": "spilo:1", "volumeMounts": [{"name": "pgdata", "mountPath": "/data"}]}],
                "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
                "serviceAccountName": "postgres-pod",
                "tolerations": [{"key": "postgres", "operator": "Exists"}],
            }
        })
    }

    /// The template as a pod of a StatefulSet.
    fn pod() -> Value {
        json!({
            "metadata": {
                "labels": {
                    "cluster-name": "c", "spilo-role": "master", "controller-revision-hash": "c-1",
                    "statefulset.kubernetes.io/pod-name": "c-0",
                },
                "annotations": {"a": "1", "status": "{}"}
            },
            "spec": {
                "containers": [{"name": "postgres", "image": "spilo:1", "volumeMounts": [
                    {"name": "pgdata", "mountPath": "/data"},
                    {"name": "kube-api-access-x", "mountPath": TOKEN_PATH, "readOnly": true},
                ]}],
                "volumes": [
                    {"name": "pgdata", "persistentVolumeClaim": {"claimName": "pgdata-c-0"}},
                    {"name": "dshm", "emptyDir": {"medium": "Memory"}},
                    {"name": "kube-api-access-x", "projected": {}},
                ],
                "serviceAccountName": "postgres-pod", "serviceAccount": "postgres-pod", "nodeName": "n", "hostname": "c-0", "priority": 0,
                "tolerations": [
                    {"key": "postgres", "operator": "Exists"},
                    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                ],
            }
        })
    }

    fn after(change: impl FnOnce(&mut Value, &mut Value), lazy: bool) -> Option<String> {
        let (mut template, mut pod) = (template(), pod());
        change(&mut template, &mut pod);
        let (template, pod) = (serde_json::from_value(template).unwrap(), serde_json::from_value(pod).unwrap());
        difference(&template, &pod, "spilo-role", lazy)
    }

    #[test]
    fn what_kubernetes_and_patroni_add_to_a_pod_is_no_difference() {
        assert_eq!(after(|_, _| {}, false), None);
    }

    #[test]
    fn each_change_of_the_template_is_named() {
        let changes: [(&str, &str, Value); 6] = [
            ("serviceAccountName", "/spec/serviceAccountName", json!("other")),
            ("containers[postgres].image", "/spec/containers/0/image", json!("spilo:2")),
            ("label cluster-name", "/metadata/labels/cluster-name", json!("d")),
            ("annotation a", "/metadata/annotations/a", json!("2")),
            ("volumes[dshm]", "/spec/volumes/0/emptyDir", json!({})),
            ("tolerations", "/spec/tolerations", json!([])),
        ];
        for (named, pointer, value) in changes {
            let found = after(|template, _| *template.pointer_mut(pointer).unwrap() = value, false);
            assert_eq!(found.as_deref(), Some(named));
        }
    }

    #[test]
    fn what_the_template_no_longer_states_is_a_difference() {
        assert_eq!(
            after(|_, pod| pod["spec"]["affinity"] = json!({"nodeAffinity": {}}), false).as_deref(),
            Some("affinity")
        );
        assert_eq!(
            after(|_, pod| pod["spec"]["containers"][0]["env"] = json!([{"name": "OLD"}]), false).as_deref(),
            Some("containers[postgres].env")
        );
    }

    #[test]
    fn a_label_that_the_template_no_longer_states_is_a_difference() {
        let found = after(|_, pod| pod["metadata"]["labels"]["team"] = json!("acid"), false);
        assert_eq!(found.as_deref(), Some("label team"));
    }

    #[test]
    fn with_lazy_upgrades_another_image_waits_for_another_reason_to_restart() {
        assert_eq!(after(|template, _| template["spec"]["containers"][0]["image"] = json!("spilo:2"), true), None);
    }
}
