//! The hook by gRPC: tonic's client, server and codec, and messages as a code generator writes them.
//!
//! tonic's own transport would enable HTTP/2 in the HTTP library that the operator shares, and so change the program that
//! is measured elsewhere. So the connection is HTTP/2 of the crate that tonic uses, without the layers in between. That
//! makes the hook faster, not slower.

mod h2_transport;
mod message;

use std::future::Ready;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use h2_transport::{Channel, Received};
use http::uri::PathAndQuery;
use pgloom_engine::call::Limits;
use pgloom_engine::{Plugin, Request, Response};
use prost::Message;
use tokio::net::{UnixListener, UnixStream};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tower_service::Service;

/// Where tonic sends requests; the socket is the real address.
const ORIGIN: &str = "http://localhost";
/// The path of the method.
const METHOD: &str = "/pgloom.Hook/Mutate";

/// Serves the logic until the process is ended.
pub async fn serve(socket: &Path, logic: Plugin) -> Result<()> {
    let (listener, logic) = (UnixListener::bind(socket)?, Mutate(Arc::new(logic)));
    loop {
        let (stream, _) = listener.accept().await?;
        let logic = logic.clone();
        tokio::spawn(h2_transport::serve(stream, move |request: http::Request<Received>| {
            let logic = logic.clone();
            async move { tonic::server::Grpc::new(Prost::default()).unary(logic, request).await }
        }));
    }
}

/// The method of the service.
#[derive(Clone)]
struct Mutate(Arc<Plugin>);

impl Service<tonic::Request<message::Request>> for Mutate {
    type Response = tonic::Response<message::Response>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<message::Request>) -> Self::Future {
        let answer = self.0.mutate(request.into_inner().into(), &Limits::default()).result;
        let answer = answer.map(|response| tonic::Response::new(response.into()));
        std::future::ready(answer.map_err(|error| Status::internal(error.to_string())))
    }
}

/// A client with one connection, which stays open.
pub struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub async fn connect(socket: &Path) -> Result<Self> {
        let channel = Channel::connect(UnixStream::connect(socket).await?).await?;
        Ok(Self(tonic::client::Grpc::with_origin(channel, ORIGIN.parse()?)))
    }

    pub async fn call(&mut self, request: &Request) -> Result<Response> {
        let request = tonic::Request::new(message::Request::from(request));
        self.0.ready().await?;
        let method = PathAndQuery::from_static(METHOD);
        let codec = Prost::<message::Request, message::Response>::default();
        let response = self.0.unary(request, method, codec).await?;
        Ok(response.into_inner().into())
    }
}

/// Messages in the encoding of Protocol Buffers.
struct Prost<Sent, Answered>(PhantomData<(Sent, Answered)>);

impl<Sent, Answered> Default for Prost<Sent, Answered> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Sent, Answered> Codec for Prost<Sent, Answered>
where
    Sent: Message + Default + 'static,
    Answered: Message + Default + 'static,
{
    type Encode = Sent;
    type Decode = Answered;
    type Encoder = Prost<Sent, Answered>;
    type Decoder = Prost<Sent, Answered>;

    fn encoder(&mut self) -> Self::Encoder {
        Self::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self::default()
    }
}

impl<Sent: Message, Answered> Encoder for Prost<Sent, Answered> {
    type Item = Sent;
    type Error = Status;

    fn encode(&mut self, message: Sent, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<Sent, Answered: Message + Default> Decoder for Prost<Sent, Answered> {
    type Item = Answered;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Answered>, Status> {
        Answered::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
