//! What the plugin makes equals what the newest recorded release asked the API server for.
//!
//! The recordings are not part of the repository: `PGLOOM_UPSTREAM` names their folder (the one with `newest/` in it).

use std::fs;
use std::path::{Path, PathBuf};

use pgloom_kit::testing::{Answer, Call, operator_config_of};
use pgloom_kit::{Value, json, kind};
use plugin_spilo::Spilo;
use serde::Deserialize;

/// Kinds that the plugin makes.
const KINDS: [&str; 4] = ["Endpoints", "Service", "PodDisruptionBudget", "StatefulSet"];
/// What the API server fills in, by the place where it does.
const DEFAULTS: &[(&str, &[&str])] = &[
    ("/metadata", &["namespace", "ownerReferences"]),
    ("/spec", &["internalTrafficPolicy", "sessionAffinity", "allocateLoadBalancerNodePorts", "revisionHistoryLimit"]),
    ("/spec/template/spec", &["restartPolicy", "dnsPolicy", "serviceAccount", "initContainers"]),
    ("/spec/template/spec/containers/0", &["terminationMessagePath", "terminationMessagePolicy"]),
    ("/spec/volumeClaimTemplates/0", &["apiVersion", "kind", "status"]),
];

#[test]
fn every_recorded_case_is_what_upstream_asked_for() {
    let Some(folder) = std::env::var_os("PGLOOM_UPSTREAM").map(|folder| PathBuf::from(folder).join("newest")) else {
        eprintln!("SKIPPED every_recorded_case_is_what_upstream_asked_for: PGLOOM_UPSTREAM is not set");
        return;
    };
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let mut compared = 0;
    let mut differences = Vec::new();
    for case in cases.iter().filter(|case| case.join("requests.yaml").exists()) {
        let (manifest, expected) = (document(&case.join("manifest.yaml")), expected(case));
        let answer = answer(case, &manifest);
        let count = expected.len();
        for expected in expected {
            let (kind, name) = (expected["kind"].as_str().unwrap(), expected["metadata"]["name"].as_str().unwrap());
            let made = answer.object(kind, name).cloned().unwrap_or_default();
            compared += 1;
            let (expected, made) = (reduced(&expected, &manifest), reduced(&made, &manifest));
            if let Some(difference) = difference("", &made, &expected) {
                differences.push(format!("{}: {kind} {name}: {difference}", case.file_name().unwrap().display()));
            }
        }
        assert_eq!(answer.objects.len(), count, "objects of {}", case.display());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 100, "only {compared} objects were compared");
}

fn document(path: &Path) -> Value {
    documents(path).into_iter().next().unwrap()
}

fn documents(path: &Path) -> Vec<Value> {
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    serde_yaml_ng::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn answer(case: &Path, manifest: &Value) -> Answer {
    let mut manifest = manifest.clone();
    manifest["metadata"]["namespace"] = document(&case.join("requests.yaml"))["namespace"].clone();
    manifest["metadata"]["uid"] = json!("CLUSTER-UID");
    let config = document(&case.join("config.yaml"));
    let config =
        operator_config_of(if config["kind"] == "ConfigMap" { &config["data"] } else { &config["configuration"] });
    let mut call = Call::new(&manifest).operator_config(&config);
    for mut existing in documents(&case.join("prerequisites.yaml")) {
        if let Some(data) = existing.as_object_mut().unwrap().remove("stringData") {
            existing["data"] = data;
        }
        for (key, selector, wanted) in [
            ("pod_environment_secret", "pod-environment-secret", kind("v1", "Secret")),
            ("pod_environment_configmap", "pod-environment-configmap", kind("v1", "ConfigMap")),
        ] {
            if existing["kind"] == wanted.kind && existing["metadata"]["name"] == config[key] {
                call = call.observed(selector, &existing);
            }
        }
    }
    call.mutate::<Spilo>().unwrap_or_else(|failure| panic!("{}: {failure:?}", case.display()))
}

/// The bodies of the requests that created objects of the plugin's kinds; those of other plugins have names of their own.
fn expected(case: &Path) -> Vec<Value> {
    let requests = document(&case.join("requests.yaml"));
    let pooler = format!("{}-pooler", document(&case.join("manifest.yaml"))["metadata"]["name"].as_str().unwrap());
    let created = requests["writes"].as_array().unwrap().iter().filter(|write| write["verb"] == "create");
    created
        .map(|write| write["body"].clone())
        .filter(|body| KINDS.iter().any(|kind| body["kind"] == **kind))
        .filter(|body| !body["metadata"]["name"].as_str().unwrap().starts_with(&pooler))
        .collect()
}

/// Without what the API server fills in and what other plugins add.
fn reduced(object: &Value, manifest: &Value) -> Value {
    // The recorded release let an inherited label replace one of the selector's; its StatefulSet was refused for that.
    let text = object.to_string().replace(r#""application":"test-app""#, r#""application":"spilo""#);
    let mut object: Value = serde_yaml_ng::from_str(&text).unwrap();
    for (pointer, fields) in DEFAULTS {
        let Some(place) = object.pointer_mut(pointer).and_then(Value::as_object_mut) else { continue };
        place.retain(|field, _| !fields.contains(&field.as_str()));
    }
    let mut others: Vec<&Value> =
        manifest["spec"]["additionalVolumes"].as_array().into_iter().flatten().map(|volume| &volume["name"]).collect();
    others.push(&manifest["spec"]["tls"]["secretName"]);
    if let Some(pod) = object.pointer_mut("/spec/template/spec") {
        if pod["schedulerName"] == "default-scheduler" {
            pod.as_object_mut().unwrap().remove("schedulerName");
        }
        if pod["securityContext"] == json!({}) {
            pod.as_object_mut().unwrap().remove("securityContext");
        }
        pod["containers"].as_array_mut().unwrap().truncate(1);
        for volume in pod["volumes"].as_array_mut().into_iter().flatten().filter_map(|volume| volume.get_mut("secret"))
        {
            volume.as_object_mut().unwrap().remove("defaultMode");
        }
        if let Some(volumes) = pod["volumes"].as_array_mut() {
            volumes.retain(|volume| !others.contains(&&volume["name"]));
        }
        let container = &mut pod["containers"][0];
        container["volumeMounts"].as_array_mut().unwrap().retain(|mount| !others.contains(&&mount["name"]));
        let env = container["env"].as_array_mut().unwrap();
        env.retain(|entry| {
            !["CLONE_", "STANDBY_", "SSL_"].iter().any(|prefix| entry["name"].as_str().unwrap().starts_with(prefix))
        });
        for entry in env {
            if entry["value"] == "" {
                entry.as_object_mut().unwrap().remove("value");
            }
        }
    }
    object
}

fn difference(path: &str, made: &Value, expected: &Value) -> Option<String> {
    match (made, expected) {
        (Value::Object(made), Value::Object(expected)) => {
            let keys = made.keys().chain(expected.keys());
            keys.into_iter().find_map(|key| {
                let path = format!("{path}/{key}");
                difference(&path, made.get(key).unwrap_or(&Value::Null), expected.get(key).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(made), Value::Array(expected)) if made.len() == expected.len() => made
            .iter()
            .zip(expected)
            .enumerate()
            .find_map(|(index, (made, expected))| difference(&format!("{path}/{index}"), made, expected)),
        _ => (made != expected).then(|| format!("{path}: made {made}, upstream {expected}")),
    }
}
