//! The API resource of a kind: its group, version and plural, as a request names them.

use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};
use pgloom_decide::Kind;
use pgloom_decide::kind::of_every_cluster;
use tracing::debug;

/// The API resource of a kind, with the plural that Kubernetes uses for built-in kinds.
pub fn api_resource(kind: &Kind) -> ApiResource {
    ApiResource::from_gvk(&gvk(kind))
}

/// The API resource of a kind. A kind that is not built in is looked up in the API server, because its plural may be
/// any name.
pub async fn discover(client: &Client, kind: &Kind) -> ApiResource {
    if *kind == Kind::cluster() || of_every_cluster().contains(kind) {
        return api_resource(kind);
    }
    match kube::discovery::pinned_kind(client, &gvk(kind)).await {
        Ok((resource, _)) => resource,
        Err(error) => {
            debug!(%kind, %error, "discovery of the kind failed, using the default plural");
            api_resource(kind)
        }
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
    use super::*;

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
}
