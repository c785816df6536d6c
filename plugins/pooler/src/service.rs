//! The pooler's Service.

use pgloom_kit::json::{object, text};
use pgloom_kit::metadata::{object_meta, resource};
use pgloom_kit::{Cluster, Value};

use crate::config::Config;
use crate::spec::Spec;
use crate::target::{POOLER_LABEL, Target};

/// The Service of the pooler of one role. The configured template of the DNS name has the suffix of the replicas'
/// pooler.
pub fn build(cluster: &Cluster<Spec>, config: &Config, target: &Target) -> Value {
    let Config { services, .. } = config;
    let spec = &cluster.spec;
    let exposure = spec.exposure(target.role, &config.pooler);
    let mut service = services.spec(exposure, &target.name, &spec.allowed_source_ranges);
    service["selector"] = object([(POOLER_LABEL, text(&target.name))]);
    let annotations = services.annotations(
        &[&spec.service_annotations, spec.role_service_annotations(target.role)],
        exposure,
        services.dns_name(cluster, target.role, &format!("{}-pooler", cluster.name)),
        config.metadata.annotations(cluster),
    );
    resource("v1", "Service", object_meta(&target.name, target.selector.clone(), annotations), service)
}
