//! Promises about a pipeline that reaches the clusters in stages.

mod health;
mod leader;

use std::collections::BTreeMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use pgloom_api::pipeline::RolloutPhase;
use pgloom_decide::fleet::{Before, Cluster, Seen, Stage};
use pgloom_decide::impact::{Impact, Restart, Verdict};
use pgloom_engine::{Description, ObjectRef, Plugin, Response};
use tokio::time::Instant;

use super::*;

/// Clusters as the test wants them.
struct FakeFleet {
    clusters: Vec<(ClusterKey, Cluster)>,
    /// Why these may not be all.
    unlisted: Mutex<Option<String>>,
    /// The pods of each cluster that restart.
    restarts: Option<u64>,
    /// How a cluster is before it gets the new pipeline; well if it is not here.
    before: Mutex<BTreeMap<String, Before>>,
    /// How often a cluster was looked at.
    looks: Mutex<usize>,
    /// Whether a look never ends.
    hangs: Mutex<bool>,
    /// How a cluster is, by `namespace/name`; well if it is not here.
    seen: Mutex<BTreeMap<String, Seen>>,
}

fn well() -> Seen {
    Seen { ready: 2, wanted: 2, reconciled: true, settled: true, ..Seen::default() }
}

impl FakeFleet {
    /// `acid-canary` with a label, `acid-a` whose place is 43 of 100, and `acid-b` whose place is 9.
    fn new() -> Self {
        Self::of(["acid-canary", "acid-a", "acid-b"].map(str::to_owned))
    }

    fn of(names: impl IntoIterator<Item = String>) -> Self {
        let of = |name: String| {
            let labels = BTreeMap::from([("tier".to_owned(), name.trim_start_matches("acid-").to_owned())]);
            (ClusterKey::new("ns", &name), Cluster { namespace: "ns".into(), name, labels })
        };
        Self {
            clusters: names.into_iter().map(of).collect(),
            unlisted: Mutex::default(),
            restarts: None,
            before: Mutex::default(),
            looks: Mutex::default(),
            hangs: Mutex::default(),
            seen: Mutex::default(),
        }
    }
}

impl FakeFleet {
    /// The same clusters, for another operator.
    fn again(&self) -> Self {
        Self { clusters: self.clusters.clone(), restarts: self.restarts, ..Self::new() }
    }

    /// How a cluster is before it gets the new pipeline.
    fn was(&self, name: &str, before: Before) {
        self.before.lock().insert(format!("ns/{name}"), before);
    }
}

impl Fleet for FakeFleet {
    fn clusters(&self) -> Known {
        let unlisted = self.unlisted.lock().clone();
        Known { clusters: self.clusters.clone(), unlisted }
    }

    fn impact<'a>(&'a self, key: &'a ClusterKey, _: &'a Settings, _: &'a Settings) -> BoxFuture<'a, Option<Impact>> {
        let object =
            || ObjectRef { api_version: "apps/v1".into(), kind: "StatefulSet".into(), name: key.name.to_string() };
        let restart = |pods| Restart {
            object: object(),
            pods: Some(pods),
            database: true,
            field: "spec.containers".into(),
            steps: vec!["one".into()],
            outdated: false,
        };
        let impact = Impact {
            cluster: key.to_string(),
            verdict: if self.restarts.is_some() { Verdict::Restarts } else { Verdict::Changes },
            objects: Vec::new(),
            restarts: self.restarts.map(restart).into_iter().collect(),
            outdated: None,
            foreign: Vec::new(),
            refused_now: None,
            refused_then: None,
        };
        async move { Some(impact) }.boxed()
    }

    fn before(&self, key: &ClusterKey, _: &Settings) -> Option<Before> {
        let well = Before { ready: 2, wanted: 2, failing: false };
        Some(self.before.lock().get(&key.to_string()).copied().unwrap_or(well))
    }

    fn seen<'a>(&'a self, key: &'a ClusterKey, _: &'a Settings, _: &'a Settings) -> BoxFuture<'a, Option<Seen>> {
        *self.looks.lock() += 1;
        let seen = self.seen.lock().get(&key.to_string()).cloned().unwrap_or_else(well);
        match *self.hangs.lock() {
            true => futures::future::pending().boxed(),
            false => async move { Some(seen) }.boxed(),
        }
    }
}

