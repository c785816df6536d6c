//! Patroni: one member in each database pod, the dynamic configuration, the leader's lock, and the REST API.
//!
//! A member is a replica as soon as its pod is ready, and its lag is always 0. All members have the same database. See
//! <https://patroni.readthedocs.io/en/latest/rest_api.html>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::State;
use crate::apply::merge;
use crate::controllers::is_ready;
use crate::database::Database;
use crate::objects::{Key, Objects, key};

const PODS: &str = "v1/pods";
const ENDPOINTS: &str = "v1/endpoints";
/// The label with the cluster's name.
const CLUSTER: &str = "cluster-name";
/// The label with the member's role.
const ROLE: &str = "spilo-role";
/// The number of steps until the members read a changed configuration: eight seconds. Patroni's `loop_wait` is ten.
const SEEN_AFTER: u8 = 32;
/// Parameters whose change needs a restart.
const NEED_RESTART: [&str; 4] = ["max_connections", "max_worker_processes", "shared_buffers", "wal_level"];

/// Patroni's state of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patroni {
    /// The dynamic configuration.
    pub config: Value,
    /// The pod that holds the leader's lock.
    pub leader: Option<String>,
    /// The number of changes of the leader.
    pub timeline: u64,
    /// Its roles and databases.
    pub database: Database,
    members: BTreeMap<String, Member>,
    labels: Value,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Member {
    uid: Value,
    /// The number of steps until the member detects that it has to restart.
    sees_in: Option<u8>,
    pending_restart: bool,
}

impl Patroni {
    /// Whether the cluster is a standby cluster.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.config["standby_cluster"].is_object()
    }

    /// The members that wait for a restart, or will wait when they have read the configuration.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        let pending = self.members.iter().filter(|(_, member)| member.pending_restart || member.sees_in.is_some());
        pending.map(|(name, _)| name.as_str())
    }

    /// Whether a member has not read a changed configuration yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.members.values().any(|member| member.sees_in.is_some())
    }

    fn role(&self, pod: &str) -> &'static str {
        match self.leader.as_deref() == Some(pod) {
            true if self.is_standby() => "standby_leader",
            true => "leader",
            false => "replica",
        }
    }

    fn configure(&mut self, patch: &Value) {
        let parameters = |config: &Value| -> Vec<Value> {
            NEED_RESTART.iter().map(|name| config["postgresql"]["parameters"][name].clone()).collect()
        };
        let before = parameters(&self.config);
        merge(&mut self.config, patch);
        if before != parameters(&self.config) {
            self.members.values_mut().for_each(|member| member.sees_in = Some(SEEN_AFTER));
        }
    }
}

/// One step of every cluster's Patroni.
pub fn step(state: &mut State) {
    let mut pods: BTreeMap<(String, String), Vec<(Key, Value)>> = BTreeMap::new();
    for (place, pod) in state.objects.of(PODS, "") {
        let labels = &pod["metadata"]["labels"];
        if labels["application"] == "spilo"
            && let Some(cluster) = labels[CLUSTER].as_str()
        {
            pods.entry((place.1.clone(), cluster.to_owned())).or_default().push((place.clone(), pod.clone()));
        }
    }
    for (cluster, pods) in &pods {
        run(state, cluster, pods);
    }
    state.patroni.retain(|(namespace, name), patroni| {
        let exists = state.objects.get(ENDPOINTS, namespace, &format!("{name}-config")).is_some();
        patroni.members.retain(|pod, _| state.objects.get(PODS, namespace, pod).is_some());
        exists || !patroni.members.is_empty()
    });
}

