//! A node as far as it decides where members run, and what a cluster's pods need of one.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{self as core, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Toleration};
use pgloom_api::config::Config;

/// Taints of those that drain a node. A cordon has a field of its own.
///
/// See [cluster autoscaler](https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md) and
/// [Karpenter's disruption](https://karpenter.sh/docs/concepts/disruption/).
const DRAINS: [&str; 3] = ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"];

/// A node. What its kubelet reports every few minutes is no part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints.
    pub taints: Vec<Taint>,
}

/// A taint of a node. When it was added is no part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value; empty if there is none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl From<core::Node> for Node {
    fn from(node: core::Node) -> Self {
        let spec = node.spec.unwrap_or_default();
        let taint =
            |taint: core::Taint| Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect: taint.effect };
        Self {
            name: node.metadata.name.unwrap_or_default(),
            labels: node.metadata.labels.unwrap_or_default(),
            unschedulable: spec.unschedulable.unwrap_or_default(),
            taints: spec.taints.unwrap_or_default().into_iter().map(taint).collect(),
        }
    }
}

/// What a cluster's pods need of a node.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    readiness: BTreeMap<String, String>,
    affinity: Option<NodeSelector>,
    tolerations: Vec<Toleration>,
}

impl Needs {
    /// What the pods of a StatefulSet need: by their template and by `node_readiness_label`.
    pub fn of(set: &StatefulSet, config: &Config) -> Self {
        let readiness = config.map("node_readiness_label").into_iter();
        let pod = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let affinity = pod.and_then(|pod| pod.affinity.as_ref()?.node_affinity.as_ref());
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        Self {
            readiness: readiness.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            affinity: required.cloned(),
            tolerations: pod.and_then(|pod| pod.tolerations.clone()).unwrap_or_default(),
        }
    }

    /// Why members leave a node; `None` if they may stay. A label that is missing counts only while the pods cannot be
    /// scheduled without it: a manifest may have an affinity of its own.
    pub fn leave(&self, node: &Node) -> Option<String> {
        let name = &node.name;
        if node.unschedulable {
            return Some(format!("node {name} is cordoned"));
        }
        if let Some(taint) = node.taints.iter().find(|taint| DRAINS.contains(&taint.key.as_str())) {
            return Some(format!("node {name} has the taint {}", taint.key));
        }
        let (key, value) = self.readiness.iter().find(|(key, value)| node.labels.get(*key) != Some(*value))?;
        let needed = self.affinity.as_ref().is_some_and(|affinity| !selects(affinity, node));
        needed.then(|| format!("node {name} does not have the label {key}={value}"))
    }

    /// Whether a pod can be scheduled on a node, as far as taints and the pods' affinity to nodes go.
    pub fn accept(&self, node: &Node) -> bool {
        let repels = |taint: &&Taint| taint.effect != "PreferNoSchedule" && !self.tolerate(taint);
        self.leave(node).is_none()
            && !node.taints.iter().any(|taint| repels(&taint))
            && self.affinity.as_ref().is_none_or(|affinity| selects(affinity, node))
    }

    /// See [taints and tolerations](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/).
    fn tolerate(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let (key, effect) = (text(&toleration.key), text(&toleration.effect));
            let exists = toleration.operator.as_deref() == Some("Exists");
            (key == taint.key || key.is_empty() && exists)
                && (effect.is_empty() || effect == taint.effect)
                && (exists || text(&toleration.value) == taint.value)
        })
    }
}

/// Whether a selector selects a node: one of its terms has to.
///
/// See [node affinity](https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity).
pub fn selects(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_selects(term, node))
}

/// A term without any requirement selects no node.
fn term_selects(term: &NodeSelectorTerm, node: &Node) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = |field: &str| (field == "metadata.name").then_some(node.name.as_str());
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|wanted| meets(wanted, node.labels.get(&wanted.key).map(String::as_str)))
        && fields.iter().all(|wanted| meets(wanted, name(&wanted.key)))
}

