//! The controllers and the kubelet: a `StatefulSet` gets its pods and claims, pods start and end, claims are expanded,
//! and objects without an owner are deleted.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::State;
use crate::objects::{Key, key};
use crate::write::owners;

const SETS: &str = "apps/v1/statefulsets";
const PODS: &str = "v1/pods";
const CLAIMS: &str = "v1/persistentvolumeclaims";
/// The label with the revision of the template that a pod was made from.
const REVISION: &str = "controller-revision-hash";

/// One step of each controller.
pub fn step(state: &mut State) {
    for (collection, step) in [
        (PODS, run_pod as fn(&mut State, &Key, &Value)),
        (CLAIMS, keep_claim),
        (SETS, keep_set),
        ("apps/v1/deployments", keep_deployment),
    ] {
        let all: Vec<(Key, Value)> =
            state.objects.of(collection, "").map(|(key, object)| (key.clone(), object.clone())).collect();
        for (key, object) in all {
            step(state, &key, &object);
        }
    }
    collect_garbage(state);
}

/// The kubelet: a pod gets an address, then its containers run; a pod with a deletion timestamp ends.
fn run_pod(state: &mut State, key: &Key, pod: &Value) {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return state.objects.remove(key);
    }
    let containers = |ready: bool| -> Vec<Value> {
        let all = pod["spec"]["containers"].as_array().into_iter().flatten();
        all.map(|container| json!({"name": container["name"], "ready": ready, "state": {"running": {}}})).collect()
    };
    let status = match pod["status"]["phase"].as_str() {
        None => json!({"phase": "Pending"}),
        Some("Pending") => json!({
            "phase": "Running", "podIP": address(&key.2), "containerStatuses": containers(false),
            "conditions": [{"type": "Ready", "status": "False"}],
        }),
        Some(_) if pod["status"]["conditions"][0]["status"] == "False" => json!({
            "phase": "Running", "podIP": address(&key.2), "containerStatuses": containers(true),
            "conditions": [{"type": "Ready", "status": "True"}],
        }),
        Some(_) => return,
    };
    state.objects.change(key, |pod| pod["status"] = status);
}

/// A unique address for each name.
fn address(name: &str) -> String {
    let hash = hash(&json!(name));
    format!("10.{}.{}.{}", hash & 255, (hash >> 8) & 255, (hash >> 16) & 255)
}

/// The storage: a claim is bound, and expanded to its request.
fn keep_claim(state: &mut State, key: &Key, claim: &Value) {
    if claim["metadata"]["deletionTimestamp"].is_string() {
        return state.objects.remove(key);
    }
    let wanted = json!({"storage": claim["spec"]["resources"]["requests"]["storage"]});
    state.objects.change(key, |claim| claim["status"] = json!({"phase": "Bound", "capacity": wanted}));
}

/// The StatefulSet controller with `updateStrategy: OnDelete`: claims, pods one after the other, and the status. A
/// changed template takes effect only when a pod is deleted.
fn keep_set(state: &mut State, key: &Key, set: &Value) {
    let spec = &set["spec"];
    let revision = format!("{}-{:08x}", key.2, hash(&spec["template"]) & 0xffff_ffff);
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let mut pods: Vec<(u64, Key, Value)> = state
        .objects
        .of(PODS, &key.1)
        .filter(|(_, pod)| matches(&spec["selector"]["matchLabels"], pod))
        .filter_map(|(place, pod)| Some((ordinal(&key.2, &place.2)?, place.clone(), pod.clone())))
        .collect();
    pods.sort_by_key(|(ordinal, _, _)| *ordinal);
    for (_, place, pod) in pods.iter().filter(|(_, _, pod)| owners(pod).next().is_none()) {
        let reference = owner(set);
        if pod["metadata"]["deletionTimestamp"].is_null() {
            state.objects.change(place, |pod| pod["metadata"]["ownerReferences"] = json!([reference]));
        }
    }
    if let Some((_, place, pod)) = pods.last().filter(|(ordinal, _, _)| *ordinal >= wanted) {
        if pod["metadata"]["deletionTimestamp"].is_null() {
            state.objects.change(place, |pod| pod["metadata"]["deletionTimestamp"] = json!("2031-05-14T01:00:00Z"));
        }
    } else if let Some(missing) = (0..wanted).find(|number| !pods.iter().any(|(ordinal, _, _)| ordinal == number)) {
        let in_parallel = spec["podManagementPolicy"] == "Parallel";
        if in_parallel || pods.iter().all(|(_, _, pod)| is_ready(pod)) {
            create_member(state, key, set, missing, &revision);
        }
    }
    let of_set: Vec<&Value> = state
        .objects
        .of(PODS, &key.1)
        .filter(|(place, pod)| matches(&spec["selector"]["matchLabels"], pod) && ordinal(&key.2, &place.2).is_some())
        .map(|(_, pod)| pod)
        .collect();
    let status = json!({
        "observedGeneration": set["metadata"]["generation"], "updateRevision": revision,
        "replicas": of_set.len(), "readyReplicas": of_set.iter().filter(|pod| is_ready(pod)).count(),
        "updatedReplicas": of_set.iter().filter(|pod| pod["metadata"]["labels"][REVISION] == *revision).count(),
    });
    state.objects.change(key, |set| set["status"] = status);
}

