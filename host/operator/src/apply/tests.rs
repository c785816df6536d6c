use super::*;
use crate::cache::Watch;
use crate::testing::FakeApiServer;
use kube::runtime::watcher::Event;
use pgloom_api::config::Config;
use pgloom_decide::BuiltIn;
use pgloom_decide::kind::of_every_cluster;
use pgloom_decide::ownership::MARK;
use serde_json::json;

const SERVICE: &str = "/api/v1/namespaces/ns/services/c";
const STATEFUL_SET: &str = "/apis/apps/v1/namespaces/ns/statefulsets/c";

fn key() -> ClusterKey {
    ClusterKey::new("ns", "c")
}

fn writer(api_server: &FakeApiServer, existing: Vec<Value>) -> Writer {
    let store = Store::default();
    for kind in of_every_cluster().into_iter().chain([Kind::cluster()]) {
        let label = (kind != Kind::cluster()).then(|| "cluster-name".into());
        let watch = store.open(Watch { kind: kind.clone(), namespace: None, label, whole: false, own: vec![] });
        for object in existing.iter().filter(|object| Kind::of(object).as_ref() == Some(&kind)) {
            store.apply_watcher_event(watch, Event::Apply(object.clone()));
        }
    }
    let manifest = json!({"metadata": {"name": "c", "namespace": "ns", "uid": "now"}, "spec": {"teamId": "acid"}});
    Writer {
        client: api_server.client(),
        identity: Identity::of(&manifest, &Config::defaults()),
        store: Arc::new(store),
        last_applied: Arc::default(),
        metrics: Metrics::new(),
    }
}

fn service(port: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "c", "namespace": "ns", "labels": {"application": "spilo", "cluster-name": "c"}},
        "spec": {"ports": [{"port": port}]}
    })
}

/// An object with the mark of a manifest.
fn marked(mut object: Value, uid: &str) -> Value {
    object["metadata"]["annotations"][MARK] = json!(uid);
    object
}

/// The manifest of a cluster that exists.
fn manifest(name: &str, uid: &str) -> Value {
    json!({"apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": name, "namespace": "ns", "uid": uid}})
}

const SERVICES: &str = "/api/v1/namespaces/ns/services";

#[tokio::test]
async fn what_is_missing_is_created_with_the_mark_and_its_fields_are_ours() {
    let api_server = FakeApiServer::new();
    let applied = writer(&api_server, vec![]).apply(&key(), &[service(5432)]).await.unwrap();
    let writes = api_server.writes();
    assert_eq!(api_server.written(), [format!("POST {SERVICES}"), format!("PATCH {SERVICE}")]);
    assert_eq!(writes[0].query, "&fieldManager=pgloom");
    assert_eq!(writes[0].body["metadata"]["annotations"], json!({MARK: "now"}));
    assert_eq!(writes[1].body[1]["value"][0]["operation"], "Apply");
    assert_eq!((applied.written.len(), applied.written[0].operation), (1, Operation::Create));
}

#[tokio::test]
async fn the_same_again_costs_no_write() {
    let api_server = FakeApiServer::new();
    let writer = writer(&api_server, vec![]);
    for _ in 0..3 {
        writer.apply(&key(), &[service(5432)]).await.unwrap();
    }
    assert_eq!(api_server.writes().len(), 2);
}

#[tokio::test]
async fn what_is_never_applied_is_created_by_a_single_write() {
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "c", "namespace": "ns",
        "labels": {"application": "spilo", "cluster-name": "c"}}});
    let api_server = FakeApiServer::new();
    writer(&api_server, vec![]).apply(&key(), &[endpoints]).await.unwrap();
    assert_eq!(api_server.written(), ["POST /api/v1/namespaces/ns/endpoints"]);
}

#[tokio::test]
async fn a_hand_edit_is_repaired_with_force() {
    let api_server = FakeApiServer::new();
    let writer = writer(&api_server, vec![]);
    writer.apply(&key(), &[service(5432)]).await.unwrap();
    let mut edited = marked(service(6543), "now");
    edited["metadata"]["resourceVersion"] = json!("2");
    writer.store.record_write(edited);
    writer.apply(&key(), &[service(5432)]).await.unwrap();
    assert_eq!(api_server.writes()[2].query, "&force=true&fieldManager=pgloom");
}

