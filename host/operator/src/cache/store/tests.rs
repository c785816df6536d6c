//! Promises about what the store holds of which cluster.

use super::*;
use pgloom_decide::ownership::MARK;
use serde_json::json;

fn services() -> Watch {
    Watch {
        kind: Kind::new("v1", "Service"),
        namespace: None,
        label: Some("cluster-name".into()),
        whole: false,
        own: vec![],
    }
}

fn service(name: &str, version: u32, port: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "ns", "labels": {"cluster-name": "c"}, "resourceVersion": version.to_string()},
        "spec": {"port": port}
    })
}

fn names(store: &Store) -> Vec<String> {
    store.objects(&ClusterKey::new("ns", "c")).iter().map(|kept| kept.name.to_string()).collect()
}

#[test]
fn a_cluster_is_looked_at_when_an_object_of_it_changes_and_only_then() {
    let store = Store::default();
    let watch = store.open(services());
    assert_eq!(store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1))), [ClusterKey::new("ns", "c")]);
    assert!(store.apply_watcher_event(watch, Event::Apply(service("a", 2, 1))).is_empty());
    assert_eq!(store.apply_watcher_event(watch, Event::Apply(service("a", 3, 2))).len(), 1);
}

#[test]
fn what_patroni_writes_in_each_of_its_loops_wakes_no_reconcile() {
    for (kind, whole) in [("Pod", false), ("Pod", true), ("Endpoints", false)] {
        let store = Store::default();
        let watch = store.open(Watch { kind: Kind::new("v1", kind), whole, ..services() });
        let at = |version: u32, leader: &str| {
            let mut object = service("c", version, 1);
            let lock = json!({"leader": leader, "renewTime": version.to_string(), "optime": version.to_string()});
            let member = json!({"status": format!("{{\"xlog_location\":{version}}}"), "leader": leader});
            object["metadata"]["annotations"] = if kind == "Pod" { member } else { lock };
            object["metadata"]["managedFields"] = json!([{"manager": "Patroni", "time": version.to_string()}]);
            Event::Apply(object)
        };
        store.apply_watcher_event(watch, at(1, "c-0"));
        assert!(store.apply_watcher_event(watch, at(2, "c-0")).is_empty(), "{kind} {whole}");
        assert_eq!(store.apply_watcher_event(watch, at(3, "c-1")).len(), 1, "{kind} {whole}");
    }
}

#[test]
fn what_a_new_listing_does_not_bring_is_gone() {
    let store = Store::default();
    let watch = store.open(services());
    for name in ["a", "b"] {
        store.apply_watcher_event(watch, Event::Apply(service(name, 1, 1)));
    }
    assert!(!store.synced("ns"));
    store.apply_watcher_event(watch, Event::Init);
    store.apply_watcher_event(watch, Event::InitApply(service("b", 1, 1)));
    assert_eq!(store.apply_watcher_event(watch, Event::InitDone), [ClusterKey::new("ns", "c")]);
    assert_eq!(names(&store), ["b"]);
    assert!(store.synced("ns"));
}

#[test]
fn the_answer_of_a_write_is_not_undone_by_an_older_event() {
    let store = Store::default();
    let watch = store.open(services());
    store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
    store.record_write(service("a", 5, 2));
    assert!(store.apply_watcher_event(watch, Event::Apply(service("a", 4, 1))).is_empty());
    assert_eq!(store.objects(&ClusterKey::new("ns", "c"))[0].object()["spec"]["port"], 2);
    store.apply_watcher_event(watch, Event::Delete(service("a", 6, 2)));
    assert!(names(&store).is_empty());
}

fn relabelled(name: &str, version: u32, cluster: &str) -> Value {
    let mut object = service(name, version, 1);
    object["metadata"]["labels"]["cluster-name"] = json!(cluster);
    object
}

#[test]
fn a_relabelled_object_leaves_its_former_cluster_at_once_and_both_are_reconciled() {
    let store = Store::default();
    let watch = store.open(services());
    let (c, d) = (ClusterKey::new("ns", "c"), ClusterKey::new("ns", "d"));
    store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
    assert_eq!(store.apply_watcher_event(watch, Event::Apply(relabelled("a", 2, "d"))), [c.clone(), d.clone()]);
    assert_eq!((store.objects(&c).len(), store.objects(&d).len()), (0, 1));
    // The late answer to an earlier write does not add the object again.
    store.record_write(service("a", 1, 1));
    assert_eq!((store.objects(&c).len(), store.objects(&d).len()), (0, 1));
    assert_eq!(store.apply_watcher_event(watch, Event::Delete(relabelled("a", 3, "d"))), std::slice::from_ref(&d));
    assert!(store.objects(&d).is_empty());
}

#[test]
fn an_object_whose_label_is_removed_leaves_its_cluster_whatever_the_event_shows_of_it() {
    let store = Store::default();
    let watch = store.open(services());
    store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
    assert_eq!(store.apply_watcher_event(watch, Event::Delete(relabelled("a", 2, "d"))).len(), 1);
    assert!(names(&store).is_empty());
}

