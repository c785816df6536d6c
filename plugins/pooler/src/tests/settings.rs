//! The section, and its defaults in the operator configuration.

use pgloom_kit::testing::reason;
use pgloom_kit::{Failure, json};

use super::{answer, call, container, deployment, variable};

#[test]
fn the_section_is_read_in_both_spellings() {
    for (section, instances) in [("connectionPooler", "numberOfInstances"), ("connectionPool", "number_of_instances")] {
        let answer = answer(json!({section: {
            instances: 3, "mode": "session", "schema": "lookup", "user": "pool_er", "dockerImage": "bouncer:1",
            "maxDBConnections": 100, "resources": {"requests": {"cpu": "300m"}, "limits": {"memory": "200Mi"}},
        }}));
        assert_eq!(deployment(&answer)["spec"]["replicas"], 3, "{section}");
        assert_eq!(container(&answer)["image"], "bouncer:1");
        assert_eq!(
            container(&answer)["resources"],
            json!({"requests": {"cpu": "300m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "200Mi"}})
        );
        for (name, value) in [
            ("PGSCHEMA", "lookup"),
            ("CONNECTION_POOLER_MODE", "session"),
            ("CONNECTION_POOLER_MAX_DB_CONN", "33"),
            ("CONNECTION_POOLER_DEFAULT_SIZE", "16"),
            ("CONNECTION_POOLER_MIN_SIZE", "8"),
            ("CONNECTION_POOLER_RESERVE_SIZE", "8"),
        ] {
            assert_eq!(variable(&answer, name)["value"], value, "{name}");
        }
        let secret = &variable(&answer, "PGUSER")["valueFrom"]["secretKeyRef"]["name"];
        assert_eq!(secret, "pool-er.acid-orders.credentials.postgresql.acid.zalan.do");
        assert!(answer.messages().is_empty(), "{:?}", answer.messages());
    }
}

#[test]
fn fewer_than_one_instance_is_raised_with_a_warning() {
    let answer = answer(json!({"connectionPooler": {"numberOfInstances": 0}}));
    assert_eq!(deployment(&answer)["spec"]["replicas"], 1);
    assert_eq!(variable(&answer, "CONNECTION_POOLER_MAX_DB_CONN")["value"], "60");
    assert_eq!(answer.messages(), ["the pooler runs with 1 instance instead of 0"]);
}

#[test]
fn too_few_connections_are_a_warning() {
    let answer = answer(json!({"connectionPooler": {"maxDBConnections": 3}}));
    assert_eq!(answer.messages(), ["3 connections for 2 instances are too few: the size of a pool is 0"]);
    assert_eq!(answer.response.findings[0].path.as_deref(), Some("spec.connectionPooler.maxDBConnections"));
}

#[test]
fn too_few_connections_of_the_platform_are_told_by_their_key() {
    let config = json!({"connection_pooler_max_db_connections": 1});
    let answer = call(json!({"enableConnectionPooler": true}), config).unwrap();
    let [message] = &answer.messages()[..] else { panic!("{:?}", answer.messages()) };
    assert!(message.starts_with("connection_pooler_max_db_connections: 1 connections"), "{message}");
}

#[test]
fn a_role_that_postgresql_would_cut_is_refused_where_it_is_written() {
    let long = "u".repeat(64);
    let failure = call(json!({"connectionPooler": {"user": long}}), json!({})).err().unwrap();
    assert!(reason(&failure).starts_with("spec.connectionPooler.user: the role uuu"));
    let failure = call(json!({"enableConnectionPooler": true}), json!({"connection_pooler_user": long})).err().unwrap();
    assert!(reason(&failure).contains("connection_pooler_user: the role uuu"));
}

#[test]
fn every_key_of_the_configuration_is_used_if_the_manifest_has_no_value() {
    let answer = call(
        json!({"enableConnectionPooler": true}),
        json!({
            "connection_pooler_number_of_instances": 4, "connection_pooler_schema": "s", "connection_pooler_user": "u",
            "connection_pooler_image": "i:1", "connection_pooler_mode": "session",
            "connection_pooler_max_db_connections": 80, "connection_pooler_default_cpu_request": "1m",
            "connection_pooler_default_memory_request": "2Mi", "connection_pooler_default_cpu_limit": "3m",
            "connection_pooler_default_memory_limit": "4Mi", "set_memory_request_to_limit": true,
            "secret_name_template": "{username}.{cluster}", "spilo_fsgroup": 103,
        }),
    )
    .unwrap();
    assert_eq!(deployment(&answer)["spec"]["replicas"], 4);
    assert_eq!(container(&answer)["image"], "i:1");
    assert_eq!(variable(&answer, "PGSCHEMA")["value"], "s");
    assert_eq!(variable(&answer, "PGUSER")["valueFrom"]["secretKeyRef"]["name"], "u.acid-orders");
    assert_eq!(variable(&answer, "CONNECTION_POOLER_MODE")["value"], "session");
    assert_eq!(variable(&answer, "CONNECTION_POOLER_MAX_DB_CONN")["value"], "20");
    assert_eq!(
        container(&answer)["resources"],
        json!({"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"cpu": "3m", "memory": "4Mi"}})
    );
    let pod = &deployment(&answer)["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"], json!({"fsGroup": 103, "runAsGroup": 101, "runAsUser": 100}));
}

#[test]
fn an_unknown_mode_and_a_bad_quantity_are_refused_with_their_path() {
    for (section, expected) in [
        (json!({"mode": "statement"}), "spec.connectionPooler.mode: \"statement\" is not a pool mode"),
        (
            json!({"resources": {"requests": {"cpu": "a lot"}}}),
            "spec.connectionPooler.resources.requests.cpu: \"a lot\" is not a quantity of cpu",
        ),
    ] {
        let failure = call(json!({"connectionPooler": section}), json!({})).unwrap_err();
        assert_eq!(reason(&failure), expected);
    }
    for (key, value) in [("connection_pooler_mode", "x"), ("connection_pooler_default_cpu_request", "x")] {
        let failure = call(json!({"enableConnectionPooler": true}), json!({key: value})).unwrap_err();
        assert!(matches!(failure, Failure::InvalidConfig(_)), "{key}: {failure:?}");
    }
}

#[test]
fn an_empty_image_of_the_platform_is_refused_unless_the_manifest_names_one() {
    let config = json!({"connection_pooler_image": ""});
    let failure = call(json!({"enableConnectionPooler": true}), config.clone()).unwrap_err();
    assert_eq!(reason(&failure), "connection_pooler_image is empty; name an image, or remove the key");
    call(json!({"connectionPooler": {"dockerImage": "bouncer:1"}}), config).unwrap();
}
