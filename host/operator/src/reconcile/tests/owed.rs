//! Promises about what a reconcile that fails leaves owed: the promotion of a standby, against a fake API server and a
//! Patroni that keeps a configuration.

use axum::http::StatusCode;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use pgloom_engine::{Action as Asked, Credential, PoolerAccess};

use super::*;
use crate::execute::patroni::{Pod, Request, Response, Transport, TransportError};

/// The Patroni of a standby with one member.
pub(super) struct FakePatroni {
    configuration: Mutex<Value>,
    pub(super) changes: Mutex<Vec<String>>,
    silent: bool,
}

impl FakePatroni {
    pub(super) fn standby() -> Self {
        Self {
            configuration: Mutex::new(json!({"loop_wait": 0, "standby_cluster": {"host": "source"}})),
            changes: Mutex::default(),
            silent: false,
        }
    }

    fn answer(&self, request: &Request) -> Value {
        let mut configuration = self.configuration.lock();
        match (request.method.as_str(), request.path) {
            ("GET", "/patroni") => json!({"state": "running", "patroni": {"scope": "acid-orders"}}),
            ("GET", "/cluster") => {
                json!({"members": [{"name": "acid-orders-0", "role": "standby_leader", "state": "running"}]})
            }
            ("GET", _) => configuration.clone(),
            (method, path) => {
                let body = request.body.clone().unwrap();
                self.changes.lock().push(format!("{method} {path} {body}"));
                if body.get("standby_cluster").is_some_and(Value::is_null) {
                    configuration.as_object_mut().unwrap().remove("standby_cluster");
                }
                configuration.clone()
            }
        }
    }
}

impl Transport for FakePatroni {
    fn send<'a>(&'a self, _: &'a Pod, request: Request) -> BoxFuture<'a, Result<Response, TransportError>> {
        async move {
            if self.silent {
                return Err(TransportError::Send("connection refused".into()));
            }
            Ok(Response { status: StatusCode::OK, body: self.answer(&request).to_string().into_bytes() })
        }
        .boxed()
    }
}

