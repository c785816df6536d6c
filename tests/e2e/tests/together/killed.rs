//! The operator is killed with SIGKILL at random moments of every operation, while rows are written through the pooler
//! of a synchronous cluster: no acknowledged row is lost, no member restarts more often than the edit needs, and the
//! objects are those that `pgloom render` prints.
//!
//! `KILLS=10` kills ten times in each operation instead of twice; `SEED=…` repeats the moments of an earlier run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::process::{PostgresWatch, restarts};
use e2e::writer::{self, Writer};
use e2e::{
    Namespace, Operator, configuration, ensure, eventually, has_cluster, kubeconfig, minimal, namespace, of_operator,
};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-killed";
const POOLER: &str = "acid-killed-pooler";
/// The controller id of the cluster: it belongs to the operator of this test.
const ID: &str = "killed";
/// The kinds that are made for a cluster, apart from those that Patroni makes.
const KINDS: &str = "statefulset,service,poddisruptionbudget,deployment,cronjob,secret";
/// The longest time in milliseconds between a start of the operator and its end.
const LONGEST_LIFE: u64 = 5000;
/// The conditions that are true when an edit is done.
const DONE: [&str; 5] = ["Applied", "RolledOut", "ActionsDone", "DatabaseSynced", "Ready"];

/// An edit, and what it may cost.
struct Operation {
    name: &'static str,
    spec: Value,
    /// How often each member's pod may be replaced.
    pods: usize,
    /// How often each member's PostgreSQL may be restarted. One that hands over the leadership restarts once more.
    restarts: usize,
}

