//! Labels and annotations of the objects of a cluster, and the frame that every object has.

use std::collections::BTreeMap;

use pgloom_common::label;
use serde_json::Value;

use crate::json::{self, object, text, unless_empty};
use crate::regex::Regex;
use crate::{Cluster, Result};

/// Labels or annotations.
pub type Map = BTreeMap<String, String>;

/// The role of a pod, which Patroni writes into the role label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The member that holds Patroni's leader lock, also in a standby cluster.
    Leader,
    /// Any other member.
    Replica,
}

impl Role {
    /// The value of the role label. The leader's is `master`, because existing selectors use this older name. See
    /// [Patroni on Kubernetes](https://patroni.readthedocs.io/en/latest/kubernetes.html#customize-role-label).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "master",
            Self::Replica => "replica",
        }
    }
}

crate::operator_config! {
    /// The operator configuration's keys about labels and annotations.
    pub struct Metadata {
        /// Labels of every object of a cluster; part of the selectors.
        pub cluster_labels: Map,
        /// The key of the label that holds the cluster's name.
        pub cluster_name_label: String,
        /// Keys of the manifest's labels that its objects carry too.
        pub inherited_labels: Vec<String>,
        /// Keys of the manifest's annotations that its objects carry too.
        pub inherited_annotations: Vec<String>,
        /// The key of the label that holds a pod's role.
        pub pod_role_label: String,
    }
}

impl Metadata {
    /// The labels of a selector of all objects of the cluster: the configured labels and the cluster's name.
    pub fn selector<S>(&self, cluster: &Cluster<S>) -> Map {
        label::selector(self.cluster_labels.clone(), &self.cluster_name_label, &cluster.name)
    }

    /// The labels of a selector of the pods of one role.
    pub fn role_selector<S>(&self, cluster: &Cluster<S>, role: Role) -> Map {
        let mut labels = self.selector(cluster);
        labels.insert(self.pod_role_label.clone(), role.as_str().to_owned());
        labels
    }

    /// The labels of an object: the team, the inherited labels, and the selector's labels.
    pub fn labels<S>(&self, cluster: &Cluster<S>) -> Map {
        label::of_object(&cluster.team, pick(&cluster.labels, &self.inherited_labels), self.selector(cluster))
    }

    /// The labels of an object of one role.
    pub fn role_labels<S>(&self, cluster: &Cluster<S>, role: Role) -> Map {
        let mut labels = self.labels(cluster);
        labels.insert(self.pod_role_label.clone(), role.as_str().to_owned());
        labels
    }

    /// The annotations of an object: those that it inherits from the manifest.
    pub fn annotations<S>(&self, cluster: &Cluster<S>) -> Map {
        pick(&cluster.annotations, &self.inherited_annotations)
    }

    /// The annotations of workloads: the inherited ones, and those whose keys match one of `downscaler_annotations`.
    ///
    /// # Errors
    /// If one of them is not a supported regular expression.
    pub fn workload_annotations<S>(&self, cluster: &Cluster<S>, patterns: &[String]) -> Result<Map> {
        let mut annotations = self.annotations(cluster);
        for pattern in patterns {
            let regex = Regex::parse("downscaler_annotations", pattern)?;
            let matching = cluster.annotations.iter().filter(|(key, _)| regex.is_match(key));
            annotations.extend(matching.map(|(key, value)| (key.clone(), value.clone())));
        }
        Ok(annotations)
    }
}

/// An object of this kind, from its `metadata` and its `spec`; a null `spec` is left out.
pub fn resource(api_version: &str, kind: &str, metadata: Value, spec: Value) -> Value {
    object([("apiVersion", text(api_version)), ("kind", text(kind)), ("metadata", metadata), ("spec", spec)])
}

/// An object's `metadata`; an empty name and empty annotations are left out.
pub fn object_meta(name: &str, labels: Map, annotations: Map) -> Value {
    object([
        ("name", unless_empty(text(name))),
        ("labels", json::map(labels)),
        ("annotations", unless_empty(json::map(annotations))),
    ])
}

fn pick(from: &Map, keys: &[String]) -> Map {
    let mut picked = Map::new();
    for key in keys {
        if let Some(value) = from.get(key) {
            picked.insert(key.clone(), value.clone());
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> Map {
        entries.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn metadata() -> Metadata {
        Metadata {
            cluster_labels: map(&[("application", "spilo")]),
            cluster_name_label: "cluster-name".to_owned(),
            inherited_labels: ["application", "environment", "team"].map(str::to_owned).to_vec(),
            inherited_annotations: vec!["owned-by".to_owned()],
            pod_role_label: "spilo-role".to_owned(),
        }
    }

    fn cluster(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Cluster<()> {
        Cluster {
            name: "acid-orders".to_owned(),
            namespace: "shop".to_owned(),
            uid: String::new(),
            labels: map(labels),
            annotations: map(annotations),
            team: "acid".to_owned(),
            spec: (),
        }
    }

    #[test]
    fn objects_carry_the_configured_labels_the_name_and_the_team() {
        let expected = map(&[("application", "spilo"), ("cluster-name", "acid-orders"), ("team", "acid")]);
        assert_eq!(metadata().labels(&cluster(&[], &[])), expected);
    }

    #[test]
    fn an_inherited_label_wins_over_the_team_but_never_over_the_selector() {
        let cluster = cluster(&[("application", "shop"), ("environment", "demo"), ("team", "b"), ("other", "x")], &[]);
        let expected =
            map(&[("application", "spilo"), ("cluster-name", "acid-orders"), ("environment", "demo"), ("team", "b")]);
        assert_eq!(metadata().labels(&cluster), expected);
    }

    #[test]
    fn only_the_named_annotations_are_inherited() {
        let cluster = cluster(&[], &[("owned-by", "acid"), ("other", "x")]);
        assert_eq!(metadata().annotations(&cluster), map(&[("owned-by", "acid")]));
    }

    #[test]
    fn workloads_carry_the_annotations_of_downscalers() {
        let cluster = cluster(&[], &[("owned-by", "acid"), ("downscaler/uptime", "x"), ("other", "x")]);
        let patterns = ["deployment-time", "downscaler/*"].map(str::to_owned);
        let expected = map(&[("downscaler/uptime", "x"), ("owned-by", "acid")]);
        assert_eq!(metadata().workload_annotations(&cluster, &patterns), Ok(expected));
    }

    #[test]
    fn selectors_of_a_role_name_neither_team_nor_inherited_labels() {
        let cluster = cluster(&[("environment", "demo")], &[]);
        let expected = map(&[("application", "spilo"), ("cluster-name", "acid-orders"), ("spilo-role", "replica")]);
        assert_eq!(metadata().role_selector(&cluster, Role::Replica), expected);
    }
}