#[test]
fn the_answer_of_a_write_does_not_bring_back_what_was_deleted_since() {
    let store = Store::default();
    let watch = store.open(services());
    store.apply_watcher_event(watch, Event::Apply(service("a", 2, 1)));
    store.apply_watcher_event(watch, Event::Delete(service("a", 3, 1)));
    store.record_write(service("a", 2, 1));
    assert!(names(&store).is_empty());
    // An answer that is newer than all reported versions is stored, also if the event of an earlier deletion is
    // late.
    store.record_write(service("a", 5, 1));
    assert_eq!(store.apply_watcher_event(watch, Event::Delete(service("a", 4, 1))), []);
    assert_eq!(names(&store), ["a"]);
}

#[test]
fn objects_in_other_namespaces_with_the_clusters_name_are_found() {
    let store = Store::default();
    let watch = store.open(services());
    let mut elsewhere = service("a", 1, 1);
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    store.apply_watcher_event(watch, Event::Apply(elsewhere));
    let found = store.namesakes(&ClusterKey::new("ns", "c"));
    assert_eq!(found.iter().map(|(key, _)| &*key.namespace).collect::<Vec<_>>(), ["elsewhere"]);
    assert!(store.namesakes(&ClusterKey::new("elsewhere", "c")).is_empty());
}

#[test]
fn a_kind_that_a_plugin_adds_and_that_cannot_be_listed_stops_no_cluster() {
    let store = Store::default();
    store.open(Watch { kind: Kind::new("networking.k8s.io/v1", "NetworkPolicy"), ..services() });
    assert!(store.synced("ns"));
    store.open(services());
    assert!(!store.synced("ns"));
}

#[test]
fn the_clusters_on_a_node_are_those_with_a_pod_there() {
    let store = Store::default();
    let pods = store.open(Watch { kind: Kind::new("v1", "Pod"), ..services() });
    for (name, cluster, node) in [("c-0", "c", "n-1"), ("d-0", "d", "n"), ("d-1", "d", "n-1")] {
        let mut pod = relabelled(name, 1, cluster);
        pod["spec"] = json!({"nodeName": node});
        store.apply_watcher_event(pods, Event::Apply(pod));
    }
    assert_eq!(store.clusters_on("n"), [ClusterKey::new("ns", "d")]);
    assert_eq!(store.clusters_on("n-1").len(), 2);
    assert_eq!(store.clusters_on("elsewhere"), []);
}

#[test]
fn a_closed_feed_takes_its_objects_along() {
    let store = Store::default();
    let watch = store.open(services());
    store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
    store.close(watch);
    assert!(names(&store).is_empty());
    assert!(store.synced("ns"));
}

#[test]
fn of_an_application_s_object_that_names_a_cluster_only_the_metadata_is_kept() {
    let store = Store::default();
    let watch = store.open(Watch { own: vec!["application".into()], ..services() });
    let kept = |labels: Value, annotations: Value| {
        let mut object = service("a", 1, 1);
        object["metadata"]["labels"] = labels;
        object["metadata"]["annotations"] = annotations;
        store.apply_watcher_event(watch, Event::Delete(object.clone()));
        store.apply_watcher_event(watch, Event::Apply(object));
        store.objects(&ClusterKey::new("ns", "c"))[0].object()["spec"].is_object()
    };
    assert!(!kept(json!({"cluster-name": "c", "app": "shop"}), json!({})));
    assert!(kept(json!({"cluster-name": "c", "application": "any"}), json!({})), "made by the Zalando operator");
    assert!(kept(json!({"cluster-name": "c"}), json!({MARK: "u"})));
}

#[test]
fn a_namespace_that_cannot_be_listed_keeps_no_other_namespace_waiting() {
    let store = Store::default();
    let in_namespace = |namespace: &str| Watch { namespace: Some(namespace.into()), ..services() };
    let (listed, refused) = (store.open(in_namespace("a")), store.open(in_namespace("ax")));
    assert!(!store.settled());
    store.apply_watcher_event(listed, Event::InitDone);
    assert!(store.synced("a") && !store.synced("ax") && !store.settled());
    store.record_failure(refused, false);
    assert!(store.settled());
    assert!(!store.synced("ax"));
    store.apply_watcher_event(refused, Event::InitDone);
    assert!(store.synced("ax"));
}

#[test]
fn an_operator_that_can_list_nothing_is_not_settled() {
    let store = Store::default();
    let watch = store.open(services());
    store.record_failure(watch, false);
    assert!(!store.settled());
}

#[test]
fn a_kind_that_only_steps_make_and_that_may_not_be_listed_keeps_no_cluster_waiting() {
    for (kind, forbidden, waits) in [
        (Kind::new("batch/v1", "CronJob"), true, false),
        (Kind::new("batch/v1", "CronJob"), false, true),
        (Kind::new("v1", "Secret"), true, true),
    ] {
        let store = Store::default();
        let (listed, refused) = (store.open(services()), store.open(Watch { kind, ..services() }));
        store.apply_watcher_event(listed, Event::InitDone);
        assert!(!store.synced("ns") && !store.settled());
        store.record_failure(refused, forbidden);
        assert_eq!((store.synced("ns"), store.settled()), (!waits, !waits));
        store.apply_watcher_event(refused, Event::InitDone);
        assert!(store.synced("ns") && store.settled());
    }
}
