//! Promises about what is owed by Patroni: runs that are cut off, fail or have to wait, against a Patroni that keeps a
//! configuration and members with pending restarts.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::execute::patroni::{Pod, Request, Response, Transport, transport};

const HOUR: Duration = Duration::from_secs(3600);

/// A cluster `c` of three members. A change of `max_connections` needs a restart of each.
struct Cluster {
    configuration: Value,
    leader: &'static str,
    pending: BTreeSet<String>,
    /// Members whose restart fails.
    broken: BTreeSet<String>,
    /// Members with pending restarts after a restart.
    stubborn: BTreeSet<String>,
    /// Members that Patroni does not name.
    unknown: BTreeSet<String>,
    /// Whether a switchover is refused.
    keeps_leader: bool,
    paused: bool,
    /// How many requests that change something are answered; the one after them is done and not answered.
    answers: usize,
    changes: Vec<String>,
}

#[derive(Clone)]
struct FakePatroni(Arc<Mutex<Cluster>>);

impl FakePatroni {
    fn new(configuration: Value) -> Self {
        let names = BTreeSet::new;
        Self(Arc::new(Mutex::new(Cluster {
            configuration,
            leader: "c-0",
            pending: names(),
            broken: names(),
            stubborn: names(),
            unknown: names(),
            keeps_leader: false,
            paused: false,
            answers: usize::MAX,
            changes: vec![],
        })))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn changes(&self) -> Vec<String> {
        self.with(|cluster| std::mem::take(&mut cluster.changes))
    }

    fn patroni(&self, pod: &str) -> Patroni {
        Patroni::new(Arc::new(self.clone()), Pod { name: pod.into(), ..Pod::default() }).of_cluster("c")
    }

    async fn run(&self, desired: &Desired, limits: &Limits) -> Result<Configured, Error> {
        let members = ["c-0", "c-1", "c-2"].map(|pod| (pod.to_owned(), self.patroni(pod)));
        configure(&self.patroni("c-0"), &members, desired, limits).await
    }
}

impl Cluster {
    fn answer(&mut self, pod: &str, request: &Request) -> Option<(u16, Value)> {
        let line = format!("{} {}", request.method, request.path);
        match line.as_str() {
            "GET /patroni" => Some((200, json!({"state": "running", "patroni": {"scope": "c", "name": pod}}))),
            "GET /config" => Some((200, self.configuration.clone())),
            "GET /cluster" => Some((200, self.report())),
            _ => {
                let answered = self.answers.checked_sub(1);
                self.answers = answered.unwrap_or_default();
                let answer = self.change(pod, &line, request.body.as_ref().unwrap());
                answered.map(|_| answer)
            }
        }
    }

    fn change(&mut self, pod: &str, line: &str, body: &Value) -> (u16, Value) {
        if line == "POST /restart" {
            self.changes.push(format!("restart {pod}"));
            if self.broken.contains(pod) {
                return (503, json!("restart failed"));
            }
            if !self.stubborn.contains(pod) {
                self.pending.remove(pod);
            }
            return (200, json!("restarted successfully"));
        }
        if line == "POST /switchover" {
            self.changes.push(format!("switchover {}", body["candidate"].as_str().unwrap()));
            if self.keeps_leader {
                return (412, json!("the candidate lags"));
            }
            // PostgreSQL of the former leader starts again as a replica.
            self.pending.remove(self.leader);
            self.leader = ["c-0", "c-1", "c-2"].into_iter().find(|name| body["candidate"] == *name).unwrap();
            return (200, json!("moved"));
        }
        self.changes.push(format!("patch {body}"));
        if !body["postgresql"]["parameters"]["max_connections"].is_null() {
            self.pending.extend(["c-0", "c-1", "c-2"].map(str::to_owned));
        }
        merge(&mut self.configuration, body);
        (200, self.configuration.clone())
    }

    fn report(&self) -> Value {
        let known = ["c-0", "c-1", "c-2"].into_iter().filter(|name| !self.unknown.contains(*name));
        let member = |name: &str| {
            let role = if name == self.leader { "leader" } else { "replica" };
            json!({"name": name, "role": role, "state": "running", "pending_restart": self.pending.contains(name)})
        };
        json!({"members": known.map(member).collect::<Vec<_>>(), "pause": self.paused})
    }
}

impl Transport for FakePatroni {
    fn send<'a>(&'a self, pod: &'a Pod, request: Request) -> BoxFuture<'a, Result<Response, transport::Error>> {
        let answer = self.with(|cluster| cluster.answer(&pod.name, &request));
        async move {
            let (status, body) = answer.ok_or_else(|| transport::Error::Send("connection reset".into()))?;
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), body: body.to_string().into_bytes() })
        }
        .boxed()
    }
}

