//! Promises about rolling updates, smaller clusters and Patroni's restarts, with a scripted Patroni.

use std::collections::HashMap;

use axum::http::StatusCode;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use pgloom_engine::{
    Action as Asked, ActionKind, ActionPermission, ActionRequest, Contribution, Description, ObjectKind,
    ObjectPermission, Plugin, PrivilegePermission, Response,
};

use super::*;
use crate::execute::patroni::{Pod, Request, Response as Answer, Transport, TransportError};

const SET: &str = "/apis/apps/v1/namespaces/ns/statefulsets/acid-orders";

/// The Patronis of all members: an answer by the pod's ordinal and the request, as in `0 GET /cluster`. Any other request
/// gets no answer.
#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, (u16, Value)>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn with(self: Arc<Self>, request: &str, code: u16, answer: Value) -> Arc<Self> {
        self.answers.lock().insert(request.to_owned(), (code, answer));
        self
    }

    /// The requests that change something, with their bodies.
    fn changes(&self) -> Vec<String> {
        self.asked.lock().iter().filter(|asked| !asked.contains(" GET ")).cloned().collect()
    }
}

impl Transport for Script {
    fn send<'a>(&'a self, pod: &'a Pod, request: Request) -> BoxFuture<'a, Result<Answer, TransportError>> {
        async move {
            let ordinal = pod.name.rsplit('-').next().unwrap_or_default();
            let asked = format!("{ordinal} {} {}", request.method, request.path);
            let body = request.body.map(|body| format!(" {body}")).unwrap_or_default();
            self.asked.lock().push(format!("{asked}{body}"));
            let (code, answer) = self.answers.lock().get(&asked).cloned().ok_or(TransportError::Address)?;
            Ok(Answer { status: StatusCode::from_u16(code).unwrap(), body: answer.to_string().into() })
        }
        .boxed()
    }
}

/// The template with an environment variable and an annotation.
fn template(variable: &str, annotation: &str) -> Value {
    json!({
        "metadata": {"labels": {"application": "spilo", "cluster-name": "acid-orders"}, "annotations": {"a": annotation}},
        "spec": {"containers": [{"name": "postgres", "image": "spilo:1", "env": [{"name": "A", "value": variable}]}]}
    })
}

fn desired(replicas: usize, template: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"},
        "spec": {"replicas": replicas, "serviceName": "acid-orders", "template": template}
    })
}

/// The StatefulSet as it exists, its change observed.
fn existing(replicas: usize, template: Value) -> Value {
    let mut set = desired(replicas, template);
    set["metadata"]["namespace"] = json!("ns");
    set["metadata"]["generation"] = json!(2);
    set["metadata"]["labels"] = json!({"application": "spilo", "cluster-name": "acid-orders"});
    set["status"] = json!({"observedGeneration": 2, "updateRevision": "new"});
    set
}

fn pod(ordinal: usize, role: &str, template: Value, revision: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"],
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    });
    pod["metadata"]["name"] = json!(format!("acid-orders-{ordinal}"));
    pod["metadata"]["namespace"] = json!("ns");
    pod["metadata"]["uid"] = json!(format!("uid-{ordinal}"));
    pod["metadata"]["labels"]["spilo-role"] = json!(role);
    pod["metadata"]["labels"]["controller-revision-hash"] = json!(revision);
    pod
}

/// A pipeline whose only step makes the StatefulSet, and asks for these settings of Patroni if there are any.
fn makes(set: &Value, patroni: Option<&str>) -> Arc<Pipeline> {
    let description = Description {
        name: "making".into(),
        objects: vec![ObjectPermission::creates(ObjectKind::new("apps/v1", "StatefulSet"), &["*"])],
        actions: vec![ActionPermission::new(ActionKind::ConfigurePatroni, &["*"])],
        // Without it the host would withhold a token from the pods, and the set would be another one.
        privileges: vec![PrivilegePermission { name: "service-account".into(), optional: false }],
        ..Description::default()
    };
    let action =
        patroni.map(|text| ActionRequest { key: "patroni".into(), action: Asked::ConfigurePatroni(text.into()) });
    let response = Response {
        contributions: vec![Contribution::Apply(set.to_string())],
        actions: action.into_iter().collect(),
        findings: vec![],
        conditions: vec![],
    };
    Arc::new(Pipeline::of(vec![Arc::new(Plugin::native(description, move |_| Ok(response.clone())))]).unwrap())
}

