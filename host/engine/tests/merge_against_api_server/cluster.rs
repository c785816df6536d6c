//! A new namespace on a real API server, which is deleted when it is dropped.

use std::env;

use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const VARIABLE: &str = "PGLOOM_TEST_KUBECONFIG";

pub struct Cluster {
    runtime: Runtime,
    client: Client,
    pub namespace: String,
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
        let cluster = Self { runtime, client, namespace };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}});
        let api = Api::<DynamicObject>::all_with(cluster.client.clone(), &resource("v1", "Namespace"));
        let patch = Patch::Apply(&namespace);
        cluster
            .runtime
            .block_on(api.patch(&cluster.namespace, &PatchParams::apply("pgloom-test"), &patch))
            .expect("the cluster allows to create a namespace");
        Some(cluster)
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
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = match kind {
        "Endpoints" => "endpoints".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}
