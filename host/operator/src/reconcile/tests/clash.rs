//! Promises about objects that are another's, of an earlier manifest, or out of the operator's sight.

use pgloom_decide::ownership::MARK;

use super::*;

/// The operator with a pipeline that makes these objects.
fn making(mut operator: Context, objects: &[Value]) -> Context {
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, makes_objects(objects))).1;
    operator
}

/// The manifest of another cluster in the same namespace.
fn named(name: &str) -> Value {
    let mut named = manifest();
    named["metadata"]["name"] = json!(name);
    named["metadata"]["uid"] = json!(format!("uid of {name}"));
    named
}

fn manifest_path(name: &str) -> String {
    format!("/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/{name}")
}

/// An object as a step makes it for a cluster.
fn object(kind: (&str, &str), name: &str, cluster: &str) -> Value {
    json!({"apiVersion": kind.0, "kind": kind.1, "metadata": {
        "name": name, "namespace": "ns", "labels": {"application": "spilo", "cluster-name": cluster}}})
}

const SERVICE: (&str, &str) = ("v1", "Service");
const CRON_JOB: (&str, &str) = ("batch/v1", "CronJob");

/// The writes to anything but manifests and events.
fn made(api_server: &FakeApiServer) -> Vec<String> {
    let is_report = |write: &String| write.contains("/postgresqls/") || write.ends_with("/events");
    api_server.written().into_iter().filter(|write| !is_report(write)).collect()
}

fn notes(api_server: &FakeApiServer) -> Vec<String> {
    api_server.writes().iter().filter_map(|write| Some(write.body["note"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn nothing_is_written_while_one_of_the_objects_is_anothers() {
    let theirs = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "acid-orders-repl", "namespace": "ns", "labels": {"app": "theirs"}}});
    let path = "/api/v1/namespaces/ns/services/acid-orders-repl";
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(path, theirs.clone());
    let wanted = ["acid-orders", "acid-orders-repl"].map(|name| object(SERVICE, name, "acid-orders"));
    let error = reconcile(&making(operator(&api_server, &[manifest()]), &wanted), &key()).await.unwrap_err();
    assert_eq!(error.category(), "ObjectForeign");
    assert_eq!(made(&api_server), [] as [&str; 0]);
    let status = last_status(&api_server).to_string();
    assert!(status.contains("Service acid-orders-repl exists already and is not of this cluster"), "{status}");
}

#[tokio::test]
async fn an_object_of_a_step_beside_the_database_that_is_anothers_holds_only_itself_and_what_needs_it() {
    const MOTTO: &str = "/api/v1/namespaces/ns/configmaps/acid-orders-motto";
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"motto": "theirs"}, "metadata": {
        "name": "acid-orders-motto", "namespace": "ns",
        "annotations": {MARK: "of another"}, "labels": {"application": "spilo", "cluster-name": "acid-other"}}});
    let of = |kind, name: &str| object(kind, name, "acid-orders");
    let mut web = of(("apps/v1", "Deployment"), "acid-orders-web");
    web["spec"]["template"]["spec"]["volumes"] = json!([{"name": "m", "configMap": {"name": "acid-orders-motto"}}]);
    let extra = [of(("v1", "ConfigMap"), "acid-orders-motto"), web, of(SERVICE, "acid-orders-web")];
    for cached in [true, false] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(MOTTO, theirs.clone());
        let api_server = api_server.granting("configmaps");
        let objects = [manifest(), theirs.clone()];
        let mut operator = operator(&api_server, &objects[..if cached { 2 } else { 1 }]);
        let config = operator.settings.borrow().config.clone();
        let steps = vec![making_as("database", &[stateful_set()]), making_as("web", &extra)];
        let pipeline = Arc::new(Pipeline::of(steps).unwrap());
        operator.settings = watch::channel(Settings::of(config, pipeline)).1;
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(error.category(), "ObjectForeign");
        let made = made(&api_server).join(" ");
        assert!(made.contains("statefulsets") && made.contains("services"), "{made}");
        assert!(!made.contains("deployments") && !made.contains("configmaps"), "{made}");
        assert_eq!(api_server.object(MOTTO), Some(theirs.clone()));
        let expected = "step web: ConfigMap acid-orders-motto exists already and is not of this cluster: it was made for \
                        another cluster, acid-other";
        let conditions = last_status(&api_server)["conditions"].as_array().unwrap().clone();
        let applied = conditions.iter().find(|condition| condition["type"] == "Applied").unwrap();
        assert_eq!((&applied["status"], &applied["reason"]), (&json!("False"), &json!("ObjectForeign")));
        assert!(applied["message"].as_str().unwrap().contains(expected), "{applied}");
        assert!(notes(&api_server).iter().any(|note| note.contains(expected)), "{:?}", notes(&api_server));
    }
}