fn run(state: &mut State, cluster: &(String, String), pods: &[(Key, Value)]) {
    let ready: Vec<&(Key, Value)> = pods.iter().filter(|(_, pod)| is_ready(pod)).collect();
    let Some((_, first)) = ready.first() else { return };
    let is_new = !state.patroni.contains_key(cluster);
    let database = if is_new { database(&state.objects, &cluster.0, first) } else { Database::default() };
    let patroni = state.patroni.entry(cluster.clone()).or_default();
    if is_new {
        patroni.config = bootstrapped(first);
        patroni.database = database;
        let labels = &first["metadata"]["labels"];
        patroni.labels = json!({"application": labels["application"], CLUSTER: labels[CLUSTER]});
    }
    for (place, pod) in &ready {
        let member = patroni.members.entry(place.2.clone()).or_default();
        if member.uid != pod["metadata"]["uid"] {
            *member = Member { uid: pod["metadata"]["uid"].clone(), ..Member::default() };
        }
        member.sees_in = match member.sees_in {
            Some(0) => {
                member.pending_restart = true;
                None
            }
            steps => steps.map(|steps| steps - 1),
        };
    }
    let leads = |name: &String| ready.iter().any(|(place, _)| place.2 == *name);
    if !patroni.leader.as_ref().is_some_and(leads) {
        patroni.leader = ready.first().map(|(place, _)| place.2.clone());
        patroni.timeline += 1;
    }
    let patroni = patroni.clone();
    for (place, _) in &ready {
        let role = if patroni.leader.as_ref() == Some(&place.2) { "master" } else { "replica" };
        state.objects.change(place, |pod| pod["metadata"]["labels"][ROLE] = json!(role));
    }
    let (namespace, name) = cluster;
    for (name, annotations) in [
        (name.clone(), json!({"leader": patroni.leader})),
        (format!("{name}-config"), json!({"config": patroni.config.to_string(), "initialize": "1"})),
    ] {
        let place = key(ENDPOINTS, namespace, &name);
        let mut endpoints = state.objects.get(ENDPOINTS, namespace, &name).cloned().unwrap_or_else(
            || json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"labels": patroni.labels}}),
        );
        endpoints["metadata"]["annotations"] = annotations;
        state.objects.put(&place, endpoints);
    }
}