fn path() -> String {
    format!("{PIPELINES}/default")
}

/// A Pipeline object of one step. Another version is another pipeline.
fn document(generation: i64, version: i64, rollout: Value) -> Found {
    let step = json!({"name": "one", "source": {"file": "one.wasm"}, "config": {"version": version}});
    let mut document = json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": "default", "namespace": "ns", "uid": "u", "generation": generation},
        "spec": {"steps": [step]},
    });
    if !rollout.is_null() {
        document["spec"]["rollout"] = rollout;
    }
    Found { name: "Pipeline ns/default".into(), document }
}

fn staged() -> Value {
    json!({"canary": {"selector": {"matchLabels": {"tier": "canary"}}}, "percentages": [10], "soak": "60s",
        "readyDeadline": "60s"})
}

/// The pipeline of a document.
fn of_document(found: &Found) -> Pipeline {
    pipeline().with_identity(progress::identity(&found.document, &pipeline()))
}

fn pipeline() -> Pipeline {
    let description = Description { name: "one".into(), version: "1.2.3".into(), ..Description::default() };
    Pipeline::of(vec![Arc::new(Plugin::native(description, |_| Ok(Response::default())))]).unwrap()
}

/// A replica of the operator.
struct Replica {
    api_server: FakeApiServer,
    loader: Loader,
    lead: watch::Sender<bool>,
    progress: Progress,
    settings: watch::Sender<Settings>,
    fleet: Arc<FakeFleet>,
    time: Instant,
}

impl Replica {
    /// One that has the pipeline of the first version.
    fn new(api_server: &FakeApiServer, fleet: &Arc<FakeFleet>) -> Self {
        let mut loader = loader_of_object(api_server);
        let (lead, leading) = watch::channel(false);
        loader.leading = leading;
        let stable = Arc::new(of_document(&document(1, 1, json!(null))));
        let mut progress = Progress::default();
        progress.succeeded(document(1, 1, json!(null)), &stable, None, "2026-01-01T00:00:00Z".parse().unwrap());
        let settings = Settings::of(Arc::new(Config::defaults()), stable);
        let settings = watch::channel(Settings { candidate: Some(Candidate::unknown()), ..settings }).0;
        Self {
            api_server: api_server.clone(),
            loader,
            lead,
            progress,
            settings,
            fleet: fleet.clone(),
            time: Instant::now(),
        }
    }

    async fn leads(mut self) -> Self {
        self.lead.send_replace(true);
        self.loader.find_rollout(&mut self.progress, &self.settings).await;
        self.report().await;
        self
    }

    /// A pipeline was loaded.
    fn takes(&mut self, generation: i64, version: i64, rollout: Value) {
        let found = document(generation, version, rollout);
        let mut object = found.document.clone();
        object["status"] = self.status();
        self.api_server.put(&path(), object);
        let pipeline = of_document(&found);
        self.loader.arrived(found, pipeline, &mut self.progress, &self.settings);
        self.check();
    }

    fn status(&self) -> Value {
        self.api_server.object(&format!("{}/status", path())).unwrap_or_default()["status"].clone()
    }

    /// Writes the status, which the API server then returns with the object.
    async fn report(&mut self) {
        let stable = self.settings.borrow().pipeline.clone();
        self.loader.report_pipeline(&mut self.progress, &stable).await;
        let mut object = self.api_server.object(&path()).unwrap();
        object["status"] = self.status();
        self.api_server.put(&path(), object);
    }

    /// Lets some time pass, as the loop of the settings does.
    /// Returns how many times all clusters are reconciled.
    async fn runs(&mut self, seconds: u64) -> usize {
        let fleet: Arc<dyn Fleet> = self.fleet.clone();
        let mut reconciles = 0;
        for _ in 0..seconds {
            let moves = self.loader.advance(&mut self.progress, &self.settings, &fleet, self.time).await;
            reconciles += usize::from(moves);
            self.check();
            self.report().await;
            self.time += Duration::from_secs(1);
            // The clusters are compared by a task of its own.
            tokio::task::yield_now().await;
        }
        reconciles
    }

