//! The Services of the leader and of the replicas, and the leader's Endpoints.

use pgloom_kit::common::name::{dns_name, internal_name};
use pgloom_kit::json::map;
use pgloom_kit::metadata::{Role, object_meta, resource};
use pgloom_kit::service::{Exposure, Named};
use pgloom_kit::{Value, Warnings};

use crate::Request;
use crate::spec::Spec;

/// The Service of a role: `<cluster>` of the leader, `<cluster>-repl` of the replicas.
pub fn service(request: &Request, role: Role, warnings: &mut Warnings) -> Value {
    let (cluster, config) = (&request.cluster, &request.config);
    let spec = &cluster.spec;
    let exposure = exposure(request, role);
    let mut body = config.services.spec(exposure, "postgresql", &spec.allowed_source_ranges);
    // Without a selector Patroni writes the leader's Endpoints, unless it keeps the leader lock in a ConfigMap.
    if role == Role::Replica || config.access.uses_config_maps() {
        body["selector"] = map(config.metadata.role_selector(cluster, role));
    }
    let of_role = match role {
        Role::Leader => ("spec.masterServiceAnnotations", &spec.master_service_annotations),
        Role::Replica => ("spec.replicaServiceAnnotations", &spec.replica_service_annotations),
    };
    let named = Named { name: name(request, role), exposure, dns_name: host_names(request, role) };
    let own = [("spec.serviceAnnotations", &spec.service_annotations), of_role];
    let annotations = config.services.annotations(&named, &own, config.metadata.annotations(cluster), warnings);
    let metadata = object_meta(&named.name, config.metadata.role_labels(cluster, role), annotations);
    resource("v1", "Service", metadata, body)
}

/// The Endpoints of the leader's Service, in whose annotations Patroni keeps the leader lock. Only labels and inherited
/// annotations are set here: the addresses and the other annotations are Patroni's.
pub fn endpoints(request: &Request) -> Value {
    let (cluster, metadata) = (&request.cluster, &request.config.metadata);
    let labels = metadata.role_labels(cluster, Role::Leader);
    resource("v1", "Endpoints", object_meta(&cluster.name, labels, metadata.annotations(cluster)), Value::Null)
}

fn name(request: &Request, role: Role) -> String {
    match role {
        Role::Leader => request.cluster.name.clone(),
        Role::Replica => format!("{}-repl", request.cluster.name),
    }
}

fn exposure(request: &Request, role: Role) -> Exposure {
    let (spec, config) = (&request.cluster.spec, &request.config.exposure);
    let balanced = load_balancer(spec, role);
    match role {
        Role::Leader => Exposure::of(
            balanced.unwrap_or(config.enable_master_load_balancer),
            spec.enable_master_node_port.unwrap_or(config.enable_master_node_port),
            spec.master_node_port,
        ),
        Role::Replica => Exposure::of(
            balanced.unwrap_or(config.enable_replica_load_balancer),
            spec.enable_replica_node_port.unwrap_or(config.enable_replica_node_port),
            spec.replica_node_port,
        ),
    }
}

/// The manifest's switch of the load balancer. The old spellings are used only if neither of the new ones is given.
fn load_balancer(spec: &Spec, role: Role) -> Option<bool> {
    let is_old = spec.enable_master_load_balancer.is_none() && spec.enable_replica_load_balancer.is_none();
    match (role, is_old) {
        (Role::Leader, false) => spec.enable_master_load_balancer,
        (Role::Replica, false) => spec.enable_replica_load_balancer,
        (Role::Leader, true) => spec.use_load_balancer,
        (Role::Replica, true) => spec.replica_load_balancer,
    }
}

/// The DNS names of a role's Service, separated by commas: that of the current template, and for a cluster whose name
/// starts with its team that of the template of earlier releases. In a template with `{team}`, `{cluster}` is the name
/// without it.
fn host_names(request: &Request, role: Role) -> String {
    let (cluster, config) = (&request.cluster, &request.config);
    let (format, legacy) = match role {
        Role::Leader => (&config.services.master_dns_name_format, &config.exposure.master_legacy_dns_name_format),
        Role::Replica => (&config.services.replica_dns_name_format, &config.exposure.replica_legacy_dns_name_format),
    };
    let short = internal_name(&cluster.name, &cluster.team);
    let names_team = format.as_bytes().windows(6).any(|part| part == b"{team}");
    let name = if names_team { short } else { &cluster.name };
    let current = config.services.dns_name(cluster, role, name);
    if short == cluster.name || legacy.is_empty() {
        return current;
    }
    let old = dns_name(legacy, short, &cluster.team, &cluster.namespace, &config.services.db_hosted_zone);
    if old == current { current } else { format!("{current},{old}") }
}
