//! A port of this machine that leads to a pod, as by `kubectl port-forward`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running `kubectl port-forward`, which ends on drop.
pub struct PortForward {
    /// The port on 127.0.0.1.
    pub port: u16,
    process: Child,
    /// Kept open: kubectl writes a line for every connection, and ends if nobody can read it.
    _output: BufReader<ChildStdout>,
}

impl PortForward {
    /// Forwards a free port to that of a pod, or of a pod of a Deployment, as in `deployment/web`.
    ///
    /// # Panics
    /// If kubectl does not forward.
    pub fn to(namespace: &str, target: &str, port: u16) -> Self {
        let kubeconfig = crate::kubeconfig();
        let mut process = Command::new(kubeconfig.with_file_name("bin").join("kubectl"))
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--namespace", namespace, "port-forward", "--address", "127.0.0.1", target, &format!(":{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Forwarding from 127.0.0.1:40001 -> 5432
        let (mut output, mut line) = (BufReader::new(process.stdout.take().unwrap()), String::new());
        output.read_line(&mut line).unwrap();
        let local = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let port = local.unwrap_or_else(|| panic!("kubectl port-forward {target} says {line:?}"));
        Self { port, process, _output: output }
    }
}

impl Drop for PortForward {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