fn meets(wanted: &NodeSelectorRequirement, has: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let listed = || has.is_some_and(|has| values.iter().any(|value| value == has));
    let numbers = || Some((has?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match wanted.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => has.is_some(),
        "DoesNotExist" => has.is_none(),
        "Gt" => numbers().is_some_and(|(has, limit)| has > limit),
        "Lt" => numbers().is_some_and(|(has, limit)| has < limit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(spec: Value, labels: Value) -> Node {
        let node = json!({"metadata": {"name": "n", "labels": labels}, "spec": spec});
        serde_json::from_value::<core::Node>(node).unwrap().into()
    }

    /// What pods with this specification need, where nodes are to have this label.
    fn needs(pod: Value, readiness: Option<&str>) -> Needs {
        let set =
            serde_json::from_value(json!({"spec": {"template": {"spec": pod}, "selector": {}, "serviceName": "c"}}));
        let data = readiness.map_or(json!({}), |label| json!({"node_readiness_label": label}));
        let config = Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config;
        Needs::of(&set.unwrap(), &config)
    }

    /// A pod that requires nodes with one of these terms.
    fn requiring(terms: Value) -> Value {
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        json!({"containers": [], "affinity": {"nodeAffinity": required}})
    }

    fn term(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn members_leave_a_node_that_is_cordoned_or_that_an_autoscaler_drains() {
        let leave = |spec: Value| needs(json!({"containers": []}), None).leave(&node(spec, json!({})));
        assert_eq!(leave(json!({"unschedulable": true})).as_deref(), Some("node n is cordoned"));
        let taint = |key: &str, effect: &str| json!({"taints": [{"key": key, "effect": effect}]});
        let drained = leave(taint("ToBeDeletedByClusterAutoscaler", "NoSchedule"));
        assert_eq!(drained.as_deref(), Some("node n has the taint ToBeDeletedByClusterAutoscaler"));
        assert_eq!(leave(taint("dedicated", "NoSchedule")), None);
        // It may be removed again: the autoscaler only considers the node.
        assert_eq!(leave(taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule")), None);
        assert_eq!(leave(json!({})), None);
    }

    #[test]
    fn members_leave_a_node_without_the_readiness_label_while_their_pods_require_it() {
        let ready = term("status", "In", &["ready"]);
        let without = node(json!({}), json!({"zone": "a"}));
        let required = needs(requiring(json!([ready])), Some("status:ready"));
        assert_eq!(required.leave(&without).as_deref(), Some("node n does not have the label status=ready"));
        assert_eq!(required.leave(&node(json!({}), json!({"status": "ready"}))), None);
        // The manifest's own affinity is another way to this node.
        let alternatives = json!([ready, term("zone", "In", &["a"])]);
        assert_eq!(needs(requiring(alternatives), Some("status:ready")).leave(&without), None);
        // The configuration is new, and the template does not have it yet.
        assert_eq!(needs(json!({"containers": []}), Some("status:ready")).leave(&without), None);
        // Another label that pods require was removed from the node: they were scheduled there all the same.
        assert_eq!(needs(requiring(json!([term("disk", "Exists", &[])])), None).leave(&without), None);
    }

    #[test]
    fn a_node_accepts_pods_that_tolerate_its_taints_and_whose_affinity_selects_it() {
        let tainted = node(json!({"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}), json!({}));
        let accepts =
            |tolerations: Value| needs(json!({"containers": [], "tolerations": tolerations}), None).accept(&tainted);
        assert!(!accepts(json!([])));
        assert!(accepts(json!([{"operator": "Exists"}])));
        assert!(accepts(json!([{"key": "dedicated", "operator": "Exists"}])));
        assert!(accepts(json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}])));
        assert!(!accepts(json!([{"key": "dedicated", "value": "web"}])));
        assert!(!accepts(json!([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}])));
        let elsewhere = needs(requiring(json!([term("zone", "In", &["b"])])), None);
        assert!(!elsewhere.accept(&node(json!({}), json!({"zone": "a"}))));
        assert!(elsewhere.accept(&node(json!({}), json!({"zone": "b"}))));
        assert!(!elsewhere.accept(&node(json!({"unschedulable": true}), json!({"zone": "b"}))));
    }

    #[test]
    fn a_selector_is_read_as_kubernetes_reads_it() {
        let node = node(json!({}), json!({"zone": "a", "cores": "8"}));
        let of = |terms: Value| selects(&serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap(), &node);
        for (term, selected) in [
            (term("zone", "In", &["a", "b"]), true),
            (term("zone", "NotIn", &["a"]), false),
            (term("disk", "NotIn", &["a"]), true),
            (term("zone", "Exists", &[]), true),
            (term("disk", "DoesNotExist", &[]), true),
            (term("cores", "Gt", &["4"]), true),
            (term("cores", "Lt", &["4"]), false),
            (json!({}), false),
            (json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}), true),
        ] {
            assert_eq!(of(json!([term])), selected, "{term}");
        }
        assert!(of(json!([term("zone", "In", &["b"]), term("zone", "In", &["a"])])), "one term is enough");
        assert!(!of(json!([])));
    }
}
