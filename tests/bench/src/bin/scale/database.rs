//! Measures the memory of the operator with access to the databases: roles and databases are synchronised over the
//! operator's real connections to a stand-in of PostgreSQL, one for each cluster.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use stand_in::{Server, State};

use crate::process::Operator;
use crate::{NAMESPACE, TIMEOUT, named};

/// The stand-in, with these clusters.
pub async fn serve(manifest: &Value, clusters: usize) -> Result<(Server, std::net::SocketAddr)> {
    let mut state = State::default();
    state.put(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pgloom", "namespace": NAMESPACE},
        "data": {"kubernetes_use_configmaps": "false"},
    }));
    for number in 0..clusters {
        state.put(&named(manifest, number));
    }
    let server = Server::new(state);
    let address = server.listen().await?;
    Ok((server, address))
}

/// Waits until every cluster runs and its database has its roles; returns what the operator then uses.
pub async fn measure(server: &Server, operator: &Operator, clusters: usize) -> Result<String> {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let done = server.with(|state| {
            let manifests = state.objects.of("acid.zalan.do/v1/postgresqls", NAMESPACE);
            manifests.filter(|(_, manifest)| is_synchronised(manifest)).count()
        });
        if done == clusters {
            return operator.memory();
        }
        if begun.elapsed() >= TIMEOUT {
            bail!("{done} of {clusters} databases are synchronised; the operator's log is above");
        }
    }
}

fn is_synchronised(manifest: &Value) -> bool {
    let conditions = manifest["status"]["conditions"].as_array().into_iter().flatten();
    let holds = |name: &str| conditions.clone().any(|found| found["type"] == name && found["status"] == "True");
    holds("Ready") && holds("DatabaseSynced")
}
