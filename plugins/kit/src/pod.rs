//! Parts that all pods of a cluster have in common: metadata, tolerations, affinity, service account, grace period.

use serde_json::Value;

use crate::json::{self, list, object, text, unless_empty};
use crate::metadata::Map;
use crate::{Result, duration};

/// The annotation by which [kube2iam](https://github.com/jtblin/kube2iam) gives a pod a role of AWS.
pub const IAM_ROLE_ANNOTATION: &str = "iam.amazonaws.com/role";

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

crate::operator_config! {
    /// The operator configuration's keys about pods.
    pub struct Pods {
        /// Annotations of every pod.
        pub custom_pod_annotations: Map,
        /// Labels that a node must have before pods are scheduled on it.
        pub node_readiness_label: Map,
        /// How these labels are combined with the manifest's node affinity: `OR` or `AND`.
        pub node_readiness_label_merge: String,
        /// The ServiceAccount of pods.
        pub pod_service_account_name: String,
        /// How long a pod may take to stop: a duration, as in `5m`.
        pub pod_terminate_grace_period: String,
        /// The toleration of pods whose manifest has none: `key`, `operator`, `value`, `effect`.
        pub toleration: Map,
    }
}

crate::operator_config! {
    /// The operator configuration's keys about the users and groups of the image's processes.
    pub struct Users {
        /// `runAsUser` of pods.
        pub spilo_runasuser: Option<i64>,
        /// `runAsGroup` of pods.
        pub spilo_runasgroup: Option<i64>,
        /// `fsGroup` of pods.
        pub spilo_fsgroup: Option<i64>,
    }
}

impl Users {
    /// A pod's `securityContext`: the manifest's values, or the configured ones.
    pub fn security(&self, user: Option<i64>, group: Option<i64>, fs_group: Option<i64>) -> Value {
        object([
            ("runAsUser", user.or(self.spilo_runasuser).into()),
            ("runAsGroup", group.or(self.spilo_runasgroup).into()),
            ("fsGroup", fs_group.or(self.spilo_fsgroup).into()),
        ])
    }
}

impl Pods {
    /// A pod's annotations. Later ones replace earlier ones: the configured ones, the manifest's, the inherited ones.
    pub fn annotations(&self, manifest: &Map, inherited: Map) -> Map {
        let mut annotations = self.custom_pod_annotations.clone();
        annotations.extend(manifest.clone());
        annotations.extend(inherited);
        annotations
    }

    /// The manifest's tolerations, or the configured one.
    pub fn tolerations(&self, manifest: &[Value]) -> Vec<Value> {
        if !manifest.is_empty() {
            return manifest.to_vec();
        }
        let mut toleration = Map::new();
        for field in ["key", "operator", "value", "effect"] {
            if let Some(value) = self.toleration.get(field).filter(|value| !value.is_empty()) {
                toleration.insert(field.to_owned(), value.clone());
            }
        }
        if toleration.is_empty() { Vec::new() } else { vec![json::map(toleration)] }
    }

    /// The node affinity: the manifest's own, combined with the labels that nodes must have.
    pub fn node_affinity(&self, manifest: Option<&Value>) -> Option<Value> {
        let manifest = manifest.and_then(Value::as_object);
        if self.node_readiness_label.is_empty() {
            return manifest.map(|affinity| Value::Object(affinity.clone()));
        }
        let mut affinity = manifest.cloned().unwrap_or_default();
        let terms = affinity.get(REQUIRED).and_then(|required| required.get("nodeSelectorTerms"));
        let terms = self.combined(terms.and_then(Value::as_array).cloned().unwrap_or_default());
        affinity.insert(REQUIRED.to_owned(), object([("nodeSelectorTerms", Value::Array(terms))]));
        Some(Value::Object(affinity))
    }

    /// The terms, combined with the labels that nodes must have. A node has to match one of the terms.
    fn combined(&self, mut terms: Vec<Value>) -> Vec<Value> {
        let mut ready = Vec::new();
        for (key, value) in &self.node_readiness_label {
            ready.push(object([("key", text(key)), ("operator", text("In")), ("values", list([text(value)]))]));
        }
        if terms.is_empty() || self.node_readiness_label_merge != "AND" {
            terms.push(object([("matchExpressions", Value::Array(ready))]));
            return terms;
        }
        for term in terms.iter_mut().filter_map(Value::as_object_mut) {
            let expressions = term.entry("matchExpressions").or_insert(Value::Null);
            match expressions.as_array_mut() {
                Some(expressions) => expressions.extend_from_slice(&ready),
                None => *expressions = Value::Array(ready.clone()),
            }
        }
        terms
    }

