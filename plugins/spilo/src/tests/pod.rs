//! The pod and the database's container.

use super::*;
use pgloom_kit::testing::reason;

#[test]
fn the_container_has_the_recorded_fields() {
    let answer = answer(json!({}), json!({}));
    let made = container(&answer);
    assert_eq!(made["name"], "postgres");
    assert_eq!(made["imagePullPolicy"], "IfNotPresent");
    let ports: Vec<&Value> = made["ports"].as_array().unwrap().iter().map(|port| &port["containerPort"]).collect();
    assert_eq!(ports, [8008, 5432, 8080]);
    assert!(
        made["ports"].as_array().unwrap().iter().all(|port| port["protocol"] == "TCP" && port.get("name").is_none())
    );
    assert_eq!(made.get("livenessProbe"), None);
    assert_eq!(made.get("readinessProbe"), None);
    assert_eq!(pod(&answer).get("securityContext"), None);
    assert_eq!(pod(&answer)["serviceAccountName"], "postgres-pod");
    assert_eq!(statefulset(&answer)["spec"]["template"]["metadata"]["namespace"], "shop");
}

#[test]
fn the_manifests_image_wins_over_the_platforms() {
    assert_eq!(container(&answer(json!({"dockerImage": "mine:1"}), json!({})))["image"], "mine:1");
    for spec in [json!({}), json!({"dockerImage": ""})] {
        assert_eq!(container(&answer(spec, json!({"docker_image": "theirs:1"})))["image"], "theirs:1");
    }
}

#[test]
fn the_manifests_switch_of_shared_memory_wins_over_the_configured_one() {
    for (spec, config, expected) in [
        (json!({}), json!(null), true),
        (json!({}), json!(false), false),
        (json!({"enableShmVolume": false}), json!(true), false),
        (json!({"enableShmVolume": true}), json!(false), true),
    ] {
        let answer = answer(spec, json!({"enable_shm_volume": config}));
        let volume = json!({"name": "dshm", "emptyDir": {"medium": "Memory"}});
        let mount = json!({"name": "dshm", "mountPath": "/dev/shm"});
        let has = |list: &Value, entry: &Value| list.as_array().is_some_and(|list| list.contains(entry));
        assert_eq!(has(&pod(&answer)["volumes"], &volume), expected);
        assert_eq!(has(&container(&answer)["volumeMounts"], &mount), expected);
    }
}

#[test]
fn shared_volumes_are_behind_the_others() {
    let config = json!({
        "additional_secret_mount": "some-secret",
        "additional_secret_mount_path": "/some/dir",
        "share_pgsocket_with_sidecars": true,
    });
    let answer = answer(json!({}), config);
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&pod(&answer)["volumes"]), ["dshm", "postgresql-run", "some-secret"]);
    assert_eq!(names(&container(&answer)["volumeMounts"]), ["pgdata", "dshm", "postgresql-run", "some-secret"]);
    assert_eq!(container(&answer)["volumeMounts"][3]["mountPath"], "/some/dir");
}

#[test]
fn users_and_groups_are_the_manifests_or_the_configured_ones() {
    let config = json!({"spilo_runasuser": 101, "spilo_runasgroup": 103, "spilo_fsgroup": 103});
    let expected = json!({"runAsUser": 101, "runAsGroup": 103, "fsGroup": 103});
    assert_eq!(pod(&answer(json!({}), config.clone()))["securityContext"], expected);
    let spec = json!({"spiloRunAsUser": 0, "spiloRunAsGroup": 1, "spiloFSGroup": 2});
    assert_eq!(pod(&answer(spec, config))["securityContext"], json!({"runAsUser": 0, "runAsGroup": 1, "fsGroup": 2}));
}

#[test]
fn the_containers_security_context_is_configured() {
    let expected = json!({"allowPrivilegeEscalation": true, "privileged": false, "readOnlyRootFilesystem": false});
    assert_eq!(container(&answer(json!({}), json!({})))["securityContext"], expected);
    let config = json!({
        "spilo_privileged": true,
        "spilo_allow_privilege_escalation": false,
        "additional_pod_capabilities": ["SYS_NICE", "ipc_lock"],
    });
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "privileged": true,
        "readOnlyRootFilesystem": false,
        "capabilities": {"add": ["SYS_NICE", "IPC_LOCK"]},
    });
    assert_eq!(container(&answer(json!({}), config))["securityContext"], expected);
}

#[test]
fn readiness_is_patronis_and_liveness_is_the_manifests_or_the_platforms() {
    let probe = json!({"exec": {"command": ["pg_isready"]}});
    let answer = answer(json!({"livenessProbe": probe}), json!({"enable_readiness_probe": true}));
    let expected = json!({
        "httpGet": {"path": "/readiness", "port": 8008, "scheme": "HTTP"},
        "initialDelaySeconds": 6, "periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1,
        "failureThreshold": 3,
    });
    assert_eq!(container(&answer)["readinessProbe"], expected);
    assert_eq!(container(&answer)["livenessProbe"], probe);
    let configured = json!({"httpGet": {"path": "/liveness", "port": 8008}});
    for (spec, expected) in [(json!({}), &configured), (json!({"livenessProbe": probe}), &probe)] {
        let answer = super::answer(spec, json!({"liveness_probe": configured}));
        assert_eq!(container(&answer)["livenessProbe"], *expected);
    }
}

#[test]
fn later_annotations_replace_earlier_ones() {
    for (spec, config, expected) in [
        (json!({}), json!({}), Value::Null),
        (json!({}), json!({"a": "platform"}), json!({"a": "platform"})),
        (
            json!({"podAnnotations": {"b": "cluster"}}),
            json!({"a": "platform"}),
            json!({"a": "platform", "b": "cluster"}),
        ),
        (json!({"podAnnotations": {"a": "cluster"}}), json!({"a": "platform"}), json!({"a": "cluster"})),
    ] {
        let answer = answer(spec, json!({"custom_pod_annotations": config}));
        let metadata = &statefulset(&answer)["spec"]["template"]["metadata"];
        assert_eq!(metadata.get("annotations").cloned().unwrap_or_default(), expected);
    }
    let answer = answer(json!({}), json!({"kube_iam_role": "role"}));
    let metadata = &statefulset(&answer)["spec"]["template"]["metadata"];
    assert_eq!(metadata["annotations"], json!({"iam.amazonaws.com/role": "role"}));
}

#[test]
fn the_grace_period_is_configured() {
    let answer = answer(json!({}), json!({"pod_terminate_grace_period": "1m30s"}));
    assert_eq!(pod(&answer)["terminationGracePeriodSeconds"], 90);
    let failure = call(json!({}), json!({"pod_terminate_grace_period": "soon"})).unwrap_err();
    assert!(reason(&failure).starts_with("pod_terminate_grace_period: \"soon\" is not a duration"), "{failure:?}");
}