/// The database that the first member initializes, with the passwords of its Secrets.
fn database(objects: &Objects, namespace: &str, pod: &Value) -> Database {
    let variable = |name: &str| {
        let mut all = pod["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
        all.find(|variable| variable["name"] == name)
    };
    let user = |of: &str| variable(&format!("PGUSER_{of}"))?["value"].as_str();
    let password = |of: &str| {
        let source = &variable(&format!("PGPASSWORD_{of}"))?["valueFrom"]["secretKeyRef"];
        let secret = objects.get("v1/secrets", namespace, source["name"].as_str()?)?;
        let encoded = secret["data"][source["key"].as_str()?].as_str()?;
        String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
    };
    let role = |of: &str| (user(of).unwrap_or_default().to_owned(), password(of).unwrap_or_default());
    let (superuser, replication) = (role("SUPERUSER"), role("STANDBY"));
    Database::new((&superuser.0, &superuser.1), (&replication.0, &replication.1))
}

/// The cluster of a pod whose member serves.
pub fn cluster_of(state: &State, namespace: &str, pod: &str) -> Option<String> {
    let found = state.objects.get(PODS, namespace, pod).filter(|pod| is_ready(pod))?;
    let cluster = found["metadata"]["labels"][CLUSTER].as_str()?.to_owned();
    let patroni = state.patroni.get(&(namespace.to_owned(), cluster.clone()))?;
    patroni.members.contains_key(pod).then_some(cluster)
}

/// The dynamic configuration that the first member initializes.
fn bootstrapped(pod: &Value) -> Value {
    let variables = || pod["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    let spilo = variables().find(|variable| variable["name"] == "SPILO_CONFIGURATION");
    let spilo: Value = spilo.and_then(|spilo| serde_json::from_str(spilo["value"].as_str()?).ok()).unwrap_or_default();
    let mut config = if spilo["bootstrap"]["dcs"].is_object() { spilo["bootstrap"]["dcs"].clone() } else { json!({}) };
    if variables().any(|variable| variable["name"].as_str().is_some_and(|name| name.starts_with("STANDBY_"))) {
        config["standby_cluster"] = json!({"create_replica_methods": ["basebackup_fast_xlog"]});
    }
    config
}

/// Answers a request to the Patroni of a pod: the HTTP status and the body.
pub fn answer(state: &mut State, namespace: &str, pod: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let found = state.objects.get(PODS, namespace, pod);
    let Some(cluster) = found.and_then(|pod| pod["metadata"]["labels"][CLUSTER].as_str()) else {
        return (404, json!({"message": "there is no such pod"}));
    };
    let cluster = (namespace.to_owned(), cluster.to_owned());
    // A member that starts or ends does not answer.
    let serves = |objects: &Objects, pod: &str| objects.get(PODS, namespace, pod).is_some_and(is_ready);
    if !serves(&state.objects, pod) {
        return (503, json!({"state": "starting"}));
    }
    let Some(patroni) = state.patroni.get_mut(&cluster).filter(|patroni| patroni.members.contains_key(pod)) else {
        return (503, json!({"state": "starting"}));
    };
    match (method, path) {
        ("GET", "patroni") => {
            let pending = patroni.members.get(pod).is_some_and(|member| member.pending_restart);
            let status = json!({
                "state": "running", "role": patroni.role(pod), "timeline": patroni.timeline, "server_version": 150_000,
                "pending_restart": pending, "patroni": {"scope": cluster.1, "name": pod},
            });
            (200, status)
        }
        ("GET", "cluster") => {
            let members = patroni.members.iter().map(|(name, member)| {
                let leads = patroni.leader.as_ref() == Some(name);
                json!({
                    "name": name, "role": patroni.role(name), "state": if leads { "running" } else { "streaming" },
                    "timeline": patroni.timeline, "lag": 0, "pending_restart": member.pending_restart,
                })
            });
            (200, json!({"members": members.collect::<Vec<_>>()}))
        }
        ("GET", "config") => (200, patroni.config.clone()),
        ("PATCH", "config") => {
            patroni.configure(body);
            (200, patroni.config.clone())
        }
        ("POST", "restart") => match patroni.members.get_mut(pod) {
            Some(member) if member.pending_restart => {
                member.pending_restart = false;
                (200, json!({}))
            }
            _ => (412, json!({"message": "restart conditions are not satisfied"})),
        },
        ("POST", "switchover") => {
            let (from, to) = (body["leader"].as_str(), body["candidate"].as_str().unwrap_or_default());
            let is_fit = patroni.members.contains_key(to) && serves(&state.objects, to);
            if from != patroni.leader.as_deref() || !is_fit {
                return (412, json!({"message": "the leader or the candidate does not match"}));
            }
            patroni.leader = Some(to.to_owned());
            patroni.timeline += 1;
            (200, json!({}))
        }
        _ => (404, json!({"message": "not found"})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world with a running cluster of two members.
    fn world(env: Value) -> State {
        let mut state = State::default();
        let labels = json!({"application": "spilo", CLUSTER: "c"});
        state.put(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "c", "namespace": "ns"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "postgres", "env": env}]},
            }},
        }));
        (0..20).for_each(|_| state.step());
        state
    }

    fn of(state: &State) -> Patroni {
        state.patroni.values().next().cloned().unwrap()
    }

    fn ask(state: &mut State, pod: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        answer(state, "ns", pod, method, path, &body)
    }

    #[test]
    fn the_first_member_leads_and_another_when_it_is_gone() {
        let mut state = world(json!([]));
        let role =
            |state: &State, pod: &str| state.objects.get(PODS, "ns", pod).unwrap()["metadata"]["labels"][ROLE].clone();
        assert_eq!((role(&state, "c-0"), role(&state, "c-1")), (json!("master"), json!("replica")));
        state.objects.remove(&key(PODS, "ns", "c-0"));
        (0..20).for_each(|_| state.step());
        assert_eq!((role(&state, "c-0"), role(&state, "c-1")), (json!("replica"), json!("master")));
    }

    #[test]
    fn the_leadership_moves_to_the_candidate() {
        let mut state = world(json!([]));
        let body = json!({"leader": "c-0", "candidate": "c-1"});
        assert_eq!(ask(&mut state, "c-0", "POST", "switchover", body.clone()).0, 200);
        assert_eq!(ask(&mut state, "c-0", "POST", "switchover", body).0, 412);
        assert_eq!(of(&state).leader.as_deref(), Some("c-1"));
    }

    #[test]
    fn a_member_that_is_not_ready_neither_answers_nor_takes_the_leadership() {
        let mut state = world(json!([]));
        state.objects.change(&key(PODS, "ns", "c-1"), |pod| pod["status"] = json!({"phase": "Pending"}));
        assert_eq!(ask(&mut state, "c-1", "GET", "patroni", Value::Null).0, 503);
        let body = json!({"leader": "c-0", "candidate": "c-1"});
        assert_eq!(ask(&mut state, "c-0", "POST", "switchover", body).0, 412);
    }

    #[test]
    fn a_changed_limit_waits_for_a_restart() {
        let mut state = world(json!([]));
        let patch = json!({"postgresql": {"parameters": {"max_connections": "42"}}});
        ask(&mut state, "c-0", "PATCH", "config", patch);
        assert_eq!(ask(&mut state, "c-1", "POST", "restart", Value::Null).0, 412);
        (0..40).for_each(|_| state.step());
        assert_eq!(ask(&mut state, "c-1", "GET", "patroni", Value::Null).1["pending_restart"], true);
        assert_eq!(ask(&mut state, "c-1", "POST", "restart", Value::Null).0, 200);
        assert_eq!(of(&state).pending().collect::<Vec<_>>(), ["c-0"]);
    }

    #[test]
    fn a_standby_is_promoted_by_its_configuration() {
        let mut state = world(json!([{"name": "STANDBY_HOST", "value": "h"}]));
        assert!(of(&state).is_standby());
        ask(&mut state, "c-0", "PATCH", "config", json!({"standby_cluster": null}));
        assert!(!of(&state).is_standby());
    }
}
