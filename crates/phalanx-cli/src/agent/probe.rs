//! Answers over HTTP how the node is, for orchestrators that ask that way: `/live`, `/ready`, `/status`.
//!
//! It proves nothing and is asked by anybody who reaches it, so it tells what an operator may know and nothing more, and
//! holds few connections, each for a short while.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use phalanx_operator::Operated;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use crate::exit::Failure;
use crate::output::json;

/// How many are answered at one time: an orchestrator, a person or two.
const CONNECTIONS_MAX: usize = 16;

/// How long a connection may last, whatever it does: long enough for any answer here.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);

/// A socket that is bound, and not served yet.
pub(super) struct Probe(TcpListener);

impl Probe {
    pub(super) async fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).await;
        listener.map(Self).map_err(|error| Failure::failed(format!("probe {address}: {error}")))
    }

    /// Answers for as long as it is polled.
    pub(super) async fn serve(self, node: Operated) {
        let routes = Router::new()
            .route("/live", get(|| async { "live\n" }))
            .route("/ready", get(ready))
            .route("/status", get(status))
            .with_state(node);
        let listener = Bounded { listener: self.0, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "answering probes over HTTP");
        }
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::warn!(%error, "probes are answered no more");
        }
    }
}

async fn ready(State(node): State<Operated>) -> impl IntoResponse {
    let readiness = node.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, readiness.explanation + "\n")
}

async fn status(State(node): State<Operated>) -> impl IntoResponse {
    let body = format!("{:#}\n", json::status(&node.status().await));
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// A listener that takes so many connections at one time.
struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

/// A connection that ends by itself.
struct Brief {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Listener for Bounded {
    type Io = Brief;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Brief, SocketAddr) {
        // The semaphore is never closed; without a place the connection still ends by itself.
        let place = self.room.clone().acquire_owned().await.ok();
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (Brief { stream, end: Box::pin(sleep(CONNECTION_TIME_MAX)), _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Brief {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Brief {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        pin!(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Brief {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        pin!(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_closed_and_makes_room() {
        let Probe(listener) = Probe::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded { listener, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        let (mut clients, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS_MAX {
            clients.push(TcpStream::connect(address).await.unwrap());
            taken.push(bounded.accept().await.0);
        }
        clients.push(TcpStream::connect(address).await.unwrap());
        assert!(timeout(Duration::from_secs(1), bounded.accept()).await.is_err(), "there is no room");
        let silent = taken[0].read_u8().await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        taken.clear();
        timeout(Duration::from_secs(1), bounded.accept()).await.expect("there is room again");
    }
}
