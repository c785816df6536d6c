//! What the plugin promises.

use pgloom_kit::bindings::contract::Severity;
use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Action, Credential, Failure, PoolerAccess, UserList, Value, json};

use crate::ConnectionPooler;

fn manifest(spec: Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid"},
    });
    for (key, value) in spec.as_object().unwrap() {
        manifest["spec"][key] = value.clone();
    }
    manifest
}

fn call(spec: Value, config: Value) -> Result<Answer, Failure> {
    Call::new(&manifest(spec)).operator_config(&operator_config(&config)).mutate::<ConnectionPooler>()
}

fn answer(spec: Value) -> Answer {
    call(spec, json!({})).unwrap()
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
}

fn deployment(answer: &Answer) -> &Value {
    answer.object("Deployment", "acid-orders-pooler").unwrap()
}

fn container(answer: &Answer) -> &Value {
    &deployment(answer)["spec"]["template"]["spec"]["containers"][0]
}

fn variable<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let env = container(answer)["env"].as_array().unwrap();
    env.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} is missing"))
}

#[test]
fn the_recorded_poolers_are_made_as_they_were() {
    for case in cases("the_recorded_poolers_are_made_as_they_were") {
        let answer = case.call().mutate::<ConnectionPooler>().unwrap();
        let mut count = 0;
        for (kind, made) in [("Deployment", "-pooler"), ("Service", "-pooler"), ("Secret", "-pooler-u")] {
            for recorded in case.created(kind, |name| name.ends_with(made) && !name.ends_with("acid-pooler")) {
                let name = recorded["metadata"]["name"].as_str().unwrap();
                match kind {
                    "Secret" => assert_user_list(&answer, name, recorded),
                    _ => {
                        let object =
                            answer.object(kind, name).unwrap_or_else(|| panic!("{}: {kind} {name}", case.name));
                        assert_eq!(difference(object, recorded), None, "{}: {kind} {name}", case.name);
                        count += 1;
                    }
                }
            }
        }
        if case.name != "rich-full" {
            assert_eq!(answer.objects.len(), count, "{}", case.name);
        }
    }
}

fn assert_user_list(answer: &Answer, name: &str, recorded: &Value) {
    let labels = answer.response.actions.iter().find_map(|request| match &request.action {
        Action::UserList(list) if list.secret_name == name => Some(list.labels.clone()),
        _ => None,
    });
    let labels: pgloom_kit::serde_json::Map<String, Value> =
        labels.unwrap_or_default().into_iter().map(|(key, value)| (key, json!(value))).collect();
    assert_eq!(json!(labels), recorded["metadata"]["labels"], "{name}");
}

#[test]
fn the_flag_decides_and_without_one_the_section() {
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
        (json!({"enableConnectionPooler": false, "enableConnectionPool": true}), false),
        (json!({"enableConnectionPooler": true, "enableConnectionPool": true}), true),
    ] {
        let answer = answer(spec.clone());
        let expected = if expected { vec!["acid-orders-pooler", "acid-orders-pooler"] } else { Vec::new() };
        assert_eq!(names(&answer), expected, "{spec}");
    }
}

