//! Tests of the plugin.

use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Failure, Value, json};

use crate::LogicalBackup;

const PLACEHOLDER: &str = "pgloom-placeholder:config:logical_backup_s3_secret_access_key";

fn call(spec: Value, config: Value) -> Call {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "uid": "2f6a"},
        "spec": {"teamId": "acid", "postgresql": {"version": "18"}, "enableLogicalBackup": true},
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Call::new(&manifest).operator_config(&operator_config(&config))
}

fn answer(spec: Value, config: Value) -> Result<Answer, Failure> {
    call(spec, config).mutate::<LogicalBackup>()
}

fn pod(answer: &Answer) -> &Value {
    answer.objects[0].pointer("/spec/jobTemplate/spec/template/spec").unwrap()
}

fn variables(answer: &Answer) -> Vec<(&str, &str)> {
    let env = pod(answer)["containers"][0]["env"].as_array().unwrap();
    let text = |value: &'_ Value| value.as_str().map(str::to_owned).unwrap_or_default().leak() as &str;
    env.iter().map(|entry| (text(&entry["name"]), text(&entry["value"]))).collect()
}

#[test]
fn backups_are_as_recorded() {
    for case in cases("backups_are_as_recorded") {
        let answer = case.call().mutate::<LogicalBackup>().unwrap();
        let recorded = case.created("CronJob", |_| true);
        if case.name != "rich-full" {
            assert_eq!(answer.objects.len(), recorded.len(), "{}", case.name);
        }
        for recorded in recorded {
            assert_eq!(difference(&answer.objects[0], recorded), None, "{}", case.name);
        }
    }
}

#[test]
fn there_is_no_cronjob_unless_the_manifest_enables_it() {
    for enabled in [json!(false), json!(null)] {
        assert!(answer(json!({"enableLogicalBackup": enabled}), json!({})).unwrap().objects.is_empty());
    }
}

#[test]
fn the_manifests_schedule_wins_over_the_configured_one() {
    let config = json!({"logical_backup_schedule": "@daily"});
    for (spec, expected) in [
        (json!({}), "@daily"),
        (json!({"logicalBackupSchedule": ""}), "@daily"),
        (json!({"logicalBackupSchedule": "7 7 7 7 *"}), "7 7 7 7 *"),
    ] {
        assert_eq!(answer(spec, config.clone()).unwrap().objects[0]["spec"]["schedule"], expected);
    }
    assert_eq!(answer(json!({}), json!({})).unwrap().objects[0]["spec"]["schedule"], "30 00 * * *");
}

#[test]
fn a_schedule_that_kubernetes_refuses_is_refused_with_its_path() {
    let failure = answer(json!({"logicalBackupSchedule": "0 0 * * 7"}), json!({})).unwrap_err();
    assert!(reason(&failure).starts_with("spec.logicalBackupSchedule: \"0 0 * * 7\" is not a schedule"), "{failure:?}");
    let failure = answer(json!({}), json!({"logical_backup_schedule": "often"})).unwrap_err();
    assert!(
        reason(&failure)
            .starts_with("logical_backup_schedule: \"often\" is not a schedule: expected exactly 5 fields, found 1"),
        "{failure:?}"
    );
}

#[test]
fn every_key_of_the_job_is_used() {
    let answer = answer(
        json!({}),
        json!({
            "logical_backup_job_prefix": "dump-", "logical_backup_docker_image": "dump:1",
            "logical_backup_successful_jobs_history_limit": 1, "logical_backup_failed_jobs_history_limit": 2,
            "logical_backup_ttl_seconds_after_finished": 60, "additional_secret_mount": "keys",
            "additional_secret_mount_path": "/keys", "kube_iam_role": "dumper", "spilo_privileged": true,
            "pod_service_account_name": "dumper", "super_username": "admin", "secret_name_template": "{username}",
        }),
    )
    .unwrap();
    let job = &answer.objects[0];
    assert_eq!(job["metadata"]["name"], "dump-acid-orders");
    assert_eq!(job["spec"]["successfulJobsHistoryLimit"], 1);
    assert_eq!(job["spec"]["failedJobsHistoryLimit"], 2);
    assert_eq!(job["spec"]["jobTemplate"]["spec"]["ttlSecondsAfterFinished"], 60);
    let template = &job["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"], json!({"iam.amazonaws.com/role": "dumper"}));
    let pod = pod(&answer);
    assert_eq!(pod["serviceAccountName"], "dumper");
    assert_eq!(pod["volumes"], json!([{"name": "keys", "secret": {"secretName": "keys"}}]));
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "dump:1");
    assert_eq!(container["volumeMounts"], json!([{"name": "keys", "mountPath": "/keys"}]));
    assert_eq!(container["securityContext"]["privileged"], true);
    assert_eq!(container["env"][8]["valueFrom"]["secretKeyRef"], json!({"name": "admin", "key": "password"}));
    assert!(variables(&answer).contains(&("PGUSER", "admin")));
}