#[tokio::test]
async fn an_object_of_another_owner_is_refused_by_name_and_not_touched() {
    let mut foreign = service(80);
    foreign["metadata"]["labels"] = json!({"app": "theirs"});
    let api_server = FakeApiServer::new().with(SERVICE, foreign.clone());
    let error = writer(&api_server, vec![]).apply(&key(), &[service(5432)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Service c exists already and is not of this cluster: it has neither the annotation pgloom.dev/cluster-uid nor \
         the labels application=spilo,cluster-name=c; delete it, or choose another name for the cluster"
    );
    assert_eq!(api_server.written(), [format!("POST {SERVICES}")]);
    assert_eq!(api_server.object(SERVICE), Some(foreign));
}

#[tokio::test]
async fn an_object_that_has_only_the_clusters_name_in_a_label_is_not_touched() {
    let mut foreign = service(80);
    foreign["metadata"]["labels"] = json!({"cluster-name": "c"});
    let api_server = FakeApiServer::new().with(SERVICE, foreign.clone());
    let error = writer(&api_server, vec![foreign]).apply(&key(), &[service(5432)]).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(api_server.written(), [] as [&str; 0]);
}

#[tokio::test]
async fn hand_made_endpoints_of_a_legacy_database_are_not_taken_over() {
    const ENDPOINTS: &str = "/api/v1/namespaces/ns/endpoints/c";
    let theirs = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "c", "namespace": "ns"},
        "subsets": [{"addresses": [{"ip": "10.0.0.7"}]}]});
    let ours = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "c", "namespace": "ns",
        "labels": {"application": "spilo", "cluster-name": "c"}}});
    let api_server = FakeApiServer::new().with(ENDPOINTS, theirs.clone());
    let error = writer(&api_server, vec![]).apply(&key(), &[ours, service(5432)]).await.unwrap_err();
    assert!(error.to_string().starts_with("Endpoints c exists already and is not of this cluster"), "{error}");
    assert_eq!(api_server.object(ENDPOINTS), Some(theirs));
    assert_eq!(api_server.object(SERVICE), None);
}

#[tokio::test]
async fn what_the_zalando_operator_made_is_adopted_and_marked() {
    let api_server = FakeApiServer::new().with(SERVICE, service(5432));
    let applied = writer(&api_server, vec![]).apply(&key(), &[service(5432)]).await.unwrap();
    assert_eq!(api_server.written(), [format!("POST {SERVICES}"), format!("PATCH {SERVICE}")]);
    assert_eq!(api_server.object(SERVICE).unwrap()["metadata"]["annotations"], json!({MARK: "now"}));
    assert_eq!((applied.written[0].operation, applied.written[0].reclaimed), (Operation::Apply, false));
}

#[tokio::test]
async fn the_stateful_set_of_the_zalando_operator_is_marked_and_its_templates_stay() {
    let set = |annotations: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "c", "namespace": "ns", "labels": {"application": "spilo", "cluster-name": "c"},
                "annotations": annotations},
            "spec": {"template": {"metadata": {"labels": {"cluster-name": "c"}}}, "volumeClaimTemplates": [{"spec": {}}]}
        })
    };
    let api_server = FakeApiServer::new().with(STATEFUL_SET, set(json!({})));
    let writer = writer(&api_server, vec![set(json!({}))]);
    writer.apply(&key(), &[set(json!({}))]).await.unwrap();
    assert_eq!(api_server.written(), [format!("PATCH {STATEFUL_SET}")]);
    let mut live = api_server.object(STATEFUL_SET).unwrap();
    assert!(live["metadata"]["annotations"][created_as::CREATED_AS].is_string());
    live["metadata"]["annotations"] = json!({MARK: "now"});
    assert_eq!(live, set(json!({MARK: "now"})));
}

#[tokio::test]
async fn an_object_of_an_earlier_manifest_of_this_name_is_reclaimed_and_one_of_a_living_cluster_is_not() {
    let restored = marked(service(5432), "then");
    let api_server = FakeApiServer::new().with(SERVICE, restored.clone());
    for existing in [vec![], vec![restored.clone()]] {
        let applied = writer(&api_server, existing).apply(&key(), &[service(5432)]).await.unwrap();
        assert!(applied.written[0].reclaimed);
        assert_eq!(api_server.object(SERVICE).unwrap()["metadata"]["annotations"], json!({MARK: "now"}));
        api_server.put(SERVICE, restored.clone());
    }
    let writer = writer(&api_server, vec![restored, manifest("other", "then")]);
    let error = writer.apply(&key(), &[service(5432)]).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
}

