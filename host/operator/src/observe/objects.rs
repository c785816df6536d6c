//! The existing objects for one cluster: from the store, and from the API server where a step names an object that is
//! not the cluster's own.

use std::collections::BTreeSet;

use kube::api::{Api, ApiResource, DynamicObject};
use pgloom_api::config::Config;
use pgloom_decide::Kind;
use pgloom_decide::Observed;
use pgloom_decide::transform::transform;
use pgloom_engine::{NamedObject, Pipeline};
use serde_json::Value;

use crate::cache::{ClusterKey, Store};

/// The reason why the existing objects could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object that the manifest or the configuration names could not be read.
    #[error("failed to read {kind} {name}")]
    Named {
        /// As in `ConfigMap`.
        kind: String,
        /// The object's name.
        name: String,
        /// The error of the request.
        #[source]
        source: Box<kube::Error>,
    },
}

/// The cluster's own objects, and those that steps name for this manifest. A named object that does not exist is left
/// out.
pub async fn observe(
    client: &kube::Client,
    store: &Store,
    key: &ClusterKey,
    manifest: &Value,
    config: &Config,
    pipeline: &Pipeline,
) -> Result<Observed, Error> {
    let mut observed =
        Observed { objects: store.objects(key).iter().map(|kept| kept.object()).collect(), ..Observed::default() };
    let named: BTreeSet<NamedObject> = pipeline.named(manifest, config.values());
    for wanted in named {
        if let Some(object) = fetch(client, store, key, &wanted).await? {
            observed.add_named(object);
        }
    }
    Ok(observed)
}

async fn fetch(
    client: &kube::Client,
    store: &Store,
    key: &ClusterKey,
    wanted: &NamedObject,
) -> Result<Option<Value>, Error> {
    let namespace = wanted.namespace.as_deref().unwrap_or(&key.namespace);
    let failed = |source| Error::Named {
        kind: wanted.kind.clone(),
        name: format!("{namespace}/{}", wanted.name),
        source: Box::new(source),
    };
    let kind = Kind::new(&wanted.api_version, &wanted.kind);
    let resource = store.resources.find(client, &kind).await.map_err(failed)?;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let Some(found) = api.get_opt(&wanted.name).await.map_err(failed)? else { return Ok(None) };
    let object = serde_json::to_value(found).unwrap_or_default();
    Ok(Some(transform(&served(&resource), object, true).object))
}

/// The kind of a resource. Whether an object is a Secret is asked of where it was read, not of what a plugin wrote.
fn served(resource: &ApiResource) -> Kind {
    match (&*resource.group, &*resource.plural) {
        ("", "secrets") => Kind::new("v1", "Secret"),
        _ => Kind::new(&resource.api_version, &resource.kind),
    }
}

#[cfg(test)]
mod tests;
