//! The part of an existing object that the host keeps: only what a decision depends on, so that a thousand clusters fit
//! into memory.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use pgloom_common::name::MEMBER_STATUS;
use serde_json::{Map, Value, from_value, json};
use sha2::{Digest, Sha256};

use crate::field_manager::{applied_fields, has_predecessor};
use crate::kind::{BuiltIn, Kind, ObjectKey};
use crate::ownership::MARK;
use crate::patroni::LOCK_HOLDER;

/// The annotation in which `kubectl apply` repeats the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The part of an object that is kept.
#[derive(Debug, PartialEq)]
pub struct Transformed {
    /// The object without managed fields, resource version and fields that change all the time.
    pub object: Value,
    /// The resource version.
    pub version: u64,
    /// The fields that the operator applied, as `fieldsV1` of the managed fields; `None` if it applied none.
    pub fields: Option<Value>,
    /// Whether the managed fields have an entry of the Zalando operator, or of a creation by this operator.
    pub inherited: bool,
}

/// Transforms an object of the API server. A pod's `spec` is dropped unless `whole`.
pub fn transform(kind: &Kind, mut object: Value, whole: bool) -> Transformed {
    object["apiVersion"] = json!(&*kind.api_version);
    object["kind"] = json!(&*kind.kind);
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let (version, managers) = metadata.map(metadata_of).unwrap_or_default();
    match kind.built_in() {
        Some(BuiltIn::Pod) => pod(&mut object, whole),
        Some(BuiltIn::Endpoints) => endpoints(&mut object),
        _ => hash_secret(&mut object),
    }
    Transformed { object, version, fields: applied_fields(&managers), inherited: has_predecessor(&managers) }
}

fn metadata_of(metadata: &mut Map<String, Value>) -> (u64, Vec<Value>) {
    let version = match metadata.remove("resourceVersion") {
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        _ => 0,
    };
    metadata.remove("selfLink");
    let managers = match metadata.remove("managedFields") {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    drop_annotation(metadata, LAST_APPLIED);
    (version, managers)
}

fn drop_annotation(metadata: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove(name);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

/// Drops the annotation `status`, into which Patroni writes its WAL position every few seconds, and keeps the fields
/// that decisions need: node, address, readiness, and the reasons why the pod is not scheduled or a container does not
/// run.
fn pod(object: &mut Value, whole: bool) {
    let Some(fields) = object.as_object_mut() else { return };
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        drop_annotation(metadata, MEMBER_STATUS);
    }
    if whole {
        return;
    }
    let node_name = fields.get("spec").and_then(|spec| spec.get("nodeName")).cloned();
    let status: PodStatus = fields.remove("status").and_then(|status| from_value(status).ok()).unwrap_or_default();
    let conditions: Vec<Value> = status.conditions.iter().flatten().filter_map(condition).collect();
    // Init containers end before the others start, so the end of one is not kept.
    let containers = status.container_statuses.iter().flatten();
    let not_running = containers.filter_map(|container| waiting(container).or_else(|| terminated(container)));
    let not_running: Vec<Value> =
        not_running.chain(status.init_container_statuses.iter().flatten().filter_map(waiting)).collect();
    fields.insert("spec".into(), json!({ "nodeName": node_name }));
    fields.insert(
        "status".into(),
        json!({
            "phase": status.phase, "podIP": status.pod_ip, "conditions": conditions,
            "containerStatuses": not_running,
        }),
    );
}

/// Whether the pod is ready, and why it is not scheduled if it is not.
fn condition(condition: &PodCondition) -> Option<Value> {
    match (condition.type_.as_str(), condition.status.as_str()) {
        ("Ready", status) => Some(json!({"type": "Ready", "status": status})),
        ("PodScheduled", "False") => {
            Some(json!({"type": "PodScheduled", "status": "False", "reason": condition.reason}))
        }
        _ => None,
    }
}

/// The container and how it ended, if it has.
fn terminated(container: &ContainerStatus) -> Option<Value> {
    let terminated = container.state.as_ref()?.terminated.as_ref()?;
    let terminated = json!({"exitCode": terminated.exit_code, "reason": terminated.reason});
    Some(json!({"name": container.name, "state": {"terminated": terminated}}))
}

/// The container and the reason why it waits, if it does.
fn waiting(container: &ContainerStatus) -> Option<Value> {
    let reason = container.state.as_ref()?.waiting.as_ref()?.reason.as_ref()?;
    Some(json!({"name": container.name, "state": {"waiting": {"reason": reason}}}))
}

/// The leader renews its lock in the annotations every few seconds. Only the annotations with the lock's holder and
/// with the mark of the cluster are kept.
fn endpoints(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.remove("subsets");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(Value::Object(mut annotations)) = metadata.remove("annotations")
    {
        annotations.retain(|name, value| [LOCK_HOLDER, MARK].contains(&name.as_str()) && value.is_string());
        if !annotations.is_empty() {
            metadata.insert("annotations".into(), Value::Object(annotations));
        }
    }
}

/// Replaces every value of a Secret by its hash, as in `sha256:2cf24d…`; leaves any other object as it is. A kind that is
/// written in other letters is a Secret, too, and so is one of another group: it may hold the same.
pub fn hash_secret(object: &mut Value) {
    if !ObjectKey::of(object).kind.eq_ignore_ascii_case("Secret") {
        return;
    }
    let Some(secret) = object.as_object_mut() else { return };
    // Only files have `stringData`: the API server merges it into `data`.
    let plain = secret.remove("stringData");
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        for value in data.values_mut() {
            let text = value.as_str().unwrap_or_default();
            if !text.starts_with(HASHED) {
                *value = Value::String(hash(text));
            }
        }
    }
    for (name, value) in plain.as_ref().and_then(Value::as_object).into_iter().flatten() {
        object["data"][name] = json!(hash_plain(value.as_str().unwrap_or_default().as_bytes()));
    }
}

