//! The StatefulSet of the members.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::container::DATA_VOLUME;
use pgloom_kit::metadata::{Map, object_meta};
use pgloom_kit::object::{list, map, object, text, unless_empty};
use pgloom_kit::{Notes, Result, Value, invalid, invalid_config};

use crate::{Request, instances, pod, version};

/// The StatefulSet.
pub fn build(request: &Request, notes: &mut Notes) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let version = version::effective(request, notes)?;
    let annotations = config.metadata.workload_annotations(cluster, &config.scale.downscaler_annotations)?;
    let spec = object([
        ("replicas", instances::number(cluster, &config.scale, notes).into()),
        ("serviceName", text(&cluster.name)),
        ("podManagementPolicy", text(management_policy(&config.scale.pod_management_policy)?)),
        ("updateStrategy", object([("type", text("OnDelete"))])),
        ("persistentVolumeClaimRetentionPolicy", retention(&config.scale.persistent_volume_claim_retention_policy)),
        ("selector", object([("matchLabels", map(config.metadata.selector(cluster)))])),
        ("template", pod::template(request, &version, notes)?),
        ("volumeClaimTemplates", list([claim_template(request)?])),
    ]);
    Ok(object([
        ("apiVersion", text("apps/v1")),
        ("kind", text("StatefulSet")),
        ("metadata", object_meta(&cluster.name, config.metadata.labels(cluster), annotations)),
        ("spec", spec),
    ]))
}

fn management_policy(policy: &str) -> Result<&'static str> {
    match policy {
        "ordered_ready" => Ok("OrderedReady"),
        "parallel" => Ok("Parallel"),
        other => Err(invalid_config(
            ["pod_management_policy: there is no policy \"", other, "\"; write ordered_ready or parallel"].concat(),
        )),
    }
}

fn retention(policy: &Map) -> Value {
    let what = |when: &str| match policy.get(when).map(String::as_str) {
        Some("delete") => text("Delete"),
        _ => text("Retain"),
    };
    object([("whenDeleted", what("when_deleted")), ("whenScaled", what("when_scaled"))])
}

fn claim_template(request: &Request) -> Result<Value> {
    let (cluster, metadata) = (&request.cluster, &request.config.metadata);
    let volume = &cluster.spec.volume;
    let storage = object([("storage", text(&size(volume.size.as_deref())?))]);
    let spec = object([
        ("accessModes", list([text("ReadWriteOnce")])),
        ("resources", object([("requests", storage)])),
        ("selector", volume.selector.clone()),
        ("storageClassName", unless_empty(text(volume.storage_class.as_deref().unwrap_or_default()))),
        ("volumeMode", text("Filesystem")),
    ]);
    let metadata = object_meta(DATA_VOLUME, metadata.labels(cluster), metadata.annotations(cluster));
    Ok(object([("metadata", metadata), ("spec", spec)]))
}

fn size(text: Option<&str>) -> Result<String> {
    let path = "spec.volume.size";
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Err(invalid(path, "the volume has no size", "write how large it is, as in 10Gi"));
    };
    match Quantity::parse(text) {
        Ok(size) if !size.is_negative() && !size.is_zero() => Ok(size.canonical()),
        _ => Err(invalid(path, ["\"", text, "\" is no size"].concat(), "write a Kubernetes quantity, as in 10Gi")),
    }
}
