//! Services, Endpoints and disruption budgets.

use super::*;

const DNS: &str = "external-dns.alpha.kubernetes.io/hostname";

fn services(answer: &Answer) -> [&Value; 2] {
    [answer.object("Service", "acid-test").unwrap(), answer.object("Service", "acid-test-repl").unwrap()]
}

fn kinds(answer: &Answer) -> [&str; 2] {
    services(answer).map(|service| service["spec"]["type"].as_str().unwrap())
}

#[test]
fn the_leaders_service_has_no_selector_because_patroni_writes_its_endpoints() {
    let answer = answer(json!({}), json!({}));
    let [master, replica] = services(&answer);
    let port = json!([{"name": "postgresql", "port": 5432, "protocol": "TCP", "targetPort": 5432}]);
    assert_eq!(master["spec"], json!({"type": "ClusterIP", "ports": port}));
    let selector = json!({"application": "spilo", "cluster-name": "acid-test", "spilo-role": "replica"});
    assert_eq!(replica["spec"], json!({"type": "ClusterIP", "ports": port, "selector": selector}));
    let labels = json!({"application": "spilo", "cluster-name": "acid-test", "spilo-role": "master", "team": "acid"});
    assert_eq!(master["metadata"]["labels"], labels);
    let endpoints = answer.object("Endpoints", "acid-test").unwrap();
    assert_eq!(endpoints["metadata"]["labels"], labels);
    assert_eq!(endpoints.as_object().unwrap().len(), 3, "addresses and annotations are Patroni's");
}

#[test]
fn with_the_lock_in_a_config_map_there_is_a_selector_and_no_endpoints() {
    let answer = answer(json!({}), json!({"kubernetes_use_configmaps": true}));
    let selector = json!({"application": "spilo", "cluster-name": "acid-test", "spilo-role": "master"});
    assert_eq!(services(&answer)[0]["spec"]["selector"], selector);
    assert_eq!(answer.object("Endpoints", "acid-test"), None);
}

#[test]
fn the_manifests_switch_of_a_load_balancer_wins_over_the_configured_one() {
    for (spec, config, expected) in [
        (json!({}), [false, false], ["ClusterIP", "ClusterIP"]),
        (json!({}), [true, true], ["LoadBalancer", "LoadBalancer"]),
        (json!({"enableMasterLoadBalancer": false}), [true, true], ["ClusterIP", "LoadBalancer"]),
        (json!({"enableReplicaLoadBalancer": true}), [false, false], ["ClusterIP", "LoadBalancer"]),
        (
            json!({"useLoadBalancer": true, "replicaLoadBalancer": true}),
            [false, false],
            ["LoadBalancer", "LoadBalancer"],
        ),
        (
            json!({"useLoadBalancer": true, "replicaLoadBalancer": true, "enableMasterLoadBalancer": false}),
            [false, false],
            ["ClusterIP", "ClusterIP"],
        ),
    ] {
        let config = json!({"enable_master_load_balancer": config[0], "enable_replica_load_balancer": config[1]});
        assert_eq!(kinds(&answer(spec.clone(), config)), expected, "{spec}");
    }
}

