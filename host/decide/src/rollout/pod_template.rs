//! Whether a pod runs what a template says, whatever revision it was made from.
//!
//! A StatefulSet's revision changes with any change of its template, as when a new version of Kubernetes adds a default.
//! A pod whose specification is the same does not need a restart, so the fields are compared. What the API server and its
//! controllers add to every pod is ignored. Labels and annotations are patched onto a running pod ([`metadata_patch`]).
//!
//! Specifications are compared as JSON trees on purpose: a field that a later Kubernetes adds to the types is compared
//! without a line of code here, and a comparison field by field would miss it and leave pods with an old template.
//! Quantities are compared by value.

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_common::name::MEMBER_STATUS;
use serde_json::{Map, Value, json};

use crate::api_defaults::{TOKEN_PATH, is_added_toleration};
use crate::normal::quantities;

/// Fields of the pod's specification that nothing but the template sets. The pod has many fields that the template does
/// not state, as `nodeName`; only in these does an absence in the template mean that the pod is outdated.
const SET_BY_THE_TEMPLATE_ONLY: [&str; 5] =
    ["affinity", "initContainers", "topologySpreadConstraints", "hostAliases", "dnsConfig"];

/// The variable with Patroni's configuration of a new member.
const CONFIGURATION: &str = "SPILO_CONFIGURATION";

/// The first difference between a pod and a template, both as the API server completes them, as in
/// `containers[postgres].image`; `None` if the pod runs the template. With `lazy` another image is no difference, of any
/// container. Another `imagePullPolicy` never is one.
pub fn difference(template: &PodTemplateSpec, pod: &Pod, lazy: bool) -> Option<String> {
    spec(&tree(template.spec.as_ref()), &tree(pod.spec.as_ref()), lazy).into_iter().next()
}

/// The first difference between a template and the one that the pods were made from, by the same rule; `None` if no pod has
/// to be replaced. Both are as they are applied, so a field that only states a default is a difference.
pub fn template_difference(template: &PodTemplateSpec, before: &PodTemplateSpec, lazy: bool) -> Option<String> {
    template_differences(template, before, lazy).into_iter().next()
}

/// All differences between a template and the one that the pods were made from, by the same rule.
pub fn template_differences(template: &PodTemplateSpec, before: &PodTemplateSpec, lazy: bool) -> Vec<String> {
    spec(&tree(template.spec.as_ref()), &tree(before.spec.as_ref()), lazy)
}

/// The merge patch that brings the labels and annotations of a template onto a pod that runs it; `None` if they are all
/// there. Network plugins, Patroni and people add their own, so what the template does not state stays. What Patroni writes
/// of a member is not patched, whatever the template states: the annotation with its state, and the label with its role,
/// `role_label`. With another value of them clients and replicas would follow another server.
///
/// A label that Patroni finds its members by is in the variable `KUBERNETES_LABELS` too, and so a [`difference`]: such a
/// pod is replaced and not patched.
pub fn metadata_patch(template: &PodTemplateSpec, pod: &Pod, role_label: &str) -> Option<Value> {
    let mut wanted = template.metadata.clone()?;
    wanted.annotations.iter_mut().for_each(|annotations| drop(annotations.remove(MEMBER_STATUS)));
    wanted.labels.iter_mut().for_each(|labels| drop(labels.remove(role_label)));
    missing_metadata(&wanted, &pod.metadata)
}

/// The merge patch that adds to an object the labels and annotations of its template that it lacks; `None` if it lacks none.
pub fn missing_metadata(template: &ObjectMeta, object: &ObjectMeta) -> Option<Value> {
    let mut metadata = Map::new();
    for (field, wanted, found) in
        [("labels", &template.labels, &object.labels), ("annotations", &template.annotations, &object.annotations)]
    {
        let is_there = |key: &str, value: &str| {
            found.as_ref().and_then(|found| found.get(key)).is_some_and(|found| found == value)
        };
        let missing = wanted.iter().flatten().filter(|(key, value)| !is_there(key, value));
        let missing: Map<String, Value> = missing.map(|(key, value)| (key.clone(), json!(value))).collect();
        if !missing.is_empty() {
            metadata.insert(field.to_owned(), Value::Object(missing));
        }
    }
    (!metadata.is_empty()).then(|| json!({ "metadata": metadata }))
}

