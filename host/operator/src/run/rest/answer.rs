//! What the REST API answers, with the names of the fields of the API that it stands for. The shapes are in
//! [`pkg/cluster/types.go`](https://github.com/zalando/postgres-operator/blob/master/pkg/cluster/types.go) and
//! [`pkg/spec/types.go`](https://github.com/zalando/postgres-operator/blob/master/pkg/spec/types.go).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cache::ClusterKey;
use crate::report::Entry;

/// The number of clusters, and how many reconciles run. The API that this one stands for counts what waits for each of its
/// workers; here is one.
pub fn status(clusters: usize, running: usize) -> Value {
    json!({"Clusters": clusters, "WorkerQueueSize": {"0": running}})
}

/// The watched namespace, as the UI reads it, which knows one or all: empty for all, and for several. `scopes`: those of the
/// watches, `None` for all.
pub fn config(scopes: &[Option<String>]) -> Value {
    let namespace = match scopes {
        [Some(one)] => one,
        _ => "",
    };
    json!({"operator": {"WatchedNamespace": namespace}})
}

/// By team, the names of its clusters.
pub fn by_team(manifests: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut teams = BTreeMap::<_, BTreeSet<_>>::new();
    for manifest in manifests {
        teams.entry(text(manifest, "/spec/teamId")).or_default().insert(text(manifest, "/metadata/name"));
    }
    teams
}

/// By name of a cluster, the databases of its manifest.
pub fn databases(manifests: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut clusters = BTreeMap::<_, BTreeSet<_>>::new();
    for manifest in manifests {
        let names = ["databases", "preparedDatabases"].into_iter().filter_map(|key| manifest["spec"][key].as_object());
        let names = names.flat_map(|section| section.keys().cloned());
        clusters.entry(text(manifest, "/metadata/name")).or_default().extend(names);
    }
    clusters
}

/// The status of a cluster.
pub fn cluster(manifest: &Value) -> Value {
    let failed = manifest["status"]["conditions"].as_array().into_iter().flatten();
    let failed = failed.filter(|condition| condition["status"] == "False").map(|condition| &condition["message"]);
    json!({
        "Team": text(manifest, "/spec/teamId"),
        "Namespace": text(manifest, "/metadata/namespace"),
        "Cluster": text(manifest, "/metadata/name"),
        "Status": manifest["status"],
        "Error": failed.filter_map(Value::as_str).next(),
    })
}

/// The events about a cluster, as lines of a log.
pub fn logs(key: &ClusterKey, entries: &[Entry]) -> Vec<Value> {
    let line = |entry: &Entry| {
        json!({
            "Time": entry.time.to_string(),
            "Level": if entry.event.warning { "warning" } else { "info" },
            "ClusterName": {"Namespace": *key.namespace, "Name": *key.name},
            "Message": format!("{}: {}", entry.event.reason, entry.event.note),
        })
    };
    entries.iter().map(line).collect()
}

/// A queue without entries.
pub fn queue() -> Value {
    json!({"Keys": [], "List": []})
}

/// What a worker does; of `all` workers, by number.
pub fn worker(worker: &str, running: usize) -> Value {
    let state = match running {
        0 => json!("idle"),
        reconciles => json!({"Reconciles": reconciles}),
    };
    if worker == "all" { json!({"0": state}) } else { state }
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
