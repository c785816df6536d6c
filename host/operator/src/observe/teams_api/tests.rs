//! Tests of the requests to the Teams API and of the use of its answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use pgloom_api::postgres_team::PostgresTeamSpec;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::testing::FakeApiServer;

/// A Teams API with two teams that counts its requests.
async fn api(token: &'static str) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = |value: Value| {
        move |headers: HeaderMap| async move {
            count.fetch_add(1, Ordering::SeqCst);
            let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            if given == token {
                (StatusCode::OK, value.to_string())
            } else {
                (StatusCode::UNAUTHORIZED, r#"{"error": "who?"}"#.into())
            }
        }
    };
    let router = Router::new()
        .route("/api/teams/acid", get(answer.clone()(json!(["ada", "grace"]))))
        .route("/api/teams/dba", get(answer(json!({"dn": "x", "member": ["root"], "alias": []}))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

fn settings(url: &str, superuser_teams: &[&str]) -> TeamsSettings {
    TeamsSettings {
        url: url.into(),
        token: ("own".into(), "token".into()),
        superuser_teams: superuser_teams.iter().map(|team| (*team).into()).collect(),
        owner: "acid".into(),
        is_asked: true,
        additional: Some(Arc::default()),
        ..TeamsSettings::default()
    }
}

/// The settings with what `PostgresTeam` objects add.
fn adding(settings: TeamsSettings, spec: Value) -> TeamsSettings {
    let spec: PostgresTeamSpec = serde_json::from_value(spec).unwrap();
    TeamsSettings { additional: Some(Arc::new(AdditionalTeams::of([&spec]))), ..settings }
}

/// A client with this token in its Secret, and the receiver of the clusters to reconcile.
fn teams(token: Option<&str>) -> (TeamsApi, UnboundedReceiver<ClusterKey>) {
    let mut api_server = FakeApiServer::new();
    if let Some(token) = token {
        let data = json!({TOKEN_TYPE: STANDARD.encode("Bearer"), TOKEN: STANDARD.encode(token)});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "data": data});
        api_server = api_server.with("/api/v1/namespaces/own/secrets/token", secret);
    }
    let (changed, to_reconcile) = unbounded();
    (TeamsApi::new(api_server.client(), changed), to_reconcile)
}

fn key(name: &str) -> ClusterKey {
    ClusterKey::new("ns", name)
}

/// The members and findings after every answer has arrived.
async fn known(teams: &TeamsApi, settings: &TeamsSettings) -> (Vec<String>, Vec<String>) {
    let known = loop {
        let known = teams.of(&key("acid-a"), settings);
        if !known.asking {
            break known;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let line = |team: Team| format!("{} {:?} {}", team.name, team.members, team.superusers);
    let findings = known.findings.into_iter().map(|finding| finding.message);
    (known.teams.into_iter().map(line).collect(), findings.collect())
}

#[tokio::test]
async fn superuser_teams_come_first_and_answers_are_lists_or_objects() {
    let (url, _) = api("").await;
    let (lines, findings) = known(&teams(None).0, &settings(&url, &["dba"])).await;
    assert_eq!(lines, [r#"dba ["root"] true"#, r#"acid ["ada", "grace"] false"#]);
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn an_owner_that_is_a_superuser_team_is_asked_for_once() {
    let (url, _) = api("").await;
    let (lines, _) = known(&teams(None).0, &settings(&url, &["acid"])).await;
    assert_eq!(lines, [r#"acid ["ada", "grace"] true"#]);
}

#[tokio::test]
async fn many_clusters_of_a_team_ask_once_and_are_looked_at_when_the_answer_has_come() {
    let (url, asked) = api("").await;
    let (teams, mut changed) = teams(None);
    for name in ["acid-a", "acid-b", "acid-c"] {
        assert!(teams.of(&key(name), &settings(&url, &[])).asking);
    }
    let mut looked = [changed.next().await, changed.next().await, changed.next().await].map(Option::unwrap);
    looked.sort_by_key(|key| key.name.to_string());
    assert_eq!(looked, ["acid-a", "acid-b", "acid-c"].map(key));
    assert!(!teams.of(&key("acid-d"), &settings(&url, &[])).asking);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_known_by_now_is_found_without_a_request() {
    let (url, asked) = api("").await;
    let teams = teams(None).0;
    let settings = settings(&url, &[]);
    for _ in 0..2 {
        let unknown = teams.known(&settings);
        assert!(unknown.asking && unknown.teams.is_empty());
    }
    assert_eq!((asked.load(Ordering::SeqCst), teams.questions.lock().len()), (0, 0));
    known(&teams, &settings).await;
    assert_eq!(teams.known(&settings).teams[0].members, ["ada", "grace"]);
}

#[tokio::test]
async fn an_api_that_hangs_stops_no_cluster() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (teams, _changed) = teams(None);
    let begun = Instant::now();
    assert!(teams.of(&key("acid-a"), &settings(&url, &[])).asking);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_token_is_sent_and_a_refusal_is_a_warning() {
    let (url, _) = api("Bearer t0ken").await;
    let (lines, findings) = known(&teams(Some("t0ken")).0, &settings(&url, &[])).await;
    assert_eq!((lines.len(), findings), (1, vec![]));
    let (lines, findings) = known(&teams(Some("0ther")).0, &settings(&url, &[])).await;
    assert!(lines.is_empty());
    assert_eq!(
        findings,
        ["the members of team \"acid\" are not known: team API query failed with status code 401 and message: 'who?'"]
    );
}

#[tokio::test]
async fn an_api_that_is_not_there_is_a_warning() {
    for (url, expected) in [
        ("http://127.0.0.1:1/", "the members of team \"acid\" are not known: the team API does not answer"),
        ("nonsense", "the members of team \"acid\" are not known: \"nonsense\" is no address"),
        ("file:///etc", "the members of team \"acid\" are not known: \"file:///etc\" is no address"),
    ] {
        let (lines, findings) = known(&teams(None).0, &settings(url, &[])).await;
        assert!(lines.is_empty());
        assert!(findings[0].starts_with(expected), "{findings:?}");
    }
}

#[test]
fn answers_are_told_apart() {
    for (status, body, expected) in [
        (200, "{}", "could not parse team API response"),
        (200, "[1]", "could not parse team API response"),
        (200, "<html>", "could not parse team API response"),
        (404, r#"{"title": "Not Found"}"#, "team API query failed with status code 404"),
        (500, r#"{"error": "broken"}"#, "team API query failed with status code 500 and message: 'broken'"),
        (502, "<html>", "team API query failed with status code 502 and malformed response: expected value"),
    ] {
        let error = read(StatusCode::from_u16(status).unwrap(), body.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(read(StatusCode::OK, br#"{"member": ["a", "b"]}"#).unwrap(), ["a", "b"]);
}

#[test]
fn a_token_is_a_bearer_token_or_none() {
    let data = |entries: &[(&str, &str)]| {
        Data(entries.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec())).collect())
    };
    assert!(token(None).unwrap().is_none());
    let good = data(&[(TOKEN_TYPE, "Bearer"), (TOKEN, "t0ken")]);
    assert_eq!(token(Some(&good)).unwrap(), Some(Password::new("t0ken")));
    for bad in [data(&[]), data(&[(TOKEN_TYPE, "Basic"), (TOKEN, "x")]), data(&[(TOKEN_TYPE, "Bearer"), (TOKEN, "")])] {
        assert!(token(Some(&bad)).unwrap_err().to_string().contains("holds no bearer token"));
    }
}

#[test]
fn a_teams_name_stays_in_its_part_of_the_path() {
    assert_eq!(in_path("acid-1_x").to_string(), "acid-1_x");
    assert_eq!(in_path("../a b?").to_string(), "%2E%2E%2Fa%20b%3F");
}

#[tokio::test]
async fn objects_add_teams_and_members_to_those_of_the_api() {
    let (url, _) = api("").await;
    let teams = teams(None).0;
    let spec = json!({
        "additionalTeams": {"acid": ["virtual"], "virtual": ["dba"]},
        "additionalMembers": {"acid": ["tia", "ada"], "virtual": ["flynch"]},
        "additionalSuperuserTeams": {"acid": ["dba"]},
    });
    let with = adding(settings(&url, &[]), spec);
    let (lines, findings) = known(&teams, &with).await;
    let own = r#"acid ["ada", "grace", "tia"] false"#;
    assert_eq!(lines, [r#"dba ["root"] false"#, r#"virtual ["flynch"] false"#, own]);
    assert!(findings.is_empty(), "a team that an object makes need not exist in the API: {findings:?}");
    assert!(teams.known(&with).complete);
    let (lines, _) = known(&teams, &TeamsSettings { additional_superusers: true, ..with }).await;
    assert_eq!(lines, [r#"dba ["root"] true"#, r#"virtual ["flynch"] false"#, own]);
}

#[tokio::test]
async fn without_the_api_the_members_are_those_of_the_objects() {
    let (teams, _changed) = teams(None);
    let spec = json!({"additionalMembers": {"acid": ["tia"]}});
    let with = TeamsSettings { is_asked: false, ..adding(settings("nonsense", &[]), spec) };
    assert_eq!(known(&teams, &with).await, (vec![r#"acid ["tia"] false"#.to_owned()], vec![]));
    assert!(teams.known(&with).complete);
    assert!(teams.known(&TeamsSettings { additional: None, ..with.clone() }).asking, "not listed yet");
    let unlisted = teams.known(&TeamsSettings { unlisted: Some("forbidden".into()), ..with });
    assert!(!unlisted.complete && unlisted.findings[0].message.contains("forbidden"));
}

#[tokio::test]
async fn nobody_has_left_as_long_as_one_team_is_not_known_or_an_answer_is_empty() {
    let (url, _) = api("").await;
    let teams = teams(None).0;
    let complete = async |settings: TeamsSettings| {
        known(&teams, &settings).await;
        teams.known(&settings).complete
    };
    assert!(complete(settings(&url, &["dba"])).await);
    assert!(!complete(settings(&url, &["gone"])).await, "404");
    assert!(!complete(settings("http://127.0.0.1:1/", &[])).await);
    assert!(!complete(TeamsSettings { owner: String::new(), ..settings(&url, &[]) }).await, "no team at all");
    let nobody = TeamsSettings { is_asked: false, ..settings(&url, &[]) };
    assert!(!complete(nobody).await, "a team without a member");
}
