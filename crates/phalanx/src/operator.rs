//! Operators: people's programs that ask a control node, over the network and by the cluster's secret.
//!
//! An operator is no member: nothing is gossiped to it, it hosts and runs nothing, and its link is in no table. What is said on
//! its streams is not known here; see the crate `phalanx-operator`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use phalanx_base::{Address, Boot, Generation, Lane, NodeId, Role};
use phalanx_jobs::wire::Frame;
use phalanx_jobs::{CarrierLost, FrameSink, Stream};
use phalanx_transport::{
    AdmitAll, CloseReason, Endpoint, EndpointConfig, FrameCaps, FrameReceiver, FrameSender, Link, LocalNode,
    Secret, StreamError,
};
use tokio::sync::{Mutex, mpsc};

use crate::carrier;
use crate::dial::places;
use crate::environment::Environment;
use crate::error::{ConnectError, StartError};

/// How many streams of operators wait to be taken.
const STREAMS_WAITING_MAX: usize = 16;

/// The kind of every frame: what it means, its users say in its body.
const MESSAGE: u8 = 1;

/// The greatest message in bytes: a page of a long list.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

static CAPS: FrameCaps = FrameCaps::new().with(MESSAGE, MESSAGE_BYTES_MAX);

/// A stream between an operator and a control node: whole messages both ways. It ends when either end is dropped.
pub struct OperatorStream {
    link: Link,
    sender: FrameSender,
    receiver: FrameReceiver,
}

impl OperatorStream {
    /// The greatest message in bytes.
    pub const MESSAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX as usize;

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Boot {
        &self.link.peer().boot
    }

    /// Sends a message. Not cancellation safe: a call that was dropped may have sent a part, and the stream is of no use then.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is of no use any more.
    pub async fn send(&mut self, message: Bytes) -> Result<(), StreamError> {
        self.sender.send(MESSAGE, message).await
    }

    /// Says that no further message comes.
    pub fn finish(&mut self) {
        // A stream that is over already needs no end.
        let _ = self.sender.finish();
    }

    /// Leaves messages behind: from here on the stream carries the frames of calls and transfers, within the caps of their
    /// kinds. Both ends have agreed on that by a message. The node's link lives as long as this stream.
    #[must_use]
    pub fn into_frames(self) -> Stream {
        let Self { link, sender, receiver } = self;
        let Stream { sink, source } = carrier::stream(sender, receiver);
        Stream { sink: Box::new(Held { sink, _link: link }), source }
    }

    /// The next message; `None` when the other end sends no more. Cancellation safe.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is of no use any more.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, StreamError> {
        Ok(self.receiver.next(&CAPS).await?.map(|frame| frame.body))
    }
}

/// A stream's half that keeps its link.
struct Held {
    sink: Box<dyn FrameSink>,
    _link: Link,
}

impl FrameSink for Held {
    fn send<'a>(&'a mut self, frames: &'a [Frame]) -> BoxFuture<'a, Result<(), CarrierLost>> {
        self.sink.send(frames)
    }

    fn finish(&mut self) {
        self.sink.finish();
    }
}

/// The streams that operators open at a control node. Cheap to clone; each stream goes to one of the clones.
#[derive(Clone)]
pub struct OperatorListener {
    streams: Arc<Mutex<mpsc::Receiver<OperatorStream>>>,
    listens: Arc<AtomicBool>,
}

impl OperatorListener {
    /// The next stream; `None` once the node has stopped. Cancellation safe.
    pub async fn accept(&self) -> Option<OperatorStream> {
        self.streams.lock().await.recv().await
    }

    /// From now on operators are let in.
    pub(crate) fn listening(self) -> Self {
        self.listens.store(true, Ordering::Relaxed);
        self
    }
}

/// Where links of operators go. Until somebody listens, they are refused.
#[derive(Clone)]
pub(crate) struct Operators {
    streams: mpsc::Sender<OperatorStream>,
    /// Whether somebody has ever asked for them.
    listens: Arc<AtomicBool>,
}