/// An operator of a cluster that exists.
fn with(
    api_server: &FakeApiServer,
    objects: &[Value],
    pipeline: Arc<Pipeline>,
    patroni: &Arc<Script>,
    settings: Value,
) -> Context {
    // Members exist, so that their system users have passwords already.
    let secrets = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
    for object in &secrets {
        api_server.put(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    let mut operator = operator(api_server, &[objects, &secrets].concat());
    let mut data = json!({"enable_database_access": "false"});
    data.as_object_mut().unwrap().extend(settings.as_object().cloned().unwrap_or_default());
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let config = Arc::new(Config::read(&document).unwrap().config);
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    operator.transport = patroni.clone();
    operator
}

fn api_server(objects: &[Value]) -> FakeApiServer {
    let path = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        match object["kind"].as_str().unwrap() {
            "Pod" => format!("/api/v1/namespaces/ns/pods/{name}"),
            "StatefulSet" => SET.to_owned(),
            _ => MANIFEST.to_owned(),
        }
    };
    objects.iter().fold(FakeApiServer::new(), |api_server, object| api_server.with(&path(object), object.clone()))
}

fn condition(api_server: &FakeApiServer, type_name: &str) -> Value {
    let status = last_status(api_server);
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == type_name).cloned().unwrap_or_default()
}

fn writes_to(api_server: &FakeApiServer, part: &str) -> Vec<String> {
    api_server.written().into_iter().filter(|write| write.contains(part)).collect()
}

/// What `/cluster` answers: the state of each member, of which `leader` leads.
fn cluster(leader: usize, states: &[&str]) -> Value {
    let member = |(ordinal, state): (usize, &&str)| {
        let role = if ordinal == leader { "leader" } else { "replica" };
        json!({"name": format!("acid-orders-{ordinal}"), "role": role, "state": state, "lag": 0})
    };
    json!({"members": states.iter().enumerate().map(member).collect::<Vec<_>>()})
}

/// The Patronis of a cluster led by `leader`.
fn patronis(leader: usize, states: &[&str]) -> Arc<Script> {
    let mut script = Arc::new(Script::default());
    for (ordinal, state) in states.iter().enumerate() {
        let role = if ordinal == leader { "primary" } else { "replica" };
        script = script
            .with(&format!("{ordinal} GET /cluster"), 200, cluster(leader, states))
            .with(&format!("{ordinal} GET /config"), 200, json!({}))
            .with(&format!("{ordinal} GET /patroni"), 200, json!({"state": state, "role": role}));
    }
    script
}

/// Three members led by the last, of which two are asked for.
fn getting_smaller() -> [Value; 5] {
    let one = |ordinal, role| pod(ordinal, role, template("1", "1"), "new");
    [manifest(), existing(3, template("1", "1")), one(0, "replica"), one(1, "replica"), one(2, "master")]
}

#[tokio::test]
async fn the_last_member_with_the_data_is_kept_while_the_others_still_copy_it() {
    let objects = getting_smaller();
    let (api_server, patroni) =
        (api_server(&objects), patronis(2, &["creating replica", "creating replica", "running"]));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    let replicas = api_server
        .writes()
        .into_iter()
        .filter(|write| write.path == SET)
        .map(|write| write.body["spec"]["replicas"].clone());
    assert!(replicas.into_iter().all(|replicas| replicas == 3));
    assert_eq!(patroni.changes(), [] as [&str; 0]);
    let applied = condition(&api_server, "Applied");
    assert_eq!((&applied["status"], &applied["reason"]), (&json!("False"), &json!("ScaleDownWaits")));
    let message = applied["message"].as_str().unwrap();
    assert!(message.contains("acid-orders-0 is creating replica"), "{message}");
}

#[tokio::test]
async fn the_leadership_moves_to_a_member_that_stays_before_a_cluster_gets_smaller() {
    let objects = getting_smaller();
    let (api_server, patroni) = (api_server(&objects), patronis(2, &["running", "running", "running"]));
    let patroni = patroni.with("2 POST /switchover", 200, json!("moved"));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    let moved = r#"2 POST /switchover {"candidate":"acid-orders-0","leader":"acid-orders-2"}"#;
    assert_eq!(patroni.changes(), [moved]);
    assert!(api_server.writes().iter().all(|write| write.path != SET || write.body["spec"]["replicas"] == 3));
}

