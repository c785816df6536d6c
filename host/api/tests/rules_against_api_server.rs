//! The schema and the rules of the `postgresql` definition, as a real API server applies them to the bad manifests.
//!
//! `PGLOOM_TEST_KUBECONFIG` names the kubeconfig of a cluster to run against; without it each test prints that it is
//! skipped. The server's messages are in `golden/validate/server.txt`; `UPDATE=1` rewrites them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Discovery};
use pgloom_api::crd;
use pgloom_api::validate::{Rules, validate};
use pgloom_common::error::FIELD_IMMUTABLE;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const VARIABLE: &str = "PGLOOM_TEST_KUBECONFIG";

/// An API server that has our definitions.
struct Server {
    runtime: Runtime,
    client: Client,
}

impl Server {
    fn of_the_environment() -> Option<Self> {
        let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
            eprintln!("SKIPPED rules_against_api_server: {VARIABLE} names no cluster (`make test` sets it)");
            return None;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(&path).unwrap();
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            let client = Client::try_from(config).unwrap();
            install(&client).await;
            client
        });
        Some(Self { runtime, client })
    }

    /// The server's errors about a manifest, by a dry run; empty if it accepts the manifest.
    fn says(&self, manifest: &Value) -> Vec<String> {
        let text = |field: &str| manifest[field].as_str().unwrap_or_default();
        let path = match text("kind") {
            "postgresql" => format!("/apis/{}/namespaces/default/postgresqls", text("apiVersion")),
            other => return vec![format!("(not sent: {other:?} has a path of its own)")],
        };
        let request = http_post(&format!("{path}?dryRun=All&fieldValidation=Strict&fieldManager=test"), manifest);
        match self.runtime.block_on(self.client.request::<Value>(request)) {
            Ok(_) => Vec::new(),
            Err(kube::Error::Api(status)) => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let mut causes: Vec<_> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
                causes.sort();
                if causes.is_empty() { vec![status.message] } else { causes }
            }
            Err(error) => panic!("the server does not answer: {error}"),
        }
    }
}

fn http_post(path: &str, body: &Value) -> hyper::Request<Vec<u8>> {
    let request = hyper::Request::post(path).header("content-type", "application/json");
    request.body(serde_json::to_vec(body).unwrap()).unwrap()
}

