//! Work through a node's gateway: the same typed handles of workers and tasks as a control node has.

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use phalanx::{Boot, Entropy, Generation, NodeId, Role, Spawn, SystemEntropy, WorkerHandle};
use phalanx_base::{Lane, Work};
use phalanx_jobs::{Carrier, CarrierLost, FrameSource, Gateway, LinkId, Stream};

use crate::client::{AskError, Target};
use crate::{Client, Reply, Request};

/// Calls to any worker of the cluster, through the node that a [`Client`] is connected to. Cheap to clone. All calls share one
/// connection, and each transfer has its own; once the node is gone they all fail: make another.
#[derive(Clone)]
pub struct Calls(Gateway);

impl Calls {
    /// Must be called within a tokio runtime.
    pub(crate) async fn start(target: Target) -> Result<Self, AskError> {
        let (stream, node) = open(&target).await?;
        let carrier = OperatorCarrier { target, node, first: Arc::new(Mutex::new(Some(stream))) };
        // A name that nobody has.
        let me = Boot {
            node: NodeId::from_bits(SystemEntropy::new().bits128()),
            generation: Generation::from_u64(1),
        };
        Ok(Self(Gateway::start(me, Arc::new(carrier), &Here)))
    }

    /// A worker, by its name, wherever its proxy is. It does no I/O; a name that nobody knows is an error of the call.
    #[must_use]
    pub fn worker(&self, worker: impl Borrow<NodeId>) -> WorkerHandle {
        self.0.worker(worker.borrow().clone())
    }
}

/// Makes a connection of frames.
async fn open(target: &Target) -> Result<(Stream, Boot), AskError> {
    let mut client = Client::connect(target.clone()).await.map_err(|error| match error {
        crate::ConnectError::Lost(error) => AskError::Broken(error),
        error => AskError::Broken(std::io::Error::other(error)),
    })?;
    match client.ask(Request::Calls).await? {
        Reply::Calls(node) => Ok((client.into_frames(), node)),
        _ => Err(AskError::Unexpected),
    }
}

/// What a gateway goes through: each stream is a connection.
struct OperatorCarrier {
    target: Target,
    node: Boot,
    /// The connection that was made to see whether the node takes calls.
    first: Arc<Mutex<Option<Stream>>>,
}

impl Carrier for OperatorCarrier {
    fn id(&self) -> LinkId {
        LinkId(0)
    }

    fn peer(&self) -> &Boot {
        &self.node
    }

    fn role(&self) -> Role {
        Role::Control
    }

    fn open(&self, lane: Lane) -> BoxFuture<'static, Result<Stream, CarrierLost>> {
        let (target, first) = (self.target.clone(), self.first.clone());
        async move {
            let first = match lane {
                Lane::Request => first.lock().unwrap_or_else(PoisonError::into_inner).take(),
                _ => None,
            };
            let Stream { sink, source } = match first {
                Some(stream) => stream,
                None => open(&target).await.map_err(|_| CarrierLost)?.0,
            };
            Ok(Stream { sink, source: Box::new(Unending(source)) })
        }
        .boxed()
    }

    fn close(&self, why: &str) {
        // Its streams are dropped by whoever has them.
        tracing::debug!(why, "the calls through a gateway have ended");
    }
}

/// A connection that must not end before its user is done with it: its end is a loss.
struct Unending(Box<dyn FrameSource>);

impl FrameSource for Unending {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<phalanx_jobs::wire::Frame>, CarrierLost>> {
        async move { self.0.next().await?.map(Some).ok_or(CarrierLost) }.boxed()
    }
}

/// The runtime of whoever calls.
struct Here;

impl Spawn for Here {
    fn spawn(&self, work: Work) {
        drop(tokio::spawn(work));
    }

    fn spawn_user(&self, work: Work) {
        drop(tokio::spawn(work));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(tokio::task::spawn_blocking(work));
    }
}
