//! The command that `make run` prints connects every time, and after a failover to the new leader.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use e2e::{ensure, eventually, has_cluster, namespace, the_other};

/// The cluster that `hack/run` applies.
const CLUSTER: &str = "acid-minimal-cluster";
/// Prints `f` on a leader. COPY, because its output has neither a header nor a border.
const IS_REPLICA: &str = "copy (select pg_is_in_recovery()) to stdout";

#[test]
fn the_printed_line_connects_again_and_again_through_a_failover() {
    if !has_cluster("run") {
        return;
    }
    let namespace = namespace("run");
    let mut run = Run::start(&namespace.name);
    let line = run.line();
    for _ in 0..3 {
        assert_eq!(psql(&line, IS_REPLICA).unwrap(), "f");
    }
    psql(&line, "create table kept as select 1 as value").unwrap();

    let old = namespace.leader(CLUSTER).unwrap();
    eventually("the replica follows", || namespace.replica_streams(&old));
    // Patroni is stopped and PostgreSQL is killed: until the lock expires, the pod keeps the leader's label.
    namespace.run(&old, "pkill -STOP -f '[b]in/patroni'; pkill -KILL -x postgres").unwrap();
    eventually("the line answers from the new leader", || {
        // Every run has to connect, also while there is no leader.
        let answer = psql(&line, IS_REPLICA).unwrap();
        ensure(answer == "f", answer)
    });
    assert_eq!(psql(&line, "copy kept to stdout").unwrap(), "1");
    psql(&line, "insert into kept values (2)").unwrap();
    assert_eq!(psql(&line, "copy (select count(*) from kept) to stdout").unwrap(), "2");
    namespace.run(&old, "pkill -CONT -f '[b]in/patroni'").unwrap();
    eventually("the other member has the leader's address", || {
        let leader = namespace.get("endpoints", CLUSTER)?["metadata"]["annotations"]["leader"].clone();
        ensure(leader == the_other(&old), leader)
    });
}

/// `hack/run` in the test cluster. It is stopped on drop.
struct Run {
    process: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Run {
    fn start(namespace: &str) -> Self {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (output, log) = (temporary.join("run.out"), temporary.join("run.log"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("hack/run")
            .current_dir(checkout())
            .env_remove("KUBECONFIG")
            .env("NAMESPACE", namespace)
            .env("PORT", port.to_string())
            // The script uses the cluster of the tests.
            .env("KEEP", "1")
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, output, log }
    }

    /// Waits for the printed command. The script has timeouts for its own steps.
    fn line(&mut self) -> String {
        loop {
            let output = std::fs::read_to_string(&self.output).unwrap();
            let line = output.lines().find(|line| line.contains("psql '"));
            if let Some(line) = line {
                return line.trim().to_owned();
            }
            let status = self.process.try_wait().unwrap();
            assert!(status.is_none(), "hack/run ended without the line: {status:?}");
            sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        if std::thread::panicking() {
            for file in [&self.output, &self.log] {
                eprintln!("{}", std::fs::read_to_string(file).unwrap_or_default());
            }
        }
    }
}

/// Runs the command unchanged, as in another terminal, with a statement on standard input, and returns its output.
fn psql(line: &str, statement: &str) -> Result<String, String> {
    let mut child = Command::new("bash")
        .args(["-c", line])
        .current_dir(checkout())
        .env_remove("PGLOOM_CLUSTER")
        .env_remove("PGLOOM_CACHE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not connect does not read standard input; then its exit code is not 0.
    let _ = child.stdin.take().unwrap().write_all(statement.as_bytes());
    let output = child.wait_with_output().unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success() && errors.is_empty(), format!("{}: {errors}", output.status))?;
    Ok(printed.trim().to_owned())
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
