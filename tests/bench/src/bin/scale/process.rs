//! The operator in its own process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::NAMESPACE;

/// The longest time of a start.
const START: Duration = Duration::from_secs(120);

/// A running operator; stops when dropped.
pub struct Operator {
    child: Child,
    page: SocketAddr,
    begun: Instant,
}

impl Operator {
    /// Starts the operator with its code cache in a folder.
    pub fn start(binary: &Path, plugins: &Path, folder: &Path, api: SocketAddr) -> Result<Self> {
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_of(api))?;
        let page = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let begun = Instant::now();
        let child = Command::new(binary)
            .args(["run", "--no-leader-election", "--config-map", "pgloom", "--operator-namespace", NAMESPACE])
            .args(["--listen", &page.to_string(), "--log", "warn"])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--pipeline")
            .arg(plugins.join("pipeline.yaml"))
            .arg("--cache-dir")
            .arg(folder.join("code"))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start; run `make build`", binary.display()))?;
        Ok(Self { child, page, begun })
    }

    /// Waits until the operator is ready; returns the time since its start.
    pub async fn ready(&self) -> Result<Duration> {
        while self.begun.elapsed() < START {
            if self.asks_for_work().await.unwrap_or(false) {
                return Ok(self.begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("the operator is not ready after {} s", START.as_secs())
    }

    async fn asks_for_work(&self) -> Result<bool> {
        let mut stream = TcpStream::connect(self.page).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    }

    /// The time of a core that the operator has used since its start.
    pub fn used(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The fields after the name, which is in brackets: the state is the first, user and system time 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<u64>().ok()).context("no such field");
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }

    /// The value of a counter of the operator, summed over its labels.
    pub async fn counter(&self, name: &str) -> Result<f64> {
        let mut stream = TcpStream::connect(self.page).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let lines = answer.lines().filter(|line| line.starts_with(name));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The resident memory of the operator: current and peak.
    pub fn memory(&self) -> Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
        };
        Ok(format!("{} MiB (at most {})", of("VmRSS")?, of("VmHWM")?))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // The process may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn kubeconfig_of(api: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\ncontexts: [{{name: it, context: {{cluster: it, user: it, namespace: {NAMESPACE}}}}}]\nclusters: [{{name: it, cluster: {{server: \"http://{api}\"}}}}]\nusers: [{{name: it, user: {{}}}}]\n"
    )
}
