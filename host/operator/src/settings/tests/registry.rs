//! Promises about components in registries, with Debian's `docker-registry` on the loopback interface.

#[path = "../../../../registry/tests/server/mod.rs"]
mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgloom_registry::{Client, Credentials, PrivateKey, Settings as RegistrySettings};
use server::Server;

use super::super::loading::Wanted;
use super::super::progress;
use super::*;

const COMPONENT: &[u8] = include_bytes!("../../../../../tests/conformance/canned/0.2.wasm");
const PRIVATE: &str = include_str!("../../../../registry/tests/keys/private.pem");
const PUBLIC: &str = include_str!("../../../../registry/tests/keys/public.pem");
const SECRET: &str = "/api/v1/namespaces/ns/secrets/registry";

/// The component with one more custom section, which is another component with the same answers.
fn component(section: u8) -> Vec<u8> {
    [COMPONENT, &[0, 2, 1, section]].concat()
}

fn config(server: &Server, password: &str) -> String {
    json!({"auths": {&server.address: {"username": "pgloom", "password": password}}}).to_string()
}

/// A private registry, an operator that reaches it, and its Secret.
struct Place {
    server: Server,
    api_server: FakeApiServer,
    cache: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let server = Server::start_private();
        let config = STANDARD.encode(config(&server, server::PASSWORD));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry", "namespace": "ns"},
            "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": config},
        });
        let api_server = FakeApiServer::new().with(SECRET, secret);
        Self { server, api_server, cache: tempfile::tempdir().unwrap() }
    }

    fn settings(&self) -> RegistrySettings {
        let (authorities, cache) = (Some(self.server.authority()), Some(self.cache.path().to_owned()));
        RegistrySettings { authorities, cache, ..RegistrySettings::new(1 << 20) }
    }

    fn loader(&self) -> Loader {
        let mut loader = loader_of_object(&self.api_server);
        loader.options.registry = self.settings();
        loader.registry = Arc::new(Registry::new(&loader.options));
        loader
    }

    async fn push(&self, tag: &str, component: Vec<u8>, key: Option<&PrivateKey>) {
        let credentials = Credentials::read(config(&self.server, server::PASSWORD).as_bytes()).unwrap();
        let reference = format!("{}/plugin:{tag}", self.server.address).parse().unwrap();
        Client::new(self.settings()).push(&reference, &credentials, component, key).await.unwrap();
    }

    /// A Pipeline object of one step with this tag and these further fields of its source.
    fn document(&self, tag: &str, more: Value) -> Found {
        let mut source = json!({"oci": format!("{}/plugin:{tag}", self.server.address)});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config_maps = json!({"apiVersion": "v1", "kind": "ConfigMap", "names": ["{cluster}-*"], "creates": true});
        let step = json!({"name": "contract", "source": source, "grants": {"objects": [config_maps]}});
        let document = json!({
            "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": "default", "namespace": "ns", "uid": "u", "generation": 4},
            "spec": {"imagePullSecrets": [{"name": "registry"}], "steps": [step]},
        });
        Found { name: "Pipeline ns/default".into(), document }
    }
}

async fn load(loader: &Loader, found: Found) -> Result<Pipeline, Error> {
    let running = Arc::new(Pipeline::of(vec![]).unwrap());
    loader.load_wanted(Wanted::Document(found), running).await.result
}

#[tokio::test]
async fn a_component_of_a_private_registry_is_loaded_and_a_moved_tag_is_noticed_and_loaded() {
    let place = Place::new();
    let loader = place.loader();
    place.push("1", component(1), None).await;
    let first = load(&loader, place.document("1", json!({}))).await.unwrap();
    assert_eq!(first.steps()[0].plugin.digest, pgloom_engine::plugin::digest(&component(1)));
    assert!(!loader.registry.is_moved().await);
    place.push("1", component(2), None).await;
    assert!(loader.registry.is_moved().await);
    let second = load(&loader, place.document("1", json!({}))).await.unwrap();
    assert_eq!(second.steps()[0].plugin.digest, pgloom_engine::plugin::digest(&component(2)));
    assert!(!loader.registry.is_moved().await);
}

