//! The Services: exposure and annotations.

use pgloom_kit::json;

use super::call;

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
        (json!({}), on.clone(), "NodePort"),
        (json!({"enableMasterPoolerNodePort": false}), on.clone(), "LoadBalancer"),
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