fn create_member(state: &mut State, set_key: &Key, set: &Value, number: u64, revision: &str) {
    let name = format!("{}-{number}", set_key.2);
    let spec = &set["spec"];
    let mut volumes = spec["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    for template in spec["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = template["metadata"]["name"].as_str().unwrap_or_default();
        let place = key(CLAIMS, &set_key.1, &format!("{volume}-{name}"));
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": place.2}}));
        if state.objects.get(&place.0, &place.1, &place.2).is_none() {
            let mut claim = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": template["metadata"], "spec": template["spec"],
            });
            for (label, value) in spec["selector"]["matchLabels"].as_object().into_iter().flatten() {
                claim["metadata"]["labels"][label] = value.clone();
            }
            state.objects.put(&place, claim);
        }
    }
    let template = &spec["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
        "metadata": {"labels": template["metadata"]["labels"], "ownerReferences": [owner(set)]},
    });
    if let Some(annotations) = template["metadata"]["annotations"].as_object() {
        pod["metadata"]["annotations"] = json!(annotations);
    }
    pod["metadata"]["labels"][REVISION] = json!(revision);
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
    pod["spec"]["volumes"] = json!(volumes);
    state.objects.put(&key(PODS, &set_key.1, &name), pod);
}

fn keep_deployment(state: &mut State, key: &Key, deployment: &Value) {
    let (replicas, generation) = (&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]);
    let status = json!({"observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas});
    state.objects.change(key, |deployment| deployment["status"] = status);
}

/// Deletes the objects that have owners of which none exists.
fn collect_garbage(state: &mut State) {
    let uids: HashSet<&str> =
        state.objects.all().filter_map(|(_, object)| object["metadata"]["uid"].as_str()).collect();
    let exists = |owner: &Value| owner["uid"].as_str().is_some_and(|uid| uids.contains(uid));
    let is_orphan = |object: &Value| owners(object).next().is_some() && !owners(object).any(exists);
    let orphans: Vec<Key> =
        state.objects.all().filter(|(_, object)| is_orphan(object)).map(|(key, _)| key.clone()).collect();
    for key in orphans {
        match &*key.0 {
            PODS => state.objects.change(&key, |pod| {
                pod["metadata"]["deletionTimestamp"] = json!("2031-05-14T01:00:00Z");
            }),
            _ => state.objects.remove(&key),
        }
    }
}

fn owner(set: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
        "controller": true,
    })
}

/// Whether a pod passes its readiness check.
pub fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True" && pod["metadata"]["deletionTimestamp"].is_null()
}

/// The ordinal of a pod of a set.
pub fn ordinal(set: &str, pod: &str) -> Option<u64> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

/// Whether an object has all of these labels; without any label, false.
pub fn matches(labels: &Value, object: &Value) -> bool {
    labels
        .as_object()
        .is_some_and(|labels| labels.iter().all(|(label, value)| object["metadata"]["labels"][label] == *value))
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: u64, image: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "c", "namespace": "ns"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": image}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}],
            }
        })
    }

    fn pods(state: &State) -> Vec<String> {
        state.objects.of(PODS, "ns").map(|((_, _, name), _)| name.clone()).collect()
    }

    #[test]
    fn a_set_has_as_many_ready_pods_and_claims_as_it_asks_for() {
        let mut state = State::default();
        state.put(&set(2, "1"));
        (0..20).for_each(|_| step(&mut state));
        let status = &state.objects.get(SETS, "ns", "c").unwrap()["status"];
        assert_eq!((pods(&state), &status["readyReplicas"]), (vec!["c-0".into(), "c-1".into()], &json!(2)));
        state.put(&set(1, "1"));
        (0..20).for_each(|_| step(&mut state));
        assert_eq!((pods(&state), state.objects.of(CLAIMS, "ns").count()), (vec!["c-0".into()], 2));
    }

    #[test]
    fn a_changed_template_reaches_a_pod_only_when_it_is_deleted() {
        let mut state = State::default();
        state.put(&set(1, "1"));
        (0..20).for_each(|_| step(&mut state));
        state.put(&set(1, "2"));
        (0..20).for_each(|_| step(&mut state));
        let image =
            |state: &State| state.objects.get(PODS, "ns", "c-0").unwrap()["spec"]["containers"][0]["image"].clone();
        assert_eq!(image(&state), "1");
        state.objects.remove(&key(PODS, "ns", "c-0"));
        (0..20).for_each(|_| step(&mut state));
        assert_eq!(image(&state), "2");
    }

    #[test]
    fn the_pods_of_a_deleted_set_go() {
        let mut state = State::default();
        state.put(&set(1, "1"));
        (0..20).for_each(|_| step(&mut state));
        state.objects.remove(&key(SETS, "ns", "c"));
        (0..20).for_each(|_| step(&mut state));
        assert_eq!((pods(&state).len(), state.objects.of(CLAIMS, "ns").count()), (0, 1));
    }
}
