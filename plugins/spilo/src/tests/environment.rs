//! The environment of the database's container.

use super::*;
use pgloom_kit::testing::reason;

const OWN: [&str; 17] = [
    "SCOPE",
    "PGROOT",
    "POD_IP",
    "POD_NAMESPACE",
    "PGUSER_SUPERUSER",
    "KUBERNETES_SCOPE_LABEL",
    "KUBERNETES_ROLE_LABEL",
    "PGPASSWORD_SUPERUSER",
    "PGUSER_STANDBY",
    "PGPASSWORD_STANDBY",
    "PAM_OAUTH2",
    "HUMAN_ROLE",
    "PGVERSION",
    "KUBERNETES_LABELS",
    "SPILO_CONFIGURATION",
    "DCS_ENABLE_KUBERNETES_API",
    "KUBERNETES_BOOTSTRAP_LABELS",
];

#[test]
fn the_variables_that_make_the_cluster_are_first_in_a_fixed_order() {
    let answer = answer(json!({}), json!({}));
    assert_eq!(variables(&answer), OWN);
    assert_eq!(value(&answer, "SCOPE"), "acid-test");
    assert_eq!(value(&answer, "KUBERNETES_LABELS"), r#"{"application":"spilo"}"#);
    let secret = &variable(&answer, "PGPASSWORD_STANDBY")["valueFrom"]["secretKeyRef"];
    assert_eq!(*secret, json!({"name": "standby.acid-test.credentials.postgresql.acid.zalan.do", "key": "password"}));
}

#[test]
fn the_variables_of_switches_have_fixed_places() {
    let config = json!({
        "enable_spilo_wal_path_compat": true,
        "enable_pgversion_env_var": false,
        "kubernetes_use_configmaps": true,
    });
    let made = answer(json!({}), config);
    let mut expected = OWN.to_vec();
    expected[12] = "ENABLE_WAL_PATH_COMPAT";
    expected.push("KUBERNETES_USE_CONFIGMAPS");
    assert_eq!(variables(&made), expected);

    let made = answer(json!({}), json!({"kubernetes_use_configmaps": true, "etcd_host": "etcd:2379"}));
    let mut expected = OWN.to_vec();
    expected.truncate(15);
    expected.push("ETCD_HOST");
    assert_eq!(variables(&made), expected);
    assert_eq!(value(&made, "ETCD_HOST"), "etcd:2379");
    assert!(made.object("Endpoints", "acid-test").is_some(), "ConfigMaps are for a leader lock in Kubernetes");
}

#[test]
fn pods_have_the_label_of_a_bootstrap_only_if_a_budget_selects_it() {
    let made = answer(json!({}), json!({"enable_pod_disruption_budget": false}));
    assert_eq!(variables(&made), OWN[..16]);
}

#[test]
fn names_of_roles_secrets_and_labels_are_those_of_the_operator_configuration() {
    let config = json!({
        "super_username": "pgadmin",
        "replication_username": "copy_user",
        "secret_name_template": "{username}.{cluster}.credentials",
        "cluster_labels": {"app": "pg", "tier": "a&b"},
        "cluster_name_label": "cluster",
        "pod_role_label": "role",
    });
    let answer = answer(json!({}), config);
    assert_eq!(value(&answer, "PGUSER_SUPERUSER"), "pgadmin");
    let secret = &variable(&answer, "PGPASSWORD_STANDBY")["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(secret, "copy-user.acid-test.credentials");
    assert_eq!(value(&answer, "KUBERNETES_LABELS"), r#"{"app":"pg","tier":"a\u0026b"}"#);
    assert_eq!(value(&answer, "KUBERNETES_SCOPE_LABEL"), "cluster");
    assert_eq!(value(&answer, "KUBERNETES_ROLE_LABEL"), "role");
}

#[test]
fn the_manifests_variables_win_over_the_platforms() {
    let node = json!({"fieldRef": {"fieldPath": "spec.nodeName"}});
    let env = json!([{"name": "wal_s3_bucket", "value": "mine"}, {"name": "FROM", "valueFrom": node}]);
    let answer = answer(json!({"env": env}), json!({"wal_s3_bucket": "theirs"}));
    assert_eq!(
        variables(&answer)[17..],
        ["wal_s3_bucket", "FROM", "WAL_BUCKET_SCOPE_SUFFIX", "WAL_BUCKET_SCOPE_PREFIX"]
    );
    assert_eq!(container(&answer)["env"][18], env[1]);
    assert_eq!(answer.messages().len(), 1, "the image reads capitals");
}

#[test]
fn the_variables_that_make_the_cluster_cannot_be_overridden() {
    let answer = answer(json!({"env": [{"name": "X", "value": "1"}, {"name": "scope", "value": "other"}]}), json!({}));
    assert_eq!(variables(&answer)[17..], ["X"]);
    assert_eq!(answer.response.findings[0].path.as_deref(), Some("spec.env[1].name"));
}

#[test]
fn a_variable_needs_a_name() {
    let failure = call(json!({"env": [{"value": "x"}]}), json!({})).unwrap_err();
    assert_eq!(reason(&failure), "spec.env[0].name: the variable has no name");
}

#[test]
fn all_keys_of_an_object_can_become_variables() {
    let from = json!([{"secretRef": {"name": "settings"}}]);
    assert_eq!(container(&answer(json!({"envFrom": from}), json!({})))["envFrom"], from);
    assert_eq!(container(&answer(json!({"envFrom": []}), json!({}))).get("envFrom"), None);
}

fn platform(spec: Value) -> Call {
    let config = json!({"pod_environment_secret": "keys", "pod_environment_configmap": "default/settings"});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"B": "#"}, "stringData": {"A": "#"},
    });
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"CLONE_METHOD": "CLONE_WITH_WALE", "CLONE_USE_WALG_RESTORE": "true", "b": "text", "SCOPE": "x"},
    });
    let call = prepared(spec, config);
    call.observed("pod-environment-secret", &secret).observed("pod-environment-configmap", &settings)
}

