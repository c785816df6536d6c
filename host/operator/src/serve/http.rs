//! The operator's HTTP routes: health, readiness and metrics.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::health::Health;
use super::metrics::Metrics;

/// The reason why the routes are not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is in use or not an address of this machine.
    #[error("cannot listen on {address}; choose another address with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// The server stopped.
    #[error("the HTTP server stopped")]
    Serve(#[source] std::io::Error),
}

/// The state of the routes.
#[derive(Clone)]
struct Served {
    metrics: Metrics,
    health: Health,
}

/// Opens the port that a flag names; nothing is served yet.
///
/// # Errors
/// If the address is in use or not an address of this machine.
pub async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, flag, source })
}

/// Serves `/healthz`, `/readyz` and `/metrics`. Returns only with an error.
///
/// # Errors
/// If the server stops.
pub async fn serve(listener: TcpListener, metrics: Metrics, health: Health) -> Result<(), Error> {
    axum::serve(listener, router(Served { metrics, health })).await.map_err(Error::Serve)
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(render_metrics))
        .with_state(served)
}

async fn alive(State(served): State<Served>) -> impl IntoResponse {
    match served.health.liveness.is_stuck() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "a reconcile has not ended long after its deadline\n"),
    }
}

async fn ready(State(served): State<Served>) -> impl IntoResponse {
    match *served.health.ready.borrow() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not everything has been listed and loaded yet\n"),
    }
}

async fn render_metrics(State(Served { metrics, health }): State<Served>) -> impl IntoResponse {
    metrics.leading.set(u64::from(*health.leading.borrow()));
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match metrics.text() {
        Ok(text) => (StatusCode::OK, kind, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::health::HealthSender;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get_route(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    #[tokio::test]
    async fn the_routes_reflect_the_operators_health() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), "--listen").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = HealthSender::new();
        let server = tokio::spawn(serve(listener, Metrics::new(), health.subscribe()));
        assert!(get_route(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get_route(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        health.set_ready();
        assert!(get_route(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get_route(address, "/metrics").await.contains("pgloom_leading 0\n"));
        health.set_leading(true);
        assert!(get_route(address, "/metrics").await.contains("pgloom_leading 1\n"));
        health.set_leading(false);
        assert!(get_route(address, "/metrics").await.contains("pgloom_leading 0\n"));
        let (minute, long_ago) = (Duration::from_secs(60), Instant::now() - Duration::from_secs(180));
        let stuck = health.subscribe().liveness.begin_at(long_ago, minute);
        assert!(get_route(address, "/healthz").await.starts_with("HTTP/1.1 503"));
        drop(stuck);
        assert!(get_route(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        server.abort();
    }
}