fn stateful_set(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "c", "namespace": "ns", "labels": {"application": "spilo", "cluster-name": "c"}},
        "spec": {
            "template": {"spec": {"containers": [{"name": "postgres", "image": image}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "pgdata"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "own"}}]
        }
    })
}

fn deletions(api_server: &FakeApiServer) -> usize {
    api_server.written().iter().filter(|write| write.starts_with("DELETE")).count()
}

#[tokio::test]
async fn claim_templates_that_admission_changes_do_not_replace_the_stateful_set_again_and_again() {
    let api_server = FakeApiServer::new().replacing_storage_class("by-policy");
    let writer = writer(&api_server, vec![]);
    for _ in 0..5 {
        writer.apply(&key(), &[stateful_set("spilo:1")]).await.unwrap();
    }
    assert_eq!(deletions(&api_server), 0, "{:?}", api_server.written());
    let applied = writer.apply(&key(), &[stateful_set("spilo:2")]).await.unwrap();
    let kept = applied.kept.unwrap();
    assert!(kept.contains("other volumeClaimTemplates than it was created with"), "{kept}");
    let live = api_server.object(STATEFUL_SET).unwrap();
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "spilo:2");
    assert_eq!(live["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"], "by-policy");
    assert_eq!(deletions(&api_server), 0);
}

#[tokio::test]
async fn a_stateful_set_that_admission_changes_is_replaced_once_at_most_by_all_operators_together() {
    // One that the Zalando operator created, and one that this operator created.
    for (existing, expected) in [(Some(stateful_set("spilo:0")), 1), (None, 0)] {
        let mut api_server = FakeApiServer::new().replacing_storage_class("by-policy");
        if let Some(mut set) = existing {
            set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = json!("by-policy");
            api_server = api_server.with(STATEFUL_SET, set);
        }
        for image in ["spilo:1", "spilo:1", "spilo:1", "spilo:2", "spilo:2"] {
            // An operator that has just started: it remembers nothing.
            let writer = writer(&api_server, api_server.object(STATEFUL_SET).into_iter().collect());
            writer.apply(&key(), &[stateful_set(image)]).await.unwrap();
        }
        assert_eq!(deletions(&api_server), expected, "{:?}", api_server.written());
        let live = api_server.object(STATEFUL_SET).unwrap();
        assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "spilo:2");
    }
}

#[tokio::test]
async fn a_difference_that_the_api_server_accepts_is_applied_and_replaces_nothing() {
    let mut live = stateful_set("spilo:1");
    live["spec"]["serviceName"] = json!("filled-in");
    let api_server = FakeApiServer::new().with(STATEFUL_SET, live.clone());
    let writer = writer(&api_server, vec![live]);
    let mut desired = stateful_set("spilo:1");
    desired["spec"]["serviceName"] = json!("c");
    for _ in 0..3 {
        writer.apply(&key(), &[desired.clone()]).await.unwrap();
    }
    assert_eq!(api_server.written(), [format!("PATCH {STATEFUL_SET}")]);
}