#[tokio::test]
async fn a_cluster_whose_patroni_does_not_answer_does_not_get_smaller() {
    let objects = getting_smaller();
    let (api_server, patroni) = (api_server(&objects), Arc::new(Script::default()));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    assert!(api_server.writes().iter().all(|write| write.path != SET || write.body["spec"]["replicas"] == 3));
    assert_eq!(condition(&api_server, "Applied")["reason"], "ScaleDownWaits");
}

const MARK: &str = "zalando-postgres-operator-rolling-update-required";

#[tokio::test]
async fn a_pod_with_the_mark_of_the_zalando_operator_is_replaced_though_it_runs_the_template() {
    let mut replica = pod(1, "replica", template("1", "1"), "new");
    replica["metadata"]["annotations"][MARK] = json!("true");
    let objects = [manifest(), existing(2, template("1", "1")), pod(0, "master", template("1", "1"), "new"), replica];
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    assert_eq!(writes_to(&api_server, "/pods/"), ["DELETE /api/v1/namespaces/ns/pods/acid-orders-1"]);
}

#[tokio::test]
async fn the_mark_of_a_stateful_set_moves_to_its_pods() {
    let mut set = existing(2, template("1", "1"));
    set["metadata"]["annotations"] = json!({MARK: "true"});
    let objects =
        [manifest(), set, pod(0, "master", template("1", "1"), "new"), pod(1, "replica", template("1", "1"), "new")];
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    let marks: Vec<(String, Value)> = api_server
        .writes()
        .into_iter()
        .filter(|write| write.body["metadata"]["annotations"].get(MARK).is_some())
        .map(|write| (write.path, write.body["metadata"]["annotations"][MARK].clone()))
        .collect();
    let pod = |ordinal: usize| format!("/api/v1/namespaces/ns/pods/acid-orders-{ordinal}");
    assert_eq!(marks, [(pod(0), json!("true")), (pod(1), json!("true")), (SET.to_owned(), Value::Null)]);
}

#[tokio::test]
async fn a_cluster_whose_adoption_would_restart_its_pods_is_left_as_it_is_until_its_manifest_allows_it() {
    let mut set = existing(2, template("1", "1"));
    set["spec"]["selector"] = json!({"matchLabels": {"cluster-name": "acid-orders"}});
    for is_allowed in [false, true] {
        let mut manifest = manifest();
        if is_allowed {
            manifest["metadata"]["annotations"]["pgloom.dev/adopt-restarts"] = json!("true");
        }
        let one = |ordinal, role| pod(ordinal, role, template("1", "1"), "new");
        let objects = [manifest, set.clone(), one(0, "master"), one(1, "replica")];
        let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
        let pipeline = makes(&desired(2, template("2", "1")), None);
        _ = reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await;
        assert_eq!(writes_to(&api_server, SET).is_empty(), !is_allowed, "{:?}", api_server.written());
        let applied = condition(&api_server, "Applied");
        assert_eq!(applied["reason"] == "AdoptionRestarts", !is_allowed, "{applied}");
        if !is_allowed {
            let message = applied["message"].as_str().unwrap();
            assert!(message.contains("spec.template.spec.containers[postgres].env[A]"), "{message}");
        }
    }
}

/// Two members, of which the replica runs the template and the leader does not.
fn leader_left() -> [Value; 4] {
    [
        manifest(),
        existing(2, template("2", "1")),
        pod(0, "master", template("1", "1"), "old"),
        pod(1, "replica", template("2", "1"), "new"),
    ]
}

#[tokio::test]
async fn a_refused_switchover_never_ends_in_the_deletion_of_the_leader_and_holds_nothing_else_up() {
    let objects = leader_left();
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let patroni = patroni.with("0 POST /switchover", 412, json!("candidate lags"));
    let pipeline = makes(&desired(2, template("2", "1")), None);
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    for _ in 0..5 {
        reconcile(&operator, &key()).await.unwrap();
    }
    assert_eq!(writes_to(&api_server, "/pods/"), [] as [&str; 0]);
    assert_eq!(patroni.changes().len(), 1, "it is tried again after the repair period: {:?}", patroni.changes());
    let rolled = condition(&api_server, "RolledOut");
    assert_eq!((&rolled["status"], &rolled["reason"]), (&json!("False"), &json!("SwitchoverFailed")));
    assert!(rolled["message"].as_str().unwrap().contains("candidate lags"), "{rolled}");
    assert_eq!(condition(&api_server, "DatabaseSynced")["reason"], "Disabled", "the next steps are taken");
}

