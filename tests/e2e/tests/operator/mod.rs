//! An operator of the test, outside of the cluster, for manifests with its controller id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// A running operator. It is stopped on drop.
pub struct Operator {
    process: Child,
    log: PathBuf,
}

impl Operator {
    /// Starts an operator for the manifests with this controller id, in one namespace. `config` is the flag of its
    /// configuration and the name.
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

    /// The log so far.
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
