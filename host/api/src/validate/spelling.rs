//! Fields with two names, fields of the past, and fields that nothing acts on.

use serde_json::{Map, Value};

use crate::problem::{Problem, nearest};

/// Names of one field, the older one first; giving both is a contradiction.
const TWINS: [(&str, &str); 2] =
    [("enableConnectionPool", "enableConnectionPooler"), ("connectionPool", "connectionPooler")];

/// Deprecated fields and what replaces them.
const DEPRECATED: [(&str, &str); 2] =
    [("init_containers", "initContainers"), ("pod_priority_class_name", "podPriorityClassName")];

/// Fields that are accepted, as upstream's users have them, but that nothing acts on.
const WITHOUT_EFFECT: [&str; 5] = [
    "maintenanceWindows",
    "streams",
    "usersWithSecretRotation",
    "usersWithInPlaceSecretRotation",
    "usersIgnoringSecretRotation",
];

pub fn check(spec: &Value, problems: &mut Vec<Problem>) {
    let given = |field: &str| spec.get(field).is_some();
    for (old, new) in TWINS {
        if given(old) && given(new) {
            let problem = Problem::error(format!("spec.{old}"), format!("{old} and {new} are two names of one field"));
            problems.push(problem.remedy(format!("remove {old}")));
        }
    }
    for section in ["connectionPooler", "connectionPool"] {
        let pooler = &spec[section];
        if pooler.get("numberOfInstances").is_some() && pooler.get("number_of_instances").is_some() {
            let message = "number_of_instances and numberOfInstances are two names of one field";
            let problem = Problem::error(format!("spec.{section}.number_of_instances"), message);
            problems.push(problem.remedy("remove number_of_instances"));
        }
    }
    for (old, new) in DEPRECATED {
        if given(old) {
            let message = if given(new) {
                format!("is ignored, as {new} is given")
            } else {
                format!("is the older name of {new}")
            };
            problems.push(Problem::warning(format!("spec.{old}"), message).remedy(format!("use {new} alone")));
        }
    }
    let newer = given("enableMasterLoadBalancer") || given("enableReplicaLoadBalancer");
    for (old, new) in
        [("useLoadBalancer", "enableMasterLoadBalancer"), ("replicaLoadBalancer", "enableReplicaLoadBalancer")]
    {
        if given(old) {
            let message = if newer {
                "is ignored, as newer fields are given".to_owned()
            } else {
                format!("is the older name of {new}")
            };
            problems.push(Problem::warning(format!("spec.{old}"), message).remedy(format!("use {new}")));
        }
    }
    for field in WITHOUT_EFFECT.into_iter().filter(|field| spec[*field].as_array().is_some_and(|list| !list.is_empty()))
    {
        problems.push(
            Problem::warning(format!("spec.{field}"), "has no effect: pgloom does not do this").remedy("remove it"),
        );
    }
}

/// Upstream reads the kind of an additional volume in any case, as in `PersistentVolumeClaim`; Kubernetes knows one.
pub fn settle_volume_sources(object: &mut Value) {
    const KINDS: [&str; 10] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "hostPath",
        "nfs",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let volumes = object.pointer_mut("/spec/additionalVolumes").and_then(Value::as_array_mut);
    for source in volumes.into_iter().flatten().filter_map(|volume| volume.get_mut("volumeSource")?.as_object_mut()) {
        let settled: Map<_, _> = std::mem::take(source)
            .into_iter()
            .map(|(kind, value)| match nearest(&kind, KINDS) {
                Some(known) if known.eq_ignore_ascii_case(&kind) => (known.to_owned(), value),
                _ => (kind, value),
            })
            .collect();
        *source = settled;
    }
}
