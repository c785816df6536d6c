//! Promises about a leader on a node that is drained, with a scripted Patroni.

use super::*;

/// A pod that runs the template, on a node.
fn placed(ordinal: usize, role: &str, node: &str) -> Value {
    let mut pod = pod(ordinal, role, template("1", "1"), "new");
    pod["spec"]["nodeName"] = json!(node);
    pod
}

/// `acid-orders-0` leads on the first node, the others follow on the next ones.
fn members(nodes: &[&str]) -> Vec<Value> {
    let pods = nodes.iter().enumerate();
    let pods = pods.map(|(ordinal, node)| placed(ordinal, if ordinal == 0 { "master" } else { "replica" }, node));
    [manifest(), with_claim(existing(nodes.len(), template("1", "1")))].into_iter().chain(pods).collect()
}

fn with_claim(mut set: Value) -> Value {
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "pgdata"}, "spec": {}}]);
    set
}

/// The operator of such a cluster whose Patronis are well.
fn operator_of(api_server: &FakeApiServer, objects: &[Value], patroni: &Arc<Script>, settings: Value) -> Context {
    let replicas = objects.len() - 2;
    with(api_server, objects, makes(&with_claim(desired(replicas, template("1", "1"))), None), patroni, settings)
}

/// Lets nodes exist, of which some are cordoned.
fn cordon(operator: &Context, nodes: &[(&str, bool)]) {
    for (name, unschedulable) in nodes {
        let labels = json!({"kubernetes.io/hostname": name});
        let node = json!({"metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": unschedulable}});
        let node: k8s_openapi::api::core::v1::Node = serde_json::from_value(node).unwrap();
        operator.store.nodes().apply_watcher_event(watcher::Event::Apply(node.into()));
    }
}

const MOVED: &str = r#"0 POST /switchover {"candidate":"acid-orders-1","leader":"acid-orders-0"}"#;

#[tokio::test]
async fn a_leader_leaves_a_cordoned_node_by_switchover_in_or_out_of_the_maintenance_windows() {
    for settings in [json!({}), json!({"enable_maintenance_windows": "true", "maintenance_windows": closed_window()})] {
        let objects = members(&["a", "b"]);
        let patroni = patronis(0, &["running", "running"]).with("0 POST /switchover", 200, json!("moved"));
        let api_server = api_server(&objects);
        let operator = operator_of(&api_server, &objects, &patroni, settings);
        cordon(&operator, &[("a", true), ("b", false)]);
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(patroni.changes(), [MOVED]);
        assert_eq!(writes_to(&api_server, "/pods/"), [] as [&str; 0], "no pod is deleted");
        let placed = condition(&api_server, "LeaderPlaced");
        let message = "node a is cordoned: the leadership moves from acid-orders-0 to acid-orders-1";
        assert_eq!((&placed["status"], &placed["message"]), (&json!("False"), &json!(message)));
    }
}

#[tokio::test]
async fn a_leader_on_a_node_that_stays_is_left_alone_and_has_no_condition_about_it() {
    let objects = members(&["a", "b"]);
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let operator = operator_of(&api_server, &objects, &patroni, json!({}));
    cordon(&operator, &[("a", false), ("b", true)]);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!((patroni.changes().len(), writes_to(&api_server, "/pods/").len()), (0, 0));
    assert_eq!(condition(&api_server, "LeaderPlaced"), Value::Null);
}

#[tokio::test]
async fn a_leader_that_cannot_leave_says_why_and_warns_when_it_has_waited_for_too_long() {
    for (waited, reason, warned) in [(19, "Waiting", false), (20, "Overdue", true)] {
        let objects = members(&["a", "b"]);
        let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "starting"]));
        let operator = operator_of(&api_server, &objects, &patroni, json!({}));
        let since = Instant::now().checked_sub(Duration::from_secs(waited * 60)).unwrap();
        operator.states.of(&key()).memory.lock().leaving = Some(("node a is cordoned".to_owned(), since));
        cordon(&operator, &[("a", true), ("b", false)]);
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!((patroni.changes().len(), writes_to(&api_server, "/pods/").len()), (0, 0));
        let placed = condition(&api_server, "LeaderPlaced");
        let message = "node a is cordoned, and the leader waits: no replica is fit to lead: acid-orders-1 is starting";
        assert_eq!((&placed["reason"], &placed["message"]), (&json!(reason), &json!(message)));
        let events = api_server.writes().into_iter().filter(|write| write.body["reason"] == "LeaderPlaced");
        assert_eq!(events.map(|write| write.body["note"] == message).collect::<Vec<_>>(), vec![true; warned.into()]);
        assert_eq!(condition(&api_server, "RolledOut")["reason"], "UpToDate", "the other steps are taken");
    }
}

