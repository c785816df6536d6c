//! Which fields need which privilege.

use serde_json::json;

use super::*;

fn scope() -> Scope {
    Scope {
        namespace: "shop".to_owned(),
        cluster: "acid-orders".to_owned(),
        secrets: ["postgres.acid-orders.credentials", "acid-orders-pooler-u"].map(str::to_owned).into(),
        ..Scope::default()
    }
}

fn needed(api_version: &str, kind: &str, object: &Value) -> Option<(String, Privilege)> {
    let found = find(&ObjectKind::new(api_version, kind), object, &scope(), |_| true);
    found.map(|needed| (needed.path, needed.privilege))
}

fn of_pod(spec: Value) -> Option<(String, Privilege)> {
    let object = json!({"spec": {"template": {"spec": spec}}});
    let found = needed("apps/v1", "StatefulSet", &object);
    let job = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": object["spec"]["template"]["spec"]}}}}});
    let of_job = needed("batch/v1", "CronJob", &job);
    let short =
        |(path, privilege): (String, Privilege)| (path.rsplit_once("template.spec.").unwrap().1.to_owned(), privilege);
    let found = found.map(short);
    assert_eq!(found, of_job.map(short));
    found
}

#[test]
fn a_privileged_field_of_a_pod_names_its_privilege() {
    for (spec, path, privilege) in [
        (json!({"hostNetwork": true}), "hostNetwork", Privilege::HostNamespaces),
        (json!({"hostPID": true}), "hostPID", Privilege::HostNamespaces),
        (json!({"hostIPC": true}), "hostIPC", Privilege::HostNamespaces),
        (json!({"shareProcessNamespace": true}), "shareProcessNamespace", Privilege::Privileged),
        (json!({"nodeName": "n"}), "nodeName", Privilege::NodeName),
        (json!({"serviceAccountName": "admin"}), "serviceAccountName", Privilege::ServiceAccount),
        (json!({"automountServiceAccountToken": true}), "automountServiceAccountToken", Privilege::ServiceAccount),
        (json!({"imagePullSecrets": [{"name": "x"}]}), "imagePullSecrets[0].name", Privilege::ForeignSecret),
        (json!({"priorityClassName": "system-node-critical"}), "priorityClassName", Privilege::SystemPriority),
        (json!({"runtimeClassName": "other"}), "runtimeClassName", Privilege::RuntimeClass),
        (json!({"securityContext": {"runAsUser": 0}}), "securityContext.runAsUser", Privilege::RootUser),
        (json!({"securityContext": {"runAsNonRoot": false}}), "securityContext.runAsNonRoot", Privilege::RootUser),
        (json!({"securityContext": {"sysctls": [{"name": "a"}]}}), "securityContext.sysctls", Privilege::Privileged),
        (json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}), "volumes[0].hostPath", Privilege::HostPath),
        (json!({"volumes": [{"nfs": {"server": "a"}}]}), "volumes[0].nfs", Privilege::OtherVolume),
        (json!({"volumes": [{"csi": {"driver": "a"}}]}), "volumes[0].csi", Privilege::OtherVolume),
        (
            json!({"volumes": [{"persistentVolumeClaim": {"claimName": "pgdata-other-0"}}]}),
            "volumes[0].persistentVolumeClaim",
            Privilege::Claim,
        ),
        (
            json!({"volumes": [{"secret": {"secretName": "postgres.acid-other.credentials"}}]}),
            "volumes[0].secret.secretName",
            Privilege::ForeignSecret,
        ),
        (
            json!({"volumes": [{"secret": {"secretName": "acid-orders-other-pooler-u"}}]}),
            "volumes[0].secret.secretName",
            Privilege::ForeignSecret,
        ),
        (
            json!({"volumes": [{"projected": {"sources": [{}, {"serviceAccountToken": {"path": "t"}}]}}]}),
            "volumes[0].projected.sources[1].serviceAccountToken",
            Privilege::ServiceAccount,
        ),
    ] {
        assert_eq!(of_pod(spec), Some((path.to_owned(), privilege)));
    }
}

