//! The API resource of a kind: its group, version and plural, as a request names them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};
use parking_lot::Mutex;
use pgloom_common::error::error_chain;
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
    /// The API resource of a kind that the host writes or watches. While the API server does not name it, as before its
    /// CRD is created, this is the one with the usual plural, and the requests say what is missing.
    pub async fn discover(&self, client: &Client, kind: &Kind) -> ApiResource {
        self.find(client, kind).await.unwrap_or_else(|error| {
            debug!(%kind, error = %error_chain(&error), "discovery of the kind failed, using the default plural");
            api_resource(kind)
        })
    }

    /// The API resource of a kind, as the API server names it. One that not every cluster has is looked up there, as its
    /// plural may be anything. A kind in other letters, as in `secret`, is unknown: what is read is compared by its kind.
    ///
    /// # Errors
    /// If the API server does not answer, or has no such kind.
    pub async fn find(&self, client: &Client, kind: &Kind) -> Result<ApiResource, kube::Error> {
        let is_known = || *kind == Kind::cluster() || *kind == Kind::new("v1", "ConfigMap");
        if is_known() || of_every_cluster().contains(kind) {
            return Ok(api_resource(kind));
        }
        if let Some(known) = self.known(kind) {
            return Ok(known);
        }
        let (resource, _) = kube::discovery::pinned_kind(client, &gvk(kind)).await?;
        self.0.lock().insert(kind.clone(), (Instant::now(), resource.clone()));
        Ok(resource)
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
