//! Helpers of the end-to-end tests: a namespace per test, objects, SQL, and waiting for a condition.
//!
//! The tests need the local cluster with pgloom in it; `make test` brings both up. Without `PGLOOM_TEST_KUBECONFIG`
//! each test prints that it is skipped.

mod forward;
mod operator;
pub mod process;
pub mod writer;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

pub use forward::PortForward;
pub use operator::{Operator, configuration, of_operator};

/// The environment variable with the path of the local cluster's kubeconfig, as `tests/cluster/cluster kubeconfig`
/// prints it.
pub const KUBECONFIG: &str = "PGLOOM_TEST_KUBECONFIG";

/// The longest time until a condition becomes true, on two busy cores.
pub const TIMEOUT: Duration = Duration::from_secs(240);

/// How long a Service may not lead to its leader after that pod was replaced: the node's rules follow the Endpoints some
/// seconds later. Until then there is no connection.
pub const UNREACHABLE: Duration = Duration::from_secs(15);

/// What psql says if there is no connection to a server: the pod does not listen yet, or its address is a former one. A
/// refusal of the server itself is none of these.
const NOT_CONNECTED: [&str; 3] = ["Connection refused", "No route to host", "timeout expired"];

/// The namespace of a test, deleted on drop.
pub struct Namespace {
    /// `metadata.name`.
    pub name: String,
}

/// Whether there is a cluster to test on; if not, prints that the test is skipped.
pub fn has_cluster(test: &str) -> bool {
    let found = std::env::var_os(KUBECONFIG).is_some();
    if !found {
        println!("SKIPPED: {test}: {KUBECONFIG} names no cluster; run `make test`");
    }
    found
}

/// The kubeconfig of the local cluster. The folder that it is in is the cluster's own.
///
/// # Panics
/// If there is no cluster.
pub fn kubeconfig() -> PathBuf {
    std::env::var_os(KUBECONFIG).map(PathBuf::from).expect("has_cluster was asked")
}

/// Creates a namespace for a test; one of an earlier run is replaced.
pub fn namespace(test: &str) -> Namespace {
    Namespace::named(&format!("e2e-{test}"))
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.kubectl(&["get", "postgresql,pods,events"]).unwrap_or_default());
            eprintln!("{}", self.kubectl(&["get", "postgresql", "-o", "yaml"]).unwrap_or_default());
        }
        // The manifests first: their finalizers need the operator, and the namespace would wait for them.
        let _ = self.kubectl(&["delete", "postgresql", "--all", "--wait", "--timeout=120s"]);
        let _ = kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// Runs kubectl against the test cluster and returns its standard output.
///
/// # Errors
/// With its output, if it failed.
pub fn kubectl(arguments: &[&str]) -> Result<String, String> {
    kubectl_with(arguments, "")
}

/// Runs kubectl with an input.
///
/// # Errors
/// With its output, if it failed.
pub fn kubectl_with(arguments: &[&str], input: &str) -> Result<String, String> {
    // kubectl itself, not `cluster kubectl`, which first searches all processes and would be slow in many calls.
    let kubeconfig = kubeconfig();
    let mut child = Command::new(kubeconfig.with_file_name("bin").join("kubectl"))
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .arg("--cache-dir")
        .arg(kubeconfig.with_file_name("kubectl-cache"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the local cluster has a kubectl");
    let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    written.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr))) }
}

/// Waits until `check` returns a value; panics with its last error.
#[track_caller]
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match check() {
            Ok(value) => {
                println!("{:5.1} s until {what}", start.elapsed().as_secs_f64());
                return value;
            }
            Err(reason) if start.elapsed() > TIMEOUT => panic!("{what}: not within {TIMEOUT:?}: {reason}"),
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

/// `Ok` if it holds.
///
/// # Errors
/// With the actual value, if not.
pub fn ensure(holds: bool, seen: impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen.to_string()) }
}

impl Namespace {
    /// Creates the namespace of this name; one of an earlier run is replaced.
    pub fn named(name: &str) -> Self {
        let _ = kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait"]);
        kubectl(&["create", "namespace", name]).unwrap();
        Self { name: name.to_owned() }
    }

    /// kubectl in this namespace.
    ///
    /// # Errors
    /// With its output, if it failed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Creates objects under the name of a field manager.
    pub fn create_as(&self, manager: &str, objects: Vec<Value>) {
        let manager = format!("--field-manager={manager}");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        kubectl_with(&["--namespace", &self.name, "create", &manager, "--filename", "-"], &list.to_string()).unwrap();
    }