fn tree(spec: Option<&PodSpec>) -> Value {
    let mut tree = serde_json::to_value(spec).unwrap_or_default();
    quantities(&mut tree);
    tree
}

fn spec(template: &Value, pod: &Value, lazy: bool) -> Vec<String> {
    let stated = keys(template).flat_map(|key| {
        let (wanted, found) = (&template[key], &pod[key]);
        match key {
            "containers" | "initContainers" => containers(key, wanted, found, lazy),
            "volumes" => {
                let missing = unmatched(wanted, found, |volume| &volume["name"]);
                missing.map(|name| format!("volumes[{name}]")).collect()
            }
            "tolerations" => tolerations(wanted, found).into_iter().collect(),
            _ if wanted != found => vec![key.to_owned()],
            _ => Vec::new(),
        }
    });
    let dropped = SET_BY_THE_TEMPLATE_ONLY.into_iter().filter(|key| template[key].is_null() && !pod[key].is_null());
    stated.chain(dropped.map(str::to_owned)).collect()
}

fn containers(key: &str, wanted: &Value, found: &Value, lazy: bool) -> Vec<String> {
    let (wanted, found) = (list(wanted), list(found));
    if wanted.len() != found.len() {
        return vec![key.to_owned()];
    }
    let differing = wanted.iter().zip(found).flat_map(|(wanted, found)| {
        let (wanted, mut found) = (without_bootstrap(wanted), without_bootstrap(found));
        if let Some(mounts) = found["volumeMounts"].as_array_mut() {
            mounts.retain(|mount| mount["mountPath"] != TOKEN_PATH || list(&wanted["volumeMounts"]).contains(mount));
            if mounts.is_empty() && wanted["volumeMounts"].is_null() {
                found["volumeMounts"] = Value::Null;
            }
        }
        if lazy {
            found["image"] = wanted["image"].clone();
        }
        // It matters only to a pod that is made.
        found["imagePullPolicy"] = wanted["imagePullPolicy"].clone();
        let name = wanted["name"].as_str().unwrap_or_default();
        let removed = keys(&found).filter(|field| wanted[*field].is_null());
        let differing = keys(&wanted).chain(removed).filter(|field| wanted[*field] != found[*field]);
        differing.map(|field| format!("{key}[{name}].{field}")).collect::<Vec<_>>()
    });
    differing.collect()
}

/// A container whose [`CONFIGURATION`] lacks `bootstrap.dcs`. Patroni reads that when it makes a new cluster, and never
/// again: in a running cluster the dynamic configuration is changed over its REST interface.
///
/// See [bootstrap](https://patroni.readthedocs.io/en/latest/yaml_configuration.html#bootstrap-configuration).
fn without_bootstrap(container: &Value) -> Value {
    let mut container = container.clone();
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if variable["name"] == CONFIGURATION
            && let Some(configuration) = variable["value"].as_str().and_then(|text| serde_json::from_str(text).ok())
        {
            let mut configuration: Value = configuration;
            if let Some(bootstrap) = configuration.get_mut("bootstrap").and_then(Value::as_object_mut) {
                bootstrap.remove("dcs");
            }
            variable["value"] = configuration;
        }
    }
    container
}

