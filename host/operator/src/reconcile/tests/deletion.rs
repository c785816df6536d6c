//! A deleted cluster takes with it what was made for it, and nothing else.

use super::*;

#[tokio::test]
async fn a_deleted_manifest_goes_when_what_was_made_for_it_is_gone() {
    let mut deleted = manifest();
    deleted["metadata"]["finalizers"] = json!(["theirs", FINALIZER]);
    deleted["metadata"]["deletionTimestamp"] = json!("2031-05-14T00:00:00Z");
    deleted["spec"] = json!({"nonsense": true});
    let labels = json!({"application": "spilo", "cluster-name": "acid-orders"});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "acid-orders", "namespace": "ns", "labels": labels}
    });
    let api_server = FakeApiServer::new().with(MANIFEST, deleted.clone());
    reconcile(&operator(&api_server, &[deleted.clone(), set]), &key()).await.unwrap();
    assert_eq!(written(&api_server), ["POST events", "DELETE acid-orders"]);

    let config = json!({"metadata": {"name": "acid-orders-config", "namespace": "ns", "labels": labels}});
    let api_server = FakeApiServer::new()
        .with(MANIFEST, deleted.clone())
        .with("/api/v1/namespaces/ns/endpoints/acid-orders-config", config);
    reconcile(&operator(&api_server, &[deleted]), &key()).await.unwrap();
    assert!(written(&api_server).contains(&"DELETE acid-orders-config".to_owned()));
    let last = api_server.writes().pop().unwrap();
    assert_eq!((last.path.as_str(), &last.body["metadata"]["finalizers"]), (MANIFEST, &json!(["theirs"])));
}

#[tokio::test]
async fn a_deletion_takes_what_was_made_for_the_cluster_and_nothing_else() {
    let labels = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let only_named = json!({"labels": {"cluster-name": "acid-orders"}});
    let neighbour = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders-sync"}});
    let unlabelled = json!({});
    let marked = json!({"labels": {"cluster-name": "acid-orders"}, "annotations": {"pgloom.dev/cluster-uid": "u"}});
    let ours = [
        existing(("apps/v1", "StatefulSet"), "statefulsets", "ns", "acid-orders", labels.clone()),
        existing(("v1", "Pod"), "pods", "ns", "acid-orders-0", labels.clone()),
        existing(
            ("v1", "PersistentVolumeClaim"),
            "persistentvolumeclaims",
            "ns",
            "pgdata-acid-orders-0",
            labels.clone(),
        ),
        existing(("v1", "Secret"), "secrets", "ns", STANDBY, labels.clone()),
        existing(("v1", "Service"), "services", "ns", "acid-orders", labels.clone()),
        existing(("v1", "Endpoints"), "endpoints", "ns", "acid-orders-config", labels.clone()),
        existing(("v1", "ConfigMap"), "configmaps", "ns", "acid-orders-leader", labels.clone()),
        existing(("apps/v1", "Deployment"), "deployments", "ns", "made-by-a-plugin", marked),
    ];
    let theirs = [
        existing(("v1", "Secret"), "secrets", "ns", "my-app-secret", only_named.clone()),
        existing(("v1", "Secret"), "secrets", "ns", "my-labelled-secret", labels.clone()),
        existing(("v1", "PersistentVolumeClaim"), "persistentvolumeclaims", "ns", "my-backup", labels.clone()),
        existing(("apps/v1", "Deployment"), "deployments", "ns", "my-app", only_named.clone()),
        existing(("v1", "Service"), "services", "ns", "my-svc", only_named),
        existing(("v1", "ConfigMap"), "configmaps", "ns", "acid-orders-config", unlabelled),
        existing(("v1", "Service"), "services", "ns", "acid-orders-sync", neighbour.clone()),
        existing(("v1", "Endpoints"), "endpoints", "ns", "acid-orders-sync", neighbour),
    ];
    let api_server = FakeApiServer::new();
    delete_wholly(&api_server, &[ours.as_slice(), &theirs].concat(), json!({})).await;
    for (path, object) in &theirs {
        assert_eq!(api_server.object(path).as_ref(), Some(object), "{path}");
    }
    for (path, _) in &ours {
        assert_eq!(api_server.object(path), None, "{path}");
    }
    let deletions = api_server.writes().into_iter().filter(|write| write.method == "DELETE");
    assert!(deletions.into_iter().all(|write| write.body["preconditions"]["uid"].is_string()));
}

#[tokio::test]
async fn secrets_in_other_namespaces_are_deleted_with_their_own_cluster_only() {
    let secret = |namespace: &str, name: &str, uid: &str, home: &str| {
        let labels = json!({"application": "spilo", "cluster-name": "acid-orders"});
        let annotations = json!({"pgloom.dev/cluster-uid": uid, "pgloom.dev/cluster-namespace": home});
        existing(("v1", "Secret"), "secrets", namespace, name, json!({"labels": labels, "annotations": annotations}))
    };
    let ours = secret("theirs", "theirs.app.acid-orders", "u", "ns");
    let of_a_namesake =
        [secret("ns", "ns.app.acid-orders", "v", "theirs"), secret("theirs", "app.acid-orders", "v", "theirs")];
    let objects = [std::slice::from_ref(&ours), of_a_namesake.as_slice()].concat();
    let api_server = FakeApiServer::new();
    delete_wholly(&api_server, &objects, json!({})).await;
    assert_eq!(api_server.object(&ours.0), None);
    for (path, object) in &of_a_namesake {
        assert_eq!(api_server.object(path).as_ref(), Some(object), "{path}");
    }
}

