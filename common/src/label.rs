//! The labels of a cluster's objects.

use std::collections::BTreeMap;

/// The label of a pod that must not be evicted, with the value `true`: the image sets it while it bootstraps, the operator
/// while the data is upgraded. A disruption budget selects it. The Zalando operator's has the name, too.
pub const CRITICAL_OPERATION: &str = "critical-operation";

/// The labels by which all objects of a cluster are selected: `cluster_labels`, and the cluster's name under
/// `cluster_name_label`.
#[must_use]
pub fn selector(
    cluster_labels: impl IntoIterator<Item = (String, String)>,
    name_label: &str,
    cluster: &str,
) -> BTreeMap<String, String> {
    // One by one: to collect a map sorts first, whose code is 7 KB in each component.
    let mut labels = BTreeMap::new();
    labels.extend(cluster_labels);
    labels.insert(name_label.to_owned(), cluster.to_owned());
    labels
}

/// The labels of an object: the team, the labels that it inherits from the manifest, and those of [`selector`]. The last
/// replace the others, because the API server refuses a StatefulSet whose selector does not match its own pods.
#[must_use]
pub fn of_object(
    team: &str,
    inherited: impl IntoIterator<Item = (String, String)>,
    selector: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    labels.insert("team".to_owned(), team.to_owned());
    labels.extend(inherited);
    labels.extend(selector);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn the_labels_of_the_selector_replace_those_of_the_manifest() {
        let selector = selector([pair("application", "spilo"), pair("cluster-name", "x")], "cluster-name", "acid-a");
        let labels = of_object("acid", [pair("application", "shop"), pair("team", "b")], selector);
        let expected = [pair("application", "spilo"), pair("cluster-name", "acid-a"), pair("team", "b")];
        assert_eq!(labels, BTreeMap::from(expected));
    }
}