async fn install(client: &Client) {
    for definition in crd::all().unwrap() {
        let name = definition.metadata.name.clone().unwrap();
        let body = serde_json::to_value(definition).unwrap();
        let resource = kube::api::ApiResource::erase::<
            k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
        >(&());
        let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
        api.patch(&name, &PatchParams::apply("pgloom-test").force(), &Patch::Apply(&body)).await.unwrap();
    }
    for _ in 0..100 {
        let discovery = Discovery::new(client.clone()).filter(&["acid.zalan.do", "pgloom.dev"]).run().await;
        if discovery.is_ok_and(|found| found.groups().count() == 2) {
            // The server takes a moment until it validates by a new definition.
            tokio::time::sleep(Duration::from_secs(2)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the server does not serve the definitions");
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/validate").join(name)
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The names and changes of a file of cases, in the file's order.
fn cases(path: &Path) -> Vec<(String, Value)> {
    let cases: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    cases
        .into_iter()
        .map(|(name, changes)| (name.as_str().unwrap().to_owned(), serde_json::to_value(changes).unwrap()))
        .collect()
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_api_server_refuses_what_its_schema_and_rules_can_tell() {
    let Some(server) = Server::of_the_environment() else { return };
    let features = repository("tests/golden/bad");
    // The pipeline's findings about the cases of features; tests/golden keeps them up to date.
    let refused = yaml(&features.join("feature-messages.yaml"));
    let host = cases(&golden("cases.yaml")).into_iter().map(|case| (case, false));
    let of_features = cases(&features.join("features.yaml")).into_iter().map(|case| (case, true));
    let mut said = String::new();
    for ((name, changes), of_feature) in host.chain(of_features) {
        let mut manifest = yaml(&golden("minimal.yaml"));
        json_patch::merge(&mut manifest, &changes);
        let answers = server.says(&manifest);
        // A manifest that pgloom accepts, also with a warning, has to be accepted by the server, too.
        let is_refused = validate(&manifest, &Rules::default()).is_err() || of_feature && refused[&name].is_array();
        assert!(is_refused || answers.is_empty(), "{name}: {answers:?}");
        let answers = if answers.is_empty() { vec!["(taken: the operator reports)".to_owned()] } else { answers };
        said += &format!("{name}:\n{}", answers.iter().map(|answer| format!("  {answer}\n")).collect::<String>());
    }
    let file = golden("server.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &said).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), said);
}

#[test]
fn the_api_server_takes_every_recorded_manifest_and_configuration() {
    let Some(server) = Server::of_the_environment() else { return };
    let Some(folder) = std::env::var_os("PGLOOM_UPSTREAM").map(PathBuf::from) else {
        eprintln!("SKIPPED the_api_server_takes_every_recorded_manifest_and_configuration: PGLOOM_UPSTREAM is not set");
        return;
    };
    for release in ["newest", "v1.5.0"] {
        for case in std::fs::read_dir(folder.join(release)).unwrap() {
            let case = case.unwrap().path();
            let mut manifest = yaml(&case.join("manifest.yaml"));
            manifest["metadata"].as_object_mut().unwrap().remove("namespace");
            assert_eq!(server.says(&manifest), Vec::<String>::new(), "{}", case.display());
            let config = yaml(&case.join("config.yaml"));
            if config["kind"] == "OperatorConfiguration" {
                let mut config = config;
                config["metadata"] = json!({"name": "recorded"});
                let path = "/apis/acid.zalan.do/v1/namespaces/default/operatorconfigurations?dryRun=All&fieldValidation=Strict";
                server.runtime.block_on(server.client.request::<Value>(http_post(path, &config))).unwrap();
            }
        }
    }
}

#[test]
fn the_api_server_knows_a_null_user_and_keeps_what_it_was_given() {
    let Some(server) = Server::of_the_environment() else { return };
    let manifest = yaml(&golden("minimal.yaml"));
    let path = "/apis/acid.zalan.do/v1/namespaces/default/postgresqls?dryRun=All";
    let stored = server.runtime.block_on(server.client.request::<Value>(http_post(path, &manifest))).unwrap();
    assert_eq!(stored["spec"], manifest["spec"]);
    assert!(manifest["spec"]["users"].as_object().unwrap()["foo_user"].is_null());
}

/// The operator replaces an object of which a field cannot be changed. It knows such a refusal by its text, because the
/// structured part of the answer is the same for every invalid value.
#[test]
fn the_api_server_refuses_to_change_an_immutable_field_with_the_text_that_the_operator_knows() {
    let Some(server) = Server::of_the_environment() else { return };
    let name = format!("pgloom-immutable-{}", std::process::id());
    let deployment = |label: &str| {
        let labels = json!({"pgloom-test": label});
        let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "none"}]}});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
        })
    };
    let api: Api<Deployment> = Api::namespaced(server.client.clone(), "default");
    let apply = async |label: &str| {
        api.patch(&name, &PatchParams::apply("pgloom-test").force(), &Patch::Apply(deployment(label))).await
    };
    let refused = server.runtime.block_on(async {
        apply("a").await.unwrap();
        let refused = apply("b").await;
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        refused
    });
    let Err(kube::Error::Api(status)) = refused else { panic!("not refused: {refused:?}") };
    assert!(status.code == 422 && status.message.contains(FIELD_IMMUTABLE), "{status:?}");
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let reasons: Vec<&str> = causes.map(|cause| cause.reason.as_str()).collect();
    assert_eq!(reasons, ["FieldValueInvalid"]);
}
