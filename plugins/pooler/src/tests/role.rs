//! Which roles have a pooler, and which role a pooler uses.

use pgloom_kit::bindings::contract::Severity;
use pgloom_kit::testing::{Call, operator_config, reason};
use pgloom_kit::{Action, Credential, PoolerAccess, UserList, json};

use super::{answer, call, manifest, names, variable};
use crate::ConnectionPooler;

#[test]
fn the_flag_decides_or_without_a_flag_the_section() {
    let section = json!({});
    for (spec, expected) in [
        (json!({}), false),
        (json!({"enableConnectionPooler": true}), true),
        (json!({"enableConnectionPool": true}), true),
        (json!({"connectionPooler": section}), true),
        (json!({"connectionPool": section}), true),
        (json!({"connectionPooler": null}), false),
        (json!({"enableConnectionPooler": false, "connectionPooler": section}), false),
        (json!({"enableConnectionPool": false, "connectionPool": section}), false),
        (json!({"enableConnectionPooler": null, "connectionPooler": section}), true),
        (json!({"enableConnectionPooler": null, "enableConnectionPool": true}), true),
    ] {
        let answer = answer(spec.clone());
        let expected = if expected { vec!["acid-orders-pooler", "acid-orders-pooler"] } else { Vec::new() };
        assert_eq!(names(&answer), expected, "{spec}");
    }
}

#[test]
fn replicas_have_a_pooler_if_their_flag_is_true() {
    let answer = answer(json!({"enableReplicaConnectionPooler": true}));
    assert_eq!(names(&answer), ["acid-orders-pooler-repl", "acid-orders-pooler-repl"]);
    let deployment = answer.object("Deployment", "acid-orders-pooler-repl").unwrap();
    assert_eq!(
        deployment["metadata"]["labels"],
        json!({
            "application": "db-connection-pooler", "cluster-name": "acid-orders",
            "connection-pooler": "acid-orders-pooler-repl", "spilo-role": "replica", "team": "acid",
        })
    );
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"][0], json!({"name": "PGHOST", "value": "acid-orders-repl"}));
    assert_eq!(container["volumeMounts"][0]["name"], "acid-orders-pooler-repl-u");
    let service = answer.object("Service", "acid-orders-pooler-repl").unwrap();
    assert_eq!(service["spec"]["selector"], json!({"connection-pooler": "acid-orders-pooler-repl"}));

    let both = call(json!({"enableConnectionPooler": true, "enableReplicaConnectionPooler": true}), json!({})).unwrap();
    let actions: Vec<&str> = both.response.actions.iter().map(|request| request.key.as_str()).collect();
    assert_eq!(
        actions,
        [
            "credential/pooler",
            "user-list/acid-orders-pooler-u",
            "user-list/acid-orders-pooler-repl-u",
            "access/pooler/pooler"
        ]
    );
}

#[test]
fn the_actions_are_the_role_its_user_list_and_its_access() {
    let answer = answer(json!({"connectionPool": {"schema": "lookup", "user": "bouncer"}}));
    let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let actions: Vec<Action> = answer.response.actions.into_iter().map(|request| request.action).collect();
    assert_eq!(
        actions,
        [
            Action::Credential(Credential { username: "bouncer".to_owned(), labels: Vec::new() }),
            Action::UserList(UserList {
                secret_name: "acid-orders-pooler-u".to_owned(),
                username: "bouncer".to_owned(),
                labels: vec![
                    own("application", "db-connection-pooler"),
                    own("cluster-name", "acid-orders"),
                    own("connection-pooler", "acid-orders-pooler"),
                    own("spilo-role", "master"),
                    own("team", "acid"),
                ],
            }),
            Action::PoolerAccess(PoolerAccess { username: "bouncer".to_owned(), schema: "lookup".to_owned() }),
        ]
    );
}

