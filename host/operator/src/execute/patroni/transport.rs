//! Ways to a member's Patroni: straight to the pod, or through the API server.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{self, Bytes, HttpBody};
use axum::http::{self, Method, StatusCode, header};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::Body;
use serde_json::Value;

/// Patroni's port.
const PORT: u16 = 8008;
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long a connection to a pod may take. A pod that is gone does not refuse, it is silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A member's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its address; `None` until it has one.
    pub address: Option<IpAddr>,
}

/// What is asked of Patroni.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, as in `/config`.
    pub path: &'static str,
    /// The JSON body.
    pub body: Option<Value>,
}

/// What Patroni answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod has no address.
    #[error("the pod has no address")]
    Address,
    /// The request did not get there and back.
    #[error("the request did not get through")]
    Send(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A way to a member's Patroni.
pub trait Transport: Send + Sync {
    /// Sends a request and gives the answer, whatever its status.
    fn send<'a>(&'a self, pod: &'a Pod, request: Request) -> BoxFuture<'a, Result<Response, Error>>;
}

/// Straight to the pod, from inside the cluster's network.
#[derive(Clone)]
pub struct Direct {
    client: Client<HttpConnector, Body>,
}

impl Default for Direct {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build(connector);
        Self { client }
    }
}

impl Transport for Direct {
    fn send<'a>(&'a self, pod: &'a Pod, request: Request) -> BoxFuture<'a, Result<Response, Error>> {
        async move {
            let url = url(pod.address.ok_or(Error::Address)?, request.path);
            let response = self.client.request(http_request(&url, request)?).await;
            collect(response.map_err(|error| Error::Send(error.into()))?).await
        }
        .boxed()
    }
}

/// Through the API server, for an operator outside the cluster's network.
#[derive(Clone)]
pub struct ApiServer {
    /// The client.
    pub client: kube::Client,
}

impl Transport for ApiServer {
    fn send<'a>(&'a self, pod: &'a Pod, request: Request) -> BoxFuture<'a, Result<Response, Error>> {
        async move {
            let url = proxy_path(pod, request.path);
            let response = self.client.send(http_request(&url, request)?).await;
            collect(response.map_err(|error| Error::Send(error.into()))?).await
        }
        .boxed()
    }
}

/// An address of a pod's Patroni; one of IPv6 in brackets.
fn url(address: IpAddr, path: &str) -> String {
    match address {
        IpAddr::V4(address) => format!("http://{address}:{PORT}{path}"),
        IpAddr::V6(address) => format!("http://[{address}]:{PORT}{path}"),
    }
}

fn proxy_path(pod: &Pod, path: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}:{PORT}/proxy{path}", pod.namespace, pod.name)
}

fn http_request(url: &str, request: Request) -> Result<http::Request<Body>, Error> {
    let builder = http::Request::builder().method(request.method).uri(url);
    let request = match request.body {
        Some(body) => {
            builder.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string().into_bytes()))
        }
        None => builder.body(Body::empty()),
    };
    request.map_err(|error| Error::Send(error.into()))
}

async fn collect<B>(response: http::Response<B>) -> Result<Response, Error>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = response.into_parts();
    let body = body::to_bytes(body::Body::new(body), MAX_ANSWER).await;
    let body = body.map_err(|error| Error::Send(error.into()))?.to_vec();
    Ok(Response { status: parts.status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_make_urls() {
        for (address, expected) in [("127.0.0.1", "http://127.0.0.1:8008/config"), ("::1", "http://[::1]:8008/config")]
        {
            assert_eq!(url(address.parse().unwrap(), "/config"), expected);
        }
    }

    #[test]
    fn the_api_server_is_asked_for_the_pods_port() {
        let pod = Pod { namespace: "prod".into(), name: "c-0".into(), address: None };
        assert_eq!(proxy_path(&pod, "/cluster"), "/api/v1/namespaces/prod/pods/c-0:8008/proxy/cluster");
    }
}
