//! The comparable part of a world: everything except for random values.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stand_in::State;

use crate::operation::{CLUSTER, MANIFESTS, NAMESPACE};
use crate::play::Played;

/// Fields of the metadata that differ from one world to the next.
const BY_CHANCE: [&str; 4] = ["uid", "resourceVersion", "creationTimestamp", "generation"];
/// Collections that are not compared.
const PASSED_OVER: [&str; 2] = ["events.k8s.io/v1/events", "coordination.k8s.io/v1/leases"];
/// The annotation with the manifest's uid, as a JSON pointer.
const MARK: &str = "/metadata/annotations/pgloom.dev~1cluster-uid";
/// The label with a member's role.
const ROLE: &str = "spilo-role";

/// A world without random values.
pub type End = BTreeMap<String, Value>;

/// The comparable end state of a world: its objects, the state of Patroni and the database, and how often each pod, claim and Secret was
/// created.
pub fn of(played: &Played) -> End {
    let state = &played.end;
    let mut end = End::new();
    let manifest = state.objects.get(MANIFESTS, NAMESPACE, CLUSTER).map(|manifest| &manifest["metadata"]["uid"]);
    for (key, object) in state.objects.all().filter(|(key, _)| !PASSED_OVER.contains(&&*key.0)) {
        let mut comparable = without_chance(&key.0, object);
        let mark = comparable.pointer_mut(MARK).filter(|mark| manifest == Some(mark));
        mark.into_iter().for_each(|mark| *mark = json!("the manifest's"));
        end.insert(format!("{} {}", key.0, key.2), comparable);
    }
    for ((_, name), patroni) in &state.patroni {
        let pending: Vec<&str> = patroni.pending().collect();
        end.insert(
            format!("patroni {name}"),
            json!({
                "config": patroni.config, "has leader": patroni.leader.is_some(), "pending": pending,
                "database": patroni.database.describe(),
            }),
        );
    }
    let made = state.objects.since(played.edited_at).iter().filter(|change| change.event_type == "ADDED");
    for change in made.filter(|change| matches!(&*change.key.0, "v1/pods" | "v1/persistentvolumeclaims")) {
        let times = end.entry(format!("made {} {}", change.key.0, change.key.2)).or_insert(json!(0));
        *times = json!(times.as_u64().unwrap_or_default() + 1);
    }
    end
}

/// The remaining objects of a cluster. Service accounts and role bindings belong to the namespace.
pub fn left(played: &Played) -> Vec<String> {
    let is_of_namespace = |key: &str| key.ends_with("/serviceaccounts") || key.ends_with("/rolebindings");
    let objects = played.end.objects.all().filter(|(key, _)| !PASSED_OVER.contains(&&*key.0));
    let of_cluster = objects.filter(|(key, _)| key.2.contains(CLUSTER) && !is_of_namespace(&key.0));
    of_cluster.map(|(key, _)| format!("{} {}", key.0, key.2)).collect()
}

/// The first differences of two worlds, as sentences.
pub fn differences(wanted: &End, found: &End) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, wanted) in wanted {
        match found.get(name) {
            None => differences.push(format!("{name} is missing")),
            Some(found) => difference(name, wanted, found, &mut differences),
        }
    }
    differences
        .extend(found.keys().filter(|name| !wanted.contains_key(*name)).map(|name| format!("{name} is left over")));
    differences
}

/// Secrets whose password changed. A password is generated once, so each is a fault.
pub fn changed_passwords(state: &State) -> Vec<String> {
    let mut passwords: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut changed = Vec::new();
    for change in state.objects.since(0).iter().filter(|change| change.key.0 == "v1/secrets") {
        let password = &change.object["data"]["password"];
        match change.event_type {
            "DELETED" => _ = passwords.remove(&*change.key.2),
            _ => {
                if passwords.insert(&change.key.2, password).is_some_and(|before| before != password) {
                    changed.push(format!("the password of Secret {} was changed", change.key.2));
                }
            }
        }
    }
    changed
}

/// Secrets whose password was to change since this version and is that of before.
pub fn kept_passwords(state: &State, since: u64) -> Vec<String> {
    let changes = || state.objects.since(0).iter().filter(|change| change.key.0 == "v1/secrets");
    let rotates = |change: &&stand_in::Change| change.object["data"]["nextRotation"].is_string();
    let is_kept = |(key, secret): &(&stand_in::Key, &Value)| {
        let of_secret = changes().take_while(|change| change.version <= since).filter(|change| change.key == **key);
        let before = of_secret.filter(rotates).last();
        before.is_some_and(|before| before.object["data"]["password"] == secret["data"]["password"])
    };
    let kept = state.objects.of("v1/secrets", NAMESPACE).filter(is_kept);
    kept.map(|(key, _)| format!("the password of Secret {} was not changed", key.2)).collect()
}

fn without_chance(collection: &str, object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        BY_CHANCE.iter().for_each(|field| drop(metadata.remove(*field)));
    }
    for reference in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        reference["uid"] = json!("");
    }
    match collection {
        "v1/secrets" => {
            for (field, value) in object["data"].as_object_mut().into_iter().flatten() {
                if field != "username" && value.as_str().is_some_and(|value| !value.is_empty()) {
                    *value = json!("…");
                }
            }
        }
        // Any member may be the leader.
        "v1/pods" => object["metadata"]["labels"][ROLE] = json!("…"),
        "v1/endpoints" if object["metadata"]["annotations"]["leader"].is_string() => {
            object["metadata"]["annotations"]["leader"] = json!("…");
        }
        "apps/v1/statefulsets" | "apps/v1/deployments" => object["status"]["observedGeneration"] = json!(0),
        "acid.zalan.do/v1/postgresqls" => status(&mut object["status"]),
        _ => {}
    }
    object
}

fn status(status: &mut Value) {
    if status.is_null() {
        return;
    }
    for field in ["conditions", "actions"] {
        for entry in status[field].as_array_mut().into_iter().flatten() {
            for time in ["lastTransitionTime", "since", "observedGeneration"] {
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove(time);
                }
            }
            if entry["reason"] == "LeaderReady" {
                entry["message"] = json!("…");
            }
            if entry["key"].as_str().is_some_and(|key| key.starts_with("promote/")) {
                entry["key"] = json!("promote/…");
            }
        }
    }
    for member in status["members"].as_array_mut().into_iter().flatten() {
        member["role"] = json!("…");
    }
    for field in ["leader", "observedGeneration"] {
        if !status[field].is_null() {
            status[field] = json!("…");
        }
    }
}

/// The first difference within an object.
fn difference(path: &str, wanted: &Value, found: &Value, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for key in wanted.keys().chain(found.keys().filter(|key| !wanted.contains_key(*key))) {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                difference(&format!("{path}.{key}"), &of(wanted), &of(found), differences);
            }
        }
        (wanted, found) if wanted != found => {
            differences.push(format!("{path} is {} instead of {}", short(found), short(wanted)))
        }
        _ => {}
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 160 { text } else { text.chars().take(160).chain("…".chars()).collect() }
}