    /// No cluster that is not of the stage in the status has the new pipeline.
    fn check(&self) {
        let status = self.status();
        let stage = status["rollout"]["stage"].as_str().and_then(Stage::parse);
        let complete = status["rollout"]["phase"] == "Complete";
        let canary = self.fleet.clusters.first().map(|(_, cluster)| cluster.name.clone());
        for name in self.with_the_new_one() {
            let (_, cluster) = self.fleet.clusters.iter().find(|(_, cluster)| cluster.name == name).unwrap();
            let of_stage = stage.is_some_and(|stage| stage.covers(None, cluster) || canary.as_ref() == Some(&name));
            assert!(complete || of_stage, "{name} is ahead of {}", status["rollout"]);
        }
    }

    /// The clusters that are decided by the new pipeline while it is rolled out.
    fn with_the_new_one(&self) -> Vec<String> {
        let settings = self.settings.borrow();
        let has = |cluster: &&Cluster| settings.for_cluster(cluster).is_some_and(|settings| settings.is_on_trial());
        let clusters = self.fleet.clusters.iter().map(|(_, cluster)| cluster);
        clusters.filter(has).map(|cluster| cluster.name.clone()).collect()
    }

    /// The number of clusters that are not decided.
    fn waiting(&self) -> usize {
        let settings = self.settings.borrow();
        self.fleet.clusters.iter().filter(|(_, cluster)| settings.for_cluster(cluster).is_none()).count()
    }

    fn rollout(&self) -> (String, Value, Value) {
        let rollout = self.status()["rollout"].clone();
        (
            rollout["phase"].as_str().unwrap_or_default().to_owned(),
            rollout["stage"].clone(),
            rollout["clusters"].clone(),
        )
    }

    fn condition(&self) -> (String, String) {
        let condition = self.status()["conditions"][0].clone();
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }

    /// How a cluster is from now on.
    fn is(&self, name: &str, seen: Seen) {
        self.fleet.seen.lock().insert(format!("ns/{name}"), seen);
    }

    fn fails(&self, cluster: &str, failure: &str) {
        let seen = Seen { failure: Some(failure.to_owned()), settled: false, ..well() };
        self.fleet.seen.lock().insert(cluster.to_owned(), seen);
    }

    fn events(&self) -> Vec<String> {
        let notes = self.api_server.writes().into_iter().filter(|write| write.path.ends_with("/events"));
        notes.map(|write| write.body["note"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn api_server() -> FakeApiServer {
    FakeApiServer::new().with(&path(), document(1, 1, json!(null)).document)
}

fn at(phase: &str, stage: Value, clusters: &str) -> (String, Value, Value) {
    (phase.to_owned(), stage, json!(clusters))
}

/// A leader that rolls out the second version, at its canary.
async fn at_the_canary(api_server: &FakeApiServer, fleet: FakeFleet) -> Replica {
    let mut replica = Replica::new(api_server, &Arc::new(fleet)).leads().await;
    replica.takes(2, 2, staged());
    replica.runs(4).await;
    replica
}

/// A document that is wanted, and cannot be loaded.
fn cannot_be_loaded(replica: &mut Replica, wanted: Found) {
    replica.progress.begun(Some(wanted.clone()), Timestamp::now());
    replica.progress.failed(Some(wanted), &Error::Missing("one.wasm".into()));
}

#[tokio::test]
async fn a_new_pipeline_reaches_the_canary_then_the_percentages_and_at_last_all_clusters() {
    let api_server = api_server();
    let mut replica = at_the_canary(&api_server, FakeFleet::new()).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("canary"), "1/3"));
    assert_eq!(replica.with_the_new_one(), ["acid-canary"]);
    let (reason, message) = replica.condition();
    assert_eq!(reason, "Progressing");
    assert!(message.ends_with("the pipeline of generation 1 stays in use for the other clusters"), "{message}");
    assert_eq!(replica.status()["lastLoaded"]["generation"], 1);
    assert_eq!(replica.status()["rollout"]["impact"]["changed"], 3);
    replica.runs(50).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("canary"), "1/3"));
    replica.runs(20).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("10%"), "2/3"));
    assert_eq!(replica.with_the_new_one(), ["acid-canary", "acid-b"]);
    replica.runs(66).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("100%"), "3/3"));
    replica.runs(66).await;
    assert_eq!(replica.rollout(), at("Complete", json!(null), "3/3"));
    assert_eq!(replica.status()["lastLoaded"]["generation"], 2);
    assert_eq!(replica.condition().0, "Loaded");
    assert!(replica.settings.borrow().candidate.is_none());
    let stages: Vec<String> = replica.events().iter().map(|note| note.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        stages,
        [
            "Progressing, canary, 1/3 clusters, generation 2",
            "Progressing, 10%, 2/3 clusters, generation 2",
            "Progressing, 100%, 3/3 clusters, generation 2",
            "Complete, 3/3 clusters, generation 2"
        ]
    );
}