/// The code with which an operator's link is closed where the program takes none.
const TAKES_NONE: u16 = 2;

impl Operators {
    pub(crate) fn new() -> (Self, OperatorListener) {
        let (streams, receiver) = mpsc::channel(STREAMS_WAITING_MAX);
        let listens = Arc::new(AtomicBool::new(false));
        let listener = OperatorListener { streams: Arc::new(Mutex::new(receiver)), listens: listens.clone() };
        (Self { streams, listens }, listener)
    }

    /// Takes in the streams of an operator, until its link is lost.
    pub(crate) async fn serve(self, link: Link) {
        let refuse = |why: &str| {
            tracing::warn!(peer = %link.peer().boot, why, "an operator is refused");
            link.close(CloseReason::Application { code: TAKES_NONE, detail: why.to_owned() });
        };
        if !self.listens.load(Ordering::Relaxed) {
            return refuse("this program takes no operators: it does not serve them");
        }
        while let Ok((lane, sender, receiver)) = link.accept().await {
            let stream = OperatorStream { link: link.clone(), sender, receiver };
            if lane != Lane::Request || self.streams.try_send(stream).is_err() {
                return refuse("too many operators ask at once: try again");
            }
        }
    }
}

/// A person's program, linked to a control node. The link closes when the last clone and the last stream are dropped.
#[derive(Clone)]
pub struct Operator {
    /// What the link runs on.
    _endpoint: Arc<Endpoint>,
    link: Link,
}

impl Operator {
    /// Links to the first control node of these addresses that answers, as an operator of the cluster of this name. Must be
    /// called within a tokio runtime. Nothing remains of a call that was dropped.
    ///
    /// # Errors
    /// [`OperatorError`] says why there is no link to the last of them.
    pub async fn connect(
        cluster: &str,
        secret: &Secret,
        addresses: &[Address],
    ) -> Result<Self, OperatorError> {
        let environment = Environment::real().map_err(StartError::Runtime)?;
        // A name that nobody has: each call is a node of its own.
        let node = NodeId::from_bits(environment.entropy.bits128());
        let generation = Generation::next(environment.wall_clock.unix_ms(), None, 0);
        let boot = Boot { node, generation };
        let local = LocalNode { cluster: cluster.to_owned(), boot, role: Role::Operator };
        let mut last = OperatorError::NoAddress;
        for address in addresses {
            let found = places(address, environment.resolver.as_ref()).await;
            if found.is_empty() {
                last = ConnectError::Unresolved { address: address.clone() }.into();
            }
            for place in found {
                let socket = place.socket;
                let endpoint = Endpoint::bind(
                    EndpointConfig {
                        listen_tls: false,
                        listen_websocket: false,
                        ..EndpointConfig::default()
                    },
                    local.clone(),
                    secret.into(),
                    any_port(socket),
                    &environment.seams(),
                    Arc::new(AdmitAll),
                )
                .map_err(StartError::Bind)?;
                match place.dial(&endpoint).await {
                    Ok(link) => return Ok(Self { _endpoint: Arc::new(endpoint), link }),
                    Err(error) => last = ConnectError::Dial { socket, error }.into(),
                }
            }
        }
        Err(last)
    }

    /// Which control node it is linked to.
    #[must_use]
    pub fn peer(&self) -> &Boot {
        &self.link.peer().boot
    }

    /// Opens a stream. Cancellation safe.
    ///
    /// # Errors
    /// [`StreamError`] when the link is lost.
    pub async fn open(&self) -> Result<OperatorStream, StreamError> {
        let (sender, receiver) = self.link.open(Lane::Request).await.map_err(StreamError::Link)?;
        Ok(OperatorStream { link: self.link.clone(), sender, receiver })
    }
}

/// Any free port of the family of an address.
fn any_port(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Why an operator has no link to a control node.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no address to dial.
    #[error("no address of a control node was given")]
    NoAddress,
    /// The socket, the cluster's name or the secret is not right.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No control node answers, or it refuses.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}
