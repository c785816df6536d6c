//! PodDisruptionBudgets: draining a node must not evict the leader, nor a pod in a critical operation.

use pgloom_kit::Value;
use pgloom_kit::common::label::CRITICAL_OPERATION;
use pgloom_kit::common::name;
use pgloom_kit::json::{map, object, text};
use pgloom_kit::metadata::{Map, Role, object_meta, resource};

use crate::Request;

/// The budget that protects the leader.
pub fn leader(request: &Request) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let selector = if config.scale.pdb_master_label_selector {
        config.metadata.role_selector(cluster, Role::Leader)
    } else {
        config.metadata.selector(cluster)
    };
    let name = name::pdb_name(&config.scale.pdb_name_format, &cluster.name);
    budget(request, &name, "minAvailable", i32::from(is_protected(request)).into(), selector)
}

/// The budget that protects every pod in a critical operation: a bootstrap, or an upgrade of the data.
pub fn critical_operation(request: &Request) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let mut selector = config.metadata.selector(cluster);
    selector.insert(CRITICAL_OPERATION.to_owned(), "true".to_owned());
    let name = name::critical_operation_pdb_name(&cluster.name);
    let unavailable = if is_protected(request) { 0.into() } else { text("100%") };
    budget(request, &name, "maxUnavailable", unavailable, selector)
}

/// Whether there are pods to protect, and they are to be.
fn is_protected(request: &Request) -> bool {
    request.config.scale.enable_pod_disruption_budget && request.cluster.spec.number_of_instances > 0
}

fn budget(request: &Request, name: &str, bound: &str, value: Value, selector: Map) -> Value {
    let (cluster, metadata) = (&request.cluster, &request.config.metadata);
    let metadata = object_meta(name, metadata.labels(cluster), metadata.annotations(cluster));
    let spec = object([(bound, value), ("selector", object([("matchLabels", map(selector))]))]);
    resource("policy/v1", "PodDisruptionBudget", metadata, spec)
}
