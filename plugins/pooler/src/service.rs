//! The pooler's Service.

use pgloom_kit::metadata::object_meta;
use pgloom_kit::object::{object, text};
use pgloom_kit::{Cluster, Value};

use crate::config::Config;
use crate::spec::Spec;
use crate::target::{POOLER, Target};

/// Builds it. The replicas' pooler has the suffix of its DNS name from the template.
pub fn build(cluster: &Cluster<Spec>, config: &Config, target: &Target) -> Value {
    let Config { services, .. } = config;
    let spec = &cluster.spec;
    let exposure = spec.exposure(target.role, &config.pooler);
    let mut service = services.spec(exposure, &target.name, &spec.allowed_source_ranges);
    service["selector"] = object([(POOLER, text(&target.name))]);
    let annotations = services.annotations(
        &[&spec.service_annotations, spec.role_service_annotations(target.role)],
        exposure,
        services.dns_name(cluster, target.role, &[cluster.name.as_str(), "-pooler"].concat()),
        config.metadata.annotations(cluster),
    );
    object([
        ("apiVersion", text("v1")),
        ("kind", text("Service")),
        ("metadata", object_meta(&target.name, target.selector.clone(), annotations)),
        ("spec", service),
    ])
}