#[test]
fn a_load_balancer_is_closed_without_source_ranges() {
    let balanced = json!({"enable_master_load_balancer": true, "external_traffic_policy": "Local"});
    let made = answer(json!({}), balanced.clone());
    assert_eq!(services(&made)[0]["spec"]["loadBalancerSourceRanges"], json!(["127.0.0.1/32"]));
    assert_eq!(services(&made)[0]["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(services(&made)[1]["spec"].get("externalTrafficPolicy"), None);
    let ranges = json!(["10.0.0.0/8", "192.168.0.0/16"]);
    let made = answer(json!({"allowedSourceRanges": ranges}), balanced);
    assert_eq!(services(&made)[0]["spec"]["loadBalancerSourceRanges"], ranges);
}

#[test]
fn a_node_port_overrides_a_load_balancer_and_may_have_a_number() {
    let made = answer(
        json!({"enableMasterNodePort": true, "masterNodePort": 30_001, "enableMasterLoadBalancer": true}),
        json!({"enable_replica_node_port": true, "enable_replica_load_balancer": true}),
    );
    assert_eq!(kinds(&made), ["NodePort", "NodePort"]);
    assert!(services(&made).iter().all(|service| service["metadata"].get("annotations").is_none()), "no DNS name");
    let [master, replica] = services(&made);
    assert_eq!(master["spec"]["ports"][0]["nodePort"], 30_001);
    assert_eq!(replica["spec"]["ports"][0].get("nodePort"), None);
}

#[test]
fn a_load_balancer_has_the_current_and_the_legacy_dns_name() {
    let config = json!({"enable_master_load_balancer": true, "enable_replica_load_balancer": true});
    let made = answer(json!({}), config.clone());
    let names = services(&made).map(|service| service["metadata"]["annotations"][DNS].as_str().unwrap());
    let expected = [
        "acid-test.shop.db.example.com,test.acid.db.example.com",
        "acid-test-repl.shop.db.example.com,test-repl.acid.db.example.com",
    ];
    assert_eq!(names, expected);

    let mut foreign = manifest(&json!({}));
    foreign["metadata"]["name"] = json!("orders");
    let made = Call::new(&foreign).operator_config(&operator_config(&config)).mutate::<Spilo>().unwrap();
    let service = made.object("Service", "orders").unwrap();
    assert_eq!(service["metadata"]["annotations"][DNS], "orders.shop.db.example.com", "no team, no earlier name");
}

#[test]
fn in_a_template_with_the_team_the_cluster_is_the_name_without_it() {
    let config = json!({
        "enable_master_load_balancer": true,
        "enable_replica_load_balancer": true,
        "master_dns_name_format": "{cluster}.{team}.{hostedzone}",
        "replica_dns_name_format": "{cluster}-repl.{team}.{hostedzone}",
    });
    let made = answer(json!({}), config);
    let names = services(&made).map(|service| service["metadata"]["annotations"][DNS].as_str().unwrap());
    assert_eq!(names, ["test.acid.db.example.com", "test-repl.acid.db.example.com"]);
}

#[test]
fn later_annotations_replace_earlier_ones_and_the_dns_name_replaces_all() {
    let spec = json!({
        "enableMasterLoadBalancer": true,
        "serviceAnnotations": {"b": "cluster", "c": "cluster", DNS: "mine"},
        "masterServiceAnnotations": {"c": "master"},
        "replicaServiceAnnotations": {"c": "replica"},
    });
    let made = answer(spec, json!({"custom_service_annotations": {"a": "platform", "b": "platform"}}));
    let [master, replica] = services(&made).map(|service| &service["metadata"]["annotations"]);
    let name = "acid-test.shop.db.example.com,test.acid.db.example.com";
    assert_eq!(*master, json!({"a": "platform", "b": "cluster", "c": "master", DNS: name}));
    assert_eq!(*replica, json!({"a": "platform", "b": "cluster", "c": "replica", DNS: "mine"}));
    assert_eq!(services(&answer(json!({}), json!({})))[0]["metadata"].get("annotations"), None);
}

#[test]
fn the_budgets_protect_the_leader_and_pods_in_a_critical_operation() {
    let made = answer(json!({}), json!({}));
    let leader = &made.object("PodDisruptionBudget", "postgres-acid-test-pdb").unwrap()["spec"];
    let selector =
        json!({"matchLabels": {"application": "spilo", "cluster-name": "acid-test", "spilo-role": "master"}});
    assert_eq!(*leader, json!({"minAvailable": 1, "selector": selector}));
    let critical = &made.object("PodDisruptionBudget", "postgres-acid-test-critical-op-pdb").unwrap()["spec"];
    let selector =
        json!({"matchLabels": {"application": "spilo", "cluster-name": "acid-test", "critical-operation": "true"}});
    assert_eq!(*critical, json!({"maxUnavailable": 0, "selector": selector}));
}

#[test]
fn a_budget_that_is_disabled_or_has_no_pods_protects_nothing() {
    for (spec, config, expected) in [
        (json!({"numberOfInstances": 1}), json!({}), 1),
        (json!({"numberOfInstances": 0}), json!({}), 0),
        (json!({"numberOfInstances": 1}), json!({"enable_pod_disruption_budget": false}), 0),
    ] {
        let made = answer(spec, config);
        assert_eq!(
            made.object("PodDisruptionBudget", "postgres-acid-test-pdb").unwrap()["spec"]["minAvailable"],
            expected
        );
    }
    for (spec, config) in
        [(json!({}), json!({"enable_pod_disruption_budget": false})), (json!({"numberOfInstances": 0}), json!({}))]
    {
        let made = answer(spec, config);
        let critical = made.object("PodDisruptionBudget", "postgres-acid-test-critical-op-pdb").unwrap();
        assert_eq!(critical["spec"]["maxUnavailable"], "100%");
    }
}

#[test]
fn name_and_selector_of_the_leaders_budget_are_configured() {
    let config = json!({"pdb_name_format": "postgres-{cluster}-databass-budget", "pdb_master_label_selector": false});
    let made = answer(json!({}), config);
    let budget = made.object("PodDisruptionBudget", "postgres-acid-test-databass-budget").unwrap();
    assert_eq!(budget["spec"]["selector"]["matchLabels"], json!({"application": "spilo", "cluster-name": "acid-test"}));
    let labels = json!({"application": "spilo", "cluster-name": "acid-test", "team": "acid"});
    assert_eq!(budget["metadata"]["labels"], labels);
}