/// Makes the objects of the first cluster and asserts that the second one is refused by the name of an object before
/// anything is made for it.
async fn assert_refused(first: (&str, &[Value]), second: (&str, &[Value]), clash: &str) {
    let (one, other) = (named(first.0), named(second.0));
    let api_server =
        FakeApiServer::new().with(&manifest_path(first.0), one.clone()).with(&manifest_path(second.0), other.clone());
    let manifests = [one, other];
    let operator_of = |objects: &[Value]| making(operator(&api_server, &manifests), objects);
    reconcile(&operator_of(first.1), &ClusterKey::new("ns", first.0)).await.unwrap();
    let before = made(&api_server);
    let error = reconcile(&operator_of(second.1), &ClusterKey::new("ns", second.0)).await.unwrap_err();
    let text = error_chain(&error);
    assert!(text.contains(clash) && text.contains("it was made for another cluster"), "{text}");
    assert_eq!(made(&api_server), before);
}

#[tokio::test]
async fn of_two_clusters_whose_names_overlap_the_second_is_refused_before_anything_is_made_for_it() {
    let services =
        |cluster: &str| [cluster.to_owned(), format!("{cluster}-repl")].map(|name| object(SERVICE, &name, cluster));
    let (short, long) = (services("acid-a"), services("acid-a-repl"));
    assert_refused(("acid-a", &short), ("acid-a-repl", &long), "Service acid-a-repl").await;
    assert_refused(("acid-a-repl", &long), ("acid-a", &short), "Service acid-a-repl").await;
}

#[tokio::test]
async fn of_two_clusters_whose_cron_jobs_are_cut_to_one_name_the_second_is_refused() {
    let names = ["1", "2"].map(|end| format!("acid-{}{end}", "x".repeat(45)));
    let cut = format!("logical-backup-{}", names[0]).chars().take(52).collect::<String>();
    let [one, other] = [&names[0], &names[1]].map(|name| [object(CRON_JOB, &cut, name)]);
    assert_refused((&names[0], &one), (&names[1], &other), &format!("CronJob {cut}")).await;
}

#[tokio::test]
async fn a_cluster_is_refused_whose_patroni_would_write_into_what_is_another_clusters() {
    let lock = {
        let mut lock = object(("v1", "Endpoints"), "acid-orders-config", "acid-orders-config");
        lock["metadata"]["annotations"] = json!({MARK: "uid of acid-orders-config"});
        lock
    };
    let existing = [manifest(), named("acid-orders-config"), lock];
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let error = reconcile(&operator(&api_server, &existing), &key()).await.unwrap_err();
    assert!(error_chain(&error).contains("Endpoints acid-orders-config exists already"), "{}", error_chain(&error));
    assert_eq!(made(&api_server), [] as [&str; 0]);
}

