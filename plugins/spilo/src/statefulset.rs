//! The StatefulSet of the members.

use pgloom_kit::container::{DATA_VOLUME, volume_size};
use pgloom_kit::json::{field, list, map, object, text, unless_empty};
use pgloom_kit::metadata::{Map, object_meta, resource};
use pgloom_kit::{Result, Value, Warnings, invalid_config};

use crate::{Request, instances, patroni, pod, version};

/// The StatefulSet, named after the cluster.
pub fn build(request: &Request, warnings: &mut Warnings) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let version = version::effective(request, warnings)?;
    let annotations = config.metadata.workload_annotations(cluster, &config.scale.downscaler_annotations)?;
    patroni::check(&cluster.spec)?;
    let replicas = instances::number(cluster, &config.scale, warnings);
    let spec = object([
        ("replicas", replicas.into()),
        ("serviceName", text(&cluster.name)),
        ("podManagementPolicy", text(management_policy(&config.scale.pod_management_policy)?)),
        ("updateStrategy", object([("type", text("OnDelete"))])),
        (
            "persistentVolumeClaimRetentionPolicy",
            retention(&config.scale.persistent_volume_claim_retention_policy, replicas),
        ),
        ("selector", object([("matchLabels", map(config.metadata.selector(cluster)))])),
        ("template", pod::template(request, &version, warnings)?),
        ("volumeClaimTemplates", list([claim_template(request)?])),
    ]);
    let metadata = object_meta(&cluster.name, config.metadata.labels(cluster), annotations);
    Ok(resource("apps/v1", "StatefulSet", metadata, spec))
}

fn management_policy(policy: &str) -> Result<&'static str> {
    match policy {
        "ordered_ready" => Ok("OrderedReady"),
        "parallel" => Ok("Parallel"),
        other => Err(invalid_config(format!(
            "pod_management_policy: \"{other}\" is not a policy; write ordered_ready or parallel"
        ))),
    }
}

/// What becomes of claims. Those of a cluster without members have the only copies of the data, and stay.
fn retention(policy: &Map, replicas: i64) -> Value {
    let what = |when: &str| match policy.get(when).map(String::as_str) {
        Some("delete") => text("Delete"),
        _ => text("Retain"),
    };
    let when_scaled = if replicas == 0 { text("Retain") } else { what("when_scaled") };
    object([("whenDeleted", what("when_deleted")), ("whenScaled", when_scaled)])
}

fn claim_template(request: &Request) -> Result<Value> {
    let (cluster, metadata) = (&request.cluster, &request.config.metadata);
    let volume = &cluster.spec.volume;
    let storage = object([("storage", text(&volume_size(volume.size.as_deref())?.canonical()))]);
    let spec = object([
        ("accessModes", list([text("ReadWriteOnce")])),
        ("resources", object([("requests", storage)])),
        ("selector", volume.selector.clone()),
        ("storageClassName", unless_empty(text(field::text(&volume.storage_class)))),
        ("volumeMode", text("Filesystem")),
    ]);
    let metadata = object_meta(DATA_VOLUME, metadata.labels(cluster), metadata.annotations(cluster));
    Ok(object([("metadata", metadata), ("spec", spec)]))
}