#[test]
fn dumps_are_stored_in_s3_with_placeholders_of_credentials() {
    let answer = answer(
        json!({"logicalBackupRetention": "3 months"}),
        json!({
            "logical_backup_s3_bucket": "b", "logical_backup_s3_bucket_prefix": "p", "logical_backup_s3_region": "r",
            "logical_backup_s3_endpoint": "e", "logical_backup_s3_sse": "AES256",
            "logical_backup_s3_retention_time": "1 week", "logical_backup_s3_access_key_id": "placeholder-id",
            "logical_backup_s3_secret_access_key": PLACEHOLDER,
        }),
    )
    .unwrap();
    assert_eq!(
        variables(&answer)[9..],
        [
            ("LOGICAL_BACKUP_PROVIDER", "s3"),
            ("LOGICAL_BACKUP_S3_BUCKET", "b"),
            ("LOGICAL_BACKUP_S3_BUCKET_PREFIX", "p"),
            ("LOGICAL_BACKUP_S3_BUCKET_SCOPE_SUFFIX", "/2f6a"),
            ("LOGICAL_BACKUP_S3_REGION", "r"),
            ("LOGICAL_BACKUP_S3_ENDPOINT", "e"),
            ("LOGICAL_BACKUP_S3_SSE", "AES256"),
            ("LOGICAL_BACKUP_S3_RETENTION_TIME", "3 months"),
            ("AWS_ACCESS_KEY_ID", "placeholder-id"),
            ("AWS_SECRET_ACCESS_KEY", PLACEHOLDER),
        ]
    );
}

#[test]
fn the_configured_retention_is_used_if_the_manifest_has_none() {
    let answer = answer(json!({}), json!({"logical_backup_s3_retention_time": "1 week"})).unwrap();
    assert!(variables(&answer).contains(&("LOGICAL_BACKUP_S3_RETENTION_TIME", "1 week")));
}

#[test]
fn dumps_are_stored_in_google_cloud_or_azure() {
    for (config, expected) in [
        (json!({"logical_backup_provider": "gcs"}), vec![]),
        (
            json!({
                "logical_backup_provider": "gcs", "logical_backup_google_application_credentials": "/key.json",
                "logical_backup_s3_access_key_id": "unused",
            }),
            vec![("LOGICAL_BACKUP_GOOGLE_APPLICATION_CREDENTIALS", "/key.json")],
        ),
        (
            json!({
                "logical_backup_provider": "az", "logical_backup_azure_storage_account_name": "a",
                "logical_backup_azure_storage_container": "c", "logical_backup_azure_storage_account_key": PLACEHOLDER,
            }),
            vec![
                ("LOGICAL_BACKUP_AZURE_STORAGE_ACCOUNT_NAME", "a"),
                ("LOGICAL_BACKUP_AZURE_STORAGE_CONTAINER", "c"),
                ("LOGICAL_BACKUP_AZURE_STORAGE_ACCOUNT_KEY", PLACEHOLDER),
            ],
        ),
    ] {
        let answer = answer(json!({}), config.clone()).unwrap();
        assert_eq!(variables(&answer)[13..], expected, "{config}");
    }
    let failure = answer(json!({}), json!({"logical_backup_provider": "tape"})).unwrap_err();
    assert_eq!(reason(&failure), "logical_backup_provider: \"tape\" is not a provider; write s3, gcs or az");
}