    /// Applies an object.
    pub fn apply(&self, object: &Value) {
        self.try_apply(object).unwrap();
    }

    /// Applies an object that may be refused.
    ///
    /// # Errors
    /// With the refusal.
    pub fn try_apply(&self, object: &Value) -> Result<String, String> {
        kubectl_with(&["--namespace", &self.name, "apply", "--filename", "-"], &object.to_string())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// If it is not found.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value, String> {
        let text = self.kubectl(&["get", kind, name, "--output", "json"])?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// The names of the objects of a kind that carry a cluster's label.
    pub fn names(&self, kind: &str, cluster: &str) -> Vec<String> {
        let selector = format!("cluster-name={cluster}");
        let text = self.kubectl(&["get", kind, "--selector", &selector, "--output", "name"]).unwrap();
        text.lines().map(|line| line.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    }

    /// The names of all objects in the namespace, apart from events.
    pub fn everything(&self) -> Vec<String> {
        let kinds = kubectl(&["api-resources", "--namespaced", "--verbs", "list", "--output", "name"]).unwrap();
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let names = self.kubectl(&["get", &kinds.join(","), "--output", "name"]).unwrap();
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Merges a change into an object.
    pub fn patch(&self, kind: &str, name: &str, change: &Value) {
        self.kubectl(&["patch", kind, name, "--type", "merge", "--patch", &change.to_string()]).unwrap();
    }

    /// Waits for a warning event about a cluster that contains this text.
    #[track_caller]
    pub fn warned(&self, cluster: &str, text: &str) {
        eventually(&format!("{cluster} is warned about: {text}"), || {
            let selector = format!("type=Warning,involvedObject.name={cluster}");
            let format = "jsonpath={range .items[*]}{.message}{\"\\n\"}{end}";
            let events = self.kubectl(&["get", "events", "--field-selector", &selector, "--output", format])?;
            ensure(events.contains(text), events)
        });
    }

    /// The pods of a cluster's members, with the uid and the restarts of each: another text after a restart.
    pub fn lives(&self, cluster: &str) -> String {
        let selector = format!("application=spilo,cluster-name={cluster}");
        let fields = "jsonpath={range .items[*]}{.metadata.name}={.metadata.uid}/{.status.containerStatuses[*].restartCount} {end}";
        self.kubectl(&["get", "pods", "--selector", &selector, "--output", fields]).unwrap()
    }

    /// Waits until a cluster is `Running` with all of its members ready, and returns its status.
    #[track_caller]
    pub fn running(&self, cluster: &str) -> Value {
        eventually(&format!("{cluster} runs"), || {
            let object = self.get("postgresql", cluster)?;
            let status = &object["status"];
            let whole = status["readyInstances"] == object["spec"]["numberOfInstances"]
                && status["observedGeneration"] == object["metadata"]["generation"];
            ensure(status["PostgresClusterStatus"] == "Running" && whole, status)?;
            Ok(status.clone())
        })
    }

    /// The pod with the role label of the leader.
    ///
    /// # Errors
    /// If there is not exactly one.
    pub fn leader(&self, cluster: &str) -> Result<String, String> {
        // The pods of the pooler have the label, too.
        let selector = format!("application=spilo,cluster-name={cluster},spilo-role=master");
        let text = self.kubectl(&["get", "pods", "--selector", &selector, "--output", "name"])?;
        let names: Vec<&str> = text.lines().collect();
        match names[..] {
            [name] => Ok(name.trim_start_matches("pod/").to_owned()),
            _ => Err(format!("leaders: {names:?}")),
        }
    }

    /// A condition of a cluster's status.
    ///
    /// # Errors
    /// If it is not found.
    pub fn condition(&self, cluster: &str, type_name: &str) -> Result<Value, String> {
        let object = self.get("postgresql", cluster)?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition["type"] == type_name);
        found.ok_or_else(|| format!("no condition {type_name}"))
    }

    /// The password that a user's Secret holds.
    ///
    /// # Errors
    /// If the Secret is not found.
    pub fn password(&self, cluster: &str, user: &str) -> Result<String, String> {
        let name = format!("{}.{cluster}.credentials", user.replace('_', "-"));
        let secret = self.get("secret", &name)?;
        assert_eq!(decode(&secret["data"]["username"]), user);
        Ok(decode(&secret["data"]["password"]))
    }

    /// Runs a shell script in a pod's database container, and returns its standard output.
    ///
    /// # Errors
    /// With its output, if it failed.
    pub fn run(&self, pod: &str, script: &str) -> Result<String, String> {
        self.kubectl(&["exec", pod, "--container", "postgres", "--", "sh", "-c", script])
    }

    /// `Ok` if the only replica streams from the leader and has received all of its WAL.
    ///
    /// # Errors
    /// With the state of the replication, if not.
    pub fn replica_streams(&self, leader: &str) -> Result<(), String> {
        let statement = "select state, sent_lsn = replay_lsn from pg_stat_replication";
        let command = format!("psql -U postgres -h /run/postgresql -AtXc '{statement}'");
        let answer = self.run(leader, &format!("su postgres -c \"{command}\""))?;
        ensure(answer.trim() == "streaming|t", answer)
    }

    /// Writes a file into a pod's database container, and returns its path.
    pub fn file(&self, pod: &str, name: &str, content: &str) -> String {
        let path = format!("/tmp/{name}");
        let write = format!("cat > {path}");
        let namespace = ["--namespace", &self.name];
        let arguments = ["exec", "--stdin", pod, "--container", "postgres", "--", "sh", "-c", &write];
        kubectl_with(&[&namespace, &arguments[..]].concat(), content).unwrap();
        path
    }

    /// Runs a statement with psql in a member's pod over the network, with the Secret's password, and returns its
    /// result. Without a connection it is tried again for [`UNREACHABLE`], as clients do: no statement was run.
    ///
    /// # Errors
    /// With psql's output, if it failed.
    pub fn sql(&self, cluster: &str, connection: &Connection, statement: &str) -> Result<String, String> {
        let password = self.password(cluster, connection.user)?;
        self.sql_with(cluster, connection, &password, statement)
    }

    /// The same with a password that is known.
    ///
    /// # Errors
    /// With psql's output, if it failed.
    pub fn sql_with(
        &self,
        cluster: &str,
        connection: &Connection,
        password: &str,
        statement: &str,
    ) -> Result<String, String> {
        let Connection { user, database, host, mode } = connection;
        let pod = self.names("pods", cluster).first().cloned().ok_or("no pod")?;
        let target = format!("host={host} user={user} dbname={database} sslmode={mode} connect_timeout=10");
        let password = format!("PGPASSWORD={password}");
        let arguments =
            ["exec", &pod, "--container", "postgres", "--", "env", &password, "psql", &target, "-AtX", "-c", statement];
        let start = Instant::now();
        loop {
            match self.kubectl(&arguments) {
                Err(error) if is_not_connected(&error) && start.elapsed() < UNREACHABLE => {
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(error) => return Err(format!("after {:.1} s: {error}", start.elapsed().as_secs_f64())),
                Ok(text) => {
                    let waited = start.elapsed();
                    if waited > Duration::from_secs(2) {
                        println!("{:5.1} s until {host} answers", waited.as_secs_f64());
                    }
                    return Ok(text.trim().to_owned());
                }
            }
        }
    }
}

/// The parameters of a connection.
pub struct Connection<'a> {
    /// The role.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
    /// The Service.
    pub host: &'a str,
    /// libpq's `sslmode`.
    pub mode: &'a str,
}

fn is_not_connected(error: &str) -> bool {
    NOT_CONNECTED.iter().any(|text| error.contains(text))
}

fn decode(value: &Value) -> String {
    decoded(value.as_str().unwrap_or_default())
}

/// A value of a Secret, of its base64.
pub fn decoded(value: &str) -> String {
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).unwrap()).unwrap()
}

/// The other pod of a cluster of two.
pub fn the_other(pod: &str) -> String {
    match pod.strip_suffix("-0") {
        Some(cluster) => format!("{cluster}-1"),
        None => format!("{}-0", pod.trim_end_matches("-1")),
    }
}

/// The minimal manifest under another name and with as many members.
pub fn minimal(name: &str, members: u32) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/examples/minimal.yaml");
    let mut manifest = example(path);
    manifest["metadata"]["name"] = json!(name);
    manifest["spec"]["numberOfInstances"] = json!(members);
    manifest
}

/// The constraint of `topologySpreadConstraints` that puts no two members of a cluster of two on one node. Without the
/// selector it would count no pods.
pub fn one_member_per_node(cluster: &str) -> Value {
    json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"application": "spilo", "cluster-name": cluster}}})
}

fn example(path: &str) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