#[tokio::test]
async fn what_failed_with_a_component_of_a_registry_is_told_apart_and_what_runs_stays_in_use() {
    let place = Place::new();
    let loader = place.loader();
    place.push("unsigned", component(1), None).await;
    let other = PrivateKey::read(PRIVATE).unwrap();
    place.push("signed", component(2), Some(&other)).await;
    place.push("empty", b"\0asm\x0d\0\x01\0".to_vec(), None).await;
    let keys = json!({"publicKeys": [PUBLIC]});
    load(&loader, place.document("signed", keys.clone())).await.unwrap();
    for (tag, more, phase, message) in [
        ("absent", json!({}), "fetch", "has no manifest absent of plugin"),
        ("unsigned", keys, "verify", "is not signed"),
        ("signed", json!({"publicKeys": ["x"]}), "verify", "BEGIN PUBLIC KEY"),
        ("signed", json!({"digest": format!("sha256:{:064}", 1)}), "fetch", "has no manifest sha256:"),
        ("empty", json!({}), "verify", "does not export"),
    ] {
        let error = load(&loader, place.document(tag, more)).await.unwrap_err();
        let mut progress = Progress::default();
        progress.failed(None, &error);
        let problem = progress.problem.unwrap();
        assert_eq!(problem.step, Some(("contract".to_owned(), phase)), "{}", problem.message);
        assert!(problem.message.contains(message), "{}", problem.message);
        assert!(progress.retry.is_some(), "it is tried again");
    }
}

#[tokio::test]
async fn a_pull_secret_that_is_missing_or_wrong_is_named_and_its_content_is_not() {
    let place = Place::new();
    place.push("1", component(1), None).await;
    let secret =
        |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"}, "data": data});
    let wrong = config(&place.server, "hunter2");
    for (data, message) in [
        (json!({}), "Secret ns/registry has no key .dockerconfigjson"),
        (json!({".dockerconfigjson": STANDARD.encode("hunter2")}), "not a config.json of Docker"),
        (json!({".dockerconfigjson": STANDARD.encode(wrong)}), "check the credentials"),
    ] {
        place.api_server.put(SECRET, secret(data));
        let error = pgloom_common::error::error_chain(
            &load(&place.loader(), place.document("1", json!({}))).await.unwrap_err(),
        );
        assert!(error.contains(message) && !error.contains("hunter2"), "{error}");
    }
    let mut document = place.document("1", json!({}));
    document.document["spec"]["imagePullSecrets"][0]["name"] = json!("absent");
    let error = load(&place.loader(), document).await.unwrap_err().to_string();
    assert_eq!(error, "Secret ns/absent does not exist; create it, or name another");
}

#[tokio::test]
async fn after_a_restart_without_a_registry_the_last_pipeline_is_in_use_by_what_was_pulled() {
    let mut place = Place::new();
    place.push("1", component(1), None).await;
    let found = place.document("1", json!({}));
    let pipeline = load(&place.loader(), found.clone()).await.unwrap();
    let mut progress = Progress::default();
    progress.succeeded(found.clone(), &pipeline, None, Timestamp::UNIX_EPOCH);
    let mut object = found.document;
    object["status"] = json!({"lastLoaded": progress.last_loaded});
    assert!(progress::of_status(&object).is_some());
    place.api_server.put(&format!("{PIPELINES}/default"), object);
    place.server.stop();
    let loader = place.loader();
    let (settings, progress) = loader.first().await.unwrap();
    assert_eq!(settings.pipeline.steps()[0].plugin.digest, pgloom_engine::plugin::digest(&component(1)));
    assert_eq!(progress.problem.unwrap().step, Some(("contract".to_owned(), "fetch")));
}
