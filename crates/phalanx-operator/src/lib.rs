#![doc = include_str!("../README.md")]

mod answer;
mod calls;
mod channel;
mod client;
mod discovery;
mod event;
mod frames;
mod job;
mod message;
mod node;
mod readiness;
mod server;
mod socket;
mod status;
mod tell;
mod wire;

pub use answer::Operated;
pub use calls::Calls;
pub use client::{AskError, Client, ConnectError, EventStream, Nodes, Told};
pub use event::{Event, EventKind, TaskTold};
pub use job::{JobDetails, JobLine};
pub use message::{Failure, FailureKind, Joined, Reply, Request};
pub use node::{Node, NodeDetails, Task};
pub use readiness::{Readiness, ReadinessWatch};
pub use server::Server;
pub use socket::{Socket, SocketError, default_socket};
pub use status::{
    ControlStatus, Formation, Liveness, Member, MemberState, Part, SocketStatus, Status, StrategyStatus,
    WorkerStatus,
};
pub use wire::{REPLY_BYTES_MAX, REQUEST_BYTES_MAX, VERSION, WireError};
