//! The number of members: the manifest's, within the bounds of the operator configuration.

use pgloom_kit::Warnings;

use crate::Cluster;
use crate::config::Scale;

/// The number of pods. The bounds do not apply to a standby cluster of one pod.
pub fn number(cluster: &Cluster, scale: &Scale, warnings: &mut Warnings) -> i64 {
    let wanted = cluster.spec.number_of_instances;
    let is_single_standby = wanted == 1 && !cluster.spec.standby.is_null();
    if is_single_standby || !scale.is_bounded(&cluster.annotations) {
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
        warnings.warn(
            "spec.numberOfInstances",
            format!(
                "the cluster has {number} instances instead of {wanted}, by the bounds of the operator configuration"
            ),
            "write a number between min_instances and max_instances of the operator configuration",
        );
    }
    number
}
