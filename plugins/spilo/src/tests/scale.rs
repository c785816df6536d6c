//! The StatefulSet: number of members, claims, metadata.

use super::*;
use pgloom_kit::testing::reason;

fn replicas(spec: Value, config: Value) -> Value {
    statefulset(&answer(spec, config))["spec"]["replicas"].clone()
}

#[test]
fn the_number_of_instances_is_within_the_configured_bounds() {
    for (wanted, min, max, expected) in
        [(2, -1, -1, 2), (1, 2, -1, 2), (5, -1, 3, 3), (0, -1, -1, 0), (2, 3, 1, 3), (5, 0, 5, 5)]
    {
        let config = json!({"min_instances": min, "max_instances": max});
        let answer = answer(json!({"numberOfInstances": wanted}), config);
        assert_eq!(statefulset(&answer)["spec"]["replicas"], expected, "{wanted} within {min} and {max}");
        assert_eq!(answer.messages().is_empty(), wanted == expected);
    }
}

#[test]
fn bounds_do_not_apply_to_a_cluster_with_the_annotation() {
    let config = json!({"max_instances": 2, "ignore_instance_limits_annotation_key": "free"});
    for (annotation, expected) in [("true", 5), ("false", 2)] {
        let mut manifest = manifest(&json!({"numberOfInstances": 5}));
        manifest["metadata"]["annotations"] = json!({"free": annotation});
        let answer = Call::new(&manifest).operator_config(&operator_config(&config)).mutate::<Spilo>().unwrap();
        assert_eq!(statefulset(&answer)["spec"]["replicas"], expected);
    }
}

#[test]
fn a_standby_cluster_of_one_pod_ignores_the_bounds() {
    let standby = json!({"s3_wal_path": "s3://x"});
    let bounds = json!({"min_instances": 2});
    assert_eq!(replicas(json!({"numberOfInstances": 1, "standby": standby}), bounds.clone()), 1);
    assert_eq!(replicas(json!({"numberOfInstances": 3, "standby": standby}), bounds), 3);
}

