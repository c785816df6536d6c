//! The client of the API server: each attempt of a request passes the fence and has a deadline.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response};
use futures::future::BoxFuture;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;
use tower::{BoxError, Layer, Service};

use super::fencing::Fence;

/// How long the API server may take to answer one attempt of a request. Its own limit is the same
/// ([`--request-timeout`](https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/)): what takes
/// longer has lost its connection.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
/// How long an answer that has begun may pause. The API server ends a watch earlier by itself, and sends bookmarks before;
/// the list that a watch begins with has no other limit.
const READ_DEADLINE: Duration = Duration::from_secs(330);
/// Requests that may wait until one can be sent.
const BUFFER: usize = 1024;

/// A client that writes only while the fence is open.
///
/// # Errors
/// If the configuration cannot be used.
pub fn fenced(config: Config, fence: &Fence) -> Result<Client, kube::Error> {
    let mut config = limited(config);
    let retry = config.default_retry.then(RetryPolicy::server_retry);
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config)?;
    Ok(layered(builder, fence, REQUEST_DEADLINE, retry))
}

/// The configuration with a limit for pauses of answers.
fn limited(mut config: Config) -> Config {
    config.read_timeout.get_or_insert(READ_DEADLINE);
    config.reset_reader_on_write = true;
    config
}

/// The layers from the inside out: the deadline, the fence, and the retry, so that the fence is asked for each attempt.
fn layered<S, B>(builder: ClientBuilder<S>, fence: &Fence, deadline: Duration, retry: Option<RetryPolicy>) -> Client
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let builder = builder.with_layer(&Deadline(deadline)).with_layer(fence);
    match retry {
        // A retry sends the request by a clone of the service, which only a buffer has.
        Some(retry) => builder.with_layer(&BufferLayer::new(BUFFER)).with_layer(&RetryLayer::new(retry)).build(),
        None => builder.build(),
    }
}

/// Limits the time to the head of the answer.
#[derive(Clone, Copy, Debug)]
struct Deadline(Duration);

/// The API server was silent for too long.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", .0.as_secs_f32())]
struct NoAnswer(Duration);

impl<S> Layer<S> for Deadline {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { deadline: self.0, inner }
    }
}

/// A service whose answers have a deadline.
#[derive(Clone)]
struct Limited<S> {
    deadline: Duration,
    inner: S,
}

impl<S, B> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (deadline, answer) = (self.deadline, self.inner.call(request));
        Box::pin(async move {
            match tokio::time::timeout(deadline, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(NoAnswer(deadline).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::fencing::Moment;
    use crate::testing::FakeApiServer;
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::{DeleteParams, ListParams};

    const PODS: &str = "/api/v1/namespaces/ns/pods";

    fn pods(api_server: &FakeApiServer, fence: &Fence) -> Api<Pod> {
        let retry = RetryPolicy::new(Duration::from_millis(300), Duration::from_secs(1), 5, true).unwrap();
        let builder = ClientBuilder::new(api_server.clone(), "ns");
        Api::namespaced(layered(builder, fence, Duration::from_millis(200), Some(retry)), "ns")
    }

    #[tokio::test]
    async fn a_request_that_hangs_fails_at_its_deadline_and_another_one_is_answered() {
        let api_server = FakeApiServer::new().hanging(&format!("{PODS}/p"));
        let pods = pods(&api_server, &Fence::open());
        let (hung, other) = tokio::join!(pods.get_opt("p"), pods.get_opt("q"));
        let error = pgloom_common::error::error_chain(&hung.unwrap_err());
        assert!(error.contains("the API server did not answer within 0.2 s"), "{error}");
        assert!(other.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_list_that_stops_in_its_middle_fails() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                _ = connection.read(&mut [0; 4096]).await;
                let begun =
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"kind\":";
                connection.write_all(begun).await.unwrap();
                open.push(connection);
            }
        });
        let mut config = Config::new(url.parse().unwrap());
        assert_eq!(limited(config.clone()).read_timeout, Some(READ_DEADLINE));
        config.read_timeout = Some(Duration::from_millis(200));
        let pods: Api<Pod> = Api::namespaced(fenced(config, &Fence::open()).unwrap(), "ns");
        let listed = tokio::time::timeout(Duration::from_secs(20), pods.list(&ListParams::default())).await;
        assert!(listed.expect("the list has a limit").is_err());
    }

    #[tokio::test]
    async fn a_write_that_is_tried_again_asks_the_fence_again() {
        let api_server = FakeApiServer::new().refusing_every(&format!("{PODS}/p"), 503);
        let fence = Fence::closed();
        fence.allow(Moment::now(), Duration::from_secs(60));
        let pods = pods(&api_server, &fence);
        let deletion = tokio::spawn(async move { pods.delete("p", &DeleteParams::default()).await.is_ok() });
        while api_server.writes().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fence.close();
        assert!(!deletion.await.unwrap());
        assert_eq!(api_server.writes().len(), 1);
    }
}