#[tokio::test]
async fn a_secret_in_a_namespace_that_is_not_watched_is_deleted_with_its_cluster() {
    let metadata = json!({"labels": {"cluster-name": "acid-orders"}, "annotations": {"pgloom.dev/cluster-uid": "u"}});
    let (path, secret) = existing(("v1", "Secret"), "secrets", "unwatched", "app", metadata);
    let api_server = FakeApiServer::new().with(&path, secret);
    delete_wholly(&api_server, &[], json!({"enable_cross_namespace_secret": "true"})).await;
    assert_eq!(api_server.object(&path), None);
}

#[tokio::test]
async fn a_claim_and_a_pod_that_the_watches_have_not_reported_hold_the_manifest_until_they_are_gone() {
    let labels = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let claim =
        existing(("v1", "PersistentVolumeClaim"), "persistentvolumeclaims", "ns", "pgdata-acid-orders-1", labels);
    let api_server = FakeApiServer::new().with(MANIFEST, deleted()).with(&claim.0, claim.1);
    let operator = operator(&api_server, &[deleted()]);
    assert_ne!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(written(&api_server), ["POST events", "DELETE pgdata-acid-orders-1"]);
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(written(&api_server).last().map(String::as_str), Some("PATCH acid-orders"));
}

#[tokio::test]
async fn a_claim_that_was_relabelled_is_not_deleted_with_its_former_cluster_whose_deletion_ends() {
    let metadata = |cluster: &str, version: &str| json!({"labels": {"application": "spilo", "cluster-name": cluster}, "resourceVersion": version});
    let claim = |metadata: Value| {
        existing(("v1", "PersistentVolumeClaim"), "persistentvolumeclaims", "ns", "pgdata-acid-orders-0", metadata)
    };
    let (path, relabelled) = claim(metadata("acid-other", "6"));
    let api_server = FakeApiServer::new().with(MANIFEST, deleted()).with(&path, relabelled.clone());
    let operator = operator(&api_server, &[deleted(), claim(metadata("acid-orders", "5")).1]);
    let kinds = of_every_cluster();
    let watch = kinds.iter().position(|kind| kind.is(BuiltIn::PersistentVolumeClaim)).unwrap() + 1;
    operator.store.apply_watcher_event(watch, watcher::Event::Apply(relabelled.clone()));
    assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::await_change());
    assert_eq!(api_server.object(&path), Some(relabelled));
    assert_eq!(written(&api_server), ["POST events", "PATCH acid-orders"]);
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_holds_the_manifest_alone_and_the_missing_right_is_named_with_the_rule_to_add() {
    let labels = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let own = [
        existing(("apps/v1", "StatefulSet"), "statefulsets", "ns", "acid-orders", labels.clone()),
        existing(("v1", "Pod"), "pods", "ns", "acid-orders-0", labels.clone()),
        existing(("v1", "Service"), "services", "ns", "acid-orders", labels.clone()),
        existing(("v1", "Endpoints"), "endpoints", "ns", "acid-orders-config", labels),
    ];
    let marked = json!({"annotations": {"pgloom.dev/cluster-uid": "u"}});
    let route = existing(("gateway.networking.k8s.io/v1", "TCPRoute"), "tcproutes", "ns", "acid-orders", marked);
    let mut deleted = deleted();
    deleted["metadata"]["annotations"] =
        json!({"pgloom.dev/kinds": "gateway.networking.k8s.io/v1/TCPRoute,networking.k8s.io/v1/NetworkPolicy"});
    let policies = "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies";
    let routes = "/apis/gateway.networking.k8s.io/v1/namespaces/ns/tcproutes";
    let unlisted = |api_server: FakeApiServer| {
        let api_server = api_server.with(MANIFEST, deleted.clone()).with(&route.0, route.1.clone());
        own.iter().fold(api_server, |api_server, (path, object)| api_server.with(path, object.clone()))
    };
    let api_server = unlisted(
        FakeApiServer::new().granting("networkpolicies").granting("tcproutes").unreadable(routes).unreadable(policies),
    );
    let mut failed = None;
    for _ in 0..10 {
        let left = own.iter().filter_map(|(path, _)| api_server.object(path)).chain([deleted.clone()]);
        failed = reconcile(&operator(&api_server, &left.collect::<Vec<_>>()), &key()).await.err();
    }
    for (path, _) in &own {
        assert_eq!(api_server.object(path), None, "{path}");
    }
    assert_eq!(api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"], json!([FINALIZER]));
    let error = failed.unwrap();
    assert!(error.is_forbidden(), "it is tried again after the repair period");
    let expected = "failed to remove the cluster: the operator may not list objects of kind TCPRoute, so it is not known \
        whether the cluster has any; add to its ClusterRole: {apiGroups: [gateway.networking.k8s.io], resources: \
        [tcproutes], verbs: [delete, get, list]}; or delete them, and remove gateway.networking.k8s.io/v1/TCPRoute from \
        the manifest's annotation pgloom.dev/kinds";
    let status = last_status(&api_server);
    let refused = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "DeletionAllowed").unwrap();
    assert_eq!((&refused["reason"], refused["message"].as_str().unwrap()), (&json!("Forbidden"), expected));
    assert!(api_server.writes().iter().any(|write| write.body["note"] == expected), "an event says so, too");

    // The way without the right: the objects are deleted by hand, and the record is removed.
    let mut without = deleted.clone();
    without["metadata"]["annotations"] = json!({});
    api_server.put(MANIFEST, without.clone());
    reconcile(&operator(&api_server, &[without]), &key()).await.unwrap();
    assert_eq!(api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"], json!([]));
}
