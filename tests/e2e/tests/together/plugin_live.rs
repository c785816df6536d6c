//! A plugin from an empty folder to clusters that run: begun by the tutorial's commands outside the repository, proven,
//! pushed to a registry, and rolled out in stages.

#[path = "../../../../host/registry/tests/server/mod.rs"]
mod server;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use e2e::{Namespace, Operator, ensure, eventually, has_cluster, kubeconfig, minimal, namespace, of_operator};
use serde_json::{Value, json};
use server::Server;

use super::outside::{self, Outside};

const ID: &str = "plugin-live";
/// The cluster that gets a new pipeline first, and the one that gets it last.
const CANARY: &str = "acid-canary";
const OTHER: &str = "acid-other";
/// What the tutorial's plugin makes of the annotation.
const MOTTO: &str = "on time";

#[test]
fn a_plugin_goes_from_an_empty_folder_through_the_registry_and_a_canary_to_all_clusters() {
    if !has_cluster("plugin-live") {
        return;
    }
    let begun = Instant::now();
    let say = |what: &str| println!("{:6.1} s from the empty folder to {what}", begun.elapsed().as_secs_f64());
    let (outside, registry) = (Outside::new(repository("dist/pgloom")), Server::start());
    outside.pgloom("", &["plugin", "new", "motto", "--sdk", &repository(".").display().to_string()]);
    outside.pgloom("motto", &["plugin", "build"]);
    let shipped = repository("dist/plugins/pipeline.yaml").display().to_string();
    outside.pgloom("motto", &["plugin", "run", "--pipeline", &shipped, "golden/annotated/manifest.yaml"]);
    say("the first render");
    outside.pgloom("motto", &["plugin", "test"]);
    outside
        .pgloom("motto", &["conformance", "dist/motto.wasm", "--pipeline", &shipped, "--report", "conformance.yaml"]);
    say("the report");
    let key = repository("host/registry/tests/keys/private.pem").display().to_string();
    let tag = format!("{}/motto:0.1.0", registry.address);
    let pushed = outside.pgloom("motto", &["plugin", "push", "dist/motto.wasm", &tag, "--sign-key", &key]);
    let reference = pushed.trim();
    assert!(reference.starts_with(&format!("{tag}@sha256:")), "{pushed}");

    let fleet = Fleet::start();
    let pods = fleet.pods();
    let step = step(&outside, "motto", reference);
    let rollout = json!({
        "canary": {"selector": {"matchLabels": {"stage": "canary"}}}, "soak": "5s", "maxRestarts": 0, "paused": true,
    });
    let mut wanted = fleet.spec(vec![step.clone()]);
    wanted["rollout"] = rollout.clone();
    fleet.want(&wanted);
    eventually("the canary has the plugin's object", || fleet.motto(CANARY));
    eventually("the rollout stays at the canary", || fleet.is_at("Paused", "canary", "1/2"));
    assert!(fleet.motto(OTHER).is_err(), "the other cluster has it too early");
    wanted["rollout"]["paused"] = json!(false);
    fleet.want(&wanted);
    eventually("all clusters have the plugin's object", || fleet.motto(OTHER));
    say("live");
    eventually("the rollout is complete", || ensure(fleet.rolled_out(), fleet.status()));
    let status = fleet.status();
    let impact = &status["rollout"]["impact"];
    assert_eq!((&impact["clusters"], &impact["changed"], &impact["restarts"]), (&json!(2), &json!(2), &json!(0)));

    // A step that refuses a cluster of the canary: the pipeline before is in use again.
    let mut strict = step.clone();
    strict["config"]["maxLength"] = json!(3);
    let mut wanted = fleet.spec(vec![strict]);
    wanted["rollout"] = json!({"canary": rollout["canary"], "soak": "5s"});
    fleet.want(&wanted);
    let message = fleet.refused("RolledBack");
    assert!(message.contains(CANARY) && message.contains("step motto") && message.contains("shorten it"), "{message}");
    fleet.namespace.running(CANARY);
    fleet.motto(CANARY).unwrap();
    let told = fleet.events(OTHER);
    assert!(!told.contains("shorten it"), "the pipeline that was rolled back reached the other cluster: {told}");

    // A pipeline that would restart pods is not let in.
    let mut wanted = fleet.spec(vec![step, without_links()]);
    wanted["rollout"] = json!({"maxRestarts": 0});
    fleet.want(&wanted);
    let message = fleet.refused("TooManyRestarts");
    assert!(message.contains("no-links") && message.contains("maxRestarts"), "{message}");
    assert_eq!(fleet.pods(), pods);

    let explained = fleet.pgloom(&outside, &["explain", &format!("ConfigMap/{CANARY}-motto"), ".data.text"]);
    assert!(explained.contains("step motto"), "{explained}");
    let difference = fleet.pgloom(&outside, &["diff"]);
    assert_eq!(difference, "2 clusters: 0 change, no pod restarts\n");
    let chapters =
        ["Judging", "Paused canary 1/2", "Progressing 100% 2/2", "Complete", "RolledBack", "TooManyRestarts"];
    eventually("the watch has told it", || ensure(in_order(&fleet.story(), &chapters), fleet.story()));
}

