//! Secret values are in Secrets and in pods only: not in the operator's log, in events, in the status or the metadata of
//! an object, or in the metrics. Secrets that are deleted come back, and what is in them opens the database.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::canary::{Canary, value};
use e2e::{
    Connection, Namespace, Operator, configuration, ensure, eventually, has_cluster, kubectl, minimal, namespace,
    of_operator,
};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-secrets";
const POOLER: &str = "acid-secrets-pooler";
/// A clone of an archive that does not exist: its pod never runs.
const CLONE: &str = "acid-secrets-clone";
/// A manifest that the operator refuses.
const REFUSED: &str = "acid-secrets-refused";
/// The controller id of the clusters: they belong to the operator of this test, whose log is a file.
const ID: &str = "secrets";
/// The Secrets of each kind: superuser, replication, user of the manifest, account of the pooler, its user list.
const KINDS: [&str; 5] = ["postgres", "standby", "foo-user", "pooler", "user list"];
/// The keys of Secrets with the name of a role.
const NAMES: [&str; 2] = ["username", "user1"];
/// All that the operator and its libraries log, apart from the compiler of plugins.
const LEVEL: &str = "debug,wasmtime=info,cranelift=info,regalloc2=info";

#[test]
fn secrets_come_back_and_their_values_are_found_nowhere_else() {
    if !has_cluster("secrets") {
        return;
    }
    let namespace = namespace("secrets");
    let mut canaries = Vec::new();
    let mut hush = |origin: &str| {
        canaries.push(Canary::new(origin, value(origin)));
        value(origin)
    };
    // Not by `kubectl apply`, which copies the manifest into an annotation.
    namespace.create_as("the test", configuration_and_secrets(&mut hush));
    namespace.create_as("the test", manifests(&mut hush));
    let operator = Operator::start(ID, &namespace.name, ["--config-map", "pgloom"], LEVEL);
    namespace.running(CLUSTER);
    the_role_of_the_infrastructure_logs_in(&namespace);
    a_password_that_a_user_chooses_is_used(&namespace, &hush("chosen"));
    canaries.extend(in_secrets(&namespace));
    secrets_that_are_deleted_come_back_and_open_the_database(&namespace);
    canaries.extend(in_secrets(&namespace));
    eventually("the clone and the refused manifest are reported", || {
        namespace.get("statefulset", CLONE)?;
        let valid = namespace.condition(REFUSED, "Valid")?;
        ensure(valid["status"] == "False", &valid)
    });

    let places = places(&namespace, &operator);
    let sizes: Vec<String> = places.iter().map(|(place, text)| format!("{} bytes of {place}", text.len())).collect();
    println!("{} values are not found in {}", canaries.len(), sizes.join(", "));
    for (place, text) in &places {
        assert!(text.len() > 100 && text.contains(CLUSTER) != (*place == "metrics"), "{place} was not read");
    }
    let found = |canary: &Canary| {
        let found = places.iter().map(|(place, text)| (place, canary.found_in(text)));
        let found = found.filter(|(_, encodings)| !encodings.is_empty());
        found.map(|(place, encodings)| format!("{}: {encodings:?} in {place}", canary.origin)).collect::<Vec<_>>()
    };
    let found: Vec<String> = canaries.iter().flat_map(found).collect();
    assert!(found.is_empty(), "secret values were found:\n{}", found.join("\n"));
}

/// The operator configuration with its credentials, and the Secrets that it names.
fn configuration_and_secrets(hush: &mut impl FnMut(&str) -> String) -> Vec<Value> {
    let mut keys =
        json!({"infrastructure_roles_secret_name": "infrastructure", "pod_environment_secret": "environment"});
    for key in [
        "logical_backup_s3_access_key_id",
        "logical_backup_s3_secret_access_key",
        "logical_backup_azure_storage_account_key",
        "scalyr_api_key",
    ] {
        keys[key] = json!(hush(key));
    }
    let mut secret = |name: &str, key: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {key: hush(name)},
        })
    };
    let mut infrastructure = secret("infrastructure", "password1");
    infrastructure["stringData"]["user1"] = json!("robot");
    vec![infrastructure, secret("environment", "TOKEN"), configuration(&keys)]
}

/// A cluster that runs, one whose pod does not, and one that is refused.
fn manifests(hush: &mut impl FnMut(&str) -> String) -> Vec<Value> {
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "100Mi"}});
    let mut running = of_operator(minimal(CLUSTER, 1), ID);
    running["spec"]["enableConnectionPooler"] = json!(true);
    running["spec"]["connectionPooler"] = json!({"numberOfInstances": 1, "resources": resources});
    running["spec"]["enableLogicalBackup"] = json!(true);
    // Once a year: no job runs in the test.
    running["spec"]["logicalBackupSchedule"] = json!("0 3 1 1 *");
    let mut clone = |name: &str| {
        let mut manifest = of_operator(minimal(name, 1), ID);
        manifest["spec"]["clone"] = json!({
            "cluster": "acid-gone", "uid": "efd12e58-5786-11e8-b5a7-06148230260c",
            "timestamp": "2017-12-19T12:40:33+01:00", "s3_endpoint": "http://127.0.0.1:9",
            "s3_wal_path": "s3://bucket/spilo/acid-gone/wal",
            "s3_access_key_id": hush(&format!("{name}-id")), "s3_secret_access_key": hush(&format!("{name}-key")),
        });
        manifest
    };
    let mut refused = clone(REFUSED);
    refused["spec"]["users"] = json!({"Zalando": []});
    vec![running, clone(CLONE), refused]
}