/// The hash of a Secret's value as the API server gives it, in base64.
pub fn hash(value: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_else(|_| value.as_bytes().to_vec());
    hash_plain(&bytes)
}

/// The hash of a value.
pub fn hash_plain(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::from(HASHED), |text, byte| format!("{text}{byte:02x}"))
}

const HASHED: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_secret_are_kept_as_hashes_only() {
        let secret = json!({"metadata": {"name": "s"}, "data": {"password": "aGVsbG8="}});
        let kept = transform(&Kind::new("v1", "Secret"), secret, false).object;
        assert_eq!(kept["data"]["password"], "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(hash_plain(b"hello"), kept["data"]["password"]);
    }

    #[test]
    fn a_secret_whose_kind_is_written_in_other_letters_is_hashed_too() {
        for kind in ["secret", "SECRET", "sEcret"] {
            let secret = json!({"metadata": {"name": "s"}, "data": {"password": "aGVsbG8="}});
            let kept = transform(&Kind::new("v1", kind), secret, true).object;
            assert_eq!(kept["data"]["password"], hash_plain(b"hello"), "{kind}");
        }
    }

    #[test]
    fn a_renewed_leader_lock_changes_nothing_that_is_kept() {
        let kind = Kind::new("v1", "Endpoints");
        let at = |time: &str, version: &str| {
            let endpoints = json!({
                "metadata": {"name": "c", "annotations": {"renewTime": time}, "resourceVersion": version},
                "subsets": [{"addresses": []}]
            });
            transform(&kind, endpoints, false).object
        };
        assert_eq!(at("10:00:00", "1"), at("10:00:10", "2"));
    }

    #[test]
    fn a_pod_keeps_its_labels_its_address_its_readiness_and_why_containers_wait() {
        let pod = json!({
            "metadata": {"name": "c-0", "labels": {"spilo-role": "master"}, "annotations": {"status": "{}"}},
            "spec": {"nodeName": "n", "containers": [{"name": "postgres"}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "qosClass": "Burstable",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2031-05-14T12:00:00Z"},
                ],
                "initContainerStatuses": [
                    {"name": "first", "image": "i", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "m"}}},
                ],
                "containerStatuses": [{"name": "postgres", "image": "i", "state": {"running": {}}}],
            }
        });
        assert_eq!(
            transform(&Kind::new("v1", "Pod"), pod, false).object,
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "c-0", "labels": {"spilo-role": "master"}},
                "spec": {"nodeName": "n"},
                "status": {
                    "phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{"name": "first", "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
                }
            })
        );
    }

    #[test]
    fn a_pod_keeps_why_it_is_not_scheduled_and_how_its_containers_ended() {
        let pod = json!({
            "metadata": {"name": "c-0"},
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "m"}],
                "initContainerStatuses": [{"name": "first", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                    {"name": "postgres", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
                ],
            }
        });
        let status = transform(&Kind::new("v1", "Pod"), pod, false).object["status"].clone();
        let conditions = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        assert_eq!(status["conditions"], conditions);
        let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        assert_eq!(status["containerStatuses"], json!([{"name": "postgres", "state": ended}]));
    }

    #[test]
    fn what_the_operator_applied_is_read_from_the_managed_fields() {
        let service = json!({"metadata": {"name": "c", "resourceVersion": "7", "managedFields": [
            {"manager": "postgres-operator", "operation": "Update", "fieldsV1": {"f:spec": {"f:type": {}}}},
            {"manager": "pgloom", "operation": "Apply", "fieldsV1": {"f:spec": {"f:ports": {}}}},
        ]}});
        let kept = transform(&Kind::new("v1", "Service"), service, false);
        assert_eq!(kept.fields, Some(json!({"f:spec": {"f:ports": {}}})));
        assert!(kept.inherited);
        assert_eq!(kept.version, 7);
    }
}
