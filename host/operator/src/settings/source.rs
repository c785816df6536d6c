//! Objects of the API server as the source of settings.

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use pgloom_api::postgresql;
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::status::{Condition, with_times};
use serde_json::{Value, json};
use tracing::warn;

use super::{Error, changes};
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

impl Object {
    /// Reads the object once.
    pub async fn get(&self, client: &Client) -> Result<Found, Error> {
        let found =
            self.api(client).get_opt(&self.name).await.map_err(|error| Error::Read(self.title(), Box::new(error)))?;
        found.and_then(|object| self.found(object)).ok_or_else(|| Error::Missing(self.title()))
    }

    /// A stream of the object: its current state, and one item after each change. Without the object there is no item.
    pub fn follow(self, client: Client) -> BoxStream<'static, Found> {
        let objects = watch_object(self.api(&client), &self.name).default_backoff();
        let found = objects.filter_map(move |object| {
            let found = match object {
                Ok(Some(object)) => self.found(object),
                Ok(None) => {
                    warn!(source = %self.title(), "source deleted, its last content stays in use");
                    None
                }
                Err(error) => {
                    warn!(source = %self.title(), %error, "watch failed, retrying");
                    None
                }
            };
            futures::future::ready(found)
        });
        changes(found)
    }

    /// Writes the condition `Loaded`: true, or false with the error.
    pub async fn report(&self, client: &Client, document: &Value, error: Option<&Error>) -> Result<(), kube::Error> {
        let (status, reason, message) = match error {
            None => ("True", "Loaded", "the pipeline is in use".to_owned()),
            Some(error) => ("False", "Rejected", error_chain(error)),
        };
        let conditions = document.pointer("/status/conditions").cloned().unwrap_or_default();
        let before: Vec<meta::Condition> = serde_json::from_value(conditions).unwrap_or_default();
        let generation = document.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
        let condition = Condition { type_name: "Loaded".to_owned(), status, reason: reason.to_owned(), message };
        let condition = with_times(&before, &condition, generation, &meta::Time(now));
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        self.api(client).patch_status(&self.name, &params, &patch).await.map(|_| ())
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
