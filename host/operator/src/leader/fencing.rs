//! The fence: a request that writes is refused by our own client while the leadership is not certain.
//!
//! A process that was stopped for a while and goes on must not finish a write in the name of a leadership that another
//! process has by now. The leadership is certain for as long after a renewal as others wait at least.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{Method, Request};
use futures::future::{Either, Ready, ready};
use parking_lot::Mutex;
use tower::{BoxError, Layer, Service};

/// Until when writing is allowed. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Mutex<Until>>);

#[derive(Clone, Copy, Debug)]
enum Until {
    /// Nothing may be written.
    Closed,
    /// There is no election.
    Forever,
    /// For a time.
    For { since: Moment, time: Duration },
}

/// A moment by both clocks. The monotonic one does not count the time in which the machine is suspended, and the wall
/// clock may be set; what one of them says to be over is over.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The time until `now`, by the clock that counted more.
    fn until(self, now: Self) -> Duration {
        let monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        monotonic.max(now.wall.duration_since(self.wall).unwrap_or_default())
    }
}

/// A write was tried without the leadership.
#[derive(Debug, thiserror::Error)]
#[error("this operator does not lead at the moment, so it writes nothing")]
pub struct Closed;

impl Fence {
    /// Nothing may be written yet.
    pub fn closed() -> Self {
        Self(Arc::new(Mutex::new(Until::Closed)))
    }

    /// Everything may be written, for ever: there is no election.
    pub fn open() -> Self {
        Self(Arc::new(Mutex::new(Until::Forever)))
    }

    /// Allows writing for a time from `since`.
    pub fn allow(&self, since: Moment, time: Duration) {
        *self.0.lock() = Until::For { since, time };
    }

    /// Forbids writing at once.
    pub fn close(&self) {
        *self.0.lock() = Until::Closed;
    }

    /// Runs work that writes past this client, as to a database, while the fence is open: whenever the work could go on it
    /// is asked first.
    ///
    /// # Errors
    /// If the fence is closed before the work ends.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Closed> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| match self.is_open_at(Moment::now()) {
            true => work.as_mut().poll(context).map(Ok),
            false => Poll::Ready(Err(Closed)),
        })
        .await
    }

    fn is_open_at(&self, now: Moment) -> bool {
        match *self.0.lock() {
            Until::Closed => false,
            Until::Forever => true,
            Until::For { since, time } => since.until(now) < time,
        }
    }

    fn lets_pass(&self, method: &Method) -> bool {
        *method == Method::GET || self.is_open_at(Moment::now())
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
        fence.allow(Moment::now(), Duration::from_secs(60));
        fence.close();
        assert!(!try_delete(&fence, &api_server).await);
        assert!(api_server.writes().is_empty());
        fence.allow(Moment::now(), Duration::from_secs(60));
        assert!(try_delete(&fence, &api_server).await);
    }

    #[test]
    fn the_leadership_runs_out_by_itself() {
        let fence = Fence::closed();
        fence.allow(Moment::now(), Duration::ZERO);
        assert!(!fence.lets_pass(&Method::POST));
        assert!(Fence::open().lets_pass(&Method::POST));
    }

    #[test]
    fn the_leadership_runs_out_while_the_machine_is_suspended() {
        let (fence, since) = (Fence::closed(), Moment::now());
        fence.allow(since, Duration::from_secs(10));
        assert!(fence.is_open_at(Moment { wall: since.wall + Duration::from_secs(9), ..since }));
        assert!(!fence.is_open_at(Moment { wall: since.wall + Duration::from_secs(10), ..since }));
        assert!(!fence.is_open_at(Moment { monotonic: since.monotonic + Duration::from_secs(10), ..since }));
        // A wall clock that was set back does not make the time longer.
        let back = since.wall - Duration::from_secs(60);
        assert!(!fence.is_open_at(Moment { monotonic: since.monotonic + Duration::from_secs(10), wall: back }));
    }

    #[tokio::test]
    async fn work_that_was_paused_does_not_go_on_after_the_leadership_is_over() {
        let (fence, steps) = (Fence::open(), Arc::new(Mutex::new(Vec::new())));
        let work = async {
            steps.lock().push("the first statement");
            tokio::task::yield_now().await;
            steps.lock().push("the second statement");
        };
        let leading = fence.clone();
        let lose = async move { leading.close() };
        let (ended, ()) = tokio::join!(fence.guard(work), lose);
        assert!(ended.is_err());
        assert_eq!(*steps.lock(), ["the first statement"]);
        assert!(Fence::open().guard(async {}).await.is_ok());
    }
}