#[test]
fn the_statefulset_has_the_clusters_name_and_does_not_restart_pods() {
    let answer = answer(json!({}), json!({}));
    let made = &statefulset(&answer)["spec"];
    assert_eq!(made["serviceName"], "acid-test");
    assert_eq!(made["updateStrategy"], json!({"type": "OnDelete"}));
    assert_eq!(made["podManagementPolicy"], "OrderedReady");
    assert_eq!(made["selector"], json!({"matchLabels": {"application": "spilo", "cluster-name": "acid-test"}}));
    assert_eq!(made["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
}

#[test]
fn pods_may_start_in_parallel_and_claims_may_be_deleted() {
    let policy = json!({"when_deleted": "delete", "when_scaled": "delete"});
    let config = json!({"pod_management_policy": "parallel", "persistent_volume_claim_retention_policy": policy});
    let answer = answer(json!({}), config);
    let made = &statefulset(&answer)["spec"];
    assert_eq!(made["podManagementPolicy"], "Parallel");
    assert_eq!(made["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Delete", "whenScaled": "Delete"}));
    let failure = call(json!({}), json!({"pod_management_policy": "x"})).unwrap_err();
    assert_eq!(reason(&failure), "pod_management_policy: \"x\" is not a policy; write ordered_ready or parallel");
}

#[test]
fn a_cluster_of_no_members_keeps_its_claims() {
    let policy = json!({"when_deleted": "delete", "when_scaled": "delete"});
    for (wanted, max, expected) in [(0, -1, "Retain"), (2, 0, "Retain"), (1, -1, "Delete")] {
        let config = json!({"max_instances": max, "persistent_volume_claim_retention_policy": policy});
        let answer = answer(json!({"numberOfInstances": wanted}), config);
        let made = &statefulset(&answer)["spec"]["persistentVolumeClaimRetentionPolicy"];
        assert_eq!(made, &json!({"whenDeleted": "Delete", "whenScaled": expected}), "{wanted} within {max}");
    }
}

#[test]
fn the_claim_has_the_manifests_size_class_and_selector() {
    let selector = json!({"matchLabels": {"disk": "fast"}});
    let volume = json!({"size": "1024Mi", "storageClass": "my-sc", "selector": selector, "subPath": "sub"});
    let answer = answer(json!({"volume": volume}), json!({}));
    let expected = json!([{
        "metadata": {"name": "pgdata", "labels": {"application": "spilo", "cluster-name": "acid-test", "team": "acid"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "selector": selector,
            "storageClassName": "my-sc",
            "volumeMode": "Filesystem",
        },
    }]);
    assert_eq!(statefulset(&answer)["spec"]["volumeClaimTemplates"], expected);
    assert_eq!(container(&answer)["volumeMounts"][0]["subPath"], "sub");
}

#[test]
fn a_volume_needs_a_size() {
    for (volume, expected) in [
        (json!(null), "spec.volume.size: the volume has no size"),
        (json!({"size": ""}), "spec.volume.size: the volume has no size"),
        (json!({"size": "big"}), "spec.volume.size: \"big\" is not a size above zero"),
        (json!({"size": "0"}), "spec.volume.size: \"0\" is not a size above zero"),
        (json!({"size": 1}), "spec.volume.size: the value is not a string"),
    ] {
        assert_eq!(reason(&call(json!({"volume": volume}), json!({})).unwrap_err()), expected);
    }
}

#[test]
fn labels_and_annotations_are_inherited_by_all_objects_but_not_by_selectors() {
    let mut manifest = manifest(&json!({}));
    manifest["metadata"]["labels"] = json!({"environment": "demo", "application": "other", "x": "y"});
    manifest["metadata"]["annotations"] = json!({"owned-by": "acid", "downscaler/uptime": "always", "x": "y"});
    let config = json!({
        "inherited_labels": ["environment", "application"],
        "inherited_annotations": ["owned-by"],
        "downscaler_annotations": ["downscaler/*"],
    });
    let answer = Call::new(&manifest).operator_config(&operator_config(&config)).mutate::<Spilo>().unwrap();
    let labels = json!({"application": "spilo", "cluster-name": "acid-test", "environment": "demo", "team": "acid"});
    let made = statefulset(&answer);
    assert_eq!(made["metadata"]["labels"], labels);
    assert_eq!(made["metadata"]["annotations"], json!({"owned-by": "acid", "downscaler/uptime": "always"}));
    assert_eq!(made["spec"]["selector"]["matchLabels"], json!({"application": "spilo", "cluster-name": "acid-test"}));
    for inheriting in [&made["spec"]["template"]["metadata"], &made["spec"]["volumeClaimTemplates"][0]["metadata"]] {
        assert_eq!(inheriting["labels"], labels);
        assert_eq!(inheriting["annotations"], json!({"owned-by": "acid"}));
    }
    for object in &answer.objects {
        assert_eq!(object["metadata"]["labels"]["environment"], "demo", "{}", object["kind"]);
        assert_eq!(object["metadata"]["annotations"]["owned-by"], "acid", "{}", object["kind"]);
    }
}

#[test]
fn a_new_cluster_whose_pods_would_have_a_label_that_is_too_long_is_refused_and_a_running_one_is_told() {
    let named = |length: usize| {
        let mut manifest = manifest(&json!({}));
        manifest["metadata"]["name"] = json!(format!("acid-{}", "x".repeat(length - 5)));
        Call::new(&manifest).operator_config(&operator_config(&json!({})))
    };
    assert!(named(52).mutate::<Spilo>().unwrap().messages().is_empty());
    let refused = named(53).mutate::<Spilo>().unwrap_err();
    assert!(reason(&refused).starts_with("metadata.name: with a name of 53 characters"), "{refused:?}");
    let running = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": format!("acid-{}", "x".repeat(48))},
    });
    assert_eq!(named(53).observed(crate::version::RUNNING, &running).mutate::<Spilo>().unwrap().messages().len(), 1);
}