#[test]
fn an_operator_that_is_killed_again_and_again_loses_no_row_and_forgets_nothing() {
    if !has_cluster("killed") {
        return;
    }
    let namespace = namespace("killed");
    let mut killer = Killer::start(&namespace);
    let watch = PostgresWatch::of(&namespace.name);
    namespace.apply(&manifest());
    killer.kill("create");
    is_done(&namespace, "create");

    let writer = Writer::start(&namespace, CLUSTER);
    let mut faults = Vec::new();
    let mut spans = Vec::new();
    for operation in operations() {
        let (pods, starts) = (pods_created(&namespace), watch.starts());
        let (leader, from) = (namespace.leader(CLUSTER).unwrap(), writer::now());
        namespace.patch("postgresql", CLUSTER, &json!({"spec": operation.spec}));
        killer.kill(operation.name);
        is_done(&namespace, operation.name);
        writer.goes_on();
        spans.push((operation.name, from, writer::now()));
        let moved = namespace.leader(CLUSTER).unwrap() != leader;
        let replaced = more(&pods, &pods_created(&namespace));
        let restarted = restarts(&starts, &watch.starts());
        println!("{}: pods replaced {replaced:?}, PostgreSQL restarted {restarted:?}", operation.name);
        faults.extend(operation.faults(&replaced, &restarted, moved.then_some(&leader)));
    }
    let written = writer.stop();
    let lost = written.lost();
    println!(
        "kills {}, rows written {} ({} of them through the pooler), rows lost {}",
        killer.kills,
        written.rows(),
        written.rows_through(POOLER),
        lost.len()
    );
    for (name, from, to) in spans {
        println!("longest time without a write: {:4.1} s, {name}", written.longest_outage(from, to).as_secs_f64());
    }
    faults.extend(different_from_rendered(&namespace));
    assert!(lost.is_empty(), "lost rows: {lost:?}");
    assert!(written.rows_through(POOLER) * 2 > written.rows(), "most rows are written through the pooler");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn manifest() -> Value {
    let mut manifest = of_operator(minimal(CLUSTER, 2), ID);
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "100Mi"}});
    let spec = json!({
        "patroni": {"synchronous_mode": true},
        "enableConnectionPooler": true,
        "connectionPooler": {"numberOfInstances": 1, "resources": resources},
        "users": {writer::ROLE: []},
        "databases": {writer::DATABASE: writer::ROLE},
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}

fn operations() -> Vec<Operation> {
    let cpu = json!({"resources": {"requests": {"cpu": "20m"}}});
    let parameter = json!({"postgresql": {"parameters": {"max_connections": "110"}}});
    let operation = |name, spec, pods, restarts| Operation { name, spec, pods, restarts };
    vec![
        operation("rolling update", cpu, 1, 1),
        operation("parameter that needs a restart", parameter, 0, 1),
        operation("scale up", json!({"numberOfInstances": 3}), 0, 0),
        operation("pooler off", json!({"enableConnectionPooler": false}), 0, 0),
        operation("pooler on", json!({"enableConnectionPooler": true}), 0, 0),
        operation("scale down", json!({"numberOfInstances": 2}), 0, 0),
    ]
}

impl Operation {
    /// Members that cost more than the edit may. `demoted` is the member that led before, if another one leads now.
    fn faults(
        &self,
        replaced: &BTreeMap<String, usize>,
        restarted: &BTreeMap<String, usize>,
        demoted: Option<&String>,
    ) -> Vec<String> {
        let too_often = |what: &str, counts: &BTreeMap<String, usize>, limit: &dyn Fn(&String) -> usize| {
            let above = counts.iter().filter(|(member, count)| **count > limit(member));
            above.map(|(member, count)| format!("{}: {member} {what} {count} times", self.name)).collect::<Vec<_>>()
        };
        let mut faults = too_often("was replaced", replaced, &|_| self.pods);
        let restarts = |member: &String| self.restarts + usize::from(demoted == Some(member));
        faults.extend(too_often("was restarted", restarted, &restarts));
        faults
    }
}

/// Waits until the last edit is done: in the status, in every member's PostgreSQL, and in the pooler.
fn is_done(namespace: &Namespace, operation: &str) {
    namespace.running(CLUSTER);
    eventually(&format!("every condition reports the end of: {operation}"), || {
        let manifest = namespace.get("postgresql", CLUSTER)?;
        let generation = &manifest["metadata"]["generation"];
        let conditions = manifest["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let open: Vec<&Value> = conditions
            .iter()
            .filter(|condition| DONE.iter().any(|name| condition["type"] == *name))
            .filter(|condition| condition["status"] != "True" || condition["observedGeneration"] != *generation)
            .collect();
        ensure(open.is_empty(), json!(open))
    });
    eventually(&format!("every member has the parameter, and the pooler is as wanted: {operation}"), || {
        let spec = namespace.get("postgresql", CLUSTER)?["spec"].clone();
        if let Some(wanted) = spec["postgresql"]["parameters"]["max_connections"].as_str() {
            for pod in namespace.names("pods", CLUSTER).iter().filter(|pod| !pod.starts_with(POOLER)) {
                let show = "psql -U postgres -h /run/postgresql -AtXc 'show max_connections'";
                let answer = namespace.run(pod, &format!("su postgres -c \"{show}\""))?;
                ensure(answer.trim() == wanted, format!("{pod}: {answer}"))?;
            }
        }
        let ready = namespace.get("deployment", POOLER).map(|deployment| deployment["status"]["readyReplicas"] == 1);
        match (spec["enableConnectionPooler"] == true, ready) {
            (true, Ok(true)) | (false, Err(_)) => Ok(()),
            (_, ready) => Err(format!("the pooler is ready: {ready:?}")),
        }
    });
}

/// How many pods Kubernetes has created for each member.
fn pods_created(namespace: &Namespace) -> BTreeMap<String, usize> {
    let selector = format!("reason=SuccessfulCreate,involvedObject.kind=StatefulSet,involvedObject.name={CLUSTER}");
    let text = namespace.kubectl(&["get", "events", "--field-selector", &selector, "--output", "json"]).unwrap();
    let events: Value = serde_json::from_str(&text).unwrap();
    let mut created = BTreeMap::new();
    for event in events["items"].as_array().unwrap() {
        let message = event["message"].as_str().unwrap_or_default();
        let Some(name) = message.split(' ').find(|word| word.starts_with(CLUSTER)) else { continue };
        // Claims are created, too.
        if message.to_lowercase().starts_with("create pod") {
            let count = event["count"].as_u64().or(event["series"]["count"].as_u64()).unwrap_or(1);
            *created.entry(name.to_owned()).or_default() += usize::try_from(count).unwrap();
        }
    }
    created
}

/// By how much the counts of these members have grown.
fn more(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let grown = |(name, count): (&String, &usize)| (name.clone(), after.get(name).map_or(0, |after| after - count));
    before.iter().map(grown).collect()
}

/// The operator of the test, and the moments at which it is killed.
struct Killer {
    operator: Operator,
    random: u64,
    each: u64,
    kills: u64,
}

impl Killer {
    fn start(namespace: &Namespace) -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let seed = number("SEED").unwrap_or(now);
        println!("SEED={seed}");
        let config = configuration(&Value::Null);
        namespace.apply(&config);
        let operator = Operator::start(ID, &namespace.name, ["--config-map", "pgloom"], "info");
        Self { operator, random: seed | 1, each: number("KILLS").unwrap_or(2), kills: 0 }
    }

    /// Kills the operator at random moments after an edit, each time after a part of its work.
    fn kill(&mut self, operation: &str) {
        for _ in 0..self.each {
            // Xorshift: which moments is of no importance, only that they can be repeated.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let life = Duration::from_millis(self.random % LONGEST_LIFE);
            sleep(life);
            self.operator.kill_and_start_again();
            self.kills += 1;
            println!("killed after {:3.1} s: {operation}", life.as_secs_f64());
        }
    }
}

/// What is different from that which `pgloom render` prints for the manifest: missing objects, further ones, and fields
/// with another value.
fn different_from_rendered(namespace: &Namespace) -> Vec<String> {
    let text = namespace.kubectl(&["get", KINDS, "--selector", &format!("cluster-name={CLUSTER}"), "--output", "json"]);
    let existing: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let existing = existing["items"].as_array().unwrap();
    let rendered = render(namespace, existing);
    let (mut differences, mut wanted) = (Vec::new(), BTreeSet::new());
    for object in &rendered {
        wanted.insert(identity(object));
        let live = existing.iter().find(|live| identity(live) == identity(object));
        let live = live.cloned().or_else(|| {
            namespace.get(object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap()).ok()
        });
        match live {
            Some(live) => compare(object, &live, &identity(object), &mut differences),
            None => differences.push(format!("{} is missing", identity(object))),
        }
    }
    // Patroni makes a Service of its own.
    let patroni = format!("Service/{CLUSTER}-config");
    let further = existing.iter().map(identity).filter(|it| !wanted.contains(it) && *it != patroni);
    differences.extend(further.map(|it| format!("{it} is not wanted")));
    differences
}

fn identity(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

fn render(namespace: &Namespace, existing: &[Value]) -> Vec<Value> {
    let file = |name: &str, documents: &[Value]| -> PathBuf {
        let path = kubeconfig().with_file_name(format!("{name}-{}", namespace.name));
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        std::fs::write(&path, texts.join("\n---\n")).unwrap();
        path
    };
    let manifest = namespace.get("postgresql", CLUSTER).unwrap();
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/pgloom"))
        .args(["render", "--output", "json", "--namespace", &namespace.name, "--config"])
        .arg(file("config", &[configuration(&Value::Null)]))
        .arg("--observed")
        .arg(file("observed", existing))
        .arg(file("manifest", &[manifest]))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Adds the fields whose value is not the wanted one. The API server adds fields, so those are no difference.
fn compare(wanted: &Value, live: &Value, path: &str, differences: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (name, value) in wanted {
                // `render` does not print credentials.
                if !(path.starts_with("Secret/") && name.ends_with("ata") && name != "metadata") {
                    compare(value, live.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"), differences);
                }
            }
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                compare(wanted, live, &format!("{path}[{index}]"), differences);
            }
        }
        _ if wanted == live => {}
        _ => differences.push(format!("{path} is {live}, wanted is {wanted}")),
    }
}