#[test]
fn variables_of_the_platforms_secret_replace_others() {
    let config = json!({
        "logical_backup_cronjob_environment_secret": "dump-env", "logical_backup_s3_access_key_id": "placeholder-id",
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dump-env"},
        "data": {"B": "sha256:1", "AWS_ACCESS_KEY_ID": "sha256:2"},
    });
    let answer = call(json!({}), config.clone()).observed("environment", &secret).mutate::<LogicalBackup>().unwrap();
    let env = pod(&answer)["containers"][0]["env"].as_array().unwrap();
    let reference = |key: &str| json!({"name": key, "valueFrom": {"secretKeyRef": {"name": "dump-env", "key": key}}});
    assert_eq!(env[env.len() - 2..], [reference("AWS_ACCESS_KEY_ID"), reference("B")]);
    assert_eq!(env.iter().filter(|entry| entry["name"] == "AWS_ACCESS_KEY_ID").count(), 1);

    let failure = self::answer(json!({}), config).unwrap_err();
    assert!(reason(&failure).contains("the Secret dump-env does not exist"), "{failure:?}");
}

#[test]
fn resources_are_the_jobs_own_or_the_databases() {
    for (config, expected) in [
        (json!({}), json!({"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "500Mi"}})),
        (
            json!({
                "logical_backup_cpu_request": "200m", "logical_backup_memory_limit": "1Gi",
                "set_memory_request_to_limit": true,
            }),
            json!({"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
        ),
        (
            json!({"logical_backup_memory_request": "2Gi"}),
            json!({"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}),
        ),
    ] {
        let answer = answer(json!({"resources": {"limits": {"cpu": "9"}}}), config.clone()).unwrap();
        assert_eq!(pod(&answer)["containers"][0]["resources"], expected, "{config}");
    }
    let failure = answer(json!({}), json!({"logical_backup_cpu_request": "a lot"})).unwrap_err();
    assert!(matches!(failure, Failure::InvalidConfig(_)), "{failure:?}");
}

#[test]
fn labels_annotations_and_affinity_are_the_clusters() {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {
            "name": "acid-orders", "namespace": "shop", "labels": {"environment": "demo", "application": "shop"},
            "annotations": {"owned-by": "acid"},
        },
        "spec": {
            "teamId": "acid", "postgresql": {"version": "18"}, "enableLogicalBackup": true,
            "podAnnotations": {"b": "own"},
        },
    });
    manifest["spec"]["tolerations"] = json!([{"key": "own"}]);
    let config = operator_config(&json!({
        "inherited_labels": ["environment", "application"], "inherited_annotations": ["owned-by"],
        "custom_pod_annotations": {"a": "x"}, "node_readiness_label": {"status": "ready"},
    }));
    let answer = Call::new(&manifest).operator_config(&config).mutate::<LogicalBackup>().unwrap();
    let labels = json!({
        "application": "spilo-logical-backup", "cluster-name": "acid-orders", "environment": "demo", "team": "acid",
    });
    let job = &answer.objects[0];
    let template = &job["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!(job["metadata"]["labels"], labels);
    assert_eq!(job["spec"]["jobTemplate"]["metadata"], json!({"labels": labels, "annotations": {"owned-by": "acid"}}));
    assert_eq!(template["metadata"]["labels"], labels);
    let annotations = json!({"a": "x", "b": "own", "owned-by": "acid"});
    assert_eq!([&template["metadata"]["annotations"], &job["metadata"]["annotations"]], [&annotations; 2]);
    assert_eq!(template["spec"]["tolerations"], json!([{"key": "own"}]));
    let nodes = &template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(nodes["nodeSelectorTerms"][0]["matchExpressions"][0]["key"], "status");
}

#[test]
fn its_pods_have_the_users_and_the_spread_of_the_databases() {
    let spread = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]);
    let manifest = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {
            "teamId": "acid", "postgresql": {"version": "18"}, "enableLogicalBackup": true,
            "spiloRunAsUser": 101, "topologySpreadConstraints": spread,
        },
    });
    let config = operator_config(&json!({"spilo_runasuser": 7, "spilo_fsgroup": 103}));
    let answer = Call::new(&manifest).operator_config(&config).mutate::<LogicalBackup>().unwrap();
    let pod = &answer.objects[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"], json!({"runAsUser": 101, "fsGroup": 103}));
    assert_eq!(pod["topologySpreadConstraints"], spread);
}