fn the_role_of_the_infrastructure_logs_in(namespace: &Namespace) {
    logs_in(namespace, "robot", CLUSTER, "postgres", "select current_user", "robot");
}

fn a_password_that_a_user_chooses_is_used(namespace: &Namespace, password: &str) {
    let secret = format!("foo-user.{CLUSTER}.credentials");
    namespace.patch("secret", &secret, &json!({"stringData": {"password": password}}));
    logs_in(namespace, "foo_user", CLUSTER, "foo", "select current_user", "foo_user");
}

fn secrets_that_are_deleted_come_back_and_open_the_database(namespace: &Namespace) {
    let name = |kind: &str| match kind {
        "user list" => format!("{POOLER}-u"),
        user => format!("{user}.{CLUSTER}.credentials"),
    };
    let names = KINDS.map(name);
    let uid = |name: &String| namespace.get("secret", name).map(|secret| secret["metadata"]["uid"].clone());
    let before = names.each_ref().map(|name| uid(name).unwrap());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    namespace.kubectl(&[&["delete", "secret"], &names[..]].concat()).unwrap();
    eventually("every Secret is there again", || {
        let missing: Vec<String> = names.iter().filter_map(|name| uid(&(*name).to_owned()).err()).collect();
        ensure(missing.is_empty(), missing.join("\n"))
    });
    assert!(names.iter().zip(before).all(|(name, before)| uid(&(*name).to_owned()).unwrap() != before));

    logs_in(namespace, "postgres", CLUSTER, "postgres", "select current_user", "postgres");
    logs_in(namespace, "foo_user", CLUSTER, "foo", "select current_user", "foo_user");
    logs_in(namespace, "pooler", CLUSTER, "foo", "select current_user", "pooler");
    // The answer of IDENTIFY_SYSTEM has the timeline in its second column.
    let replication = "postgres replication=true";
    eventually("standby opens a connection for replication", || {
        let answer = sql(namespace, "standby", CLUSTER, replication, "IDENTIFY_SYSTEM")?;
        ensure(answer.split('|').nth(1) == Some("1"), answer)
    });
    // A new pod of the pooler mounts the new user list.
    let pooler = ["--selector", "connection-pooler"];
    namespace.kubectl(&[&["delete", "pods", "--wait"], &pooler[..]].concat()).unwrap();
    logs_in(namespace, "foo_user", POOLER, "foo", "select current_user", "foo_user");
}

fn logs_in(namespace: &Namespace, user: &str, host: &str, database: &str, statement: &str, wanted: &str) {
    eventually(&format!("{user} logs in at {host} with the Secret's password"), || {
        let answer = sql(namespace, user, host, database, statement)?;
        ensure(answer == wanted, answer)
    });
}

fn sql(namespace: &Namespace, user: &str, host: &str, database: &str, statement: &str) -> Result<String, String> {
    namespace.sql(CLUSTER, &Connection { user, database, host, mode: "require" }, statement)
}

/// The values of all Secrets in the namespace, apart from those that anyone may know.
fn in_secrets(namespace: &Namespace) -> Vec<Canary> {
    let text = namespace.kubectl(&["get", "secrets", "--output", "json"]).unwrap();
    let secrets: Value = serde_json::from_str(&text).unwrap();
    let mut canaries = Vec::new();
    for secret in secrets["items"].as_array().unwrap() {
        let name = secret["metadata"]["name"].as_str().unwrap();
        for (key, data) in
            secret["data"].as_object().into_iter().flatten().filter(|(key, _)| !NAMES.contains(&key.as_str()))
        {
            let value = String::from_utf8(STANDARD.decode(data.as_str().unwrap()).unwrap()).unwrap();
            canaries.push(Canary::new(format!("{key} of the Secret {name}"), value));
        }
    }
    canaries
}

/// The texts in which no secret value may be.
fn places(namespace: &Namespace, operator: &Operator) -> Vec<(&'static str, String)> {
    let events = namespace.kubectl(&["get", "events.v1.events.k8s.io", "--output", "json"]).unwrap();
    let kinds = kubectl(&["api-resources", "--namespaced", "--verbs", "list", "--output", "name"]).unwrap();
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let objects = namespace.kubectl(&["get", &kinds.join(","), "--show-managed-fields", "--output", "json"]).unwrap();
    let objects: Value = serde_json::from_str(&objects).unwrap();
    let shown = |object: &Value| json!([object["kind"], object["metadata"], object["status"]]).to_string();
    let objects: Vec<String> = objects["items"].as_array().unwrap().iter().map(shown).collect();
    vec![
        ("log", operator.log()),
        ("events", events),
        ("metadata and status", objects.join("\n")),
        ("metrics", operator.metrics().unwrap()),
    ]
}