#[tokio::test]
async fn a_synchronous_cluster_waits_for_its_next_synchronous_standby_and_asks_for_no_switchover() {
    let objects = leader_left();
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let patroni = patroni.with("0 GET /config", 200, json!({"synchronous_mode": true}));
    let pipeline = makes(&desired(2, template("2", "1")), None);
    reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap();
    assert_eq!((patroni.changes().len(), writes_to(&api_server, "/pods/").len()), (0, 0));
    let message = condition(&api_server, "RolledOut")["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("acid-orders-1 is not a synchronous standby"), "{message}");
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_fails_the_rolling_update_alone() {
    let objects = leader_left();
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let mut broken = objects[2].clone();
    broken["spec"] = json!("no specification");
    let api_server = api_server.with("/api/v1/namespaces/ns/pods/acid-orders-0", broken);
    let pipeline = makes(&desired(2, template("2", "1")), None);
    let error = reconcile(&with(&api_server, &objects, pipeline, &patroni, json!({})), &key()).await.unwrap_err();
    assert_eq!(error.category(), "RollFailed");
    assert_eq!(condition(&api_server, "DatabaseSynced")["reason"], "Disabled", "the next steps are taken");
}

#[tokio::test]
async fn a_changed_annotation_is_patched_onto_the_pods_and_replaces_none() {
    let objects = [manifest(), existing(1, template("1", "2")), pod(0, "master", template("1", "1"), "old")];
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running"]));
    let pipeline = makes(&desired(1, template("1", "2")), None);
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    reconcile(&operator, &key()).await.unwrap();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(writes_to(&api_server, "/pods/"), ["PATCH /api/v1/namespaces/ns/pods/acid-orders-0"]);
    let writes = api_server.writes();
    let patch = writes.iter().find(|write| write.path.contains("/pods/")).unwrap();
    assert_eq!(patch.body, json!({"metadata": {"uid": "uid-0", "annotations": {"a": "2"}}}));
    assert_eq!(condition(&api_server, "RolledOut")["reason"], "UpToDate");
}

#[tokio::test]
async fn pods_with_the_image_of_before_are_replaced_once_upgrades_are_no_longer_lazy() {
    let of_image = |image: &str| {
        let mut template = template("1", "1");
        template["spec"]["containers"][0]["image"] = json!(image);
        template
    };
    let objects = [manifest(), existing(1, of_image("spilo:2")), pod(0, "master", of_image("spilo:1"), "old")];
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running"]));
    let pipeline = makes(&desired(1, of_image("spilo:2")), None);
    let lazy = |lazy: &str| json!({"enable_database_access": "false", "enable_lazy_spilo_upgrade": lazy});
    let operator = with(&api_server, &objects, pipeline, &patroni, lazy("true"));
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(writes_to(&api_server, "/pods/"), [] as [&str; 0]);
    reconcile(&configured(operator, lazy("false")), &key()).await.unwrap();
    assert_eq!(writes_to(&api_server, "/pods/"), ["DELETE /api/v1/namespaces/ns/pods/acid-orders-0"]);
}

/// A setting that needs a restart.
const SETTING: &str = r#"{"loop_wait":0,"postgresql":{"parameters":{"max_connections":"50"}}}"#;

#[tokio::test]
async fn patroni_restarts_no_member_while_pods_are_being_replaced() {
    let objects = [
        manifest(),
        existing(2, template("2", "1")),
        pod(0, "master", template("1", "1"), "old"),
        pod(1, "replica", template("1", "1"), "old"),
    ];
    let mut states = cluster(0, &["running", "running"]);
    for member in states["members"].as_array_mut().unwrap() {
        member["pending_restart"] = json!(true);
    }
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let patroni = patroni
        .with("0 GET /cluster", 200, states)
        .with("0 PATCH /config", 200, json!({}))
        .with("0 POST /restart", 200, json!("restarted"))
        .with("1 POST /restart", 200, json!("restarted"));
    let pipeline = makes(&desired(2, template("2", "1")), Some(SETTING));
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    reconcile(&operator, &key()).await.unwrap();
    job_ended(&operator).await;
    let note = r#""pgloom":{"parameters":{"max_connections":{}}},"#;
    let expected = SETTING.replace(r#""postgresql""#, &format!(r#"{note}"postgresql""#));
    assert_eq!(patroni.changes(), [format!("0 PATCH /config {expected}")]);
    assert_eq!(writes_to(&api_server, "/pods/"), ["DELETE /api/v1/namespaces/ns/pods/acid-orders-1"]);
}

/// A cluster whose pods run the template and whose replica waits for a restart, with a setting that is there already.
fn waiting_for_a_restart(paused: bool) -> ([Value; 4], Arc<Script>) {
    let objects = [
        manifest(),
        existing(2, template("1", "1")),
        pod(0, "master", template("1", "1"), "new"),
        pod(1, "replica", template("1", "1"), "new"),
    ];
    let mut states = cluster(0, &["running", "running"]);
    states["members"][1]["pending_restart"] = json!(true);
    states["pause"] = json!(paused);
    let setting: Value = serde_json::from_str(SETTING).unwrap();
    let patroni = patronis(0, &["running", "running"])
        .with("0 GET /cluster", 200, states)
        .with("0 GET /config", 200, setting)
        .with("1 POST /restart", 200, json!("restarted"));
    (objects, patroni)
}

#[tokio::test]
async fn a_restart_that_is_owed_is_made_up_for_once_although_nothing_is_configured() {
    let (objects, patroni) = waiting_for_a_restart(false);
    let api_server = api_server(&objects);
    let pipeline = makes(&desired(2, template("1", "1")), Some(SETTING));
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    reconcile(&operator, &key()).await.unwrap();
    job_ended(&operator).await;
    assert_eq!(patroni.changes(), [r#"1 POST /restart {"restart_pending":true}"#]);
}

#[tokio::test]
async fn patroni_restarts_no_member_while_it_is_paused_or_outside_the_maintenance_windows() {
    for (paused, settings) in [
        (true, json!({})),
        (false, json!({"enable_maintenance_windows": "true", "maintenance_windows": closed_window()})),
    ] {
        let (objects, patroni) = waiting_for_a_restart(paused);
        let api_server = api_server(&objects);
        let pipeline = makes(&desired(2, template("1", "1")), Some(SETTING));
        let operator = with(&api_server, &objects, pipeline, &patroni, settings);
        reconcile(&operator, &key()).await.unwrap();
        job_ended(&operator).await;
        assert_eq!(patroni.changes(), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn nothing_is_handed_over_outside_the_maintenance_windows() {
    let objects = getting_smaller();
    let (api_server, patroni) = (api_server(&objects), patronis(2, &["running", "running", "running"]));
    let pipeline = makes(&desired(2, template("1", "1")), None);
    let settings = json!({"enable_maintenance_windows": "true", "maintenance_windows": closed_window()});
    reconcile(&with(&api_server, &objects, pipeline, &patroni, settings), &key()).await.unwrap();
    assert_eq!(patroni.changes(), [] as [&str; 0]);
    let message = condition(&api_server, "Applied")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("waits for a maintenance window"), "{message}");
}

/// A window of one minute, two days from now.
fn closed_window() -> String {
    let day = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).weekday().wrapping_add(2);
    let name = format!("{day:?}");
    format!("{}:00:00-00:01", &name[..3])
}

#[tokio::test]
async fn no_pod_is_replaced_while_the_job_that_may_restart_members_runs() {
    let objects = leader_left();
    let (api_server, patroni) = (api_server(&objects), patronis(0, &["running", "running"]));
    let pipeline = makes(&desired(2, template("2", "1")), None);
    let operator = with(&api_server, &objects, pipeline, &patroni, json!({}));
    let state = operator.states.of(&key());
    let backoff = crate::execute::task::Backoff {
        after_success: Duration::from_secs(60),
        after_failure: Duration::from_secs(60),
        at_most: Duration::from_secs(60),
    };
    state.patroni.ensure(1, Duration::from_secs(60), backoff, std::future::pending);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!((patroni.changes().len(), writes_to(&api_server, "/pods/").len()), (0, 0));
    let message = condition(&api_server, "RolledOut")["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("Patroni is being configured, and may restart members"), "{message}");
}

mod departure;
mod major_upgrade;
mod own;
