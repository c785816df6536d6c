//! Promises about what is asked of Patroni, and what becomes of its answers.

use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::*;

/// A Patroni that gives these answers in their order, and records what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<Vec<(u16, &'static str)>>,
    asked: Mutex<Vec<String>>,
}

impl Transport for Script {
    fn send<'a>(&'a self, _: &'a Pod, request: Request) -> BoxFuture<'a, Result<Response, transport::Error>> {
        async move {
            let body = request.body.map(|body| format!(" {body}")).unwrap_or_default();
            self.asked.lock().unwrap().push(format!("{} {}{body}", request.method, request.path));
            let (status, body) = self.answers.lock().unwrap().remove(0);
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), body: body.into() })
        }
        .boxed()
    }
}

fn scripted(answers: &[(u16, &'static str)]) -> (Patroni, Arc<Script>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.to_vec()), ..Script::default() });
    let pod = Pod { name: "c-0".into(), ..Pod::default() };
    (Patroni::new(script.clone(), pod), script)
}

#[tokio::test]
async fn a_members_state_is_read_whether_it_runs_or_not() {
    let (patroni, script) = scripted(&[
        (
            200,
            r#"{"state": "running", "role": "primary", "timeline": 3, "server_version": 150018, "pending_restart": true, "xlog": {}}"#,
        ),
        (503, r#"{"state": "creating replica", "role": "replica"}"#),
    ]);
    let leader = patroni.status().await.unwrap();
    assert!(leader.is_running() && leader.role.leads() && leader.pending_restart);
    let replica = patroni.status().await.unwrap();
    assert!(replica.is_bootstrapping() && !replica.role.leads());
    assert_eq!(*script.asked.lock().unwrap(), ["GET /patroni", "GET /patroni"]);
}

#[tokio::test]
async fn the_members_are_read() {
    let (patroni, _) = scripted(&[(
        200,
        r#"{"members": [{"name": "c-0", "role": "leader", "state": "running", "host": "10.0.0.1", "timeline": 1},
            {"name": "c-1", "role": "replica", "state": "streaming", "timeline": 1, "lag": 7}], "scope": "c"}"#,
    )]);
    let cluster = patroni.cluster().await.unwrap();
    assert_eq!(cluster.leader().unwrap().name, "c-0");
    assert_eq!(cluster.members[1].lag, Some(7));
}

#[tokio::test]
async fn a_switchover_names_leader_and_candidate() {
    let (patroni, script) = scripted(&[(200, "Successfully switched over to \"c-1\"")]);
    patroni.switchover("c-0", "c-1").await.unwrap();
    assert_eq!(*script.asked.lock().unwrap(), [r#"POST /switchover {"candidate":"c-1","leader":"c-0"}"#]);
}

#[tokio::test]
async fn an_old_patroni_is_asked_in_its_words() {
    let (patroni, script) = scripted(&[(501, "Unsupported method"), (200, "ok")]);
    patroni.switchover("c-0", "c-1").await.unwrap();
    assert_eq!(script.asked.lock().unwrap()[1], r#"POST /failover {"leader":"c-0","member":"c-1"}"#);
}

#[tokio::test]
async fn a_refusal_is_told_in_patronis_words() {
    let (patroni, _) = scripted(&[(412, "candidate name does not match with sync_standby\nmore")]);
    let error = patroni.switchover("c-0", "c-1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not move the leadership at pod c-0: candidate name does not match with sync_standby (412)"
    );
    assert_eq!(error.category(), "refused");
}

#[tokio::test]
async fn the_configuration_is_read_and_patched() {
    let (patroni, script) = scripted(&[(200, r#"{"ttl": 30}"#), (200, r#"{"ttl": 40}"#)]);
    assert_eq!(patroni.configuration().await.unwrap(), json!({"ttl": 30}));
    assert_eq!(patroni.configure(&json!({"ttl": 40})).await.unwrap(), json!({"ttl": 40}));
    assert_eq!(*script.asked.lock().unwrap(), ["GET /config", r#"PATCH /config {"ttl":40}"#]);
}

#[tokio::test]
async fn a_standby_is_promoted_until_its_configuration_says_so() {
    const STANDBY: &str = r#"{"standby_cluster": {"host": "h"}}"#;
    let (patroni, script) = scripted(&[(200, STANDBY), (200, "{}")]);
    patroni.promote().await.unwrap();
    assert_eq!(*script.asked.lock().unwrap(), ["GET /config", r#"PATCH /config {"standby_cluster":null}"#]);

    let (patroni, script) = scripted(&[(200, "{}")]);
    patroni.promote().await.unwrap();
    assert_eq!(*script.asked.lock().unwrap(), ["GET /config"]);

    let (patroni, _) = scripted(&[(200, STANDBY), (200, STANDBY)]);
    assert!(matches!(patroni.promote().await, Err(Error::StillStandby(_))));
}

#[tokio::test]
async fn a_patroni_of_another_cluster_or_pod_is_asked_to_change_nothing() {
    for identity in [r#"{"patroni": {"scope": "d", "name": "c-0"}}"#, r#"{"patroni": {"scope": "c", "name": "c-1"}}"#] {
        let (patroni, script) = scripted(&[(200, identity); 3]);
        let patroni = patroni.of_cluster("c");
        for error in [
            patroni.configure(&json!({})).await.unwrap_err(),
            patroni.restart().await.unwrap_err(),
            patroni.switchover("c-0", "c-1").await.unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Foreign { .. }) && error.is_passing(), "{error}");
        }
        assert_eq!(*script.asked.lock().unwrap(), ["GET /patroni"; 3]);
    }
}

#[tokio::test]
async fn a_patroni_that_does_not_name_itself_is_taken_for_the_pods() {
    let (patroni, script) = scripted(&[(503, r#"{"state": "starting"}"#), (200, "{}")]);
    patroni.of_cluster("c").configure(&json!({})).await.unwrap();
    assert_eq!(*script.asked.lock().unwrap(), ["GET /patroni", "PATCH /config {}"]);
}

#[tokio::test]
async fn a_member_that_waits_for_no_restart_is_not_restarted() {
    let (patroni, script) = scripted(&[(200, "restarted successfully"), (412, "restart conditions are not satisfied")]);
    patroni.restart().await.unwrap();
    patroni.restart().await.unwrap();
    assert_eq!(script.asked.lock().unwrap()[0], r#"POST /restart {"restart_pending":true}"#);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_error_of_its_kind() {
    let (patroni, _) = scripted(&[(200, "<html>"), (502, "Bad Gateway")]);
    assert_eq!(patroni.status().await.unwrap_err().category(), "answer");
    assert_eq!(
        patroni.status().await.unwrap_err().to_string(),
        "could not ask Patroni for its state at pod c-0: Bad Gateway (502)"
    );
}

#[tokio::test]
async fn a_pod_without_an_address_is_an_error_of_its_kind() {
    let pod = Pod { name: "c-1".into(), ..Pod::default() };
    let error = Patroni::new(Arc::new(Direct::default()), pod).status().await.unwrap_err();
    assert_eq!(error.to_string(), "pod c-1 has no address yet");
}

#[tokio::test]
async fn a_pod_that_refuses_the_connection_is_told_so() {
    let pod = Pod { name: "c-1".into(), address: Some([127, 0, 0, 1].into()), ..Pod::default() };
    let error = Patroni::new(Arc::new(Direct::default()), pod).status().await.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.category()),
        ("could not ask Patroni for its state at pod c-1", "reach")
    );
}

#[tokio::test]
async fn the_api_server_passes_requests_on() {
    let service = |request: axum::http::Request<kube::client::Body>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let answer =
            json!({"asked": format!("{} {} {}", parts.method, parts.uri.path(), String::from_utf8_lossy(&body))});
        Ok::<_, std::convert::Infallible>(axum::http::Response::new(kube::client::Body::from(
            answer.to_string().into_bytes(),
        )))
    };
    let client = kube::Client::new(tower::service_fn(service), "prod");
    let pod = Pod { namespace: "prod".into(), name: "c-0".into(), address: None };
    let answer = Patroni::new(Arc::new(ApiServer { client }), pod).configure(&json!({"ttl": 40})).await.unwrap();
    assert_eq!(answer["asked"], r#"PATCH /api/v1/namespaces/prod/pods/c-0:8008/proxy/config {"ttl":40}"#);
}
