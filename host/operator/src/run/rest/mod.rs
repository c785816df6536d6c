//! The REST API of the Zalando Postgres Operator as far as its UI reads it. It changes nothing and shows no manifest and no
//! operator configuration: both may have credentials.
//!
//! See [its server](https://github.com/zalando/postgres-operator/blob/master/pkg/apiserver/apiserver.go).

mod answer;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pgloom_common::error::error_chain;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::error;

use crate::args::Namespaces;
use crate::cache::ClusterKey;
use crate::context::Context;
use crate::reconcile::is_ours;

/// What the answers are about.
#[derive(Clone)]
struct Served {
    context: Arc<Context>,
    /// The watched namespaces of the flags.
    namespaces: Option<Namespaces>,
}

/// Serves the API; `namespaces` are those of the flags. Ends only with an error, which is logged.
pub async fn serve(listener: TcpListener, context: Arc<Context>, namespaces: Option<Namespaces>) {
    if let Err(error) = axum::serve(listener, router(Served { context, namespaces })).await {
        error!(error = %error_chain(&error), "the REST API stopped");
    }
}

/// Each route with and without a slash at its end, as in the API that this one stands for.
fn router(served: Served) -> Router {
    let routes = [
        ("/status", get(status)),
        ("/config", get(config)),
        ("/clusters", get(clusters)),
        ("/clusters/{team}", get(clusters_of_team)),
        ("/clusters/{namespace}/{name}", get(cluster)),
        ("/clusters/{namespace}/{name}/logs", get(logs)),
        ("/databases", get(databases)),
        ("/workers/{worker}/queue", get(queue)),
        ("/workers/{worker}/status", get(worker)),
    ];
    let both = routes.into_iter().fold(Router::new(), |router, (path, route)| {
        router.route(&format!("{path}/"), route.clone()).route(path, route)
    });
    both.fallback(async || missing("there is no such page")).with_state(served)
}

fn found(answer: Value) -> Response {
    respond(StatusCode::OK, &answer)
}

fn missing(what: &str) -> Response {
    respond(StatusCode::NOT_FOUND, &json!({"error": what}))
}

fn respond(code: StatusCode, answer: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

async fn status(State(Served { context, .. }): State<Served>) -> Response {
    found(answer::status(manifests(&context).len(), context.liveness.running()))
}

async fn config(State(Served { context, namespaces }): State<Served>) -> Response {
    let scopes = context.settings.borrow().scopes(namespaces.as_ref(), &context.namespace);
    found(answer::config(&scopes))
}

async fn clusters(State(Served { context, .. }): State<Served>) -> Response {
    found(json!(answer::by_team(&manifests(&context))))
}

async fn clusters_of_team(State(Served { context, .. }): State<Served>, Path(team): Path<String>) -> Response {
    let mut teams = answer::by_team(&manifests(&context));
    match teams.remove(&team) {
        Some(names) => found(json!(names)),
        None => missing("there is no cluster of this team"),
    }
}

async fn cluster(
    State(Served { context, .. }): State<Served>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    match manifest(&context, &ClusterKey::new(&namespace, &name)) {
        Some(manifest) => found(answer::cluster(&manifest)),
        None => missing(&format!("there is no cluster {namespace}/{name}")),
    }
}

async fn logs(
    State(Served { context, .. }): State<Served>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let key = ClusterKey::new(&namespace, &name);
    match manifest(&context, &key) {
        Some(_) => found(json!(answer::logs(&key, &context.recorder.journal().of(&key)))),
        None => missing(&format!("there is no cluster {key}")),
    }
}

async fn databases(State(Served { context, .. }): State<Served>) -> Response {
    found(json!(answer::databases(&manifests(&context))))
}

/// Of no use here, where clusters wait in one queue that cannot be listed, but a page of the UI asks for it.
async fn queue() -> Response {
    found(answer::queue())
}

async fn worker(State(Served { context, .. }): State<Served>, Path(worker): Path<String>) -> Response {
    found(answer::worker(&worker, context.liveness.running()))
}

/// The manifests of this operator.
fn manifests(context: &Context) -> Vec<Value> {
    context.store.clusters().iter().filter_map(|key| manifest(context, key)).collect()
}

fn manifest(context: &Context, key: &ClusterKey) -> Option<Value> {
    let manifest = context.store.manifest(key)?.object();
    is_ours(&manifest, &context.controller_id).then_some(manifest)
}

#[cfg(test)]
mod tests;
