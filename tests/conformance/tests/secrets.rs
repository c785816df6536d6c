//! No plugin receives a secret value, whatever it asks for.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::canary::{Canary, value};
use conformance::{engine, folder, granted};
use pgloom_api::config::{Config, KEYS, ValueType};
use pgloom_api::pipeline::Document;
use pgloom_decide::ownership::MARK;
use pgloom_decide::{Observed, decide};
use pgloom_engine::Pipeline;
use serde_json::{Map, Value, json};

/// The namespace of the operator.
const OPERATOR: &str = "pgloom-system";

/// What a decision made of the credentials comes back as an existing object, with the values filled in.
#[test]
fn a_plugin_that_reads_the_applied_objects_does_not_see_what_the_host_filled_in() {
    let mut canaries = Vec::new();
    let mut hush = |origin: &str| {
        canaries.push(Canary::new(origin, value(origin)));
        value(origin)
    };
    let (manifest, config) = (manifest(&mut hush), config(&mut hush));
    let mut existing = existing(&mut hush);
    let pipeline = pipeline();
    let decide = |existing: &[Value]| {
        let observed = Observed::in_files(existing, &manifest, &config, &pipeline, OPERATOR);
        decide(&manifest, &config, &observed, &pipeline).unwrap()
    };
    let mut applied = decide(&existing).filled().unwrap();
    for object in &mut applied {
        object["metadata"]["annotations"][MARK] = manifest["metadata"]["uid"].clone();
    }
    let set = applied.iter().find(|object| object["kind"] == "StatefulSet").unwrap();
    let labels = json!({"application": "spilo", "cluster-name": "acid-hush"});
    let metadata = json!({"name": "acid-hush-0", "namespace": "shop", "labels": labels});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": set["spec"]["template"]["spec"]});
    existing.push(pod);
    existing.extend(applied);
    let filled = serde_json::to_string(&existing).unwrap();
    let (of_step, of_both) = ("scalyr_api_key", "manifest-key");
    for origin in [format!("config-{of_step}"), of_both.to_owned()] {
        let canary = Canary::new(origin.as_str(), value(&origin));
        assert!(!canary.found_in(&filled).is_empty(), "{origin} is filled in");
    }

    // A credential that was changed since: the objects have the former one.
    let received = |config: &Config, manifest: &Value| {
        let observed = Observed::in_files(&existing, manifest, config, &pipeline, OPERATOR);
        let plan = pgloom_decide::decide(manifest, config, &observed, &pipeline).unwrap();
        let record = plan.objects.iter().find(|desired| desired.object["metadata"]["name"] == "record").unwrap();
        record.object["data"]["request"].as_str().unwrap().to_owned()
    };
    let mut changed = manifest.clone();
    changed["spec"]["clone"]["s3_secret_access_key"] = json!("another");
    let other = self::config(&mut |origin: &str| format!("another-{origin}"));
    for received in [received(&config, &manifest), received(&other, &changed)] {
        assert!(received.contains("acid-hush-0") && received.contains("SCALYR_API_KEY"), "{received}");
        for canary in &canaries {
            assert_eq!(canary.found_in(&received), Vec::<&str>::new(), "that of {}", canary.origin);
        }
    }
}

#[test]
fn a_plugin_that_asks_for_all_secrets_receives_placeholders_and_hashes() {
    let mut canaries = Vec::new();
    let mut hush = |origin: &str| {
        canaries.push(Canary::new(origin, value(origin)));
        value(origin)
    };
    let manifest = manifest(&mut hush);
    let config = config(&mut hush);
    let existing = existing(&mut hush);
    let pipeline = pipeline();
    let observed = Observed::in_files(&existing, &manifest, &config, &pipeline, OPERATOR);

    let plan = decide(&manifest, &config, &observed, &pipeline).unwrap();
    let record = plan.objects.iter().find(|desired| desired.object["metadata"]["name"] == "record").unwrap();
    let received = record.object["data"]["request"].as_str().unwrap();
    let seen = |text: &str| received.matches(text).count();
    // Two of the manifest, four of the configuration, and those that other steps have copied into their objects.
    assert!(seen("placeholder of ") > 6, "the credentials are placeholders: {received}");
    assert!(seen("sha256:") >= 7, "the values of Secrets are hashes: {received}");
    let printed = format!("{plan:?} {observed:?} {:?}", plan.documents());
    for canary in &canaries {
        assert_eq!(canary.found_in(received), Vec::<&str>::new(), "the request holds that of {}", canary.origin);
        assert_eq!(canary.found_in(&printed), Vec::<&str>::new(), "the plan prints that of {}", canary.origin);
    }
    assert_eq!(canaries.len(), 2 + 4 + 8);
}