/// The Secrets of the system users, which a cluster with members has.
pub(super) fn secrets() -> Vec<Value> {
    vec![credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")]
}

/// An operator whose only step asks for these actions, with a cluster of one member, these Secrets and this Patroni.
pub(super) fn operator_of(
    api_server: &FakeApiServer,
    secrets: Vec<Value>,
    patroni: Arc<FakePatroni>,
    actions: &[(&str, Asked)],
) -> Context {
    for object in &secrets {
        api_server.put(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    let mut set = stateful_set();
    set["spec"]["replicas"] = json!(1);
    let mut operator = operator(api_server, &[vec![manifest(), leader(), set.clone()], secrets].concat());
    let config = operator.settings.borrow().config.clone();
    let pipeline = Arc::new(Pipeline::of(vec![making(&[set]), asking(actions)]).unwrap());
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    operator.transport = patroni;
    operator
}

fn promote() -> [(&'static str, Asked); 1] {
    [("promote/u/3", Asked::Promote)]
}

/// What the watch would report of the status that was written last.
fn see_status(operator: &Context, api_server: &FakeApiServer) {
    let mut seen = manifest();
    seen["metadata"]["finalizers"] = json!([FINALIZER]);
    seen["metadata"]["resourceVersion"] = json!(format!("{}", 10 + api_server.writes().len()));
    seen["status"] = last_status(api_server);
    operator.store.record_write(seen);
}

fn phases(status: &Value) -> Vec<String> {
    let actions = status["actions"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    actions.iter().map(|action| format!("{} {}", text(&action["key"]), text(&action["phase"]))).collect()
}

fn ready(status: &Value) -> String {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    format!("{} {}", ready["status"].as_str().unwrap(), ready["reason"].as_str().unwrap())
}

#[tokio::test]
async fn an_action_is_recorded_before_anything_is_applied() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let silent = Arc::new(FakePatroni { silent: true, ..FakePatroni::standby() });
    reconcile(&operator_of(&api_server, secrets(), silent, &promote()), &key()).await.unwrap();
    let writes = api_server.writes();
    let recorded = writes.iter().position(|write| phases(&write.body["status"]) == ["promote/u/3 pending"]).unwrap();
    let applied = writes.iter().position(|write| write.path.ends_with("/serviceaccounts")).unwrap();
    assert!(recorded < applied, "{:?}", api_server.written());
}

#[tokio::test]
async fn nothing_is_applied_if_an_action_cannot_be_recorded() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).refusing_because(STATUS, 500, "broken");
    let operator = operator_of(&api_server, secrets(), Arc::new(FakePatroni::standby()), &promote());
    // Nothing else is written into the status of a cluster that runs.
    let mut running = manifest();
    running["metadata"]["finalizers"] = json!([FINALIZER]);
    running["metadata"]["resourceVersion"] = json!("10");
    running["status"] = json!({"PostgresClusterStatus": "Running"});
    operator.store.record_write(running);
    let error = reconcile(&operator, &key()).await.unwrap_err();
    assert_eq!(error.category(), "WriteFailed");
    assert!(!api_server.written().iter().any(|write| write.ends_with("/serviceaccounts")));
}

#[tokio::test]
async fn a_standby_is_promoted_although_every_later_step_fails_and_the_record_says_so() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    // Without its Secrets no object of the cluster is applied.
    let patroni = Arc::new(FakePatroni::standby());
    let operator = operator_of(&api_server, vec![], patroni.clone(), &promote());
    reconcile(&operator, &key()).await.unwrap_err();
    let status = last_status(&api_server);
    assert_eq!((phases(&status), ready(&status)), (vec!["promote/u/3 running".into()], "False PromotionOwed".into()));

    job_ended(&operator).await;
    assert_eq!(*patroni.changes.lock(), [r#"PATCH /config {"standby_cluster":null}"#]);
    see_status(&operator, &api_server);
    reconcile(&operator, &key()).await.unwrap_err();
    let status = last_status(&api_server);
    assert_eq!((phases(&status), ready(&status)), (vec!["promote/u/3 done".into()], "True LeaderReady".into()));
}

#[tokio::test]
async fn a_promotion_is_owed_while_patroni_does_not_answer_and_another_operator_does_it() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let silent = Arc::new(FakePatroni { silent: true, ..FakePatroni::standby() });
    let first = operator_of(&api_server, secrets(), silent, &promote());
    reconcile(&first, &key()).await.unwrap();
    job_ended(&first).await;
    see_status(&first, &api_server);
    reconcile(&first, &key()).await.unwrap();
    let status = last_status(&api_server);
    assert_eq!((phases(&status), ready(&status)), (vec!["promote/u/3 running".into()], "False PatroniSilent".into()));

    let patroni = Arc::new(FakePatroni::standby());
    let second = operator_of(&api_server, secrets(), patroni.clone(), &promote());
    see_status(&second, &api_server);
    reconcile(&second, &key()).await.unwrap();
    job_ended(&second).await;
    assert_eq!(patroni.changes.lock().len(), 1);
}

#[tokio::test]
async fn a_standby_that_nothing_asks_to_promote_is_reported_and_left_alone() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let patroni = Arc::new(FakePatroni::standby());
    let operator =
        operator_of(&api_server, secrets(), patroni.clone(), &[("patroni", Asked::ConfigurePatroni("{}".into()))]);
    reconcile(&operator, &key()).await.unwrap();
    job_ended(&operator).await;
    see_status(&operator, &api_server);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(ready(&last_status(&api_server)), "False StandbyInPatroni");
    assert_eq!(*patroni.changes.lock(), [] as [&str; 0]);
}

/// The condition about roles and databases, and the phases of the actions, of a cluster whose manifest has the section of a
/// standby, after Patroni has answered.
async fn with_section(patroni: FakePatroni) -> (String, Vec<String>) {
    let mut wanted = manifest();
    wanted["spec"]["standby"] = json!({"standby_host": "source"});
    let api_server = FakeApiServer::new().with(MANIFEST, wanted.clone());
    let access = Asked::PoolerAccess(PoolerAccess { username: "pooler".into(), schema: "pooler".into() });
    let credential = Asked::Credential(Credential { username: "pooler".into(), labels: Vec::new() });
    let asked = [("patroni", Asked::ConfigurePatroni("{}".into())), ("access", access), ("credential", credential)];
    let operator = operator_of(&api_server, secrets(), Arc::new(patroni), &asked);
    wanted["metadata"]["resourceVersion"] = json!("5");
    operator.store.record_write(wanted.clone());
    reconcile(&operator, &key()).await.unwrap();
    job_ended(&operator).await;
    wanted["metadata"]["finalizers"] = json!([FINALIZER]);
    wanted["metadata"]["resourceVersion"] = json!(format!("{}", 10 + api_server.writes().len()));
    wanted["status"] = last_status(&api_server);
    operator.store.record_write(wanted);
    reconcile(&operator, &key()).await.unwrap();
    let status = last_status(&api_server);
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let synced = conditions.iter().find(|condition| condition["type"] == "DatabaseSynced").unwrap();
    let phases = phases(&status).into_iter().filter(|phase| !phase.starts_with("credential "));
    (synced["reason"].as_str().unwrap().to_owned(), phases.collect())
}

#[tokio::test]
async fn roles_of_a_cluster_that_follows_nobody_are_kept_whatever_its_section_says() {
    let (reason, phases) = with_section(FakePatroni::standby()).await;
    assert_eq!((reason.as_str(), phases), ("Standby", vec!["patroni done".to_owned(), "access done".to_owned()]));
    let leader = FakePatroni { configuration: Mutex::new(json!({"loop_wait": 0})), ..FakePatroni::standby() };
    let (reason, phases) = with_section(leader).await;
    assert_eq!((reason.as_str(), phases), ("Running", vec!["patroni done".to_owned(), "access running".to_owned()]));
}