#[tokio::test]
async fn a_pipeline_that_restarts_more_pods_than_it_may_is_not_used_for_any_cluster() {
    let fleet = FakeFleet { restarts: Some(2), ..FakeFleet::new() };
    let mut replica = Replica::new(&api_server(), &Arc::new(fleet)).leads().await;
    replica.takes(2, 2, json!({"maxRestarts": 5}));
    replica.runs(4).await;
    assert_eq!(replica.rollout(), at("Refused", json!(null), "0/3"));
    let (reason, message) = replica.condition();
    assert_eq!(reason, "TooManyRestarts");
    assert!(message.starts_with("it would restart 6 pods, and spec.rollout.maxRestarts is 5: first of "), "{message}");
    assert_eq!(replica.status()["rollout"]["impact"]["restarts"], 6);
    replica.takes(3, 2, json!({"maxRestarts": 6, "soak": "1s"}));
    replica.runs(10).await;
    assert_eq!(replica.rollout().0, "Complete");
}

#[tokio::test]
async fn without_stages_a_new_pipeline_is_compared_and_then_used_for_all_clusters() {
    let mut replica = Replica::new(&api_server(), &Arc::new(FakeFleet::new())).leads().await;
    replica.takes(2, 2, json!(null));
    assert_eq!((replica.with_the_new_one(), replica.waiting()), (vec![], 0));
    replica.runs(4).await;
    assert_eq!(replica.rollout(), at("Complete", json!(null), "3/3"));
    assert_eq!(replica.status()["rollout"]["impact"]["changed"], 3);
    assert_eq!(replica.status()["lastLoaded"]["generation"], 2);
}

#[tokio::test]
async fn a_stage_whose_status_cannot_be_written_does_not_begin() {
    let api_server = api_server();
    let mut replica = Replica::new(&api_server, &Arc::new(FakeFleet::new())).leads().await;
    replica.takes(2, 2, staged());
    replica.runs(1).await;
    let refusing = api_server.clone().refusing_because(&format!("{}/status", path()), 500, "no");
    replica.runs(20).await;
    assert_eq!(replica.with_the_new_one(), [] as [String; 0]);
    drop(refusing);
}

#[tokio::test]
async fn a_rollout_that_is_paused_stays_at_its_stage_and_one_that_waits_for_a_newer_document_too() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    let mut paused = staged();
    paused["paused"] = json!(true);
    replica.takes(3, 2, paused);
    replica.runs(100).await;
    assert_eq!(replica.rollout(), at("Paused", json!("canary"), "1/3"));
    replica.takes(4, 2, staged());
    replica.progress.begun(Some(document(5, 3, staged())), Timestamp::now());
    replica.runs(100).await;
    assert_eq!(replica.rollout(), at("Paused", json!("canary"), "1/3"));
    replica.takes(5, 3, staged());
    assert_eq!(replica.with_the_new_one(), [] as [String; 0]);
    replica.runs(4).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("canary"), "1/3"));
    assert_eq!(replica.status()["rollout"]["generation"], 5);
}

#[tokio::test]
async fn without_its_stages_a_pipeline_that_is_rolled_out_is_used_for_all_clusters() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    replica.takes(3, 2, json!(null));
    replica.runs(4).await;
    assert_eq!(replica.rollout(), at("Complete", json!(null), "3/3"));
    assert_eq!(replica.status()["lastLoaded"]["generation"], 3);
}

#[tokio::test]
async fn a_document_that_is_what_all_clusters_have_ends_the_rollout_of_another_one() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    replica.takes(3, 1, staged());
    replica.runs(2).await;
    assert_eq!((replica.rollout().0, replica.with_the_new_one()), ("Complete".to_owned(), vec![]));
    assert_eq!(replica.progress.rollout.as_ref().unwrap().phase, RolloutPhase::Complete);
}