#[test]
fn a_privileged_field_of_a_container_names_its_privilege() {
    for (container, path, privilege) in [
        (json!({"ports": [{"containerPort": 1, "hostPort": 1}]}), "ports[0].hostPort", Privilege::HostPort),
        (json!({"securityContext": {"privileged": true}}), "securityContext.privileged", Privilege::Privileged),
        (
            json!({"securityContext": {"allowPrivilegeEscalation": true}}),
            "securityContext.allowPrivilegeEscalation",
            Privilege::PrivilegeEscalation,
        ),
        (
            json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
            "securityContext.capabilities.add",
            Privilege::Capabilities,
        ),
        (json!({"securityContext": {"runAsUser": 0}}), "securityContext.runAsUser", Privilege::RootUser),
        (json!({"securityContext": {"runAsNonRoot": false}}), "securityContext.runAsNonRoot", Privilege::RootUser),
        (json!({"securityContext": {"procMount": "Unmasked"}}), "securityContext.procMount", Privilege::Privileged),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            "securityContext.seccompProfile.type",
            Privilege::Privileged,
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]}),
            "env[0].valueFrom.secretKeyRef.name",
            Privilege::ForeignSecret,
        ),
        (json!({"envFrom": [{"secretRef": {"name": "x"}}]}), "envFrom[0].secretRef.name", Privilege::ForeignSecret),
    ] {
        for list in CONTAINERS {
            let spec = json!({list: [container]});
            assert_eq!(of_pod(spec), Some((format!("{list}[0].{path}"), privilege)));
        }
    }
}

#[test]
fn the_config_maps_that_pods_need_are_found_with_their_fields() {
    let spec = json!({
        "containers": [{}, {
            "env": [{"name": "A"}, {"valueFrom": {"configMapKeyRef": {"name": "a"}}}],
            "envFrom": [{"configMapRef": {"name": "b"}}, {"secretRef": {"name": "s"}}],
        }],
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "c"}}]}],
        "volumes": [{"configMap": {"name": "d"}}, {"projected": {"sources": [{}, {"configMap": {"name": "e"}}]}}],
    });
    let object = json!({"spec": {"template": {"spec": spec}}});
    let found = config_maps(&ObjectKind::new("apps/v1", "StatefulSet"), &object);
    let found: Vec<(&str, &str)> =
        found.iter().map(|(name, path)| (name.as_str(), path.strip_prefix("spec.template.spec.").unwrap())).collect();
    assert_eq!(
        found,
        [
            ("a", "containers[1].env[1].valueFrom.configMapKeyRef.name"),
            ("b", "containers[1].envFrom[0].configMapRef.name"),
            ("c", "initContainers[0].envFrom[0].configMapRef.name"),
            ("d", "volumes[0].configMap.name"),
            ("e", "volumes[1].projected.sources[1].configMap.name"),
        ]
    );
    assert_eq!(config_maps(&ObjectKind::new("example.org/v1", "StatefulSet"), &object), []);
}

#[test]
fn what_stays_in_the_pod_and_the_cluster_needs_no_privilege() {
    let spec = json!({
        "hostNetwork": false,
        "automountServiceAccountToken": false,
        "securityContext": {"fsGroup": 103, "runAsUser": 101, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "priorityClassName": "databases",
        "containers": [{
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false},
            "ports": [{"containerPort": 5432}],
            "env": [{"valueFrom": {"secretKeyRef": {"name": "postgres.acid-orders.credentials", "key": "password"}}}],
        }],
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "acid-orders-pooler-u"}}],
    });
    assert_eq!(of_pod(spec), None);
    assert_eq!(needed("v1", "Service", &json!({"spec": {"type": "ClusterIP", "ports": [{"port": 1}]}})), None);
    assert_eq!(needed("v1", "Endpoints", &json!({"subsets": []})), None);
    assert_eq!(needed("v1", "ConfigMap", &json!({"spec": {"externalName": "a"}})), None);
}

#[test]
fn a_service_or_endpoints_that_lead_out_name_their_privilege() {
    for (kind, object, path, privilege) in [
        ("Service", json!({"spec": {"externalIPs": ["10.0.0.1"]}}), "spec.externalIPs", Privilege::ExternalAddress),
        ("Service", json!({"spec": {"externalName": "a.b"}}), "spec.externalName", Privilege::ExternalAddress),
        ("Service", json!({"spec": {"type": "ExternalName"}}), "spec.type", Privilege::ExternalAddress),
        ("Service", json!({"spec": {"type": "LoadBalancer"}}), "spec.type", Privilege::ExternalService),
        (
            "Service",
            json!({"spec": {"ports": [{"nodePort": 1}]}}),
            "spec.ports[0].nodePort",
            Privilege::ExternalService,
        ),
        (
            "Service",
            json!({"spec": {"loadBalancerSourceRanges": ["0.0.0.0/0"]}}),
            "spec.loadBalancerSourceRanges",
            Privilege::ExternalService,
        ),
        ("Endpoints", json!({"subsets": [{"addresses": []}]}), "subsets", Privilege::ExternalAddress),
    ] {
        assert_eq!(needed("v1", kind, &object), Some((path.to_owned(), privilege)));
    }
}

#[test]
fn a_privilege_that_the_step_has_is_not_missing() {
    let object = json!({"spec": {"template": {"spec": {"hostNetwork": true, "hostPID": true, "nodeName": "n"}}}});
    let of = |lacks: fn(Privilege) -> bool| find(&ObjectKind::new("apps/v1", "Deployment"), &object, &scope(), lacks);
    assert_eq!(of(|privilege| privilege != Privilege::HostNamespaces).unwrap().path, "spec.template.spec.nodeName");
    assert_eq!(of(|_| false), None);
}

