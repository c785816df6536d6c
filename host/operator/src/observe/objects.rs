//! The existing objects for one cluster: from the store, and from the API server where a step names an object that is
//! not the cluster's own.

use std::collections::BTreeSet;

use kube::api::{Api, ApiResource, DynamicObject};
use pgloom_api::config::Config;
use pgloom_decide::Kind;
use pgloom_decide::Observed;
use pgloom_decide::transform::transform;
use pgloom_engine::{NamedObject, Pipeline, Unreadable};
use serde_json::Value;

use crate::cache::{ClusterKey, Store};
use crate::rights::{Resource, read};

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
/// out. One that the configuration names without a namespace is looked for in `own`, the operator's namespace, and then in
/// that of the cluster.
pub async fn observe(
    (client, own): (&kube::Client, &str),
    store: &Store,
    key: &ClusterKey,
    manifest: &Value,
    config: &Config,
    pipeline: &Pipeline,
) -> Result<Observed, Error> {
    let mut observed =
        Observed { objects: store.objects(key).iter().map(|kept| kept.object()).collect(), ..Observed::default() };
    let named: BTreeSet<NamedObject> = pipeline.named(manifest, config.values());
    let configured = pipeline.configured(config.values());
    for wanted in named {
        let mut found = Found::Absent;
        if wanted.namespace.is_none() && configured.contains(&wanted) && *own != *key.namespace {
            found = match fetch(client, store, &ClusterKey::new(own, &key.name), wanted.clone()).await? {
                found @ Found::Object(_) => found,
                Found::Absent | Found::Unreadable(_) => Found::Absent,
            };
        }
        if matches!(found, Found::Absent) {
            found = fetch(client, store, key, wanted).await?;
        }
        match found {
            Found::Object(object) => observed.add_named(object),
            Found::Absent => {}
            Found::Unreadable(unreadable) => observed.unreadable.push(unreadable),
        }
    }
    Ok(observed)
}

#[derive(Debug)]
enum Found {
    Object(Value),
    Absent,
    /// Only the steps that name the object fail for it.
    Unreadable(Unreadable),
}

async fn fetch(client: &kube::Client, store: &Store, key: &ClusterKey, object: NamedObject) -> Result<Found, Error> {
    let namespace = object.namespace.as_deref().unwrap_or(&key.namespace);
    let failed = |source| Error::Named {
        kind: object.kind.clone(),
        name: format!("{namespace}/{}", object.name),
        source: Box::new(source),
    };
    let resource = match store.resources.find(client, &Kind::new(&object.api_version, &object.kind)).await {
        Ok(resource) => resource,
        Err(error) if is_unknown(&error) => return Ok(Found::Unreadable(Unreadable::Unknown { object })),
        Err(error) => return Err(failed(error)),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    match api.get_opt(&object.name).await {
        Ok(Some(found)) => {
            let found = serde_json::to_value(found).unwrap_or_default();
            Ok(Found::Object(transform(&served(&resource), found, true).object))
        }
        Ok(None) => Ok(Found::Absent),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let ApiResource { group, plural, .. } = resource;
            let rule = read(Resource { group, plural }).to_string();
            Ok(Found::Unreadable(Unreadable::Forbidden { object, rule }))
        }
        Err(error) if is_unknown(&error) => Ok(Found::Unreadable(Unreadable::Unknown { object })),
        Err(error) => Err(failed(error)),
    }
}

/// Whether the API server has no such kind, or one that cannot be read. An answer that another request may not get, as of
/// a server that is overloaded, is none of these.
fn is_unknown(error: &kube::Error) -> bool {
    match error {
        kube::Error::Discovery(_) => true,
        kube::Error::Api(status) => matches!(status.code, 400 | 404 | 405),
        _ => false,
    }
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