#[test]
fn the_secret_of_the_default_role_has_the_poolers_labels_and_no_team() {
    let mut manifest = manifest(json!({"enableConnectionPooler": true}));
    manifest["metadata"]["labels"] = json!({"environment": "demo"});
    let config = operator_config(&json!({"inherited_labels": ["environment"]}));
    let answer = Call::new(&manifest).operator_config(&config).mutate::<ConnectionPooler>().unwrap();
    let Action::Credential(credential) = &answer.response.actions[0].action else { panic!("no credential") };
    let labels: Vec<(&str, &str)> =
        credential.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        labels,
        [
            ("application", "db-connection-pooler"),
            ("cluster-name", "acid-orders"),
            ("connection-pooler", "acid-orders-pooler"),
            ("environment", ""),
            ("team", ""),
        ]
    );
}

#[test]
fn a_system_or_protected_role_is_replaced_by_the_configured_one() {
    for refused in ["postgres", "standby", "admin", "cron_admin", "pg_monitor", "public"] {
        let answer = answer(json!({"connectionPooler": {"user": refused}}));
        let [finding] = &answer.response.findings[..] else { panic!("{refused}: no warning") };
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.path.as_deref(), Some("spec.connectionPooler.user"), "{refused}");
        let secret = "pooler.acid-orders.credentials.postgresql.acid.zalan.do";
        for name in ["PGUSER", "PGPASSWORD"] {
            assert_eq!(variable(&answer, name)["valueFrom"]["secretKeyRef"]["name"], secret, "{refused}");
        }
        assert_eq!(answer.response.actions.last().unwrap().key, "access/pooler/pooler", "{refused}");
    }
}

#[test]
fn a_role_of_the_manifest_is_not_the_poolers() {
    let shared = answer(json!({"users": {"app": []}, "connectionPooler": {"user": "app"}}));
    let [finding] = &shared.response.findings[..] else { panic!("no warning") };
    assert_eq!(finding.message, "the pooler cannot use the role app, which is a role of the manifest; it uses pooler");
    assert_eq!(shared.response.actions.last().unwrap().key, "access/pooler/pooler");
    let of_its_secret = answer(json!({"users": {"an_app": []}, "connectionPooler": {"user": "an-app"}}));
    assert_eq!(of_its_secret.response.actions.last().unwrap().key, "access/pooler/pooler");
    for spec in [
        json!({"users": {"pooler": null}, "enableConnectionPooler": true}),
        json!({"users": {"app": [], "pooler": []}, "connectionPooler": {"user": "app"}}),
    ] {
        let failure = call(spec, json!({})).unwrap_err();
        assert_eq!(reason(&failure), "spec.users.pooler: pooler is the role that the pooler logs in as");
    }
}

#[test]
fn a_configured_role_that_is_a_system_role_is_an_error_of_the_configuration() {
    for user in ["postgres", "standby", "pg_pooler", ""] {
        let failure =
            call(json!({"enableConnectionPooler": true}), json!({"connection_pooler_user": user})).unwrap_err();
        assert!(reason(&failure).contains("connection_pooler_user"), "{user}: {failure:?}");
    }
}

#[test]
fn a_standby_cluster_has_the_pooler_and_the_host_knows_whether_it_follows_its_source() {
    let answer = answer(json!({"enableConnectionPooler": true, "standby": {"standby_host": "primary"}}));
    let actions: Vec<&str> = answer.response.actions.iter().map(|request| request.key.as_str()).collect();
    assert_eq!(actions, ["credential/pooler", "user-list/acid-orders-pooler-u", "access/pooler/pooler"]);
    assert_eq!(names(&answer).len(), 2);
}

#[test]
fn a_name_too_long_for_its_service_is_refused() {
    let mut manifest = manifest(json!({"enableReplicaConnectionPooler": true}));
    manifest["metadata"]["name"] = json!(format!("acid-{}", "a".repeat(47)));
    let failure =
        Call::new(&manifest).operator_config(&operator_config(&json!({}))).mutate::<ConnectionPooler>().unwrap_err();
    assert!(reason(&failure).starts_with("metadata.name: the name of the pooler's Service, acid-aaa"), "{failure:?}");
}