#[test]
fn a_refusal_with_the_status_403_is_reported_as_what_it_is() {
    for (message, expected) in [
        (
            r#"services is forbidden: User "system:serviceaccount:p:pgloom" cannot create resource "services" in API group "" in the namespace "ns""#,
            "the operator may not create Service c (services is forbidden",
        ),
        (
            r#"services "c" is forbidden: exceeded quota: q, requested: services=1, used: services=5, limited: services=5"#,
            "a resource quota refuses Service c: ",
        ),
        (
            r#"pods "c-0" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot"#,
            "the namespace's Pod Security level",
        ),
        (r#"admission webhook "w.example.org" denied the request: no"#, "an admission webhook refuses"),
        (
            "services \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "an admission policy refuses",
        ),
        (
            r#"services "c" is forbidden: unable to create new content in namespace ns because it is being terminated"#,
            "a namespace that is being deleted refuses",
        ),
        ("something else", "an admission controller refuses"),
    ] {
        let status = kube::core::Status::failure(message, "Forbidden").with_code(403).boxed();
        let error = failure(&Kind::new("v1", "Service"), "c", &Value::Null, kube::Error::Api(status)).to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_stateful_set_that_has_to_be_replaced_leaves_its_pods_and_is_made_anew_once_it_is_gone() {
    let set = |size: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "c", "namespace": "ns", "uid": "u",
                "labels": {"application": "spilo", "cluster-name": "c"}},
            "spec": {"volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": size}}}}]}
        })
    };
    let api_server = FakeApiServer::new().with(STATEFUL_SET, set("1Gi"));
    let writer = writer(&api_server, vec![set("1Gi")]);
    let applied = writer.apply(&key(), &[set("2Gi")]).await.unwrap();
    assert_eq!(api_server.written(), [format!("DELETE {STATEFUL_SET}")]);
    assert_eq!(api_server.writes()[0].body["propagationPolicy"], "Orphan");
    assert_eq!(api_server.writes()[0].body["preconditions"]["uid"], "u");
    assert_eq!(applied.waiting.as_deref(), Some("StatefulSet c is being replaced; its pods stay"));
}

#[tokio::test]
async fn what_is_no_longer_desired_is_deleted_if_it_was_made_for_the_cluster() {
    let mut ours = marked(service(5432), "now");
    ours["metadata"]["uid"] = json!("u");
    let api_server = FakeApiServer::new().with(SERVICE, ours.clone());
    let pruned = writer(&api_server, vec![ours]).prune(&key(), |_, _| false).await.unwrap();
    assert_eq!(pruned, [(Kind::new("v1", "Service"), "c".to_owned())]);
    assert_eq!(api_server.writes()[0].body["preconditions"]["uid"], "u");
}

#[tokio::test]
async fn what_others_made_is_not_pruned_whatever_its_labels_are() {
    let mut theirs = service(80);
    theirs["metadata"]["name"] = json!("my-svc");
    theirs["metadata"]["managedFields"] = json!([{"manager": "pgloom", "operation": "Apply", "fieldsV1": {}}]);
    let of_living = marked(service(80), "other");
    let existing = vec![theirs, of_living, manifest("other", "other")];
    let api_server = FakeApiServer::new();
    let pruned = writer(&api_server, existing).prune(&key(), |_, _| false).await.unwrap();
    assert_eq!(pruned, []);
    assert_eq!(api_server.written(), [] as [&str; 0]);
}

#[tokio::test]
async fn marked_objects_of_a_kind_that_is_no_longer_watched_are_pruned() {
    const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies";
    let policy = |name: &str, uid: &str| {
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "ns", "uid": name}});
        if uid.is_empty() { object } else { marked(object, uid) }
    };
    let api_server = FakeApiServer::new().granting("networkpolicies");
    for (name, uid) in [("ours", "now"), ("desired", "now"), ("theirs", "")] {
        api_server.put(&format!("{POLICIES}/{name}"), policy(name, uid));
    }
    let writer = writer(&api_server, vec![]);
    let kinds = [Kind::new("networking.k8s.io/v1", "NetworkPolicy")];
    let desired = |_: &Kind, name: &str| name == "desired";
    assert_eq!(writer.prune_kinds(&key(), &kinds, desired).await.unwrap(), kinds);
    assert_eq!(api_server.written(), [format!("DELETE {POLICIES}/ours")]);
    assert_eq!(writer.prune_kinds(&key(), &kinds, desired).await.unwrap(), []);
}

#[tokio::test]
async fn an_object_whose_field_is_immutable_is_made_anew_where_that_does_no_harm() {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ns/deployments/c-pooler";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "c-pooler", "namespace": "ns", "uid": "u",
            "labels": {"application": "spilo", "cluster-name": "c"}},
    });
    let api_server = FakeApiServer::new().with(DEPLOYMENT, deployment.clone()).refusing_because(
        DEPLOYMENT,
        422,
        "spec.selector: field is immutable",
    );
    let applied = writer(&api_server, vec![deployment.clone()]).apply(&key(), &[deployment]).await.unwrap();
    assert_eq!(api_server.written(), [format!("PATCH {DEPLOYMENT}"), format!("DELETE {DEPLOYMENT}")]);
    assert_eq!(api_server.writes()[1].body["preconditions"]["uid"], "u");
    assert_eq!(applied.waiting.as_deref(), Some("Deployment c-pooler is being replaced"));
}

