//! Disruption budgets: a node that is drained must not take the leader, nor a pod that must not be disturbed.

use pgloom_kit::Value;
use pgloom_kit::common::name;
use pgloom_kit::metadata::{Map, Role, object_meta};
use pgloom_kit::object::{map, object, text};

use crate::Request;

/// The budget that keeps the leader.
pub fn leader(request: &Request) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let guards = config.scale.enable_pod_disruption_budget && cluster.spec.number_of_instances > 0;
    let selector = if config.scale.pdb_master_label_selector {
        config.metadata.role_selector(cluster, Role::Master)
    } else {
        config.metadata.selector(cluster)
    };
    let name = name::pdb_name(&config.scale.pdb_name_format, &cluster.name);
    budget(request, &name, "minAvailable", i32::from(guards).into(), selector)
}

/// The budget that keeps every pod while it carries the label `critical-operation`, as during a bootstrap.
pub fn critical_operation(request: &Request) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let mut selector = config.metadata.selector(cluster);
    selector.insert("critical-operation".to_owned(), "true".to_owned());
    let name = ["postgres-", &cluster.name, "-critical-op-pdb"].concat();
    let lost = if config.scale.enable_pod_disruption_budget { 0.into() } else { text("100%") };
    budget(request, &name, "maxUnavailable", lost, selector)
}

fn budget(request: &Request, name: &str, bound: &str, value: Value, selector: Map) -> Value {
    let (cluster, metadata) = (&request.cluster, &request.config.metadata);
    object([
        ("apiVersion", text("policy/v1")),
        ("kind", text("PodDisruptionBudget")),
        ("metadata", object_meta(name, metadata.labels(cluster), metadata.annotations(cluster))),
        ("spec", object([(bound, value), ("selector", object([("matchLabels", map(selector))]))])),
    ])
}
