//! The hook by HTTP/1: the request and the answer as JSON.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Method, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use pgloom_engine::call::Limits;
use pgloom_engine::{Plugin, Request, Response};
use tokio::net::{UnixListener, UnixStream};

const JSON: &str = "application/json";

/// Serves the logic until the process is ended.
pub async fn serve(socket: &Path, logic: Plugin) -> Result<()> {
    let (listener, logic) = (UnixListener::bind(socket)?, Arc::new(logic));
    loop {
        let (stream, _) = listener.accept().await?;
        let logic = Arc::clone(&logic);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &logic));
            // A client that disconnects is no failure of the hook.
            server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(request: hyper::Request<Incoming>, logic: &Plugin) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let mut response = hyper::Response::default();
    match answer_to(request, logic).await {
        Ok(body) => {
            response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(JSON));
            *response.body_mut() = Full::from(body);
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

async fn answer_to(request: hyper::Request<Incoming>, logic: &Plugin) -> Result<Vec<u8>> {
    let body = request.into_body().collect().await?.to_bytes();
    let request: Request = serde_json::from_slice(&body)?;
    let response = logic.mutate(request, &Limits::default()).result?;
    Ok(serde_json::to_vec(&response)?)
}

/// A client with one connection, which stays open.
pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        let (sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub async fn call(&mut self, request: &Request) -> Result<Response> {
        let body = Full::from(serde_json::to_vec(request)?);
        let request = hyper::Request::builder()
            .method(Method::POST)
            .uri("/mutate")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, JSON)
            .body(body)?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        ensure!(response.status().is_success(), "the hook answered {}", response.status());
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).context("the answer of the hook")
    }
}
