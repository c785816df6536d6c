//! A pgloom of the test's own, out of the cluster, for manifests that carry its id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Runs until the value goes.
pub struct Operator {
    process: Child,
    log: PathBuf,
}

impl Operator {
    /// Starts one that looks after manifests of this id, in one namespace. `config` is the flag for its configuration and
    /// the name of that.
    pub fn start(id: &str, namespace: &str, config: [&str; 2]) -> Self {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let log = temporary.join(format!("{namespace}.log"));
        let file = File::create(&log).unwrap();
        let process = Command::new(dist.join("pgloom"))
            .args(["run", "--no-leader-election", "--listen", "127.0.0.1:0"])
            .args(["--kubeconfig".as_ref(), std::env::var_os(e2e::KUBECONFIG).unwrap().as_os_str()])
            .args(["--namespaces", namespace, "--operator-namespace", namespace, "--controller-id", id])
            .args(config)
            .args(["--pipeline".as_ref(), dist.join("plugins/pipeline.yaml").as_os_str()])
            .args(["--plugins".as_ref(), dist.join("plugins").as_os_str()])
            .args(["--cache-dir".as_ref(), temporary.join("code").as_os_str()])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { process, log }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
