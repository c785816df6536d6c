//! The operations on a cluster: the manifest before, and the edit.

use serde_json::{Value, json};
use stand_in::State;

/// The namespace of everything.
pub const NAMESPACE: &str = "ns";
/// The cluster.
pub const CLUSTER: &str = "acid-crash";
/// The ConfigMap with the operator configuration.
pub const CONFIGURATION: &str = "pgloom";
/// The collection of the manifest.
pub const MANIFESTS: &str = "acid.zalan.do/v1/postgresqls";

/// An operation on a cluster.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The name of the operation in `CRASH_ONLY` and in the output.
    pub name: &'static str,
    /// `spec` of the manifest before the edit; `None` if there is no cluster.
    pub before: Option<Value>,
    /// The ordinal of the leader before the edit.
    pub leader: u64,
    /// `spec` of the manifest after the edit; `None` if the manifest is deleted.
    pub after: Option<Value>,
    /// Whether the edit is also that the time of every rotation of a password has passed.
    pub rotates: bool,
    /// Texts, each of which is part of one of its writes. Without such a write the operation would be tested in vain.
    pub writes: &'static [&'static str],
}

/// Every operation.
pub fn all() -> Vec<Operation> {
    let plain = || cluster(2, &json!({}));
    let with = |fields: Value| cluster(2, &fields);
    let edit = |name, before, after, writes| Operation {
        name,
        before: Some(before),
        leader: 0,
        after,
        rotates: false,
        writes,
    };
    let standby = || cluster(1, &json!({"standby": {"standby_host": "source.example"}}));
    let pooler = || with(json!({"enableConnectionPooler": true}));
    let rotating = || {
        with(json!({
            "users": {"app": [], "job": []}, "usersWithSecretRotation": ["app"], "usersWithInPlaceSecretRotation": ["job"],
        }))
    };
    let changed = with(json!({
        "users": {"app": ["createdb"], "more": []}, "databases": {"store": "app", "another": "more"},
        "serviceAnnotations": {"a": "b"},
    }));
    let resources = with(json!({"resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "1"}}}));
    let parameters = with(json!({
        "patroni": {"ttl": 40},
        "postgresql": {"version": "15", "parameters": {"max_connections": "42"}},
    }));
    let tls = with(json!({"tls": {"secretName": "certificate"}}));
    let large = with(json!({"volume": {"size": "2Gi"}}));
    let three = || cluster(3, &json!({}));
    let created = &["POST apps/v1/statefulsets", "SQL postgres: CREATE ROLE", "SQL postgres: CREATE DATABASE"];
    let prepares = with(json!({"preparedDatabases": {"foo": {
        "defaultUsers": true, "extensions": {"hstore": "bar"}, "schemas": {"bar": {"defaultUsers": true}, "plain": {"defaultRoles": false}},
    }}}));
    let prepared = &[
        "SQL postgres: CREATE DATABASE",
        "SQL foo: CREATE SCHEMA",
        "SQL foo: ALTER DEFAULT",
        "SQL foo: CREATE EXTENSION",
    ];
    vec![
        Operation { before: None, ..edit("create", plain(), Some(plain()), created) },
        Operation { before: None, ..edit("create prepared", prepares.clone(), Some(prepares), prepared) },
        edit("change", plain(), Some(changed), &["PATCH v1/services", "SQL postgres: ALTER ROLE", "POST v1/secrets"]),
        edit("rolling update", plain(), Some(resources), &["DELETE v1/pods", "proxy/switchover"]),
        edit("scale up", plain(), Some(three()), &["PATCH apps/v1/statefulsets"]),
        Operation { leader: 2, ..edit("scale down", three(), Some(plain()), &["proxy/switchover"]) },
        edit("parameter change", plain(), Some(parameters), &["proxy/config", "proxy/restart"]),
        edit("pooler on", plain(), Some(pooler()), &["POST apps/v1/deployments", "SQL store: CREATE SCHEMA"]),
        edit("pooler off", pooler(), Some(plain()), &["DELETE apps/v1/deployments"]),
        edit("standby promotion", standby(), Some(cluster(1, &json!({}))), &["proxy/config", "SQL postgres"]),
        edit("TLS change", plain(), Some(tls), &["DELETE v1/pods", "proxy/switchover"]),
        edit("volume resize", plain(), Some(large), &["PATCH v1/persistentvolumeclaims", "POST apps/v1/statefulsets"]),
        Operation {
            rotates: true,
            ..edit(
                "password rotation",
                rotating(),
                Some(rotating()),
                &["SQL postgres: CREATE ROLE", "PATCH v1/secrets"],
            )
        },
        edit("delete", plain(), None, &["DELETE apps/v1/statefulsets", "DELETE v1/persistentvolumeclaims"]),
    ]
}

/// The `spec` of a cluster with this number of members and these fields.
fn cluster(members: u64, fields: &Value) -> Value {
    let mut spec = json!({
        "teamId": "acid", "numberOfInstances": members, "volume": {"size": "1Gi"}, "users": {"app": []},
        "databases": {"store": "app"}, "postgresql": {"version": "15"},
    });
    for (field, value) in fields.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

/// A world without a cluster.
pub fn empty() -> State {
    let mut state = State::default();
    state.put(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIGURATION, "namespace": NAMESPACE},
        "data": {
            "resync_period": "30s", "repair_period": "15s", "kubernetes_use_configmaps": "false",
            "enable_master_load_balancer": "false",
        },
    }));
    state.put(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certificate", "namespace": NAMESPACE},
        "data": {"tls.crt": "YQ==", "tls.key": "Yg=="},
    }));
    state
}

/// Writes the manifest as a user would.
pub fn put(state: &mut State, spec: &Value) {
    state.put(&json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "metadata": {"name": CLUSTER, "namespace": NAMESPACE},
        "spec": spec,
    }));
}

/// Lets the time of every rotation of a password pass.
pub fn pass_time(state: &mut State) {
    // 2024-01-01T00:00:00Z
    let past = json!("MjAyNC0wMS0wMVQwMDowMDowMFo=");
    let rotates = |object: &Value| object["data"]["nextRotation"].is_string();
    let secrets = state.objects.of("v1/secrets", NAMESPACE).filter(|(_, object)| rotates(object));
    let keys: Vec<stand_in::Key> = secrets.map(|(key, _)| key.clone()).collect();
    for key in keys {
        state.objects.change(&key, |secret| secret["data"]["nextRotation"] = past.clone());
    }
}

/// Deletes the manifest as a user would.
pub fn delete(state: &mut State) {
    state.delete_by_name(MANIFESTS, NAMESPACE, CLUSTER);
}

/// Makes a member the leader.
pub fn lead(state: &mut State, ordinal: u64) {
    if let Some(patroni) = state.patroni.values_mut().next() {
        patroni.leader = Some(format!("{CLUSTER}-{ordinal}"));
    }
}
