//! The operator's end: connects to a node, asks, and hears.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use phalanx::{Address, JobName, JobSpec, Labels, NodeId, Operator, OperatorError, Secret};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::channel::Channel;
use crate::wire::{REPLY_BYTES_MAX, WireError};
use crate::{Calls, Event, Failure, JobDetails, JobLine, Joined, Node, NodeDetails, Reply, Request, Status};

/// How long a node may take for the next message of an answer: listing a large cluster, or dialling what does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no connection. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No node listens on the socket.
    #[error("no node answers on {}: start one, or say which socket or address it has", path.display())]
    NoNode {
        /// The path.
        path: PathBuf,
    },
    /// The user may not open the socket.
    #[error("{}: this user may not open it: become the user whose node it is", path.display())]
    Denied {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {error}", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
    /// No node at the addresses lets this operator in.
    #[error(transparent)]
    Network(#[from] OperatorError),
    /// The link to the node was lost at once.
    #[error("the link was lost: {0}")]
    Lost(#[source] io::Error),
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The node says no. Its words say whether something has changed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The connection broke. Whether the node did what it was asked to is not known.
    #[error("the connection to the node broke: {0}; whether it was done is not known")]
    Broken(#[source] io::Error),
    /// The node has closed the connection. Whether it did what it was asked to is not known.
    #[error("the node closed the connection; whether it was done is not known")]
    Closed,
    /// The node did not answer in time. Whether it did what it was asked to is not known.
    #[error("the node does not answer; whether it was done is not known")]
    TimedOut,
    /// A message that does not fit. Where it is the question, nothing has changed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The answer does not belong to the question.
    #[error("the node answers something else: upgrade the older end")]
    Unexpected,
}

/// The workers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nodes {
    /// Those that a control node hosts, in the order of their names.
    pub nodes: Vec<Node>,
    /// The control nodes that did not answer: what they host is missing.
    pub silent: Vec<NodeId>,
}

/// A connection to a node. Dropping it ends what it waits for; what the node has begun it goes on with.
///
/// After a question whose future was dropped, or that ended with [`AskError::Broken`] or [`AskError::TimedOut`], the
/// connection is of no more use.
pub struct Client {
    channel: Channel,
    target: Target,
}

/// Where a node is asked.
#[derive(Clone)]
pub(crate) enum Target {
    /// By a socket of this machine.
    Socket(PathBuf),
    /// Over the network: the link, which lives as long as this.
    Network(Operator),
}

fn refused(path: &Path, error: io::Error) -> ConnectError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectError::NoNode { path },
        io::ErrorKind::PermissionDenied => ConnectError::Denied { path },
        _ => ConnectError::System { path, error },
    }
}