#[test]
fn the_platforms_secret_is_referenced_and_its_config_map_is_copied() {
    let answer = platform(json!({})).mutate::<Spilo>().unwrap();
    assert_eq!(variables(&answer)[17..], ["A", "B", "CLONE_METHOD", "CLONE_USE_WALG_RESTORE"]);
    assert_eq!(variable(&answer, "A")["valueFrom"], json!({"secretKeyRef": {"name": "keys", "key": "A"}}));
    assert_eq!(value(&answer, "CLONE_METHOD"), "CLONE_WITH_WALE");
    // `b` of the ConfigMap.
    let [message] = &answer.messages()[..] else { panic!("{:?}", answer.messages()) };
    assert!(message.contains("b does not set B"), "{message}");
}

#[test]
fn without_an_image_no_pod_is_made() {
    let failure = call(json!({}), json!({"docker_image": ""})).unwrap_err();
    assert_eq!(reason(&failure), "docker_image is empty; name an image, or remove the key");
}

#[test]
fn variables_of_clone_and_standby_win_over_the_platforms() {
    let answer = platform(json!({"clone": {"cluster": "acid-source"}})).mutate::<Spilo>().unwrap();
    assert_eq!(variables(&answer)[17..], ["A", "B", "CLONE_USE_WALG_RESTORE"]);
    let answer = platform(json!({"clone": {"cluster": ""}})).mutate::<Spilo>().unwrap();
    assert!(variables(&answer).contains(&"CLONE_METHOD"));
}

#[test]
fn objects_that_the_operator_configuration_names_have_to_exist() {
    for (key, expected) in [
        ("pod_environment_secret", "pod_environment_secret: the Secret x does not exist; create it, or empty the key"),
        (
            "pod_environment_configmap",
            "pod_environment_configmap: the ConfigMap x does not exist; create it, or empty the key",
        ),
    ] {
        assert_eq!(reason(&call(json!({}), json!({key: "x"})).unwrap_err()), expected);
    }
}

#[test]
fn a_variable_in_small_letters_is_told_with_the_name_in_capitals() {
    let env = json!([{"name": "wal_s3_bucket", "value": "b"}, {"name": "https_proxy", "value": "p"}, {"name": "A", "value": "x"}]);
    let answer = answer(json!({"env": env}), json!({"wal_s3_bucket": "platform"}));
    assert!(!variables(&answer).contains(&"WAL_S3_BUCKET"));
    let [message] = &answer.messages()[..] else { panic!("{:?}", answer.messages()) };
    assert!(message.contains("wal_s3_bucket does not set WAL_S3_BUCKET"), "{message}");
}