#[tokio::test]
async fn the_secret_of_another_cluster_is_refused_and_not_relabelled() {
    let mut theirs = credential("postgres.acid", "postgres");
    theirs["metadata"]["labels"]["cluster-name"] = json!("acid-other");
    for mark in [Some("uid of acid-other"), Some("of a cluster that is gone"), None] {
        if let Some(mark) = mark {
            theirs["metadata"]["annotations"] = json!({MARK: mark});
        } else {
            theirs["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        let path = secret("postgres.acid");
        let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(&path, theirs.clone());
        let operator = operator(&api_server, &[manifest(), named("acid-other"), theirs.clone()]);
        let operator = configured(operator, json!({"secret_name_template": "{username}.{team}"}));
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(error.category(), "ObjectForeign");
        assert!(error_chain(&error).contains("Secret postgres.acid exists already"), "{}", error_chain(&error));
        assert_eq!(made(&api_server), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn a_secret_that_a_person_made_in_advance_is_used() {
    let mut theirs = credential(SUPERUSER, "postgres");
    theirs["metadata"]["labels"] = json!({"app": "vault"});
    theirs["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Update"}]);
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(&secret(SUPERUSER), theirs.clone());
    reconcile(&operator(&api_server, &[manifest()]), &key()).await.unwrap();
    assert_eq!(api_server.object(&secret(SUPERUSER)), Some(theirs));
}

#[tokio::test]
async fn a_secret_of_an_earlier_manifest_is_reclaimed_with_an_event() {
    let mut restored = credential(SUPERUSER, "postgres");
    restored["metadata"]["annotations"] = json!({MARK: "then"});
    restored["metadata"]["managedFields"] = json!([{"manager": "velero-server", "operation": "Update"}]);
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(&secret(SUPERUSER), restored.clone());
    let operator = operator(&api_server, &[manifest(), restored.clone()]);
    for _ in 0..3 {
        reconcile(&operator, &key()).await.unwrap();
    }
    let reclaimed = api_server.object(&secret(SUPERUSER)).unwrap();
    assert_eq!(reclaimed["metadata"]["annotations"], json!({MARK: "u"}));
    assert_eq!(reclaimed["data"], restored["data"]);
    let note =
        format!("Secret ns/{SUPERUSER} was made for an earlier manifest of this name and belongs to this one now");
    assert_eq!(notes(&api_server).iter().filter(|found| **found == note).count(), 1, "{:?}", notes(&api_server));
}

#[tokio::test]
async fn endpoints_of_an_earlier_manifest_are_reclaimed_with_an_event_and_keep_the_lock() {
    let path = "/api/v1/namespaces/ns/endpoints/acid-orders";
    let mut restored = object(("v1", "Endpoints"), "acid-orders", "acid-orders");
    restored["metadata"]["annotations"] = json!({MARK: "then", "leader": "acid-orders-0"});
    let wanted = [object(("v1", "Endpoints"), "acid-orders", "acid-orders")];
    let note = "Endpoints ns/acid-orders was made for an earlier manifest of this name and belongs to this one now";
    for cached in [true, false] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(path, restored.clone());
        let objects = [manifest(), restored.clone()];
        let operator = making(operator(&api_server, &objects[..if cached { 2 } else { 1 }]), &wanted);
        for _ in 0..3 {
            reconcile(&operator, &key()).await.unwrap();
        }
        let annotations = &api_server.object(path).unwrap()["metadata"]["annotations"];
        assert_eq!(annotations, &json!({MARK: "u", "leader": "acid-orders-0"}));
        assert_eq!(notes(&api_server).iter().filter(|found| *found == note).count(), 1, "{:?}", notes(&api_server));
    }
}

#[tokio::test]
async fn the_secrets_elsewhere_of_an_earlier_manifest_go_with_the_cluster() {
    let labels = json!({"application": "spilo", "cluster-name": "acid-orders"});
    let secret = |namespace: &str, name: &str, annotations: Value| {
        existing(("v1", "Secret"), "secrets", namespace, name, json!({"labels": labels, "annotations": annotations}))
    };
    let former = json!({MARK: "then", "pgloom.dev/cluster-namespace": "ns"});
    let of_another_home = json!({MARK: "then", "pgloom.dev/cluster-namespace": "elsewhere"});
    let ours = [
        secret("theirs", "theirs.app.acid-orders.credentials.postgresql.acid.zalan.do", former.clone()),
        secret("unwatched", "unwatched.app.acid-orders.credentials.postgresql.acid.zalan.do", former),
    ];
    let of_a_namesake = secret("theirs", "app.acid-orders.credentials.postgresql.acid.zalan.do", of_another_home);
    let api_server = FakeApiServer::new();
    let objects = [ours.as_slice(), std::slice::from_ref(&of_a_namesake)].concat();
    delete_wholly(&api_server, &objects, json!({"enable_cross_namespace_secret": "true"})).await;
    for (path, _) in &ours {
        assert_eq!(api_server.object(path), None, "{path}");
    }
    assert_eq!(api_server.object(&of_a_namesake.0), Some(of_a_namesake.1));
}

#[tokio::test]
async fn a_secret_elsewhere_of_the_zalando_operator_goes_unless_a_cluster_of_the_same_name_is_there() {
    let mut deleted = deleted();
    deleted["spec"]["users"] = json!({"theirs.app": []});
    let mut namesake = manifest();
    namesake["metadata"]["namespace"] = json!("theirs");
    namesake["metadata"]["uid"] = json!("of the namesake");
    let name = |user: &str| format!("{user}.acid-orders.credentials.postgresql.acid.zalan.do");
    let labels = json!({"labels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let secret = |user: &str| existing(("v1", "Secret"), "secrets", "theirs", &name(user), labels.clone());
    let (ours, other) = (secret("theirs.app"), secret("theirs.other"));
    for (manifests, goes) in [(vec![deleted.clone()], true), (vec![deleted.clone(), namesake], false)] {
        let api_server = FakeApiServer::new().with(MANIFEST, deleted.clone());
        let api_server = api_server.with(&ours.0, ours.1.clone()).with(&other.0, other.1.clone());
        let data = json!({"enable_cross_namespace_secret": "true"});
        let operator = configured(operator(&api_server, &manifests), data);
        for _ in 0..5 {
            reconcile(&operator, &key()).await.unwrap();
        }
        assert_eq!(api_server.object(&ours.0).is_none(), goes);
        assert!(api_server.object(&other.0).is_some());
    }
}

#[tokio::test]
async fn a_claim_without_labels_still_means_that_a_database_may_know_a_password() {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-acid-orders-1", "namespace": "ns"}});
    let mut two = stateful_set();
    two["spec"]["replicas"] = json!(2);
    let api_server = FakeApiServer::new()
        .with(MANIFEST, manifest())
        .with("/api/v1/namespaces/ns/persistentvolumeclaims/pgdata-acid-orders-1", claim);
    let operator = making(operator(&api_server, &[manifest()]), &[two]);
    let error = reconcile(&operator, &key()).await.unwrap_err();
    assert_eq!(error.category(), "PasswordUnknown");
    assert_eq!(wrote_secrets(&api_server).len(), 0);
}

/// The manifest of a cluster that ran, as the cache has it.
fn cached() -> Value {
    let mut cached = manifest();
    cached["metadata"]["finalizers"] = json!([FINALIZER]);
    cached["status"] = json!({"PostgresClusterStatus": "Running"});
    cached
}

#[tokio::test]
async fn nothing_is_made_for_a_manifest_that_is_gone_because_its_finalizer_was_removed_by_hand() {
    let wanted = [object(SERVICE, "acid-orders", "acid-orders")];
    let mut another = manifest();
    another["metadata"]["uid"] = json!("a later one");
    for api_server in [FakeApiServer::new(), FakeApiServer::new().with(MANIFEST, another)] {
        let operator = making(operator(&api_server, &[cached()]), &wanted);
        assert_eq!(reconcile(&operator, &key()).await.unwrap(), Action::requeue(UNSYNCED));
        assert_eq!(written(&api_server), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn a_cluster_is_not_touched_while_its_objects_have_another_cluster_name_label() {
    let set_path = "/apis/apps/v1/namespaces/ns/statefulsets/acid-orders";
    let mut set = stateful_set();
    set["metadata"]["annotations"] = json!({MARK: "u"});
    set["spec"]["selector"] = json!({"matchLabels": {"application": "spilo", "cluster-name": "acid-orders"}});
    let mut deleted = deleted();
    deleted["status"] = cached()["status"].clone();
    for manifest in [cached(), deleted] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest.clone()).with(set_path, set.clone());
        let operator = making(operator(&api_server, &[manifest]), &[stateful_set()]);
        let operator = configured(operator, json!({"cluster_name_label": "cluster"}));
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(error.category(), "NameLabelChanged");
        assert!(error_chain(&error).contains("cluster_name_label"), "{}", error_chain(&error));
        let touched: Vec<String> = made(&api_server);
        assert_eq!(touched, [] as [&str; 0]);
        assert!(api_server.object(MANIFEST).unwrap()["metadata"]["finalizers"] == json!([FINALIZER]));
    }
}

#[tokio::test]
async fn a_manifest_that_is_handed_over_stops_its_jobs() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest()]);
    let state = operator.states.of(&key());
    let time = Duration::from_secs(60);
    let backoff = crate::execute::task::Backoff { after_success: time, after_failure: time, at_most: time };
    state.patroni.ensure(1, time, backoff, std::future::pending);
    let mut theirs = manifest();
    theirs["metadata"]["annotations"] = json!({CONTROLLER: "two"});
    theirs["metadata"]["resourceVersion"] = json!("2");
    operator.store.apply_watcher_event(0, watcher::Event::Apply(theirs));
    assert!(state.patroni.is_running());
    reconcile(&operator, &key()).await.unwrap();
    assert!(!state.patroni.is_running());
}