#[test]
fn a_plugin_whose_reads_are_not_granted_is_not_loaded_and_the_error_has_the_lines_to_add() {
    let mut step = granted(&json!({"name": "record", "source": {"file": "record.wasm"}}));
    let reads = step["grants"].as_object_mut().unwrap().remove("reads").unwrap();
    let load = |step: &Value| Pipeline::load(&engine(), &conformance::document(step), &folder(), None);
    let error = load(&step).unwrap_err().to_string();
    let lines = "reads:\n  - apiVersion: v1\n    kind: Secret\n    from: cluster\n";
    assert!(error.contains(lines) && error.contains("config:pod_environment_secret"), "{error}");
    step["grants"]["reads"] = reads;
    load(&step).unwrap();
}

/// The shipped pipeline, and after it the guest that records what it receives.
fn pipeline() -> Pipeline {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/pipeline.yaml");
    let mut document: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let steps = document["spec"]["steps"].as_array_mut().unwrap();
    for step in steps.iter_mut() {
        let file = PathBuf::from("plugins").join(step["source"]["file"].as_str().unwrap());
        step["source"]["file"] = json!(file);
    }
    let mut record = granted(&json!({"name": "record", "source": {"file": "record.wasm"}}));
    record["source"]["file"] = json!("guests/record.wasm");
    steps.push(record);
    let document = Document::read(&document).unwrap();
    Pipeline::load(&engine(), &document, &folder().join(".."), None)
        .unwrap_or_else(|error| panic!("{error}; make plugins guests"))
}

fn manifest(hush: &mut impl FnMut(&str) -> String) -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-hush", "namespace": "shop", "uid": "uid-of-acid-hush"},
        "spec": {
            "teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "15"},
            "users": {"foo_user": []}, "enableConnectionPooler": true, "enableLogicalBackup": true,
            "tls": {"secretName": "pg-tls"},
            "clone": {
                "cluster": "acid-source", "uid": "efd12e58-5786-11e8-b5a7-06148230260c",
                "timestamp": "2017-12-19T12:40:33+01:00", "s3_wal_path": "s3://bucket/spilo/acid-source/wal",
                "s3_access_key_id": hush("manifest-id"), "s3_secret_access_key": hush("manifest-key"),
            },
        },
    })
}

/// The operator configuration with all of its credentials.
fn config(hush: &mut impl FnMut(&str) -> String) -> Config {
    let credentials = KEYS.iter().filter(|key| key.value_type == ValueType::Credential);
    let mut data: Map<String, Value> =
        credentials.map(|key| (key.name.to_owned(), json!(hush(&format!("config-{}", key.name))))).collect();
    data.insert("scalyr_image".to_owned(), json!("scalyr"));
    data.insert("pod_environment_secret".to_owned(), json!("environment"));
    data.insert("infrastructure_roles_secret_name".to_owned(), json!("infrastructure"));
    Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config
}

/// The Secrets of the cluster, and those that manifest and configuration name.
fn existing(hush: &mut impl FnMut(&str) -> String) -> Vec<Value> {
    let mut secret = |namespace: &str, name: &str, key: &str| {
        let labels = json!({"application": "spilo", "cluster-name": "acid-hush", "team": "acid"});
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "data": {key: STANDARD.encode(hush(name))},
        });
        if name.contains("acid-hush") {
            secret["metadata"]["labels"] = labels;
        }
        secret
    };
    let mut infrastructure = secret(OPERATOR, "infrastructure", "password1");
    infrastructure["data"]["user1"] = json!(STANDARD.encode("robot"));
    vec![
        secret("shop", "postgres.acid-hush.credentials", "password"),
        secret("shop", "standby.acid-hush.credentials", "password"),
        secret("shop", "foo-user.acid-hush.credentials", "password"),
        secret("shop", "pooler.acid-hush.credentials", "password"),
        secret("shop", "acid-hush-pooler-u", "userlist.txt"),
        secret("shop", "environment", "AWS_TOKEN"),
        secret("shop", "pg-tls", "tls.key"),
        infrastructure,
    ]
}
