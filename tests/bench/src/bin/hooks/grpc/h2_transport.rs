//! HTTP/2 below tonic: a connection of a client, and one of a server.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;
use tower_service::Service;

/// How much may be sent before it is read, in bytes: more than a request and an answer, so that no call waits for it.
const WINDOW: u32 = 4 << 20;

/// The body that was received.
pub struct Received(RecvStream);

impl Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.0.poll_data(context) {
            Poll::Ready(Some(Ok(data))) => {
                let released = self.0.flow_control().release_capacity(data.len());
                Poll::Ready(Some(released.map(|()| Frame::data(data)).map_err(failed)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(failed(error)))),
            Poll::Ready(None) => {
                let trailers = self.0.poll_trailers(context);
                trailers.map(|found| found.map_err(failed).transpose().map(|found| found.map(Frame::trailers)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

fn failed(error: h2::Error) -> Status {
    Status::unavailable(error.to_string())
}

/// Sends the frames of a body.
async fn send(mut body: tonic::body::Body, stream: &mut SendStream<Bytes>) -> Result<(), Status> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => stream.send_data(data, false).map_err(failed)?,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return stream.send_trailers(trailers).map_err(failed);
            }
        }
    }
    stream.send_data(Bytes::new(), true).map_err(failed)
}

/// The connection of a client.
#[derive(Clone)]
pub struct Channel(SendRequest<Bytes>);

impl Channel {
    pub async fn connect(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self> {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self(sender.ready().await?))
    }
}

impl Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<Received>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(context).map_err(failed)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let sent = self.0.send_request(Request::from_parts(parts, ()), false);
        Box::pin(async move {
            let (response, mut stream) = sent.map_err(failed)?;
            send(body, &mut stream).await?;
            Ok(response.await.map_err(failed)?.map(Received))
        })
    }
}

/// Answers the requests of one connection, one after the other.
pub async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<Received>) -> F,
) -> Result<(), h2::Error>
where
    F: Future<Output = Response<tonic::body::Body>> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    while let Some(accepted) = poll_fn(|context| connection.poll_accept(context)).await {
        let (request, mut respond) = accepted?;
        let answered = answer(request.map(Received));
        // The connection has to be polled while the body is read.
        tokio::spawn(async move {
            let (parts, body) = answered.await.into_parts();
            if let Ok(mut stream) = respond.send_response(Response::from_parts(parts, ()), false) {
                // A client that disconnects is no failure of the hook.
                send(body, &mut stream).await.ok();
            }
        });
    }
    Ok(())
}
