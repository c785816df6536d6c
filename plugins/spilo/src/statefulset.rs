//! The StatefulSet of the members.

use pgloom_kit::common::quantity::Quantity;
use pgloom_kit::container::DATA_VOLUME;
use pgloom_kit::metadata::{Map, object_meta};
use pgloom_kit::{Notes, Result, Value, invalid, invalid_config, json};

use crate::{Request, instances, pod, version};

/// The StatefulSet.
pub fn build(request: &Request, notes: &mut Notes) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let version = version::effective(request, notes)?;
    let annotations = config.metadata.workload_annotations(cluster, &config.scale.downscaler_annotations)?;
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": object_meta(&cluster.name, config.metadata.labels(cluster), annotations),
        "spec": {
            "replicas": instances::number(cluster, &config.scale, notes),
            "serviceName": cluster.name,
            "podManagementPolicy": management_policy(&config.scale.pod_management_policy)?,
            "updateStrategy": {"type": "OnDelete"},
            "persistentVolumeClaimRetentionPolicy": retention(&config.scale.persistent_volume_claim_retention_policy),
            "selector": {"matchLabels": config.metadata.selector(cluster)},
            "template": pod::template(request, &version, notes)?,
            "volumeClaimTemplates": [claim_template(request)?],
        },
    }))
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
        Some("delete") => "Delete",
        _ => "Retain",
    };
    json!({"whenDeleted": what("when_deleted"), "whenScaled": what("when_scaled")})
}

fn claim_template(request: &Request) -> Result<Value> {
    let (cluster, metadata) = (&request.cluster, &request.config.metadata);
    let volume = &cluster.spec.volume;
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size(volume.size.as_deref())?}},
        "volumeMode": "Filesystem",
    });
    if let Some(class) = volume.storage_class.as_deref().filter(|class| !class.is_empty()) {
        spec["storageClassName"] = json!(class);
    }
    if let Some(selector) = &volume.selector {
        spec["selector"] = selector.clone();
    }
    let metadata = object_meta(DATA_VOLUME, metadata.labels(cluster), metadata.annotations(cluster));
    Ok(json!({"metadata": metadata, "spec": spec}))
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
