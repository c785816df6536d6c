//! Network policy: who may open connections to the pods of a cluster.

use std::collections::BTreeMap;

use pgloom_kit::k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use pgloom_kit::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pgloom_kit::{Description, Plugin, Request, Response, Result, kind, register};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The label by which Kubernetes names a namespace.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// The plugin.
pub struct Policy;

/// The keys of the operator configuration that the plugin reads.
#[derive(Deserialize)]
pub struct Config {
    cluster_name_label: String,
}

/// The configuration of the step.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// The operator's namespace: it reaches PostgreSQL and Patroni.
    pub operator_namespace: String,
    /// The namespaces whose pods reach PostgreSQL, beside the cluster's own.
    pub clients: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { operator_namespace: "pgloom-system".to_owned(), clients: Vec::new() }
    }
}

impl Plugin for Policy {
    type Spec = IgnoredAny;
    type Config = Config;
    type Settings = Settings;

    fn describe() -> Description {
        Description::of::<Self>("network-policy", "0.1.0", "Lets only some namespaces reach the database.")
            .creates(kind("networking.k8s.io/v1", "NetworkPolicy"), &["{cluster}"])
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let (cluster, settings) = (&request.cluster, &request.settings);
        let own = labels(&request.config.cluster_name_label, &cluster.name);
        let members = NetworkPolicyPeer { pod_selector: Some(own.clone()), ..Default::default() };
        let clients = std::iter::once(&cluster.namespace).chain(&settings.clients);
        let ingress = vec![
            // Members replicate from each other and ask each other's Patroni.
            rule(vec![members, namespace(&settings.operator_namespace)], &[5432, 8008]),
            rule(clients.map(|name| namespace(name)).collect(), &[5432]),
        ];
        Ok(Response::new().apply(&NetworkPolicy {
            metadata: ObjectMeta { name: Some(cluster.name.clone()), ..Default::default() },
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(own),
                policy_types: Some(vec!["Ingress".to_owned()]),
                ingress: Some(ingress),
                ..Default::default()
            }),
        }))
    }
}

fn rule(from: Vec<NetworkPolicyPeer>, ports: &[i32]) -> NetworkPolicyIngressRule {
    let port = |&number: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    };
    NetworkPolicyIngressRule { from: Some(from), ports: Some(ports.iter().map(port).collect()) }
}

fn namespace(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(labels(NAMESPACE, name)), ..Default::default() }
}

fn labels(key: &str, value: &str) -> LabelSelector {
    let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    LabelSelector { match_labels: Some(labels), ..Default::default() }
}

register!(Policy);
