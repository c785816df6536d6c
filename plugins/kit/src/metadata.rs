//! The label algebra: which labels and annotations the objects of a cluster carry.

use std::collections::BTreeMap;

use crate::Cluster;

/// Labels or annotations.
pub type Map = BTreeMap<String, String>;

/// The role that Patroni gives a pod, as the value of the role label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The leader, also of a standby cluster.
    Master,
    /// Everybody else.
    Replica,
}

impl Role {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }
}

/// The operator configuration's keys about labels and annotations.
#[derive(serde::Deserialize)]
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

impl crate::OperatorConfig for Metadata {
    fn keys() -> Vec<&'static str> {
        vec!["cluster_labels", "cluster_name_label", "inherited_labels", "inherited_annotations", "pod_role_label"]
    }

    fn read(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }
}

impl Metadata {
    /// What selectors match: the configured labels and the cluster's name.
    pub fn selector<S>(&self, cluster: &Cluster<S>) -> Map {
        let mut labels = self.cluster_labels.clone();
        labels.insert(self.cluster_name_label.clone(), cluster.name.clone());
        labels
    }

    /// What selectors of one role match.
    pub fn role_selector<S>(&self, cluster: &Cluster<S>, role: Role) -> Map {
        let mut labels = self.selector(cluster);
        labels.insert(self.pod_role_label.clone(), role.as_str().to_owned());
        labels
    }

    /// What objects carry: the selector's labels, the team, and what they inherit. The selector's labels win, because an
    /// object that its own selector does not match is refused by the API server.
    pub fn labels<S>(&self, cluster: &Cluster<S>) -> Map {
        let mut labels: Map = pick(&cluster.labels, &self.inherited_labels);
        labels.insert("team".to_owned(), cluster.team.clone());
        labels.extend(self.selector(cluster));
        labels
    }

    /// What objects of one role carry.
    pub fn role_labels<S>(&self, cluster: &Cluster<S>, role: Role) -> Map {
        let mut labels = self.labels(cluster);
        labels.insert(self.pod_role_label.clone(), role.as_str().to_owned());
        labels
    }

    /// The annotations that objects inherit.
    pub fn annotations<S>(&self, cluster: &Cluster<S>) -> Map {
        pick(&cluster.annotations, &self.inherited_annotations)
    }
}

fn pick(from: &Map, keys: &[String]) -> Map {
    keys.iter().filter_map(|key| Some((key.clone(), from.get(key)?.clone()))).collect()
}