fn merge(current: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return current.clone_from(patch) };
    if !current.is_object() {
        *current = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(current.as_object_mut().unwrap().remove(key)),
            value => merge(&mut current[key], value),
        }
    }
}

fn limits() -> Limits {
    Limits {
        rolling: false,
        held: Box::new(|| None),
        seen: true,
        restarted: BTreeSet::new(),
        margin: Duration::ZERO,
        until: Instant::now() + HOUR,
    }
}

fn max_connections(number: &str) -> Desired {
    let parts = json!({"loop_wait": 0, "postgresql": {"parameters": {"max_connections": number}}});
    Desired { parts, complete: true, ..Desired::default() }
}

fn cluster() -> FakePatroni {
    FakePatroni::new(max_connections("100").parts)
}

fn done() -> Configured {
    Configured { seen: true, ..Configured::default() }
}

/// The changes that take a member down.
fn restarts(fake: &FakePatroni) -> Vec<String> {
    fake.changes().into_iter().filter(|change| !change.starts_with("patch")).collect()
}

#[tokio::test]
async fn replicas_are_restarted_before_the_leader_hands_over_and_the_leader_first_if_a_limit_is_lowered() {
    let fake = cluster();
    assert_eq!(fake.run(&max_connections("200"), &limits()).await.unwrap(), done());
    assert_eq!(restarts(&fake), ["restart c-1", "restart c-2", "switchover c-1"]);
    assert_eq!(fake.run(&max_connections("50"), &limits()).await.unwrap(), done());
    assert_eq!(restarts(&fake), ["restart c-1", "restart c-0", "restart c-2"]);
}

#[tokio::test]
async fn a_run_that_is_cut_off_after_any_of_its_changes_is_continued_by_the_next() {
    for answers in 0..4 {
        let fake = cluster();
        fake.with(|cluster| cluster.answers = answers);
        let error = fake.run(&max_connections("200"), &limits()).await.unwrap_err();
        assert!(error.is_passing(), "{error}");
        fake.with(|cluster| cluster.answers = usize::MAX);
        // Another operator goes on, which knows nothing of the first run.
        let unknown = Limits { seen: false, ..limits() };
        assert_eq!(fake.run(&max_connections("200"), &unknown).await.unwrap(), done());
        let changes = fake.changes();
        assert_eq!(changes.iter().filter(|change| change.starts_with("patch")).count(), 1, "{answers}: {changes:?}");
        assert_eq!(changes[1..], ["restart c-1", "restart c-2", "switchover c-1"], "{answers}");
        assert!(fake.with(|cluster| cluster.pending.is_empty()));
    }
}

#[tokio::test]
async fn a_restart_that_fails_is_an_error_and_is_owed_still() {
    let fake = cluster();
    fake.with(|cluster| cluster.broken.insert("c-2".into()));
    let error = fake.run(&max_connections("200"), &limits()).await.unwrap_err();
    assert_eq!(error.category(), "refused");
    assert_eq!(restarts(&fake), ["restart c-1", "restart c-2"], "the leader stays");
    fake.with(|cluster| cluster.broken.clear());
    assert_eq!(fake.run(&max_connections("200"), &limits()).await.unwrap(), done());
    assert_eq!(restarts(&fake), ["restart c-2", "switchover c-1"]);
}

#[tokio::test]
async fn restarts_that_others_owe_are_done_too() {
    let fake = cluster();
    fake.with(|cluster| cluster.pending.insert("c-1".into()));
    assert_eq!(fake.run(&max_connections("100"), &limits()).await.unwrap(), done());
    assert_eq!(fake.changes(), ["restart c-1"]);
}