/// The names of the entries that the pod lacks or has otherwise.
fn unmatched<'a>(
    wanted: &'a Value,
    found: &'a Value,
    name: impl Fn(&Value) -> &Value + 'a,
) -> impl Iterator<Item = String> + 'a {
    let missing = list(wanted).iter().filter(|entry| !list(found).contains(entry));
    missing.map(move |missing| name(missing).as_str().unwrap_or_default().to_owned())
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
        difference(&template, &pod, lazy)
    }

    fn patch(change: impl FnOnce(&mut Value, &mut Value)) -> Option<Value> {
        let (mut template, mut pod) = (template(), pod());
        change(&mut template, &mut pod);
        let (template, pod) = (serde_json::from_value(template).unwrap(), serde_json::from_value(pod).unwrap());
        metadata_patch(&template, &pod, "spilo-role")
    }

    #[test]
    fn what_kubernetes_and_patroni_add_to_a_pod_is_no_difference() {
        assert_eq!(after(|_, _| {}, false), None);
    }

    #[test]
    fn the_same_amount_in_another_notation_is_no_difference() {
        let differs = |wanted: &str, found: &str| {
            let change = |template: &mut Value, pod: &mut Value| {
                for (object, amount) in [(template, wanted), (pod, found)] {
                    let spec = &mut object["spec"];
                    spec["containers"][0]["resources"] = json!({"limits": {"memory": amount}});
                    let volumes = spec["volumes"].as_array_mut().unwrap();
                    let memory = volumes.iter_mut().find(|volume| volume["name"] == "dshm").unwrap();
                    memory["emptyDir"]["sizeLimit"] = json!(amount);
                }
            };
            after(change, false)
        };
        assert_eq!(differs("104857600", "100Mi"), None);
        assert_eq!(differs("1e8", "100M"), None);
        assert_eq!(differs("100M", "100Mi").as_deref(), Some("containers[postgres].resources"));
    }

    #[test]
    fn each_change_of_the_template_is_named() {
        let changes: [(&str, &str, Value); 4] = [
            ("serviceAccountName", "/spec/serviceAccountName", json!("other")),
            ("containers[postgres].image", "/spec/containers/0/image", json!("spilo:2")),
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
    fn changed_labels_and_annotations_are_patched_onto_the_pod_and_do_not_replace_it() {
        let change = |template: &mut Value, _: &mut Value| {
            template["metadata"]["labels"]["team"] = json!("acid");
            template["metadata"]["annotations"]["a"] = json!("2");
        };
        assert_eq!(after(change, false), None);
        let wanted = json!({"metadata": {"labels": {"team": "acid"}, "annotations": {"a": "2"}}});
        assert_eq!(patch(change), Some(wanted));
        assert_eq!(patch(|_, _| {}), None);
    }

    #[test]
    fn what_the_template_does_not_state_of_a_pods_metadata_stays() {
        let change = |_: &mut Value, pod: &mut Value| pod["metadata"]["labels"]["theirs"] = json!("1");
        assert_eq!((after(change, false), patch(change)), (None, None));
    }

    #[test]
    fn what_patroni_writes_is_never_patched() {
        let change = |template: &mut Value, _: &mut Value| {
            template["metadata"]["labels"]["spilo-role"] = json!("replica");
            template["metadata"]["annotations"]["status"] = json!(r#"{"conn_url":"postgres://other:5432"}"#);
        };
        assert_eq!(patch(change), None);
        let also = |template: &mut Value, pod: &mut Value| {
            change(template, pod);
            template["metadata"]["labels"]["team"] = json!("acid");
            pod["metadata"]["annotations"] = Value::Null;
        };
        assert_eq!(patch(also), Some(json!({"metadata": {"labels": {"team": "acid"}, "annotations": {"a": "1"}}})));
    }

    /// With `SPILO_CONFIGURATION` as the pod has it and as the template has it now.
    fn configured(before: &str, now: &str) -> Option<String> {
        let variable =
            |text: &str| json!([{"name": "A", "value": "1"}, {"name": "SPILO_CONFIGURATION", "value": text}]);
        let change = |template: &mut Value, pod: &mut Value| {
            pod["spec"]["containers"][0]["env"] = variable(before);
            template["spec"]["containers"][0]["env"] = variable(now);
        };
        after(change, false)
    }

    #[test]
    fn what_patroni_changes_while_it_runs_is_no_difference() {
        let with =
            |dcs: &str| format!(r#"{{"postgresql":{{"bin_dir":"/b"}},"bootstrap":{{"initdb":[],"dcs":{dcs}}}}}"#);
        for now in [
            r#"{"ttl":29}"#,
            r#"{"loop_wait":9}"#,
            r#"{"slots":{"s":{"type":"physical"}}}"#,
            r#"{"synchronous_mode":true}"#,
            r#"{"postgresql":{"parameters":{"max_connections":"50"}}}"#,
        ] {
            assert_eq!(configured(&with("{}"), &with(now)), None, "{now}");
        }
        assert_eq!(
            configured(r#"{"bootstrap":{"initdb":[]}}"#, r#"{"bootstrap":{"initdb":[],"dcs":{"ttl":29}}}"#),
            None
        );
    }

    #[test]
    fn what_docs_changes_md_calls_a_rolling_update_is_a_difference() {
        let changes: [(&str, Value); 11] = [
            ("/spec/containers/0/resources", json!({"limits": {"cpu": "2"}})),
            ("/spec/containers/0/env", json!([{"name": "A", "value": "2"}])),
            ("/spec/containers/1", json!({"name": "exporter", "image": "exporter:1"})),
            ("/spec/initContainers", json!([{"name": "first", "image": "first:1"}])),
            ("/spec/affinity", json!({"nodeAffinity": {}})),
            ("/spec/topologySpreadConstraints", json!([{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "s"}])),
            ("/spec/schedulerName", json!("other")),
            ("/spec/priorityClassName", json!("high")),
            ("/spec/securityContext", json!({"fsGroup": 103})),
            ("/spec/tolerations", json!([{"key": "other", "operator": "Exists"}])),
            ("/spec/volumes/0", json!({"name": "tls", "secret": {"secretName": "tls"}})),
        ];
        for (pointer, value) in changes {
            let change = |template: &mut Value, _: &mut Value| {
                let (parent, field) = pointer.rsplit_once('/').unwrap();
                match template.pointer_mut(parent).unwrap() {
                    Value::Array(list) if field == "0" => list[0] = value,
                    Value::Array(list) => list.push(value),
                    object => object[field] = value,
                }
            };
            assert!(after(change, false).is_some(), "{pointer}");
        }
    }

    #[test]
    fn what_a_member_reads_from_its_own_configuration_is_a_difference() {
        let env = Some("containers[postgres].env".to_owned());
        let with = |local: &str| format!(r#"{{"postgresql":{local},"bootstrap":{{"initdb":[],"dcs":{{}}}}}}"#);
        for now in [r#"{"parameters":{"shared_buffers":"1GB"}}"#, r#"{"pg_hba":["local all all trust"]}"#] {
            assert_eq!(configured(&with("{}"), &with(now)), env, "{now}");
        }
        assert_eq!(configured("no JSON", "other"), env);
    }

    #[test]
    fn with_lazy_upgrades_another_image_waits_for_another_reason_to_restart() {
        assert_eq!(after(|template, _| template["spec"]["containers"][0]["image"] = json!("spilo:2"), true), None);
        let sidecars = |template: &mut Value, pod: &mut Value| {
            for (object, image) in [(template, "exporter:2"), (pod, "exporter:1")] {
                object["spec"]["initContainers"] = json!([{"name": "first", "image": image}]);
                let containers = object["spec"]["containers"].as_array_mut().unwrap();
                containers.push(json!({"name": "exporter", "image": image}));
            }
        };
        assert_eq!(after(sidecars, true), None);
        assert_eq!(after(sidecars, false).as_deref(), Some("containers[exporter].image"));
    }

    #[test]
    fn when_an_image_is_pulled_matters_only_to_a_new_pod() {
        let change = |template: &mut Value, pod: &mut Value| {
            template["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
            pod["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
        };
        assert_eq!(after(change, false), None);
    }
}
