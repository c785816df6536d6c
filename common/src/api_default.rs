//! The values that the API server gives to fields that are absent, of the kinds that an operator of PostgreSQL makes.
//!
//! Source: the defaulting functions of Kubernetes, `pkg/apis/{core,apps,batch}/v1/defaults.go`, and the
//! [API reference](https://kubernetes.io/docs/reference/kubernetes-api/).

/// Fields and their defaults. A path names fields from the object on; `[]` after a name is every entry of the list. The
/// value is JSON, or a text without its quotes.
pub type Defaults = &'static [(&'static str, &'static str)];

/// By kind.
const KINDS: &[(&str, Defaults)] = &[
    (
        "StatefulSet",
        &[
            ("spec.podManagementPolicy", "OrderedReady"),
            ("spec.replicas", "1"),
            ("spec.revisionHistoryLimit", "10"),
            ("spec.updateStrategy.type", "RollingUpdate"),
            ("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain"),
            ("spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain"),
            ("spec.volumeClaimTemplates[].apiVersion", "v1"),
            ("spec.volumeClaimTemplates[].kind", "PersistentVolumeClaim"),
            ("spec.volumeClaimTemplates[].spec.volumeMode", "Filesystem"),
            ("spec.volumeClaimTemplates[].status", r#"{"phase": "Pending"}"#),
        ],
    ),
    (
        "Deployment",
        &[
            ("spec.progressDeadlineSeconds", "600"),
            ("spec.replicas", "1"),
            ("spec.revisionHistoryLimit", "10"),
            (
                "spec.strategy",
                r#"{"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"}"#,
            ),
        ],
    ),
    (
        "CronJob",
        &[
            ("spec.concurrencyPolicy", "Allow"),
            ("spec.failedJobsHistoryLimit", "1"),
            ("spec.successfulJobsHistoryLimit", "3"),
            ("spec.suspend", "false"),
        ],
    ),
    (
        "Service",
        &[
            ("spec.internalTrafficPolicy", "Cluster"),
            ("spec.ports[].protocol", "TCP"),
            ("spec.sessionAffinity", "None"),
            ("spec.type", "ClusterIP"),
        ],
    ),
    ("Secret", &[("type", "Opaque")]),
    ("RoleBinding", &[("roleRef.apiGroup", "rbac.authorization.k8s.io")]),
];

/// Defaults of a pod's specification.
pub const POD: Defaults = &[
    ("dnsPolicy", "ClusterFirst"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
    ("terminationGracePeriodSeconds", "30"),
    ("volumes[].azureDisk.cachingMode", "ReadWrite"),
    ("volumes[].azureDisk.fsType", "ext4"),
    ("volumes[].azureDisk.kind", "Shared"),
    ("volumes[].configMap.defaultMode", "420"),
    ("volumes[].downwardAPI.defaultMode", "420"),
    ("volumes[].downwardAPI.items[].fieldRef.apiVersion", "v1"),
    ("volumes[].ephemeral.volumeClaimTemplate.spec.volumeMode", "Filesystem"),
    ("volumes[].iscsi.iscsiInterface", "default"),
    ("volumes[].projected.defaultMode", "420"),
    ("volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion", "v1"),
    ("volumes[].projected.sources[].serviceAccountToken.expirationSeconds", "3600"),
    ("volumes[].rbd.keyring", "/etc/ceph/keyring"),
    ("volumes[].rbd.pool", "rbd"),
    ("volumes[].rbd.user", "admin"),
    ("volumes[].scaleIO.fsType", "xfs"),
    ("volumes[].scaleIO.storageMode", "ThinProvisioned"),
    ("volumes[].secret.defaultMode", "420"),
];

/// Defaults of a container.
pub const CONTAINER: Defaults = &[
    ("env[].valueFrom.fieldRef.apiVersion", "v1"),
    ("lifecycle.postStart.httpGet.scheme", "HTTP"),
    ("lifecycle.preStop.httpGet.scheme", "HTTP"),
    ("ports[].protocol", "TCP"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
];

/// Defaults of a container's probe.
pub const PROBE: Defaults = &[
    ("failureThreshold", "3"),
    ("httpGet.scheme", "HTTP"),
    ("periodSeconds", "10"),
    ("successThreshold", "1"),
    ("timeoutSeconds", "1"),
];

/// Defaults of a Service of the type `LoadBalancer`; of the type `NodePort` the first one alone.
pub const LOAD_BALANCER: Defaults =
    &[("spec.externalTrafficPolicy", "Cluster"), ("spec.allocateLoadBalancerNodePorts", "true")];

/// Defaults in structures that are applied as a whole: volume claims, and references to fields, keys and tokens.
const STRUCTURES: Defaults = &[
    ("fieldRef.apiVersion", "v1"),
    ("kind", "PersistentVolumeClaim"),
    ("resourceFieldRef.divisor", "0"),
    ("secretKeyRef.optional", "false"),
    // The token that the ServiceAccount admission controller mounts, not the default of a token that a pod asks for.
    ("serviceAccountToken.expirationSeconds", "3607"),
    ("volumeMode", "Filesystem"),
];

/// The defaults of a kind, its pod template aside.
#[must_use]
pub fn of_kind(kind: &str) -> Defaults {
    KINDS.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, defaults)| defaults)
}

/// Whether a value is the default of a field of this name, in any kind. `value` is JSON, or a text without its quotes.
#[must_use]
pub fn is_default(field: &str, value: &str) -> bool {
    KINDS
        .iter()
        .map(|(_, defaults)| *defaults)
        .chain([POD, CONTAINER, PROBE, LOAD_BALANCER, STRUCTURES])
        .flatten()
        .any(|(path, default)| path.rsplit('.').next() == Some(field) && *default == value)
}

/// The `imagePullPolicy` of a container whose image this is.
///
/// The API server fills it in once, when the container is first made, and keeps it when the image changes later.
#[must_use]
pub fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        _ if name.contains('@') => "IfNotPresent",
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_version_is_always_pulled() {
        let images = ["busybox", "host:5000/busybox", "busybox:latest", "busybox:1", "busybox@sha256:0"];
        assert_eq!(images.map(pull_policy), ["Always", "Always", "Always", "IfNotPresent", "IfNotPresent"]);
    }

    #[test]
    fn a_default_is_one_by_field_and_value() {
        assert!(is_default("volumeMode", "Filesystem") && !is_default("volumeMode", "Block"));
        assert!(is_default("expirationSeconds", "3607") && is_default("optional", "false"));
        assert!(!is_default("optional", "true") && !is_default("image", "v1"));
    }

    #[test]
    fn a_kind_has_its_own_defaults() {
        assert!(of_kind("Service").contains(&("spec.type", "ClusterIP")) && of_kind("ConfigMap").is_empty());
    }
}
