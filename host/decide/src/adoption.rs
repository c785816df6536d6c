//! Whether taking over a cluster of the Zalando operator would restart its pods, remove them all, move the state of Patroni
//! or need other volumes. Then nothing is written until the manifest allows it.
//!
//! Only a StatefulSet that the Zalando operator made, and that this operator has not marked, is compared: once it is
//! marked, a change of the manifest or of the configuration does what it always does.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use pgloom_api::config::Config;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::kind::{BuiltIn, ObjectKey};
use crate::normal::{canonical, complete};
use crate::ownership::{Identity, Origin};
use crate::rollout::template_differences;

/// The annotation by which a manifest allows, with the value `true`, what its adoption does to its pods.
pub const ALLOWED: &str = "pgloom.dev/adopt-restarts";

/// Variables of the database's container that say where Patroni keeps its state. A member that looks elsewhere does not see
/// the leader.
const STATE: [&str; 5] = ["DCS_ENABLE_KUBERNETES_API", "ETCD_HOST", "ETCD_HOSTS", "KUBERNETES_USE_CONFIGMAPS", "SCOPE"];

/// What the adoption of a cluster would do to its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// The cluster.
    pub cluster: String,
    /// The fields of the StatefulSet for which the pods would restart.
    pub restarts: Vec<String>,
    /// The fields of the StatefulSet by which its pods would have other volumes.
    pub volumes: Vec<String>,
    /// Whether the running pods would all be removed, because none is desired.
    pub removes_pods: bool,
    /// Whether the pods would look for the state of Patroni elsewhere.
    pub moves_state: bool,
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs as the Zalando operator made it, and nothing is written: its adoption ", self.cluster)?;
        let because = |what: &str, fields: &[String]| {
            (!fields.is_empty()).then(|| format!("{what}, because of {}", fields.join(", ")))
        };
        let effects = [
            self.removes_pods.then(|| "removes all its pods, because of spec.replicas".to_owned()),
            because("restarts its pods", &self.restarts),
            because("needs other volumes", &self.volumes),
        ];
        f.write_str(&effects.into_iter().flatten().collect::<Vec<_>>().join(", and "))?;
        if self.moves_state {
            f.write_str("; the restarted pods look for the state of Patroni elsewhere, and do not see the leader")?;
        }
        write!(
            f,
            "; change the manifest or the operator configuration, or allow it by the manifest's annotation {ALLOWED}: \
             \"true\""
        )
    }
}

/// What keeps a cluster from being adopted; `None` if nothing does. `existing` are the objects of the cluster, `desired`
/// gives those that are desired, with their credentials; it is called only if there is something to adopt.
///
/// # Errors
/// Those of `desired`.
pub fn obstacle<E>(
    manifest: &Value,
    config: &Config,
    existing: &[Value],
    desired: impl FnOnce() -> Result<Vec<Value>, E>,
) -> Result<Option<Adoption>, E> {
    let name = ObjectKey::of(manifest).name;
    let allows = |annotations: &Value| annotations.get(ALLOWED).is_some_and(|value| value == "true");
    if manifest.pointer("/metadata/annotations").is_some_and(allows) {
        return Ok(None);
    }
    let is_set = |object: &&Value| ObjectKey::of(object).is(BuiltIn::StatefulSet, name);
    let before = existing.iter().find(is_set).filter(|set| is_of_predecessor(set, manifest, config));
    let Some(before) = before else { return Ok(None) };
    let desired = desired()?;
    let Some(after) = desired.iter().find(is_set) else { return Ok(None) };
    let [before, after] = [before, after].map(normal);
    let restarts = restarts(&before, &after, config.flag("enable_lazy_spilo_upgrade"));
    let [had_none, has_none] = [&before, &after].map(|set| set["spec"]["replicas"] == 0);
    let volumes = claims(&before, &after);
    let moves_state = restarts.iter().any(|field| STATE.iter().any(|name| field.ends_with(&format!(".env[{name}]"))));
    let adoption =
        Adoption { cluster: name.to_owned(), restarts, volumes, removes_pods: has_none && !had_none, moves_state };
    let is_obstacle = |found: &Adoption| found.removes_pods || !found.restarts.is_empty() || !found.volumes.is_empty();
    Ok(Some(adoption).filter(is_obstacle))
}

