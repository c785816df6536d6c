//! The HTTPS server of the webhook. What a client sends is limited in size, time and number: each connection has one
//! request, and one deadline for all of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pgloom_common::error::error_chain;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::ResolvesServerCert;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{Admission, Error};

/// The path of the route.
pub const PATH: &str = "/";
/// The largest question, in bytes: both states of an object, of which the API server stores none larger than about 1.5 MiB.
const MAX_BODY: usize = 4 << 20;
/// The connections that are open at the same time; others wait.
const CONNECTIONS: usize = 16;
/// How long a connection may be open. The API server waits no longer.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(5);
/// How long no connection is accepted after one could not be, as without a free file descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// A TLS server with these certificates.
///
/// # Errors
/// If the protocol versions are not known.
pub fn acceptor(certificates: Arc<dyn ResolvesServerCert>) -> Result<TlsAcceptor, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves the webhook. Never returns.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, admission: Admission) {
    let router = Router::new().route(PATH, post(answer)).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(admission);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = connections.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(error = %error_chain(&error), "no connection to the admission webhook");
                sleep(PAUSE).await;
                continue;
            }
        };
        let served = serve_connection(stream, acceptor.clone(), router.clone());
        tokio::spawn(async move {
            if timeout(CONNECTION_DEADLINE, served).await.is_err() {
                debug!("a connection to the admission webhook took too long");
            }
            drop(permit);
        });
    }
}

async fn serve_connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(error = %error_chain(&error), "no TLS with a client of the admission webhook");
            return;
        }
    };
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        debug!(error = %error_chain(&error), "a connection to the admission webhook failed");
    }
}

async fn answer(State(admission): State<Admission>, body: Bytes) -> Response {
    match admission.answer(body).await {
        Ok(review) => ([(header::CONTENT_TYPE, "application/json")], review.to_string()).into_response(),
        Err(error) => {
            let code = match error {
                Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            (code, format!("{error}\n")).into_response()
        }
    }
}