#[tokio::test]
async fn a_file_cannot_be_rolled_out_in_stages() {
    let found = document(1, 1, staged());
    let error = loader(&FakeApiServer::new()).load(&found, None).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("spec.rollout: a file has no status") && text.contains("--pipeline-object"), "{text}");
}

#[tokio::test]
async fn every_cluster_is_reconciled_when_a_stage_begins_and_when_the_rollout_ends() {
    let mut replica = Replica::new(&api_server(), &Arc::new(FakeFleet::new())).leads().await;
    replica.takes(2, 2, staged());
    assert_eq!(replica.runs(250).await, 4, "canary, 10%, 100% and the end");
    assert_eq!(replica.rollout().0, "Complete");
}

#[tokio::test]
async fn a_newer_document_that_cannot_be_loaded_is_not_taken_for_the_one_that_is_compared() {
    for rollout in [json!(null), staged()] {
        let mut replica = Replica::new(&api_server(), &Arc::new(FakeFleet::new())).leads().await;
        replica.takes(2, 2, rollout);
        replica.runs(1).await;
        cannot_be_loaded(&mut replica, document(3, 3, json!({"maxRestarts": 0})));
        replica.runs(20).await;
        assert_eq!((replica.rollout().0, replica.with_the_new_one()), ("Judging".to_owned(), vec![]));
        assert_eq!(replica.status()["lastLoaded"]["generation"], 1);
        assert_eq!(replica.condition().0, "Rejected");
        // It can be loaded now: it is compared as well, as it is.
        replica.takes(3, 3, json!({"maxRestarts": 0, "soak": "1s"}));
        assert_eq!(replica.with_the_new_one(), [] as [String; 0]);
        replica.runs(20).await;
        assert_eq!(replica.rollout().0, "Complete");
        assert_eq!(replica.status()["lastLoaded"]["generation"], 3);
        assert_eq!(replica.status()["lastLoaded"]["spec"]["steps"][0]["config"]["version"], 3);
    }
}

#[tokio::test]
async fn a_pipeline_is_not_compared_with_a_part_of_the_clusters_and_says_what_is_missing() {
    for rollout in [json!(null), json!({"maxRestarts": 0, "soak": "1s"})] {
        let fleet = FakeFleet::new();
        let missing = "not all clusters are known: namespace b not listed yet";
        *fleet.unlisted.lock() = Some(missing.to_owned());
        let mut replica = Replica::new(&api_server(), &Arc::new(fleet)).leads().await;
        replica.takes(2, 2, rollout);
        replica.runs(10).await;
        assert_eq!((replica.rollout().0, replica.with_the_new_one()), ("Judging".to_owned(), vec![]));
        assert!(replica.condition().1.starts_with(missing), "{:?}", replica.condition());
        *replica.fleet.unlisted.lock() = None;
        replica.runs(20).await;
        assert_eq!(replica.rollout().0, "Complete");
    }
}

#[tokio::test]
async fn a_pipeline_of_which_no_one_before_is_known_is_refused_with_a_limit_and_else_goes_through_its_stages() {
    let empty = || FakeFleet { clusters: vec![], ..FakeFleet::new() };
    for (fleet, rollout, phase) in [
        (FakeFleet::new(), json!({"maxRestarts": 0}), "Refused"),
        (FakeFleet::new(), staged(), "Progressing"),
        (empty(), json!({"maxRestarts": 0}), "Complete"),
    ] {
        for starts in [false, true] {
            let mut replica = Replica::new(&api_server(), &Arc::new(fleet.again()));
            replica.progress = Progress::default();
            let none = Arc::new(Pipeline::unavailable("none").unwrap());
            replica.settings.send_modify(|settings| settings.pipeline = none);
            if starts {
                let (found, new) = (document(2, 2, rollout.clone()), pipeline());
                match replica.loader.to_be_rolled_out(&found, &new, &mut replica.progress).await.unwrap() {
                    Some((before, candidate)) => replica
                        .settings
                        .send_modify(|settings| (settings.pipeline, settings.candidate) = (before, Some(candidate))),
                    None => replica.loader.succeeded(&mut replica.progress, found, &new),
                }
            }
            let mut replica = replica.leads().await;
            if !starts {
                replica.takes(2, 2, rollout.clone());
            }
            replica.runs(4).await;
            assert_eq!(replica.rollout().0, phase, "{rollout} {starts}");
        }
    }
}