    /// The seconds that a pod may take to stop, for `terminationGracePeriodSeconds`.
    ///
    /// # Errors
    /// If the configured text is not a duration.
    pub fn grace_seconds(&self) -> Result<u64> {
        duration::seconds("pod_terminate_grace_period", &self.pod_terminate_grace_period)
    }
}

/// The `metadata` of a pod template. Its namespace is redundant, but the templates of the Zalando operator have it, and
/// another template would restart the pods.
pub fn template_metadata(labels: Map, annotations: Map, namespace: &str) -> Value {
    object([
        ("labels", json::map(labels)),
        ("annotations", unless_empty(json::map(annotations))),
        ("namespace", unless_empty(text(namespace))),
    ])
}

/// The label of a node that no other one has with the same value.
const NODE: &str = "kubernetes.io/hostname";

/// A term of pod affinity: pods with these labels, and the node label whose values are the places; if it is empty, each node
/// is one.
pub fn affinity_term(labels: &Map, topology_key: &str) -> Value {
    object([
        ("labelSelector", object([("matchLabels", json::map(labels.clone()))])),
        // The API server refuses a term without one.
        ("topologyKey", text(if topology_key.is_empty() { NODE } else { topology_key })),
    ])
}

/// A preferred term with the smallest weight, 1.
pub fn preferred(term: Value) -> Value {
    object([(PREFERRED, list([object([("weight", 1.into()), ("podAffinityTerm", term)])]))])
}

/// A `podAntiAffinity` that keeps pods with these labels in different places, strictly or where possible.
pub fn anti_affinity(labels: &Map, topology_key: &str, is_preferred: bool) -> Value {
    let term = affinity_term(labels, topology_key);
    if is_preferred { preferred(term) } else { object([(REQUIRED, list([term]))]) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::OperatorConfig;

    fn pods(change: Value) -> Pods {
        let mut config = json!({
            "custom_pod_annotations": {}, "node_readiness_label": {}, "node_readiness_label_merge": "OR",
            "pod_service_account_name": "postgres-pod", "pod_terminate_grace_period": "5m", "toleration": {},
        });
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        Pods::read(&config.to_string()).unwrap()
    }

    fn map(value: Value) -> Map {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_manifests_annotations_win_over_the_configured_ones() {
        let pods = pods(json!({"custom_pod_annotations": {"a": "config", "b": "config", "c": "config"}}));
        let annotations = pods.annotations(&map(json!({"b": "own", "c": "own"})), map(json!({"c": "inherited"})));
        assert_eq!(json!(annotations), json!({"a": "config", "b": "own", "c": "inherited"}));
    }

    #[test]
    fn the_manifests_tolerations_replace_the_configured_one() {
        let pods = pods(json!({"toleration": {"key": "db-only", "operator": "Exists", "value": ""}}));
        assert_eq!(pods.tolerations(&[]), [json!({"key": "db-only", "operator": "Exists"})]);
        assert_eq!(pods.tolerations(&[json!({"key": "own"})]), [json!({"key": "own"})]);
        assert!(super::tests::pods(json!({})).tolerations(&[]).is_empty());
    }

    #[test]
    fn pods_are_kept_apart_strictly_or_where_possible() {
        let labels = map(json!({"cluster-name": "acid-orders"}));
        let term = json!({"labelSelector": {"matchLabels": {"cluster-name": "acid-orders"}}, "topologyKey": "zone"});
        assert_eq!(anti_affinity(&labels, "zone", false), json!({REQUIRED: [term]}));
        let preference = json!({"weight": 1, "podAffinityTerm": term});
        assert_eq!(anti_affinity(&labels, "zone", true), json!({PREFERRED: [preference]}));
    }

    #[test]
    fn nodes_have_to_be_ready_or_also_what_the_manifest_asks_for() {
        let ready = json!({"key": "status", "operator": "In", "values": ["ready"]});
        let zone = json!({"key": "zone", "operator": "Exists"});
        let own = json!({REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}});
        let label = json!({"status": "ready"});
        for (merge, manifest, terms) in [
            ("OR", None, json!([{"matchExpressions": [ready]}])),
            ("OR", Some(&own), json!([{"matchExpressions": [zone]}, {"matchExpressions": [ready]}])),
            ("AND", Some(&own), json!([{"matchExpressions": [zone, ready]}])),
        ] {
            let pods = pods(json!({"node_readiness_label": label, "node_readiness_label_merge": merge}));
            let expected = json!({REQUIRED: {"nodeSelectorTerms": terms}});
            assert_eq!(pods.node_affinity(manifest), Some(expected), "{merge}");
        }
        assert_eq!(pods(json!({})).node_affinity(Some(&own)), Some(own));
        assert_eq!(pods(json!({})).node_affinity(None), None);
    }
}