#[test]
fn a_claim_template_with_the_data_of_another_claim_or_a_given_volume_needs_a_privilege() {
    for (field, value) in [
        ("dataSource", json!({"kind": "PersistentVolumeClaim", "name": "pgdata-other-0"})),
        ("dataSourceRef", json!({"kind": "PersistentVolumeClaim", "name": "pgdata-other-0"})),
        ("volumeName", json!("pv-other")),
    ] {
        let set = json!({"spec": {"volumeClaimTemplates": [{"spec": {"resources": {}}}, {"spec": {field: value}}]}});
        let path = format!("spec.volumeClaimTemplates[1].spec.{field}");
        assert_eq!(needed("apps/v1", "StatefulSet", &set), Some((path, Privilege::Claim)));
    }
    let plain = json!({
        "metadata": {"name": "acid-orders"},
        "spec": {"volumeClaimTemplates": [{"metadata": {"name": "pgdata"}, "spec": {"storageClassName": "fast"}}]},
    });
    assert_eq!(needed("apps/v1", "StatefulSet", &plain), None);
}

#[test]
fn a_claim_template_whose_claims_may_be_those_of_another_cluster_needs_a_privilege() {
    let of = |set: &str, template: &str| {
        let claims = json!([{"metadata": {"name": template}}]);
        let set = json!({"metadata": {"name": set}, "spec": {"volumeClaimTemplates": claims}});
        needed("apps/v1", "StatefulSet", &set).map(|(_, privilege)| privilege)
    };
    assert_eq!(of("acid-orders", "pgdata"), None);
    // Of the clusters `acid-orders-eu` and `b-acid-orders`.
    for (set, template) in [("acid-orders-eu", "pgdata"), ("acid-orders", "pgdata-b")] {
        assert_eq!(of(set, template), Some(Privilege::Claim), "{set} {template}");
    }
}

#[test]
fn a_host_that_the_kubelet_asks_and_a_device_need_a_privilege() {
    let kinds = [
        ("livenessProbe", ""),
        ("readinessProbe", ""),
        ("startupProbe", ""),
        ("lifecycle", "postStart"),
        ("lifecycle", "preStop"),
    ];
    for (field, hook) in kinds {
        for action in ["httpGet", "tcpSocket"] {
            let of = |host: Value| {
                let probe = json!({action: host});
                let probe = if hook.is_empty() { probe } else { json!({hook: probe}) };
                of_pod(json!({"containers": [{field: probe}]})).map(|(_, privilege)| privilege)
            };
            assert_eq!(of(json!({"port": 1, "host": "10.0.0.1"})), Some(Privilege::HostNamespaces), "{field} {action}");
            assert_eq!(of(json!({"port": 1})), None, "{field} {action}");
        }
    }
    let of =
        |resources: Value| of_pod(json!({"containers": [{"resources": resources}]})).map(|(_, privilege)| privilege);
    for field in ["limits", "requests"] {
        assert_eq!(of(json!({field: {"cpu": 1, "nvidia.com/gpu": 1}})), Some(Privilege::OtherVolume));
        assert_eq!(of(json!({field: {"cpu": 1, "memory": "1Gi", "hugepages-2Mi": "2Mi"}})), None);
    }
}

#[test]
fn an_annotation_that_others_read_as_a_privileged_field_needs_its_privilege() {
    for (key, privilege) in [
        ("iam.amazonaws.com/role", Privilege::ServiceAccount),
        ("io.kubernetes.cri-o.Devices", Privilege::Privileged),
        ("io.katacontainers.config.hypervisor.path", Privilege::Privileged),
    ] {
        let template = json!({"metadata": {"annotations": {"a": "b", key: "c"}}});
        let path = format!("spec.template.metadata.annotations[\"{key}\"]");
        let object = json!({"spec": {"template": template}});
        assert_eq!(needed("apps/v1", "Deployment", &object), Some((path, privilege)));
    }
    let service = |key: &str| needed("v1", "Service", &json!({"metadata": {"annotations": {key: "c"}}}));
    let path = "metadata.annotations[\"external-dns.alpha.kubernetes.io/hostname\"]".to_owned();
    assert_eq!(service("external-dns.alpha.kubernetes.io/hostname"), Some((path, Privilege::ExternalService)));
    assert_eq!(service("prometheus.io/scrape"), None);
}

#[test]
fn an_annotation_that_switches_apparmor_off_needs_a_privilege() {
    let metadata = json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}});
    let object = json!({"spec": {"template": {"metadata": metadata}}});
    assert_eq!(needed("apps/v1", "Deployment", &object).unwrap().1, Privilege::Privileged);
}
