//! The pooler's Service.

use pgloom_kit::json::{object, text};
use pgloom_kit::metadata::{object_meta, resource};
use pgloom_kit::service::Named;
use pgloom_kit::{Cluster, Value, Warnings};

use crate::config::Config;
use crate::spec::Spec;
use crate::target::{POOLER_LABEL, Target};

/// The Service of the pooler of one role. The configured template of the DNS name has the suffix of the replicas'
/// pooler.
pub fn build(cluster: &Cluster<Spec>, config: &Config, target: &Target, warnings: &mut Warnings) -> Value {
    let Config { services, .. } = config;
    let spec = &cluster.spec;
    let exposure = spec.exposure(target.role, &config.pooler);
    let mut service = services.spec(exposure, &target.name, &spec.allowed_source_ranges);
    service["selector"] = object([(POOLER_LABEL, text(&target.name))]);
    let named = Named {
        name: target.name.clone(),
        exposure,
        dns_name: services.dns_name(cluster, target.role, &format!("{}-pooler", cluster.name)),
    };
    let own = [("spec.serviceAnnotations", &spec.service_annotations), spec.role_service_annotations(target.role)];
    let annotations = services.annotations(&named, &own, config.metadata.annotations(cluster), warnings);
    resource("v1", "Service", object_meta(&target.name, target.selector.clone(), annotations), service)
}
