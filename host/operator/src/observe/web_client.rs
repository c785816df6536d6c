//! A client of HTTP servers outside Kubernetes, as of a Teams API or a cloud.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use axum::body::{self, Body, Bytes};
use axum::http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pgloom_common::error::root_cause;
use rustls::crypto::ring;

/// The reason why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no certificate authority to verify the server's certificate.
    #[error(
        "there are no certificate authorities to verify the server by: mount a bundle of them into the operator's pod, and name the file in its variable SSL_CERT_FILE"
    )]
    Authorities(#[source] Arc<io::Error>),
    /// The request did not get there and back.
    #[error("{0}")]
    Reach(String),
}

type Agent<Connector> = Client<Connector, Body>;

/// The client. Cloning shares its connections.
#[derive(Clone)]
pub struct WebClient {
    plain: Agent<HttpConnector>,
    by_tls: Arc<OnceLock<Result<Agent<HttpsConnector<HttpConnector>>, Error>>>,
}

impl Default for WebClient {
    /// A client without connections.
    fn default() -> Self {
        Self { plain: Client::builder(TokioExecutor::new()).build_http(), by_tls: Arc::default() }
    }
}

impl WebClient {
    /// Sends a request, and reads at most so many bytes of the answer. A redirection is not followed.
    ///
    /// # Errors
    /// If there is no answer, whatever its status, or a longer one.
    pub async fn send(&self, request: Request<Body>, most: usize) -> Result<Response<Bytes>, Error> {
        let response = match request.uri().scheme_str() {
            Some("https") => self.by_tls.get_or_init(by_tls).as_ref().map_err(Clone::clone)?.request(request),
            _ => self.plain.request(request),
        };
        let response = response.await.map_err(|error| Error::Reach(root_cause(&error)))?;
        let (parts, body) = response.into_parts();
        let body = body::to_bytes(Body::new(body), most).await.map_err(|error| Error::Reach(root_cause(&error)))?;
        Ok(Response::from_parts(parts, body))
    }
}

impl fmt::Debug for WebClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebClient").finish_non_exhaustive()
    }
}

/// A TLS client with the certificate authorities of the system or of `SSL_CERT_FILE`. pgloom's image has none.
fn by_tls() -> Result<Agent<HttpsConnector<HttpConnector>>, Error> {
    let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider());
    let builder = builder.map_err(|error| Error::Authorities(Arc::new(error)))?;
    Ok(Client::builder(TokioExecutor::new()).build(builder.https_only().enable_http1().build()))
}
