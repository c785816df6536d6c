//! Whether a pod runs what a template says, whatever revision it was made from.
//!
//! A StatefulSet's revision changes with any change of its template's text; a pod whose specification says the same is not
//! worth a restart. What the API server and its controllers add to every pod is passed over.

use serde_json::Value;

/// Labels that the StatefulSet controller adds.
const ADDED_LABELS: [&str; 3] =
    ["controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"];

/// Fields that are of the pod alone or that an admission controller fills in.
const OF_THE_TEMPLATE_ONLY_IF_STATED: [&str; 5] =
    ["affinity", "initContainers", "topologySpreadConstraints", "hostAliases", "dnsConfig"];

/// Where every pod finds its service account's token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The first difference between a pod and a template, both as the API server completes them, as in `containers[postgres].image`;
/// `None` if the pod runs the template. With `lazy` another image of the first container is no difference.
pub fn difference(template: &Value, pod: &Value, role_label: &str, lazy: bool) -> Option<String> {
    labels(template, pod, role_label)
        .or_else(|| annotations(template, pod))
        .or_else(|| spec(&template["spec"], &pod["spec"], lazy))
}

fn labels(template: &Value, pod: &Value, role_label: &str) -> Option<String> {
    let (wanted, found) = (&template["metadata"]["labels"], &pod["metadata"]["labels"]);
    let missing = keys(wanted).find(|key| *key != role_label && wanted[*key] != found[*key]);
    let added = keys(found).find(|key| wanted[*key].is_null() && *key != role_label && !ADDED_LABELS.contains(key));
    missing.or(added).map(|key| format!("label {key}"))
}

/// Network plugins and Patroni add annotations; only what the template states has to be there.
fn annotations(template: &Value, pod: &Value) -> Option<String> {
    let (wanted, found) = (&template["metadata"]["annotations"], &pod["metadata"]["annotations"]);
    keys(wanted).find(|key| wanted[*key] != found[*key]).map(|key| format!("annotation {key}"))
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
        let dropped =
            OF_THE_TEMPLATE_ONLY_IF_STATED.into_iter().find(|key| template[key].is_null() && !pod[key].is_null());
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
    let is_added = |toleration: &Value| {
        let key = toleration["key"].as_str().unwrap_or_default();
        matches!(key, "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable")
            && toleration["effect"] == "NoExecute"
    };
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
                "labels": {"cluster-name": "c", "spilo-role": "master", "controller-revision-hash": "c-1", "statefulset.kubernetes.io/pod-name": "c-0"},
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
        difference(&template, &pod, "spilo-role", lazy)
    }

    #[test]
    fn what_kubernetes_and_patroni_add_to_a_pod_is_no_difference() {
        assert_eq!(after(|_, _| {}, false), None);
    }

    #[test]
    fn each_change_of_the_template_is_named() {
        let changes: [(&str, &str, Value); 5] = [
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
    fn with_lazy_upgrades_another_image_waits_for_another_reason_to_restart() {
        assert_eq!(after(|template, _| template["spec"]["containers"][0]["image"] = json!("spilo:2"), true), None);
    }
}
