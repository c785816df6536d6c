//! Promises about upgrades to another major version, with a scripted Patroni and a scripted script.

use pgloom_api::Privilege;
use pgloom_decide::major_upgrade::CONDITION;

use super::*;
use crate::execute::command::{self, Commands, Container, Output};
use crate::testing::Write;

/// A pod in which the upgrade ends like this; what was run there.
struct Scripted(&'static str, Mutex<Vec<String>>);

impl Commands for Scripted {
    fn run<'a>(
        &'a self,
        container: &'a Container,
        command: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Output, command::Error>> {
        self.1.lock().push(format!("{} {}: {}", container.pod, container.name, command[2]));
        async { Ok(Output { text: self.0.to_owned(), errors: String::new(), code: 0 }) }.boxed()
    }
}

impl Scripted {
    /// How often the upgrade was started, and how.
    fn starts(&self) -> usize {
        let starts = self.1.lock();
        starts.iter().filter(|run| run.contains("/usr/bin/python3 /scripts/inplace_upgrade.py 2 ")).count()
    }
}

fn asking_for_18() -> Value {
    let mut template = template("1", "1");
    template["spec"]["containers"][0]["env"] = json!([{"name": "PGVERSION", "value": "18"}]);
    template
}

fn objects() -> [Value; 4] {
    let mut manifest = manifest();
    manifest["metadata"]["finalizers"] = json!([FINALIZER]);
    let one = |ordinal, role| pod(ordinal, role, asking_for_18(), "new");
    [manifest, existing(2, asking_for_18()), one(0, "master"), one(1, "replica")]
}

/// Two members that run data of this server.
fn members(server: u64) -> Arc<Script> {
    let state = json!({"state": "running", "role": "primary", "server_version": server});
    patronis(0, &["running", "streaming"]).with("0 GET /patroni", 200, state)
}

/// A pipeline whose only step makes the StatefulSet and may have clusters upgraded.
fn upgrading() -> Arc<Pipeline> {
    let set = desired(2, asking_for_18());
    let privilege = |name: Privilege| PrivilegePermission { name: name.name().into(), optional: false };
    let description = Description {
        name: "making".into(),
        objects: vec![ObjectPermission::creates(ObjectKind::new("apps/v1", "StatefulSet"), &["*"])],
        privileges: vec![privilege(Privilege::ServiceAccount), privilege(Privilege::MajorUpgrade)],
        ..Description::default()
    };
    let response = Response {
        contributions: vec![Contribution::Apply(set.to_string())],
        actions: vec![],
        findings: vec![],
        conditions: vec![],
    };
    Arc::new(Pipeline::of(vec![Arc::new(Plugin::native(description, move |_| Ok(response.clone())))]).unwrap())
}

fn operator_of(
    api_server: &FakeApiServer,
    patroni: &Arc<Script>,
    script: &Arc<Scripted>,
    pipeline: Arc<Pipeline>,
    mode: &str,
) -> Context {
    let settings = json!({"major_version_upgrade_mode": mode});
    let mut operator = with(api_server, &objects(), pipeline, patroni, settings);
    operator.commands = script.clone();
    operator
}

fn script(end: &'static str) -> Arc<Scripted> {
    Arc::new(Scripted(end, Mutex::default()))
}

async fn ended(operator: &Context) {
    let state = operator.states.of(&key());
    for _ in 0..1000 {
        if !state.upgrade.is_running() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the job did not end");
}

/// The annotations that were written, one map.
fn annotations(api_server: &FakeApiServer) -> Value {
    let mut all = json!({});
    for write in api_server.writes().iter().filter(|write| write.path == MANIFEST) {
        for (key, value) in write.body["metadata"]["annotations"].as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
    }
    all
}

/// The watch reports what was written to the manifest.
fn watched(operator: &Context, api_server: &FakeApiServer) {
    let mut manifest = operator.store.manifest(&key()).unwrap().object();
    let mut status = serde_json::Map::new();
    for write in api_server.writes().iter().filter(|write| write.path == STATUS) {
        status.extend(write.body["status"].as_object().cloned().unwrap_or_default());
    }
    // The fake API server does not answer with the manifest, so the report writes what it still has in the cache.
    if end_is_recorded(api_server) {
        status.remove("majorUpgrade");
    }
    status.retain(|_, value| !value.is_null());
    manifest["status"] = json!(status);
    let written = annotations(api_server);
    let set = written.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    manifest["metadata"]["annotations"] =
        json!(set.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>());
    manifest["metadata"]["resourceVersion"] = json!((api_server.writes().len() + 10).to_string());
    operator.store.record_write(manifest);
}

/// Whether the record was taken away.
fn end_is_recorded(api_server: &FakeApiServer) -> bool {
    let writes = api_server.writes();
    let mut of_status = writes.iter().filter(|write| write.path == STATUS);
    of_status.any(|write| write.body["status"].get("majorUpgrade") == Some(&Value::Null))
}

/// The condition as it was written last.
fn told(api_server: &FakeApiServer) -> Value {
    let writes = api_server.writes();
    let lists = writes
        .iter()
        .filter(|write| write.path == STATUS)
        .filter_map(|write| write.body["status"]["conditions"].as_array());
    let is_it = |condition: &&Value| condition["type"] == CONDITION;
    lists.filter_map(|list| list.iter().find(is_it)).next_back().cloned().unwrap_or_default()
}

/// The values of the label that protects pods, as they were written, with the pod.
fn protection(api_server: &FakeApiServer) -> Vec<(String, Value)> {
    let writes = api_server.writes();
    let of_label = |write: &Write| Some(write.body["metadata"]["labels"].get("critical-operation")?.clone());
    let pod = |write: &Write| write.path.rsplit('/').next().unwrap_or_default().to_owned();
    writes.iter().filter_map(|write| Some((pod(write), of_label(write)?))).collect()
}

fn record(api_server: &FakeApiServer) -> Value {
    let records = api_server.writes();
    let mut records =
        records.iter().filter(|write| write.path == STATUS && write.body["status"].get("majorUpgrade").is_some());
    records.next_back().map(|write| write.body["status"]["majorUpgrade"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn an_upgrade_is_recorded_before_it_begins_and_its_end_by_the_version_of_the_data() {
    let (api_server, patroni, script) = (api_server(&objects()), members(150_018), script("0\nthe cluster runs 18"));
    let operator = operator_of(&api_server, &patroni, &script, upgrading(), "manual");
    reconcile(&operator, &key()).await.unwrap();
    let record_of = record(&api_server);
    assert_eq!(
        (&record_of["from"], &record_of["to"], &record_of["pod"]),
        (&json!("15"), &json!("18"), &json!("acid-orders-0"))
    );
    assert_eq!(annotations(&api_server)["pgloom.dev/data-version"], "15");
    ended(&operator).await;
    watched(&operator, &api_server);
    _ = patroni.clone().with(
        "0 GET /patroni",
        200,
        json!({"state": "running", "role": "primary", "server_version": 180_004}),
    );
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(script.starts(), 1);
    assert_eq!(condition(&api_server, CONDITION)["reason"], "UpToDate");
    let annotations = annotations(&api_server);
    assert!(annotations["last-major-upgrade-success"].is_string(), "{annotations}");
    assert_eq!(annotations["pgloom.dev/data-version"], Value::Null);
    assert!(end_is_recorded(&api_server));
}

#[tokio::test]
async fn an_operator_that_starts_while_an_upgrade_runs_waits_for_its_end_and_takes_no_member_down() {
    let mut objects = objects();
    objects[0]["status"] = json!({"PostgresClusterStatus": "Running", "majorUpgrade": {
        "from": "15", "to": "18", "pod": "acid-orders-0", "uid": "uid-0", "members": 2, "since": "2031-05-12T12:00:00Z"}});
    let (api_server, patroni, script) = (api_server(&objects), members(150_018), script("running"));
    let mut operator = with(&api_server, &objects, upgrading(), &patroni, json!({"major_version_upgrade_mode": "off"}));
    operator.commands = script.clone();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(condition(&api_server, CONDITION)["reason"], "Running");
    assert_eq!(last_status(&api_server)["PostgresClusterStatus"], "Updating");
    // The id is the time of the record, by which the pod knows that the upgrade was started.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(script.1.lock().iter().any(|run| run.contains("!= 1936353600 ]")), "{:?}", script.1.lock());
    assert_eq!(writes_to(&api_server, "DELETE"), [] as [&str; 0]);
}

#[tokio::test]
async fn pods_are_kept_from_being_evicted_from_before_an_upgrade_begins_until_its_end() {
    let (api_server, patroni, script) = (api_server(&objects()), members(150_018), script("1\nfailed: aclitem"));
    let operator = operator_of(&api_server, &patroni, &script, upgrading(), "full");
    reconcile(&operator, &key()).await.unwrap();
    let labelled = ["acid-orders-0", "acid-orders-1"].map(|pod| (pod.to_owned(), json!("true")));
    assert_eq!(protection(&api_server), labelled);
    ended(&operator).await;
    watched(&operator, &api_server);
    for (ordinal, role) in [(0, "master"), (1, "replica")] {
        let mut pod = pod(ordinal, role, asking_for_18(), "new");
        pod["metadata"]["labels"]["critical-operation"] = json!("true");
        pod["metadata"]["resourceVersion"] = json!("1000");
        operator.store.record_write(pod);
    }
    reconcile(&operator, &key()).await.unwrap();
    let freed = ["acid-orders-0", "acid-orders-1"].map(|pod| (pod.to_owned(), Value::Null));
    assert_eq!(protection(&api_server)[2..], freed);
}

#[tokio::test]
async fn an_upgrade_that_fails_is_told_with_its_reason_and_not_tried_again_while_the_annotation_is_there() {
    let (api_server, patroni, script) = (api_server(&objects()), members(150_018), script("1\nfailed: aclitem"));
    let operator = operator_of(&api_server, &patroni, &script, upgrading(), "full");
    for _ in 0..3 {
        reconcile(&operator, &key()).await.unwrap();
        ended(&operator).await;
        watched(&operator, &api_server);
    }
    assert_eq!(script.starts(), 1);
    let told = told(&api_server);
    assert_eq!((&told["status"], &told["reason"]), (&json!("False"), &json!("Failed")));
    assert!(told["message"].as_str().unwrap().contains("as before: failed: aclitem"), "{told}");
    assert!(annotations(&api_server)["last-major-upgrade-failure"].is_string());
    let events: Vec<Value> = api_server
        .writes()
        .iter()
        .filter(|write| write.path.ends_with("/events"))
        .map(|write| write.body.clone())
        .collect();
    let failed = |event: &&Value| event["type"] == "Warning" && event["reason"] == "Major Version Upgrade";
    assert_eq!(events.iter().filter(failed).count(), 1, "{events:?}");
}

#[tokio::test]
async fn nothing_is_run_where_the_mode_is_off_or_no_step_has_the_privilege() {
    for (pipeline, mode, reason) in
        [(upgrading(), "off", None), (makes(&desired(2, asking_for_18()), None), "manual", Some("NotGranted"))]
    {
        let (api_server, patroni, script) = (api_server(&objects()), members(150_018), script("0\n"));
        reconcile(&operator_of(&api_server, &patroni, &script, pipeline, mode), &key()).await.unwrap();
        assert_eq!(condition(&api_server, CONDITION)["reason"].as_str(), reason);
        assert_eq!((script.1.lock().len(), record(&api_server)), (0, Value::Null));
    }
}