/// Whether a table has the texts one after the other, whatever the widths of its columns are.
fn in_order(table: &str, texts: &[&str]) -> bool {
    let table = table.split_whitespace().collect::<Vec<_>>().join(" ");
    texts.iter().try_fold(table.as_str(), |rest, text| rest.split_once(text).map(|(_, after)| after)).is_some()
}

/// A step that changes the template of the database's pods.
fn without_links() -> Value {
    let apply = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "{cluster}"},
        "spec": {"template": {"spec": {"enableServiceLinks": false}}},
    });
    let fields = ["spec.template.spec.enableServiceLinks"];
    let grant = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "names": ["{cluster}"], "fields": fields});
    json!({
        "name": "no-links", "source": {"file": "patches.wasm"}, "config": {"patches": [{"apply": apply}]},
        "grants": {"objects": [grant]},
    })
}

/// Two clusters that run, with an operator whose pipeline is an object.
struct Fleet {
    // Dropped first: its manifests are deleted while it runs.
    _operator: Operator,
    namespace: Namespace,
    watch: Child,
    story: PathBuf,
}

impl Fleet {
    fn start() -> Self {
        let namespace = namespace(ID);
        let story = kubeconfig().with_file_name("pipeline-story.log");
        let object = json!({
            "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "default"}, "spec": shipped(),
        });
        namespace.apply(&object);
        let watch = Command::new(kubeconfig().with_file_name("bin").join("kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig())
            .args(["--namespace", &namespace.name, "get", "pipeline", "default", "--watch"])
            .stdout(File::create(&story).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let flags = ["--config-map", "pgloom-system/pgloom", "--pipeline-object", "default"];
        let operator = Operator::start_with(ID, &namespace.name, &flags, "info");
        let fleet = Self { _operator: operator, namespace, watch, story };
        for (name, stage) in [(CANARY, "canary"), (OTHER, "rest")] {
            let mut manifest = of_operator(minimal(name, 1), ID);
            manifest["metadata"]["labels"] = json!({"stage": stage});
            manifest["metadata"]["annotations"]["example.com/motto"] = json!(MOTTO);
            fleet.namespace.apply(&manifest);
        }
        for name in [CANARY, OTHER] {
            fleet.namespace.running(name);
        }
        fleet
    }

    /// The shipped pipeline with more steps.
    fn spec(&self, steps: Vec<Value>) -> Value {
        let mut spec = shipped();
        spec["steps"].as_array_mut().unwrap().extend(steps);
        spec
    }

    fn want(&self, spec: &Value) {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]).to_string();
        self.namespace.kubectl(&["patch", "pipeline", "default", "--type", "json", "--patch", &patch]).unwrap();
    }

    fn status(&self) -> Value {
        self.namespace.get("pipeline", "default").unwrap()["status"].clone()
    }

    /// Whether the newest pipeline is in use for all clusters.
    fn rolled_out(&self) -> bool {
        let object = self.namespace.get("pipeline", "default").unwrap();
        let status = &object["status"];
        let loaded = status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Loaded");
        status["lastLoaded"]["generation"] == object["metadata"]["generation"]
            && loaded.is_some_and(|loaded| loaded["status"] == "True")
    }

    fn is_at(&self, phase: &str, stage: &str, clusters: &str) -> Result<(), String> {
        let rollout = &self.status()["rollout"];
        ensure(rollout["phase"] == phase && rollout["stage"] == stage && rollout["clusters"] == clusters, rollout)
    }

    fn events(&self, cluster: &str) -> String {
        let of = format!("involvedObject.name={cluster}");
        self.namespace.kubectl(&["get", "events", "--field-selector", &of]).unwrap()
    }

    /// What a command says of the clusters that run.
    fn pgloom(&self, outside: &Outside, command: &[&str]) -> String {
        let kubeconfig = kubeconfig().display().to_string();
        let plugins = repository("dist/plugins").display().to_string();
        let (own, configuration) = (&self.namespace.name, "pgloom-system/pgloom");
        let of_cluster = ["--kubeconfig", &kubeconfig, "--namespace", own, "--operator-namespace", own];
        let of_operator = ["--config-map", configuration, "--plugins", &plugins];
        outside.pgloom("", &[command, &of_cluster, &of_operator].concat())
    }

    /// Waits until the newest pipeline is refused for this reason, and returns the message.
    fn refused(&self, reason: &str) -> String {
        eventually(&format!("the pipeline is refused: {reason}"), || {
            let object = self.namespace.get("pipeline", "default")?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let loaded = conditions.into_iter().find(|condition| condition["type"] == "Loaded").unwrap_or_default();
            let newest = loaded["observedGeneration"] == object["metadata"]["generation"];
            ensure(newest && loaded["reason"] == reason, &loaded)?;
            Ok(loaded["message"].as_str().unwrap_or_default().to_owned())
        })
    }

    fn motto(&self, cluster: &str) -> Result<(), String> {
        let object = self.namespace.get("configmap", &format!("{cluster}-motto"))?;
        ensure(object["data"]["text"] == MOTTO, &object)
    }

    /// The pods with their uids: another one after a restart.
    fn pods(&self) -> String {
        let fields = "jsonpath={range .items[*]}{.metadata.name}={.metadata.uid} {end}";
        self.namespace.kubectl(&["get", "pods", "--selector", "application=spilo", "--output", fields]).unwrap()
    }

    /// What `kubectl get pipeline --watch` printed.
    fn story(&self) -> String {
        std::fs::read_to_string(&self.story).unwrap()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.watch.kill();
        let _ = self.watch.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.story());
            eprintln!("{}", self.namespace.kubectl(&["get", "pipeline", "-o", "yaml"]).unwrap_or_default());
        }
    }
}

/// The spec of the shipped pipeline.
fn shipped() -> Value {
    let text = std::fs::read_to_string(repository("dist/plugins/pipeline.yaml")).unwrap();
    let document: Value = serde_yaml_ng::from_str(&text).unwrap();
    document["spec"].clone()
}

/// The step of a plugin, with its component in the registry.
fn step(outside: &Outside, plugin: &str, reference: &str) -> Value {
    let text = std::fs::read_to_string(outside.path(plugin).join("step.yaml")).unwrap();
    let mut step: Value = serde_yaml_ng::from_str(&text).unwrap();
    let key = std::fs::read_to_string(repository("host/registry/tests/keys/public.pem")).unwrap();
    step["source"] = json!({"oci": reference, "publicKeys": [key]});
    step
}

/// The absolute path of a file of the repository.
fn repository(path: &str) -> PathBuf {
    outside::repository(path).canonicalize().unwrap()
}
