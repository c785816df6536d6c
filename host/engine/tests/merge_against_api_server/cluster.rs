//! A new namespace and a custom resource on a real API server, which are deleted when they are dropped.

use std::{collections::BTreeSet, env};

use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use pgloom_engine::schema::{Schemas, openapi};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The custom resource of `monitors.yaml`.
const DEFINITION: &str = "monitors.merge.pgloom.dev";
const VARIABLE: &str = "PGLOOM_TEST_KUBECONFIG";

pub struct Cluster {
    runtime: Runtime,
    client: Client,
    pub namespace: String,
    /// How kinds are merged: the built-in ones, and the custom resource.
    pub schemas: Schemas,
    /// Whether this test created the custom resource.
    has_definition: bool,
}

/// The server's answer to a fragment.
pub enum Answer {
    Merged(Value),
    Conflict(String),
    /// The merged object is not valid.
    Invalid(String),
}

impl Cluster {
    /// The cluster that the environment names; without one, prints that the test is skipped.
    pub fn of_the_environment(purpose: &str) -> Option<Self> {
        let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
            println!("skipped: {VARIABLE} names no cluster to compare with (`make test` sets it)");
            return None;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // The namespace of an earlier run may still be terminating, so its name is not used again.
        let instant = std::time::UNIX_EPOCH.elapsed().expect("a clock").subsec_micros();
        let namespace = format!("pgloom-{purpose}-{}-{instant}", std::process::id());
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(&path).expect("the kubeconfig can be read");
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            Client::try_from(config.expect("the kubeconfig can be used")).expect("a client")
        });
        let schemas = Schemas::built_in().expect("a table that can be read");
        let cluster = Self { runtime, client, namespace, schemas, has_definition: false };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}});
        let api = Api::<DynamicObject>::all_with(cluster.client.clone(), &resource("v1", "Namespace"));
        let patch = Patch::Apply(&namespace);
        cluster
            .runtime
            .block_on(api.patch(&cluster.namespace, &PatchParams::apply("pgloom-test"), &patch))
            .expect("the cluster allows to create a namespace");
        Some(cluster)
    }

    /// Creates the custom resource, and reads its schema from the server when it is published.
    pub fn with_custom_resource(mut self) -> Self {
        let text = include_str!("monitors.yaml");
        let definition: Value = serde_yaml_ng::from_str(text).expect("a definition");
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &definitions());
        let (params, patch) = (PatchParams::apply("pgloom-test"), Patch::Apply(&definition));
        self.runtime
            .block_on(api.patch(DEFINITION, &params, &patch))
            .expect("the cluster allows to create a custom resource");
        self.has_definition = true;
        let wanted = BTreeSet::from(["merge.pgloom.dev/v1 Monitor".to_owned()]);
        let mut seen = String::new();
        for _ in 0..100 {
            let request =
                hyper::Request::get("/openapi/v3/apis/merge.pgloom.dev/v1").body(Vec::new()).expect("a request");
            match self.runtime.block_on(self.client.request::<Value>(request)) {
                Ok(document) => {
                    let table = openapi::custom(&[document], &wanted).expect("a table");
                    if table.contains("Monitor") {
                        self.schemas = Schemas::with_custom(&table).expect("a table that can be read");
                        return self;
                    }
                    seen = table;
                }
                Err(error) => seen = error.to_string(),
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        panic!("the server does not publish the schema of {DEFINITION}: {seen}");
    }

    /// A document of the server.
    pub fn get(&self, path: &str) -> Value {
        let request = hyper::Request::get(path).body(Vec::new()).expect("a request");
        self.runtime.block_on(self.client.request(request)).expect("the server answers")
    }

    /// Applies a fragment to the server.
    pub fn apply(&self, fragment: &Value, manager: &str, force: bool) -> Answer {
        let text = |pointer: &str| fragment.pointer(pointer).and_then(Value::as_str).expect("an identity");
        let resource = resource(text("/apiVersion"), text("/kind"));
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        match self.runtime.block_on(api.patch(text("/metadata/name"), &params, &Patch::Apply(fragment))) {
            Ok(object) => Answer::Merged(serde_json::to_value(object).expect("JSON")),
            Err(kube::Error::Api(status)) if status.code == 409 => Answer::Conflict(status.message.clone()),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => {
                Answer::Invalid(status.message.clone())
            }
            Err(error) => panic!("the server does not answer: {error}"),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &resource("v1", "Namespace"));
        // The server deletes it in the background. If the request fails, the namespace's name tells its process.
        let _ = self.runtime.block_on(api.delete(&self.namespace, &Default::default()));
        if self.has_definition {
            let api = Api::<DynamicObject>::all_with(self.client.clone(), &definitions());
            let _ = self.runtime.block_on(api.delete(DEFINITION, &Default::default()));
        }
    }
}

fn definitions() -> ApiResource {
    resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = match kind {
        "Endpoints" => "endpoints".to_owned(),
        "NetworkPolicy" => "networkpolicies".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}
