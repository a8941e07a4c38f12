//! gRPC over TLS, by tonic: one channel, unary calls. Written by hand as its code generator would, so that nobody needs a
//! compiler of protocol buffers.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Ready, ready};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::certificate::{Identity, SERVER_NAME, greeted};
use crate::Failure;
use crate::client::{Caller, Client, input_ends, say, take_orders};

/// The path of the one method.
const PATH: &str = "/bench.Echo/Call";

/// Request and answer.
#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

/// Answers a request with itself.
struct Echo;

impl Service<Request<Message>> for Echo {
    type Response = Response<Message>;
    type Error = Status;
    type Future = Ready<Result<Response<Message>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// The service as tonic's transport wants it.
#[derive(Clone)]
struct EchoServer;

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Echo, request).await)
        })
    }
}

/// The end that answers.
pub(super) async fn serve() -> Result<(), Failure> {
    let identity = Identity::new()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&identity.greeting(listener.local_addr()?))?;
    let pem = tonic::transport::Identity::from_pem(&identity.certificate, &identity.key);
    let server = Server::builder().tls_config(ServerTlsConfig::new().identity(pem))?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::select! {
        biased;
        ended = input_ends() => ended,
        served = server.serve_with_incoming(EchoServer, incoming) => Ok(served?),
    }
}

/// The end that asks.
pub(super) async fn ask(greeting: &str) -> Result<(), Failure> {
    let (address, pem) = greeted(greeting)?;
    let trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name(SERVER_NAME);
    let endpoint = Channel::from_shared(format!("https://{address}"))?.tls_config(trust)?.tcp_nodelay(true);
    let channel = endpoint.connect().await?;
    say("ready")?;
    take_orders(Stub(tonic::client::Grpc::new(channel))).await
}

#[derive(Clone)]
struct Stub(tonic::client::Grpc<Channel>);

impl Client for Stub {
    type Caller = Self;

    async fn callers(&self, count: usize) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); count])
    }
}

impl Caller for Stub {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        self.0.ready().await?;
        let codec: ProstCodec<Message, Message> = ProstCodec::default();
        let request = Request::new(Message { payload: payload.clone() });
        let answer = self.0.unary(request, http::uri::PathAndQuery::from_static(PATH), codec).await?;
        let is_same = answer.into_inner().payload == payload;
        if is_same { Ok(()) } else { Err("another answer than the request".into()) }
    }
}