#[tokio::test]
async fn no_leader_leaves_its_node_while_patroni_is_paused() {
    let objects = members(&["a", "b"]);
    let mut paused = cluster(0, &["running", "running"]);
    paused["pause"] = json!(true);
    let patroni = patronis(0, &["running", "running"]).with("0 GET /cluster", 200, paused);
    let api_server = api_server(&objects);
    let operator = operator_of(&api_server, &objects, &patroni, json!({}));
    cordon(&operator, &[("a", true), ("b", false)]);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(patroni.changes(), [] as [&str; 0]);
    let message = "node a is cordoned, and the leader waits: Patroni is paused";
    assert_eq!(condition(&api_server, "LeaderPlaced")["message"], message);
}

/// The claim of the only member, and its volume on these nodes.
fn volume(node: &str) -> [(&'static str, Value); 2] {
    let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}});
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-acid-orders-0", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}},
        "spec": {"volumeName": "disk"}
    });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {"nodeAffinity": affinity}
    });
    [
        ("/api/v1/namespaces/ns/persistentvolumeclaims/pgdata-acid-orders-0", claim),
        ("/api/v1/persistentvolumes/disk", volume),
    ]
}

#[tokio::test]
async fn the_only_member_moves_where_its_volume_can_follow_and_else_stays() {
    for (node, deleted) in [("b", 1), ("a", 0)] {
        let mut objects = members(&["a"]);
        let (mut api_server, patroni) = (api_server(&objects), patronis(0, &["running"]));
        for (path, object) in volume(node) {
            api_server = api_server.with(path, object.clone());
            objects.push(object);
        }
        let pipeline = makes(&with_claim(desired(1, template("1", "1"))), None);
        let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
        cordon(&operator, &[("a", true), ("b", false)]);
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(writes_to(&api_server, "/pods/").len(), deleted, "the volume is on node {node}");
        let placed = condition(&api_server, "LeaderPlaced");
        assert_eq!(placed["reason"], if deleted == 1 { "PodMoves" } else { "Waiting" });
    }
}

#[tokio::test]
async fn when_the_node_is_uncordoned_the_condition_is_true_again() {
    let mut objects = members(&["a", "b"]);
    objects[0]["status"] = json!({"conditions": [{
        "type": "LeaderPlaced", "status": "False", "reason": "Waiting", "message": "node a is cordoned",
        "lastTransitionTime": "2031-05-14T12:00:00Z"
    }]});
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let operator = operator_of(&api_server, &objects, &patroni, json!({}));
    cordon(&operator, &[("a", false), ("b", false)]);
    reconcile(&operator, &key()).await.unwrap();
    let placed = condition(&api_server, "LeaderPlaced");
    assert_eq!((&placed["status"], &placed["message"]), (&json!("True"), &json!("acid-orders-0 leads on node a")));
}

#[tokio::test]
async fn patroni_is_asked_once_for_its_members_when_the_leader_leaves_its_node_and_pods_are_outdated() {
    for revision in ["old", "new"] {
        let mut objects = members(&["a", "b"]);
        objects[3] = pod(1, "replica", template(if revision == "old" { "0" } else { "1" }, "1"), revision);
        let patroni = patronis(0, &["running", "running"]).with("0 POST /switchover", 200, json!("moved"));
        let api_server = api_server(&objects);
        let operator = operator_of(&api_server, &objects, &patroni, json!({}));
        cordon(&operator, &[("a", true), ("b", false)]);
        reconcile(&operator, &key()).await.unwrap();
        let asked = patroni.asked.lock().clone();
        // The report on the members is their state and the configuration, which nothing else reads here.
        assert_eq!(asked.iter().filter(|asked| asked.ends_with("GET /config")).count(), 1, "{revision}: {asked:?}");
    }
}
