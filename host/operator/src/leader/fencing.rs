//! The fence: a request that writes is refused by our own client while the leadership is not certain.
//!
//! A process that was stopped for a while and goes on must not finish a write in the name of a leadership that another
//! process has by now. The leadership is certain for as long after a renewal as others wait at least.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::http::{Method, Request};
use futures::future::{Either, Ready, ready};
use tower::{BoxError, Layer, Service};

/// Until when writing is allowed. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Fence {
    begun: Instant,
    /// Milliseconds since `begun`.
    until: Arc<AtomicU64>,
}

/// A write was tried without the leadership.
#[derive(Debug, thiserror::Error)]
#[error("this operator does not lead at the moment, so it writes nothing")]
pub struct Closed;

impl Fence {
    /// Nothing may be written yet.
    pub fn closed() -> Self {
        Self { begun: Instant::now(), until: Arc::new(AtomicU64::new(0)) }
    }

    /// Everything may be written, for ever: there is no election.
    pub fn open() -> Self {
        let fence = Self::closed();
        fence.until.store(u64::MAX, Ordering::Release);
        fence
    }

    /// Allows writing for a time from `since`.
    pub fn allow(&self, since: Instant, time: Duration) {
        let until = since.saturating_duration_since(self.begun).saturating_add(time);
        self.until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Forbids writing at once.
    pub fn close(&self) {
        self.until.store(0, Ordering::Release);
    }

    fn lets_pass(&self, method: &Method) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        *method == Method::GET || now < self.until.load(Ordering::Acquire)
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced { fence: self.clone(), inner }
    }
}

/// A client's service behind the fence.
#[derive(Clone)]
pub struct Fenced<S> {
    fence: Fence,
    inner: S,
}

impl<S, B> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, futures::future::ErrInto<S::Future, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        use futures::TryFutureExt;
        match self.fence.lets_pass(request.method()) {
            true => Either::Right(self.inner.call(request).err_into()),
            false => Either::Left(ready(Err(Closed.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApiServer;
    use k8s_openapi::api::core::v1::Pod;
    use kube::{Api, Client};

    async fn try_delete(fence: &Fence, api_server: &FakeApiServer) -> bool {
        let client = Client::new(fence.layer(api_server.clone()), "ns");
        let pods: Api<Pod> = Api::namespaced(client, "ns");
        _ = pods.get_opt("p").await.unwrap();
        pods.delete("p", &kube::api::DeleteParams::default()).await.is_ok_and(|_| true)
    }

    #[tokio::test]
    async fn without_the_leadership_everything_can_be_read_and_nothing_written() {
        let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        let api_server = FakeApiServer::new().with("/api/v1/namespaces/ns/pods/p", pod);
        let fence = Fence::closed();
        assert!(!try_delete(&fence, &api_server).await);
        fence.allow(Instant::now(), Duration::from_secs(60));
        fence.close();
        assert!(!try_delete(&fence, &api_server).await);
        assert!(api_server.writes().is_empty());
        fence.allow(Instant::now(), Duration::from_secs(60));
        assert!(try_delete(&fence, &api_server).await);
    }

    #[test]
    fn the_leadership_runs_out_by_itself() {
        let fence = Fence::closed();
        fence.allow(Instant::now(), Duration::ZERO);
        assert!(!fence.lets_pass(&Method::POST));
        assert!(Fence::open().lets_pass(&Method::POST));
    }
}