impl Client {
    /// Connects to the node that listens on a socket of this machine.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_socket(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        Self::connect(Target::Socket(path.as_ref().to_owned())).await
    }

    /// Connects to the first node at these addresses that answers and has the same secret. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_network(
        cluster: &str,
        secret: &Secret,
        addresses: &[Address],
    ) -> Result<Self, ConnectError> {
        Self::connect(Target::Network(Operator::connect(cluster, secret, addresses).await?)).await
    }

    pub(crate) async fn connect(target: Target) -> Result<Self, ConnectError> {
        let channel = match &target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| refused(path, error))?;
                Channel::socket(stream, REPLY_BYTES_MAX)
            }
            Target::Network(operator) => {
                let stream = operator.open().await;
                let stream = stream.map_err(|error| ConnectError::Lost(io::Error::other(error)))?;
                Channel::Network(Box::new(stream))
            }
        };
        Ok(Self { channel, target })
    }

    /// Work at any worker of the cluster, through this node, on connections of its own. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AskError`]; among them that the node is no control node.
    pub async fn calls(&self) -> Result<Calls, AskError> {
        Calls::start(self.target.clone()).await
    }

    pub(crate) fn into_frames(self) -> phalanx_jobs::Stream {
        self.channel.into_frames()
    }

    /// How the node is, and how it sees the cluster.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn status(&mut self) -> Result<Status, AskError> {
        match self.ask(Request::Status).await? {
            Reply::Status(status) => Ok(*status),
            _ => Err(AskError::Unexpected),
        }
    }

    /// Every worker of the cluster, the control nodes' own ones among them.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn nodes(&mut self) -> Result<Nodes, AskError> {
        let mut all = Nodes::default();
        let mut reply = self.ask(Request::Nodes).await?;
        loop {
            let Reply::Nodes { nodes, silent, more } = reply else { return Err(AskError::Unexpected) };
            all.nodes.extend(nodes);
            all.silent.extend(silent);
            if !more {
                return Ok(all);
            }
            reply = self.answer().await?;
        }
    }

    /// One node of the cluster, wherever it is.
    ///
    /// # Errors
    /// [`AskError`]; among them that there is no such node.
    pub async fn node(&mut self, node: NodeId) -> Result<NodeDetails, AskError> {
        match self.ask(Request::Node(node)).await? {
            Reply::Node(details) => Ok(*details),
            _ => Err(AskError::Unexpected),
        }
    }

    /// What is remembered after the event of a number (0: everything that is remembered), and what happens from now on.
    /// Without a number: only what happens from now on.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn events(mut self, since: Option<u64>) -> Result<EventStream, AskError> {
        self.send(Request::Events { since }).await?;
        Ok(EventStream { client: self })
    }

    /// Links the node to those at the addresses, by hand. The outcome of each is in the answer.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn join(&mut self, addresses: Vec<Address>) -> Result<Vec<Joined>, AskError> {
        match self.ask(Request::Join(addresses)).await? {
            Reply::Joined(joined) => Ok(joined),
            _ => Err(AskError::Unexpected),
        }
    }

    /// Lets the node leave its cluster in order, and end. Returns when it is about to; [`closed`](Self::closed) returns
    /// when it has.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn leave(&mut self) -> Result<(), AskError> {
        match self.ask(Request::Leave).await? {
            Reply::Leaving => Ok(()),
            _ => Err(AskError::Unexpected),
        }
    }

    /// Returns when the node has ended the connection, as it does when it has left.
    pub async fn closed(mut self) {
        while let Ok(Some(_)) = self.channel.receive().await {}
    }

    /// Removes another control node from the cluster, such as one that will not come back.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn remove(&mut self, node: NodeId) -> Result<(), AskError> {
        self.done(Request::Remove(node)).await
    }

    /// Forgets a worker that will not come back.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn forget(&mut self, node: NodeId) -> Result<(), AskError> {
        self.done(Request::Forget(node)).await
    }

    /// Tells all nodes of the cluster something.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn publish(&mut self, name: &str, payload: Bytes) -> Result<(), AskError> {
        self.done(Request::Publish { name: name.to_owned(), payload }).await
    }

    /// Every job, in the order of their names.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn jobs(&mut self) -> Result<Vec<JobLine>, AskError> {
        let mut all = Vec::new();
        let mut reply = self.ask(Request::Jobs).await?;
        loop {
            let Reply::Jobs { jobs, more } = reply else { return Err(AskError::Unexpected) };
            all.extend(jobs);
            if !more {
                return Ok(all);
            }
            reply = self.answer().await?;
        }
    }

    /// One job.
    ///
    /// # Errors
    /// [`AskError`]; among them that there is no such job.
    pub async fn job(&mut self, name: JobName) -> Result<JobDetails, AskError> {
        match self.ask(Request::Job(name)).await? {
            Reply::Job(details) => Ok(*details),
            _ => Err(AskError::Unexpected),
        }
    }

    /// Makes a job, or changes the one of that name to this; says what it is now.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn apply_job(&mut self, spec: JobSpec) -> Result<JobSpec, AskError> {
        match self.ask(Request::ApplyJob(Box::new(spec))).await? {
            Reply::Applied(spec) => Ok(*spec),
            _ => Err(AskError::Unexpected),
        }
    }

    /// Stops a job's tasks, and forgets it.
    ///
    /// # Errors
    /// [`AskError`]; among them that there is no such job.
    pub async fn remove_job(&mut self, name: JobName) -> Result<(), AskError> {
        self.done(Request::RemoveJob(name)).await
    }

    /// Labels a worker for good, as `Control::set_labels` does; `None` takes that back, and the worker has what its own
    /// configuration says from its next start on.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn set_labels(&mut self, node: NodeId, labels: Option<Labels>) -> Result<(), AskError> {
        self.done(Request::SetLabels { node, labels }).await
    }

    async fn done(&mut self, request: Request) -> Result<(), AskError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            _ => Err(AskError::Unexpected),
        }
    }

    pub(crate) async fn ask(&mut self, request: Request) -> Result<Reply, AskError> {
        self.send(request).await?;
        self.answer().await
    }

    async fn send(&mut self, request: Request) -> Result<(), AskError> {
        let bytes = request.encode()?;
        let sent = timeout(ANSWER_TIMEOUT, self.channel.send(bytes)).await;
        match sent.map_err(|_| AskError::TimedOut)? {
            Ok(()) => Ok(()),
            // A node that is busy says so and closes before it reads: its words are there to be read.
            Err(error) => match self.answer().await {
                Err(AskError::Failed(failure)) => Err(failure.into()),
                _ => Err(AskError::Broken(error)),
            },
        }
    }

    async fn answer(&mut self) -> Result<Reply, AskError> {
        timeout(ANSWER_TIMEOUT, self.next_reply()).await.map_err(|_| AskError::TimedOut)?
    }

    async fn next_reply(&mut self) -> Result<Reply, AskError> {
        let Some(bytes) = self.channel.receive().await.map_err(AskError::Broken)? else {
            return Err(AskError::Closed);
        };
        match Reply::decode(&bytes)? {
            Reply::Failed(failure) => Err(failure.into()),
            reply => Ok(reply),
        }
    }
}

/// Events of a cluster, as they come. Dropping it ends the connection.
pub struct EventStream {
    client: Client,
}

/// What an [`EventStream`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something has happened.
    Event(Event),
    /// Everything that is remembered was told; what follows is new. Comes once.
    CaughtUp,
}

impl EventStream {
    /// The next event; `None` when the node has ended. Waits for as long as it takes. Cancellation safe.
    ///
    /// # Errors
    /// [`AskError`], after which nothing more comes.
    pub async fn next(&mut self) -> Result<Option<Told>, AskError> {
        match self.client.next_reply().await {
            Ok(Reply::Event(event)) => Ok(Some(Told::Event(event))),
            Ok(Reply::CaughtUp) => Ok(Some(Told::CaughtUp)),
            Ok(_) => Err(AskError::Unexpected),
            Err(AskError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
