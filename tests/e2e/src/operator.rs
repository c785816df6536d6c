//! An operator of a test, outside of the cluster, for manifests with its controller id.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};

/// The annotation of a manifest with the id of its operator.
const CONTROLLER: &str = "acid.zalan.do/controller";

/// A running operator. On drop, its manifests are deleted, because their finalizers need it, and then it is stopped.
pub struct Operator {
    command: Command,
    process: Child,
    namespace: String,
    log: PathBuf,
    port: u16,
}

impl Operator {
    /// Starts an operator for the manifests with this controller id, in one namespace. `config` is the flag of its
    /// configuration and the name; `level` is the level of its log, as in `info`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(id: &str, namespace: &str, config: [&str; 2], level: &str) -> Self {
        Self::start_with(id, namespace, &config, level)
    }

    /// Starts an operator with more flags; its pipeline is the shipped one, unless a flag names another.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(id: &str, namespace: &str, flags: &[&str], level: &str) -> Self {
        Self::start_in(id, namespace, flags, level, &[])
    }

    /// Starts an operator with variables of its environment, too.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in(id: &str, namespace: &str, flags: &[&str], level: &str, variables: &[(&str, &str)]) -> Self {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
        let kubeconfig = crate::kubeconfig();
        let log = kubeconfig.with_file_name(format!("operator-{namespace}.log"));
        let file = File::create(&log).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(dist.join("pgloom"));
        command
            .args(["run", "--no-leader-election", "--listen", &format!("127.0.0.1:{port}"), "--log", level])
            .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
            .args(["--namespaces", namespace, "--operator-namespace", namespace, "--controller-id", id])
            .args(flags)
            .args(["--pipeline".as_ref(), dist.join("plugins/pipeline.yaml").as_os_str()])
            .args(["--plugins".as_ref(), dist.join("plugins").as_os_str()])
            .args(["--cache-dir".as_ref(), kubeconfig.with_file_name("operator-code").as_os_str()])
            .envs(variables.iter().copied())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let process = command.spawn().unwrap();
        Self { command, process, namespace: namespace.to_owned(), log, port }
    }

    /// Kills the process with SIGKILL and starts another one with the same flags and the same log.
    ///
    /// # Panics
    /// If it does not run, or does not start.
    pub fn kill_and_start_again(&mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "the operator has ended by itself:\n{}", self.log());
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = self.command.spawn().unwrap();
    }

    /// Stops it. Its manifests stay.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The log so far.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// The answer of `/metrics`.
    ///
    /// # Errors
    /// If the operator does not answer.
    pub fn metrics(&self) -> Result<String, String> {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().map_err(|error: std::io::Error| error.to_string())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let delete = ["delete", "postgresql", "--all", "--wait", "--timeout=60s"];
            let _ = crate::kubectl(&[&["--namespace", &self.namespace], &delete[..]].concat());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the operator's log:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// The manifest with the controller id of an operator of a test.
pub fn of_operator(mut manifest: Value, id: &str) -> Value {
    manifest["metadata"]["annotations"][CONTROLLER] = id.into();
    manifest
}

/// The ConfigMap `pgloom` with the operator configuration of the local cluster and these keys.
///
/// # Panics
/// If the local cluster has no configuration.
pub fn configuration(keys: &Value) -> Value {
    let get = ["--namespace", "pgloom-system", "get", "configmap", "pgloom", "--output", "json"];
    let deployed: Value = serde_json::from_str(&crate::kubectl(&get).unwrap()).unwrap();
    let mut data = deployed["data"].clone();
    for (key, value) in keys.as_object().into_iter().flatten() {
        data[key] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pgloom"}, "data": data})
}