/// The fields of a StatefulSet for which the pods would restart when it becomes another one, both as by [`normal`] and with
/// their credentials. With `lazy` another image is none.
pub(crate) fn restarts(before: &Value, after: &Value, lazy: bool) -> Vec<String> {
    // Without a pod there is nothing to restart.
    let has_pods = [before, after].iter().all(|set| set["spec"]["replicas"] != 0);
    if has_pods { template(before, after, lazy) } else { Vec::new() }
}

/// Whether a StatefulSet is one that the Zalando operator made. One without a selector is no StatefulSet of an API server.
fn is_of_predecessor(set: &Value, manifest: &Value, config: &Config) -> bool {
    set["spec"]["selector"].is_object() && Identity::of(manifest, config).origin(set, |_| true) == Origin::Upstream
}

/// A StatefulSet in the form in which two are compared.
pub(crate) fn normal(set: &Value) -> Value {
    let mut set = set.clone();
    complete(&mut set);
    for claim in set["spec"]["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
        // Labels and annotations of claim templates are kept as they are.
        if let Some(metadata) = claim.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| field == "name");
        }
    }
    canonical(&mut set);
    set
}

fn claims(before: &Value, after: &Value) -> Vec<String> {
    let of = |set: &Value| -> Map<String, Value> {
        let claims = set["spec"]["volumeClaimTemplates"].as_array().cloned().unwrap_or_default();
        claims.into_iter().map(|claim| (text(&claim["metadata"]["name"]).to_owned(), claim)).collect()
    };
    let (before, after) = (of(before), of(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differing.map(|name| format!("spec.volumeClaimTemplates[{name}]")).collect()
}

fn template(before: &Value, after: &Value, lazy: bool) -> Vec<String> {
    let (old, new) = (&before["spec"]["template"], &after["spec"]["template"]);
    let read = |template: &Value| PodTemplateSpec::deserialize(template).unwrap_or_default();
    let fields = template_differences(&read(new), &read(old), lazy);
    let fields = fields.into_iter().flat_map(|field| in_detail(field, &old["spec"], &new["spec"]));
    fields.map(|field| format!("spec.template.spec.{field}")).collect()
}

/// The variables that differ, where a container's variables do.
fn in_detail(field: String, old: &Value, new: &Value) -> Vec<String> {
    let Some((list, name)) = field.strip_suffix("].env").and_then(|container| container.split_once('[')) else {
        return vec![field];
    };
    let variables = |pod: &Value| -> Map<String, Value> {
        let containers = pod[list].as_array().into_iter().flatten();
        let of_name = containers.filter(|container| container["name"] == name);
        let variables = of_name.filter_map(|container| container["env"].as_array()).flatten();
        variables.map(|variable| (text(&variable["name"]).to_owned(), variable.clone())).collect()
    };
    let (old, new) = (variables(old), variables(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing: Vec<String> = names
        .into_iter()
        .filter(|variable| old.get(*variable) != new.get(*variable))
        .map(|variable| format!("{field}[{variable}]"))
        .collect();
    // The order counts too: a variable may refer to those before it.
    if differing.is_empty() { vec![field] } else { differing }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(annotations: &Value) -> Value {
        json!({"metadata": {"name": "acid-a", "namespace": "shop", "uid": "u", "annotations": annotations}})
    }

    /// As the operator applies it.
    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "acid-a", "namespace": "shop", "labels": {"application": "spilo", "cluster-name": "acid-a"}},
            "spec": {
                "replicas": 2, "serviceName": "acid-a", "selector": {"matchLabels": {"cluster-name": "acid-a"}},
                "template": {"spec": {"containers": [{
                    "name": "postgres", "image": "spilo:1", "resources": {"limits": {"cpu": "1000m"}},
                    "env": [{"name": "SCOPE", "value": "acid-a"}, {"name": "PGVERSION", "value": "15"}],
                }]}},
                "volumeClaimTemplates": [{
                    "metadata": {"name": "pgdata", "labels": {"a": "b"}},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
                }],
            },
        })
    }

    /// The same as the Zalando operator made it and the API server completed it.
    fn existing() -> Value {
        let mut set = desired();
        complete(&mut set);
        set["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("1");
        set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = json!("1Gi");
        set["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"] = json!({});
        set
    }

    fn found(annotations: &Value, change: impl FnOnce(&mut Value)) -> Option<Adoption> {
        let mut existing = existing();
        change(&mut existing);
        let desired = || Ok::<_, std::convert::Infallible>(vec![desired()]);
        obstacle(&manifest(annotations), &Config::defaults(), &[existing], desired).unwrap()
    }

    fn other_image(set: &mut Value) {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("spilo:0");
    }

    #[test]
    fn a_cluster_that_is_as_desired_is_adopted() {
        assert_eq!(found(&json!({}), |_| {}), None);
    }

    #[test]
    fn each_field_that_would_restart_the_pods_is_named() {
        let change = |set: &mut Value| {
            other_image(set);
            let pod = &mut set["spec"]["template"]["spec"];
            pod["containers"][0]["env"] =
                json!([{"name": "SCOPE", "value": "acid-a"}, {"name": "KUBERNETES_USE_CONFIGMAPS", "value": "true"}]);
            pod["affinity"] = json!({"nodeAffinity": {"a": 1}});
        };
        let found = found(&json!({}), change).unwrap();
        let fields = [
            "spec.template.spec.containers[postgres].env[KUBERNETES_USE_CONFIGMAPS]",
            "spec.template.spec.containers[postgres].env[PGVERSION]",
            "spec.template.spec.containers[postgres].image",
            "spec.template.spec.affinity",
        ];
        assert_eq!(
            (found.restarts.clone(), found.volumes.len(), found.moves_state),
            (fields.map(str::to_owned).to_vec(), 0, true)
        );
        let text = found.to_string();
        for part in [fields[0], "pgloom.dev/adopt-restarts: \"true\"", "the state of Patroni elsewhere"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn the_same_size_in_another_notation_is_no_other_volume() {
        let change = |set: &mut Value| {
            set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = json!("1073741824");
        };
        assert_eq!(found(&json!({}), change), None);
    }

    #[test]
    fn a_running_cluster_that_would_get_no_pod_is_not_adopted() {
        let found = |running: u64, wanted: u64, annotations: &Value| {
            let (mut before, mut after) = (existing(), desired());
            before["spec"]["replicas"] = json!(running);
            after["spec"]["replicas"] = json!(wanted);
            let desired = || Ok::<_, std::convert::Infallible>(vec![after]);
            obstacle(&manifest(annotations), &Config::defaults(), &[before], desired).unwrap()
        };
        let text = found(2, 0, &json!({})).unwrap().to_string();
        assert!(text.contains("its adoption removes all its pods, because of spec.replicas; change the"), "{text}");
        assert_eq!((found(0, 0, &json!({})), found(2, 1, &json!({})), found(0, 2, &json!({}))), (None, None, None));
        assert_eq!(found(2, 0, &json!({ALLOWED: "true"})), None);
    }

    #[test]
    fn other_claims_are_named() {
        let change = |set: &mut Value| {
            set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = json!("fast");
        };
        let found = found(&json!({}), change).unwrap();
        assert_eq!((found.restarts.len(), found.volumes), (0, vec!["spec.volumeClaimTemplates[pgdata]".to_owned()]));
    }

    #[test]
    fn the_manifest_allows_it_by_its_annotation() {
        assert_eq!(found(&json!({ALLOWED: "true"}), other_image), None);
        assert!(found(&json!({ALLOWED: "no"}), other_image).is_some());
    }

    #[test]
    fn only_a_set_of_the_zalando_operator_that_has_pods_is_looked_at() {
        let mark = |set: &mut Value| {
            other_image(set);
            set["metadata"]["annotations"] = json!({"pgloom.dev/cluster-uid": "u"});
        };
        assert_eq!(found(&json!({}), mark), None);
        let without_pods = |set: &mut Value| {
            other_image(set);
            set["spec"]["replicas"] = json!(0);
        };
        assert_eq!(found(&json!({}), without_pods), None);
        let of_another = |set: &mut Value| {
            other_image(set);
            set["metadata"]["labels"] = json!({});
        };
        assert_eq!(found(&json!({}), of_another), None);
    }
}