#[tokio::test]
async fn nothing_is_restarted_while_patroni_is_paused_or_the_reconcile_holds_it_or_the_time_is_over() {
    let reason = "c-1 waits for a restart: a window";
    let held = Limits { held: Box::new(|| Some("a window".into())), ..limits() };
    let short = Limits { until: Instant::now(), ..limits() };
    for (paused, limits, reason) in [
        (true, limits(), "members wait for a restart: Patroni is paused"),
        (false, held, reason),
        (false, short, "c-1 waits for a restart: the time for this run is over, the next one goes on"),
    ] {
        let fake = cluster();
        fake.with(|cluster| cluster.paused = paused);
        let configured = fake.run(&max_connections("200"), &limits).await.unwrap();
        assert_eq!(configured.restarts, Restarts::Wait(reason.into()));
        assert_eq!(restarts(&fake), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn a_member_that_waits_after_its_restart_is_reported_and_restarted_again_only_after_another_change() {
    let fake = cluster();
    fake.with(|cluster| cluster.stubborn.insert("c-2".into()));
    let first = fake.run(&max_connections("200"), &limits()).await.unwrap();
    assert_eq!(first.restarts, Restarts::Stuck(BTreeSet::from(["c-2".into()])));
    assert_eq!(restarts(&fake), ["restart c-1", "restart c-2", "switchover c-1"]);
    let again = || Limits { restarted: first.still_pending(), ..limits() };
    assert_eq!(fake.run(&max_connections("200"), &again()).await.unwrap(), first);
    assert_eq!(restarts(&fake), [] as [&str; 0]);
    fake.run(&max_connections("300"), &again()).await.unwrap();
    assert!(restarts(&fake).contains(&"restart c-2".to_owned()));
}

#[tokio::test]
async fn during_a_rolling_update_the_configuration_is_changed_and_the_run_ends_at_once_and_is_not_done() {
    let fake = FakePatroni::new(json!({"loop_wait": 100}));
    let mut desired = max_connections("200");
    desired.parts["loop_wait"] = json!(100);
    let begun = Instant::now();
    let configured = fake.run(&desired, &Limits { rolling: true, ..limits() }).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(50));
    let reason = "members may wait for a restart: the rolling update comes first";
    let expected = Configured { restarts: Restarts::Wait(reason.into()), seen: false, ..Configured::default() };
    assert_eq!(configured, expected);
    assert_eq!((fake.changes().len(), fake.with(|cluster| cluster.pending.len())), (1, 3));
}

#[tokio::test]
async fn no_member_is_restarted_while_the_member_of_another_pod_is_missing() {
    let fake = cluster();
    fake.with(|cluster| cluster.unknown.insert("c-2".into()));
    let configured = fake.run(&max_connections("200"), &limits()).await.unwrap();
    let reason = "c-1 waits for a restart: c-2 is not a member yet";
    assert_eq!((configured.restarts, restarts(&fake)), (Restarts::Wait(reason.into()), vec![]));
}

#[tokio::test]
async fn a_leader_whose_switchover_is_refused_is_not_restarted() {
    let fake = cluster();
    fake.with(|cluster| cluster.keeps_leader = true);
    let configured = fake.run(&max_connections("200"), &limits()).await.unwrap();
    assert!(matches!(configured.restarts, Restarts::Wait(reason) if reason.contains("the candidate lags")));
    assert_eq!(restarts(&fake), ["restart c-1", "restart c-2", "switchover c-1"]);
    fake.with(|cluster| cluster.keeps_leader = false);
    assert_eq!(fake.run(&max_connections("200"), &limits()).await.unwrap(), done());
    assert_eq!(restarts(&fake), ["switchover c-1"]);
}

#[tokio::test]
async fn a_patroni_of_another_cluster_is_not_even_asked_what_is_to_be_done() {
    let fake = cluster();
    let other = fake.patroni("c-0").of_cluster("d");
    let error = configure(&other, &[], &max_connections("200"), &limits()).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(fake.changes(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_slot_that_left_the_manifest_is_removed_although_the_operator_was_restarted() {
    let fake = cluster();
    let with = |slots: Value| {
        let mut desired = max_connections("100");
        desired.parts["slots"] = slots;
        desired
    };
    fake.with(|cluster| cluster.configuration["slots"] = json!({"theirs": {"type": "physical"}}));
    fake.run(&with(json!({"ours": {"type": "physical"}})), &limits()).await.unwrap();
    fake.run(&max_connections("100"), &limits()).await.unwrap();
    let slots = fake.with(|cluster| cluster.configuration["slots"].clone());
    assert_eq!(slots, json!({"theirs": {"type": "physical"}}));
}

#[tokio::test]
async fn a_standby_that_its_manifest_does_not_name_is_reported_and_left_alone() {
    let mut configuration = max_connections("100").parts;
    configuration["standby_cluster"] = json!({"host": "h"});
    let fake = FakePatroni::new(configuration);
    let desired = Desired { may_promote: true, ..max_connections("100") };
    assert_eq!(fake.run(&desired, &limits()).await.unwrap(), Configured { follows: true, standby: true, ..done() });
    assert_eq!(fake.changes(), [] as [&str; 0]);
}

#[tokio::test]
async fn whether_a_cluster_follows_another_one_is_what_patroni_says() {
    for (section, follows) in [(Value::Null, false), (json!({"host": "h"}), true)] {
        let mut configuration = max_connections("100").parts;
        configuration["standby_cluster"] = section;
        let fake = FakePatroni::new(configuration);
        let desired = Desired { standby: true, ..max_connections("100") };
        assert_eq!(fake.run(&desired, &limits()).await.unwrap(), Configured { follows, ..done() });
    }
}
