//! How many members a cluster has: what the manifest says, within the platform's bounds.

use pgloom_kit::Notes;

use crate::Cluster;
use crate::config::Scale;

/// The number of pods. A standby cluster of one stays alone, whatever the bounds say.
pub fn number(cluster: &Cluster, scale: &Scale, notes: &mut Notes) -> i64 {
    let wanted = cluster.spec.number_of_instances;
    let is_alone = wanted == 1 && !cluster.spec.standby.is_null();
    if is_alone || !scale.is_bounded(&cluster.annotations) {
        return wanted;
    }
    let mut number = wanted;
    if scale.max_instances >= 0 {
        number = number.min(scale.max_instances);
    }
    if scale.min_instances >= 0 {
        number = number.max(scale.min_instances);
    }
    if number != wanted {
        notes.warn(
            "spec.numberOfInstances",
            ["the platform's bounds make it ", &number.to_string(), " instances"].concat(),
            "set a number within min_instances and max_instances of the operator configuration",
        );
    }
    number
}
