//! The API resource of a kind: its group, version and plural, as a request names them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};
use parking_lot::Mutex;
use pgloom_decide::Kind;
use pgloom_decide::kind::of_every_cluster;
use tracing::debug;

/// How long the API server's answer about a kind is used. A CRD may be deleted and made again with another plural.
const KEPT: Duration = Duration::from_secs(600);

/// The API resource of a kind, with the plural that Kubernetes uses for built-in kinds.
pub fn api_resource(kind: &Kind) -> ApiResource {
    ApiResource::from_gvk(&gvk(kind))
}

/// The API resources of kinds that not every cluster has, and when the API server named them.
#[derive(Default)]
pub struct Resources(Mutex<HashMap<Kind, (Instant, ApiResource)>>);

impl Resources {
    /// The API resource of a kind. One that not every cluster has is looked up in the API server, as its plural may be
    /// anything.
    pub async fn discover(&self, client: &Client, kind: &Kind) -> ApiResource {
        if *kind == Kind::cluster() || of_every_cluster().contains(kind) {
            return api_resource(kind);
        }
        if let Some(known) = self.known(kind) {
            return known;
        }
        match kube::discovery::pinned_kind(client, &gvk(kind)).await {
            Ok((resource, _)) => {
                self.0.lock().insert(kind.clone(), (Instant::now(), resource.clone()));
                resource
            }
            Err(error) => {
                debug!(%kind, %error, "discovery of the kind failed, using the default plural");
                api_resource(kind)
            }
        }
    }

    fn known(&self, kind: &Kind) -> Option<ApiResource> {
        let resources = self.0.lock();
        resources.get(kind).filter(|(since, _)| since.elapsed() < KEPT).map(|(_, resource)| resource.clone())
    }
}

/// Group, version and kind, split.
fn gvk(kind: &Kind) -> GroupVersionKind {
    match kind.api_version.split_once('/') {
        Some((group, version)) => GroupVersionKind::gvk(group, version, &kind.kind),
        None => GroupVersionKind::gvk("", &kind.api_version, &kind.kind),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::FakeApiServer;

    #[test]
    fn every_kind_of_a_cluster_has_the_plural_that_the_api_server_uses() {
        let plurals: Vec<String> = of_every_cluster().iter().map(|kind| api_resource(kind).plural).collect();
        assert_eq!(
            plurals,
            [
                "services",
                "endpoints",
                "secrets",
                "pods",
                "persistentvolumeclaims",
                "statefulsets",
                "deployments",
                "cronjobs",
                "poddisruptionbudgets"
            ]
        );
        assert_eq!(api_resource(&Kind::cluster()).plural, "postgresqls");
    }

    #[tokio::test]
    async fn a_kind_is_looked_up_once_for_all_clusters() {
        let resource = json!({"name": "gateways", "kind": "Gateway", "namespaced": true, "verbs": ["get"], "singularName": "gateway"});
        let listed =
            json!({"kind": "APIResourceList", "groupVersion": "networking.k8s.io/v1", "resources": [resource]});
        let api_server = FakeApiServer::new().with("/apis/networking.k8s.io/v1", listed);
        let (resources, kind) = (Resources::default(), Kind::new("networking.k8s.io/v1", "Gateway"));
        for _ in 0..3 {
            assert_eq!(resources.discover(&api_server.client(), &kind).await.plural, "gateways");
        }
        assert_eq!(api_server.reads(), 1);
    }
}