#[tokio::test]
async fn a_deployment_that_admission_changes_at_its_creation_is_made_anew_once_at_most() {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ns/deployments/c-pooler";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "c-pooler", "namespace": "ns", "labels": {"application": "spilo", "cluster-name": "c"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
    });
    let mut first = deployment.clone();
    first["metadata"]["uid"] = json!("u");
    let api_server = FakeApiServer::new().with(DEPLOYMENT, first).refusing_because(
        DEPLOYMENT,
        422,
        "spec.selector: field is immutable",
    );
    let mut kept = None;
    for _ in 0..6 {
        // An operator that has just started: it remembers nothing.
        let writer = writer(&api_server, api_server.object(DEPLOYMENT).into_iter().collect());
        kept = writer.apply(&key(), std::slice::from_ref(&deployment)).await.unwrap().kept;
    }
    assert_eq!(deletions(&api_server), 1, "{:?}", api_server.written());
    assert!(kept.unwrap().contains("also after it was created so"));
}

#[tokio::test]
async fn a_hand_edit_that_stands_in_the_way_is_taken_over_and_the_apply_tried_again() {
    let mut edited = service(6543);
    edited["metadata"]["resourceVersion"] = json!("7");
    edited["metadata"]["managedFields"] =
        json!([{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {}}}]);
    let api_server = FakeApiServer::new().with(SERVICE, edited.clone()).refusing_once(SERVICE, 422, "Duplicate value");
    writer(&api_server, vec![edited]).apply(&key(), &[service(5432)]).await.unwrap();
    let writes = api_server.writes();
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[1].body[1]["value"][0]["manager"], "pgloom");
    assert_eq!(writes[2].body["spec"]["ports"][0]["port"], 5432);
}

#[tokio::test]
async fn claim_templates_that_are_changed_there_and_back_are_replaced_every_time() {
    let sized = |size: &str| {
        let mut set = stateful_set("spilo:1");
        set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = json!(size);
        set
    };
    let api_server = FakeApiServer::new();
    let writer = writer(&api_server, vec![]);
    let watch = of_every_cluster().iter().position(|kind| kind.is(BuiltIn::StatefulSet)).unwrap();
    let mut version = 1;
    let mut report = || {
        version += 1;
        let event = match (api_server.object(STATEFUL_SET), writer.store.objects(&key()).pop()) {
            (Some(mut set), _) => {
                set["metadata"]["resourceVersion"] = json!(version.to_string());
                Event::Apply(set)
            }
            (None, Some(former)) => Event::Delete(former.object()),
            (None, None) => return,
        };
        writer.store.apply_watcher_event(watch, event);
    };
    for (round, size) in ["1Gi", "2Gi", "1Gi", "2Gi"].iter().enumerate() {
        writer.apply(&key(), &[sized(size)]).await.unwrap();
        // Until the watch reports the deletion, the cache still has the former one.
        writer.apply(&key(), &[sized(size)]).await.unwrap();
        report();
        let applied = writer.apply(&key(), &[sized(size)]).await.unwrap();
        assert_eq!(applied.kept, None, "{size}");
        report();
        let templates = &api_server.object(STATEFUL_SET).unwrap()["spec"]["volumeClaimTemplates"];
        assert_eq!(templates[0]["spec"]["resources"]["requests"]["storage"], *size);
        assert!(deletions(&api_server) >= round);
    }
}

#[tokio::test]
async fn nothing_is_remembered_of_an_object_that_was_deleted() {
    let api_server = FakeApiServer::new();
    let writer = writer(&api_server, vec![]);
    writer.apply(&key(), &[service(5432)]).await.unwrap();
    let existing = writer.store.objects(&key()).pop().unwrap();
    let desired = marked(service(5432), "now");
    assert!(writer.last_applied.is_unchanged(&desired, &existing));
    writer.prune(&key(), |_, _| false).await.unwrap();
    assert!(!writer.last_applied.is_unchanged(&desired, &existing));
}
