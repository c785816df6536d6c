//! Objects of the API server as the source of settings.

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use pgloom_api::postgresql;
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use pgloom_decide::field_manager::MANAGER;
use serde_json::{Value, json};
use tracing::warn;

use super::status::{LOADED, not_in_use};
use super::{Error, changes, marked};
use crate::args::Named;
use crate::cache::api_resource;

/// A document and its source.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name of the source, as in `ConfigMap pgloom-system/pgloom`.
    pub name: String,
    /// The document.
    pub document: Value,
}

impl Found {
    /// The document without the fields that change without an edit, as status and resource version.
    pub fn content(&self) -> Value {
        let mut content = self.document.clone();
        if let Some(content) = content.as_object_mut() {
            content.remove("metadata");
            content.remove("status");
        }
        content
    }

    /// The `metadata.generation`; 0 for a file.
    pub fn generation(&self) -> i64 {
        self.document.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
    }

    /// The conditions of the status.
    pub fn conditions(&self) -> Vec<meta::Condition> {
        let conditions = self.document.pointer("/status/conditions").cloned().unwrap_or_default();
        serde_json::from_value(conditions).unwrap_or_default()
    }
}

/// The reference to one object.
pub struct Object {
    kind: Kind,
    namespace: String,
    name: String,
}

/// A ConfigMap with the operator configuration.
pub fn config_map(named: &Named, own: &str) -> Object {
    object(Kind::new("v1", "ConfigMap"), named, own)
}

/// An OperatorConfiguration.
pub fn configuration(named: &Named, own: &str) -> Object {
    object(Kind::new(postgresql::API_VERSION, "OperatorConfiguration"), named, own)
}

/// A Pipeline.
pub fn pipeline(named: &Named, own: &str) -> Object {
    object(Kind::new("pgloom.dev/v1alpha1", "Pipeline"), named, own)
}

fn object(kind: Kind, named: &Named, own: &str) -> Object {
    Object { kind, namespace: named.namespace.clone().unwrap_or_else(|| own.to_owned()), name: named.name.clone() }
}

/// Tells the Pipeline objects that say that they are in use and are not: all but `used`, in its namespace or else in the
/// operator's own.
pub async fn release_pipelines(client: &Client, own: &str, used: Option<&Object>) -> Result<(), kube::Error> {
    let any = Named { namespace: used.map(|used| used.namespace.clone()), name: String::new() };
    let pipelines = pipeline(&any, own);
    let api = pipelines.api(client);
    for object in api.list(&ListParams::default()).await? {
        let name = object.name_any();
        let Some(found) = pipelines.found(object).filter(|_| used.is_none_or(|used| used.name != name)) else {
            continue;
        };
        let before = found.conditions();
        if before.iter().any(|condition| condition.type_ == LOADED && condition.status == "True") {
            let condition = not_in_use(&before, found.generation(), jiff::Timestamp::now());
            write_status(&api, &name, &json!({"conditions": [condition], "steps": []})).await?;
        }
    }
    Ok(())
}

async fn write_status(api: &Api<DynamicObject>, name: &str, status: &Value) -> Result<(), kube::Error> {
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    api.patch_status(name, &params, &Patch::Merge(json!({"status": status}))).await.map(|_| ())
}

impl Object {
    /// Reads the object once.
    pub async fn get(&self, client: &Client) -> Result<Found, Error> {
        let found =
            self.api(client).get_opt(&self.name).await.map_err(|error| Error::Read(self.title(), Box::new(error)))?;
        found.and_then(|object| self.found(object)).ok_or_else(|| Error::Missing(self.title()))
    }

    /// A stream of the object: its current state, and one item after each change. Without the object there is no item.
    pub fn follow(self, client: Client) -> BoxStream<'static, Found> {
        changes(self.objects(client))
    }

    /// The same with one item after each change of the status, too, and whether more than that has changed.
    pub fn follow_all(self, client: Client) -> BoxStream<'static, (Found, bool)> {
        marked(self.objects(client))
    }

    fn objects(self, client: Client) -> BoxStream<'static, Found> {
        let objects = watch_object(self.api(&client), &self.name).default_backoff();
        let found = objects.filter_map(move |object| {
            let found = match object {
                Ok(Some(object)) => self.found(object),
                Ok(None) => {
                    warn!(source = %self.title(), "source deleted, its last content stays in use");
                    None
                }
                Err(error) => {
                    warn!(source = %self.title(), error = %error_chain(&error), "watch failed, retrying");
                    None
                }
            };
            futures::future::ready(found)
        });
        found.boxed()
    }

    /// Writes the status: the given fields, the others stay.
    pub async fn write_status(&self, client: &Client, status: &Value) -> Result<(), kube::Error> {
        write_status(&self.api(client), &self.name, status).await
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &self.namespace, &api_resource(&self.kind))
    }

    fn found(&self, object: DynamicObject) -> Option<Found> {
        let mut document = serde_json::to_value(object).ok()?;
        document["apiVersion"] = json!(&*self.kind.api_version);
        document["kind"] = json!(&*self.kind.kind);
        if let Some(metadata) = document["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        Some(Found { name: self.title(), document })
    }

    fn title(&self) -> String {
        format!("{} {}/{}", self.kind.kind, self.namespace, self.name)
    }
}
