//! The Deployments: metadata, scheduling and TLS.

use pgloom_kit::testing::{Call, operator_config};
use pgloom_kit::{Value, json};

use super::{answer, call, container, deployment, manifest, variable};
use crate::ConnectionPooler;

#[test]
fn pods_have_the_clusters_tolerations_and_affinity() {
    let answer = call(
        json!({"enableConnectionPooler": true, "podAnnotations": {"b": "own"}}),
        json!({
            "toleration": {"key": "db-only", "operator": "Exists"}, "node_readiness_label": {"status": "ready"},
            "enable_pod_antiaffinity": true, "pod_antiaffinity_preferred_during_scheduling": true,
            "custom_pod_annotations": {"a": "x"},
        }),
    )
    .unwrap();
    let template = &deployment(&answer)["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"], json!({"a": "x", "b": "own"}));
    assert_eq!(template["spec"]["tolerations"], json!([{"key": "db-only", "operator": "Exists"}]));
    assert_eq!(
        template["spec"]["affinity"],
        json!({
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "status", "operator": "In", "values": ["ready"]}]},
            ]}},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {
                "labelSelector": {"matchLabels": {
                    "application": "db-connection-pooler", "cluster-name": "acid-orders",
                    "connection-pooler": "acid-orders-pooler",
                }},
                "topologyKey": "kubernetes.io/hostname",
            }}]},
        })
    );
}

#[test]
fn the_deployment_has_inherited_annotations_and_those_of_downscalers() {
    let mut manifest = manifest(json!({"enableConnectionPooler": true}));
    manifest["metadata"]["annotations"] = json!({"downscaler/uptime": "x", "owned-by": "acid", "other": "y"});
    let config = operator_config(&json!({
        "downscaler_annotations": ["downscaler/*"], "inherited_annotations": ["owned-by"],
    }));
    let answer = Call::new(&manifest).operator_config(&config).mutate::<ConnectionPooler>().unwrap();
    assert_eq!(deployment(&answer)["metadata"]["annotations"], json!({"downscaler/uptime": "x", "owned-by": "acid"}));
    assert_eq!(deployment(&answer)["spec"]["template"]["metadata"]["annotations"], json!({"owned-by": "acid"}));
    let service = answer.object("Service", "acid-orders-pooler").unwrap();
    assert_eq!(service["metadata"]["annotations"], json!({"owned-by": "acid"}));
}

#[test]
fn pgbouncer_serves_the_clusters_own_certificate() {
    let answer = answer(json!({
        "enableConnectionPooler": true,
        "tls": {"secretName": "pg-tls", "caFile": "ca.crt", "caSecretName": "pg-ca", "privateKeyFile": "/keys/own.key"},
    }));
    for (name, value) in [
        ("CONNECTION_POOLER_CLIENT_TLS_CRT", "/tls/tls.crt"),
        ("CONNECTION_POOLER_CLIENT_TLS_KEY", "/keys/own.key"),
        ("CONNECTION_POOLER_CLIENT_CA_FILE", "/tlsca/ca.crt"),
    ] {
        assert_eq!(variable(&answer, name)["value"], value);
    }
    let pod = &deployment(&answer)["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["fsGroup"], 103);
    let volumes: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert_eq!(volumes, ["acid-orders-pooler-u", "pg-tls", "pg-ca"]);
    assert_eq!(pod["volumes"][1]["secret"]["defaultMode"], 0o640);
    assert_eq!(container(&answer)["volumeMounts"][2], json!({"name": "pg-ca", "mountPath": "/tlsca"}));

    let without = call(json!({"enableConnectionPooler": true, "tls": {"secretName": ""}}), json!({})).unwrap();
    assert_eq!(deployment(&without)["spec"]["template"]["spec"]["volumes"].as_array().unwrap().len(), 1);
}

#[test]
fn infrastructure_roles_may_show_the_statistics_and_without_them_the_pods_stay_as_they_are() {
    let with =
        call(json!({"enableConnectionPooler": true}), json!({"infrastructure_roles": ["ada", "metrics"]})).unwrap();
    assert_eq!(variable(&with, "INFRASTRUCTURE_ROLES")["value"], "ada,metrics");
    let without = call(json!({"enableConnectionPooler": true}), json!({})).unwrap();
    let names = container(&without)["env"].as_array().unwrap().iter().map(|entry| &entry["name"]);
    assert!(names.into_iter().all(|name| name != "INFRASTRUCTURE_ROLES"));
}

#[test]
fn one_secret_may_hold_the_certificate_and_its_authority() {
    let tls = json!({"secretName": "pg-tls", "caFile": "ca.crt", "caSecretName": "pg-tls"});
    let answer = call(json!({"enableConnectionPooler": true, "tls": tls}), json!({})).unwrap();
    let volumes = deployment(&answer)["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    assert_eq!((volumes.len(), container(&answer)["volumeMounts"].as_array().unwrap().len()), (2, 3));
}