#[test]
fn replicas_have_a_pooler_of_their_own_if_the_manifest_says_so() {
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
fn the_host_is_asked_for_the_role_its_user_list_and_its_access() {
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
fn the_usual_role_has_a_secret_labelled_like_the_pooler_and_no_team() {
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
fn a_role_that_is_no_poolers_is_replaced_wherever_it_is_named() {
    for refused in ["postgres", "standby", "admin", "cron_admin"] {
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
fn a_configured_role_that_is_no_poolers_is_an_error_of_the_configuration() {
    for user in ["postgres", "standby", ""] {
        let failure =
            call(json!({"enableConnectionPooler": true}), json!({"connection_pooler_user": user})).unwrap_err();
        assert!(reason(&failure).contains("connection_pooler_user"), "{user}: {failure:?}");
    }
}

#[test]
fn a_standby_cluster_has_the_pooler_but_nothing_is_written_to_its_databases() {
    let answer = answer(json!({"enableConnectionPooler": true, "standby": {"standby_host": "primary"}}));
    let actions: Vec<&str> = answer.response.actions.iter().map(|request| request.key.as_str()).collect();
    assert_eq!(actions, ["credential/pooler", "user-list/acid-orders-pooler-u"]);
    assert_eq!(names(&answer).len(), 2);
}

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
fn two_spellings_at_once_are_told() {
    let answer = answer(json!({
        "connectionPooler": {"mode": "session"}, "connectionPool": {"mode": "transaction"},
        "enableConnectionPooler": true, "enableConnectionPool": false,
    }));
    assert_eq!(variable(&answer, "CONNECTION_POOLER_MODE")["value"], "session");
    assert_eq!(answer.messages().len(), 2);
}

#[test]
fn fewer_than_one_instance_is_raised_with_a_warning() {
    let answer = answer(json!({"connectionPooler": {"numberOfInstances": 0}}));
    assert_eq!(deployment(&answer)["spec"]["replicas"], 1);
    assert_eq!(variable(&answer, "CONNECTION_POOLER_MAX_DB_CONN")["value"], "60");
    assert_eq!(answer.messages(), ["a pooler has at least 1 instance, not 0"]);
}

#[test]
fn connections_too_few_to_share_are_told() {
    let answer = answer(json!({"connectionPooler": {"maxDBConnections": 3}}));
    assert_eq!(answer.messages(), ["3 connections among 2 instances leave none for a pool"]);
}

#[test]
fn every_key_of_the_configuration_counts_where_the_manifest_is_silent() {
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
fn an_unknown_mode_and_a_bad_amount_are_refused_with_their_field() {
    for (section, expected) in [
        (json!({"mode": "statement"}), "spec.connectionPooler.mode: \"statement\" is no pool mode"),
        (
            json!({"resources": {"requests": {"cpu": "a lot"}}}),
            "spec.connectionPooler.resources.requests.cpu: \"a lot\" is no amount of cpu",
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
fn a_name_too_long_for_its_service_is_refused() {
    let mut manifest = manifest(json!({"enableReplicaConnectionPooler": true}));
    manifest["metadata"]["name"] = json!(format!("acid-{}", "a".repeat(47)));
    let failure =
        Call::new(&manifest).operator_config(&operator_config(&json!({}))).mutate::<ConnectionPooler>().unwrap_err();
    assert!(reason(&failure).starts_with("metadata.name: its pooler would be called acid-aaa"), "{failure:?}");
}

#[test]
fn a_load_balancer_is_closed_named_and_annotated() {
    let spec = json!({
        "enableConnectionPooler": true, "enableReplicaConnectionPooler": true, "enableReplicaPoolerLoadBalancer": true,
        "serviceAnnotations": {"b": "own"}, "replicaServiceAnnotations": {"c": "replica"},
    });
    let answer =
        call(spec, json!({"enable_master_pooler_load_balancer": true, "custom_service_annotations": {"a": "x"}}));
    let answer = answer.unwrap();
    let master = answer.object("Service", "acid-orders-pooler").unwrap();
    assert_eq!(master["spec"]["type"], "LoadBalancer");
    assert_eq!(master["spec"]["loadBalancerSourceRanges"], json!(["127.0.0.1/32"]));
    assert_eq!(
        master["metadata"]["annotations"],
        json!({
            "a": "x", "b": "own",
            "external-dns.alpha.kubernetes.io/hostname": "acid-orders-pooler.shop.db.example.com",
        })
    );
    let replica = answer.object("Service", "acid-orders-pooler-repl").unwrap();
    assert_eq!(
        replica["metadata"]["annotations"],
        json!({
            "a": "x", "b": "own", "c": "replica",
            "external-dns.alpha.kubernetes.io/hostname": "acid-orders-pooler-repl.shop.db.example.com",
        })
    );
}

#[test]
fn the_manifest_decides_over_the_configuration_how_a_service_is_exposed() {
    let on = json!({"enable_master_pooler_load_balancer": true, "enable_master_pooler_node_port": true});
    for (spec, config, expected) in [
        (json!({}), json!({}), "ClusterIP"),
        (json!({}), on.clone(), "LoadBalancer"),
        (json!({"enableMasterPoolerLoadBalancer": false}), on.clone(), "NodePort"),
        (json!({"enableMasterPoolerLoadBalancer": false, "enableMasterPoolerNodePort": false}), on, "ClusterIP"),
        (json!({"enableMasterPoolerNodePort": true, "masterPoolerNodePort": 30001}), json!({}), "NodePort"),
    ] {
        let mut all = json!({"enableConnectionPooler": true});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let answer = call(all, config).unwrap();
        let service = answer.object("Service", "acid-orders-pooler").unwrap();
        assert_eq!(service["spec"]["type"], expected, "{spec}");
        assert_eq!(service["spec"]["ports"][0]["nodePort"], spec["masterPoolerNodePort"], "{spec}");
    }
}

#[test]
fn pods_follow_the_clusters_rules_for_nodes() {
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
fn downscalers_and_inherited_annotations_reach_the_deployment() {
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
fn clients_see_the_clusters_own_certificate() {
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
    assert_eq!(volumes, ["pg-tls", "pg-ca", "acid-orders-pooler-u"]);
    assert_eq!(pod["volumes"][0]["secret"]["defaultMode"], 0o640);
    assert_eq!(container(&answer)["volumeMounts"][1], json!({"name": "pg-ca", "mountPath": "/tlsca"}));

    let without = call(json!({"enableConnectionPooler": true, "tls": {"secretName": ""}}), json!({})).unwrap();
    assert_eq!(deployment(&without)["spec"]["template"]["spec"]["volumes"].as_array().unwrap().len(), 1);
}
