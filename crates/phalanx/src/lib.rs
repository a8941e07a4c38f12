#![doc = include_str!("../README.md")]

mod assembly;
mod carrier;
mod choosing;
mod cluster;
mod config;
mod control;
mod dial;
mod discovery;
mod environment;
mod error;
mod event_log;
mod events;
mod formation;
mod gossip;
mod hosted;
mod jobs;
mod labelling;
mod links;
mod locations;
mod mesh;
mod metadata;
mod meter;
mod news;
mod node;
mod operator;
mod owners;
mod place;
mod setup;
mod severed;
mod spawn;
mod store;
mod tables;
mod user_threads;
#[cfg(test)]
mod without_udp_tests;
mod worker;

pub use choosing::{SubmitError, Workforce};
pub use cluster::Ownership;
pub use config::Config;
pub use control::{Control, ControlBuilder};
pub use discovery::StrategyView;
pub use environment::{Environment, SystemWallClock, WallClock};
pub use error::{ConnectError, StartError};
pub use events::{ClusterEvent, ClusterEvents, NumberedEvent};
pub use formation::Formation;
pub use jobs::{Job, JobChangeError, Jobs};
pub use labelling::LabelsChangeError;
pub use mesh::{DiscoveryView, SocketView};
pub use meter::{Meter, SystemMeter};
pub use news::PublishError;
pub use operator::{Operator, OperatorError, OperatorListener, OperatorStream};
pub use spawn::TokioSpawn;
pub use store::{FileStore, MemoryStore, Store, StoreError};
pub use worker::{Worker, WorkerBuilder};

pub use phalanx_base::{
    Address, AddressList, Boot, Entropy, Fence, Generation, Labels, NodeId, NodeStatus, Role, Usage,
};
pub use phalanx_discovery::{
    Announcement, Candidate, Candidates, Discover, DiscoverContext, DiscoverError, Refresh, Resolver,
    StaticPeers, StrategyAddress, StrategyError,
};
pub use phalanx_jobs::wire::{CallId, ClassName, Instance, InstanceError, OnDisconnect, Receipt, TaskId};
pub use phalanx_jobs::{
    BlockReason, Blocked, CallError, CallOptions, CommandReply, Drain, DrainOptions, DrainProgress,
    EmitError, EndSummary, EndedTask, EventContext, EventHandler, Fetch, Forgotten, JobClass, JobHandler,
    NoObserver, NodeInfo, NodeSummary, Nodes, Nothing, Observation, Observer, OperationError,
    OutgoingTransfer, Reason, RequestContext, Signal, Spawn, StopProgress, StoppingTask, TaskContext,
    TaskDetails, TaskError, TaskHandle, TaskInfo, TaskState, Tasks, Transfer, TransferError, WorkerHandle,
    WorkerInfo,
};
pub use phalanx_membership::driver::RemoveFailed;
pub use phalanx_membership::{ClusterView, Event as MemberEvent, Liveness, MemberView};
pub use phalanx_placement::{
    Choice, Class, Explanation, Metric, Metrics, NeverPlaceable, Placement, Plan, Preferences, Purpose,
    Ranking, Requirements, Selector,
};
pub use phalanx_supervision::{
    Attempt, Count, EndedAttempt, Event as JobEvent, InstanceName, InstanceRecord, InstanceState, JobName,
    JobSpec, JobStatus, LostPolicy, NameError, RestartPolicy, RestartWhen, SpecError, Tag, UpdatePolicy,
};
pub use phalanx_transport::{
    ClusterId, Credential, Network, Secret, SystemEntropy, TlsProvider, TokioNetwork, WorkerCredential,
};

/// The program on the project's front page, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FrontPage;
