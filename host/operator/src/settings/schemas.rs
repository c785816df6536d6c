//! The schemas of the custom resources that a pipeline writes, as the API server publishes them.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use pgloom_engine::schema::{self, Schemas, openapi};
use serde_json::Value;
use tracing::warn;

/// The time between two readings: a custom resource may be installed after the operator, or get another schema.
pub const READ_AGAIN: Duration = Duration::from_secs(600);

/// Why the schemas cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is no URL.
    #[error("failed to ask for the schemas of {0}")]
    Ask(String, #[source] axum::http::Error),
    /// The request failed.
    #[error("failed to read the schemas of {0}")]
    Read(String, #[source] Box<kube::Error>),
    /// The document has types that the merge does not know.
    #[error("the schemas that the API server publishes cannot be used")]
    Convert(#[source] openapi::Error),
    /// The table of the types cannot be parsed.
    #[error(transparent)]
    Parse(#[from] schema::Error),
}

/// The schemas of these kinds, each as in `monitoring.coreos.com/v1 ServiceMonitor`, beside the built-in ones. Objects of
/// a kind that the API server does not know are merged without a schema.
///
/// # Errors
/// If the API server does not answer, or a schema cannot be used.
pub async fn read(client: &Client, kinds: &BTreeSet<String>) -> Result<Schemas, Error> {
    if kinds.is_empty() {
        return Ok(Schemas::built_in()?);
    }
    let api_versions: BTreeSet<&str> = kinds.iter().filter_map(|kind| kind.split(' ').next()).collect();
    let mut documents = Vec::new();
    for api_version in api_versions {
        match document(client, api_version).await? {
            Some(document) => documents.push(document),
            None => warn!(%api_version, "the API server has no such custom resources; a pipeline writes them"),
        }
    }
    Ok(Schemas::with_custom(&openapi::custom(&documents, kinds).map_err(Error::Convert)?)?)
}

/// The document of a group and version; `None` if the API server has none.
async fn document(client: &Client, api_version: &str) -> Result<Option<Value>, Error> {
    let request = axum::http::Request::get(format!("/openapi/v3/apis/{api_version}")).body(Vec::new());
    match client.request(request.map_err(|error| Error::Ask(api_version.to_owned(), error))?).await {
        Ok(document) => Ok(Some(document)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Error::Read(api_version.to_owned(), Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::FakeApiServer;

    const PATH: &str = "/openapi/v3/apis/example.com/v1";

    fn wanted() -> BTreeSet<String> {
        BTreeSet::from(["example.com/v1 Monitor".to_owned()])
    }

    /// The document of a server that has the custom resource.
    fn published() -> Value {
        let answer = json!({"$ref": "#/components/schemas/com.example.v1.Monitor"});
        json!({
            "paths": {"/apis/example.com/v1/monitors/{name}": {"patch": {
                "requestBody": {"content": {"application/apply-patch+yaml": {}}},
                "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
                "x-kubernetes-group-version-kind": {"group": "example.com", "version": "v1", "kind": "Monitor"},
            }}},
            "components": {"schemas": {
                "com.example.v1.Monitor": {"type": "object", "properties": {"spec": {"type": "object"}}},
                "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object"},
            }},
        })
    }

    #[tokio::test]
    async fn the_schema_of_a_custom_resource_is_that_of_the_api_server() {
        let api_server = FakeApiServer::new().with(PATH, published());
        let schemas = read(&api_server.client(), &wanted()).await.unwrap();
        assert!(schemas.kind("example.com/v1", "Monitor").1.cluster_scoped, "its path names no namespace");
    }

    #[tokio::test]
    async fn a_kind_that_the_api_server_does_not_know_has_no_schema() {
        let schemas = read(&FakeApiServer::new().client(), &wanted()).await.unwrap();
        assert!(!schemas.kind("example.com/v1", "Monitor").1.cluster_scoped);
    }

    #[tokio::test]
    async fn a_schema_that_cannot_be_read_is_an_error_and_not_an_unknown_kind() {
        let api_server = FakeApiServer::new().with(PATH, published()).unreadable(PATH);
        assert!(matches!(read(&api_server.client(), &wanted()).await, Err(Error::Read(..))));
    }

    #[tokio::test]
    async fn built_in_kinds_need_no_request() {
        let api_server = FakeApiServer::new();
        read(&api_server.client(), &BTreeSet::new()).await.unwrap();
        assert_eq!(api_server.reads(), 0);
    }
}
