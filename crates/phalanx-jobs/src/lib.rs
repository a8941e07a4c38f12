#![doc = include_str!("../README.md")]
// Without the drivers nothing here hands work to handlers; the cores, and what users implement, stand alone.
#![cfg_attr(not(feature = "tokio"), allow(dead_code))]

mod attempts;
mod begun;
mod carrier;
mod class;
mod codec;
mod config;
mod context;
mod control;
#[cfg(feature = "tokio")]
mod driver;
mod events;
mod handler;
mod instances;
mod lifecycle;
mod observe;
mod operations;
mod outcome;
mod ownership;
mod registry;
mod session;
mod task_logs;
mod tasks;
mod transfer;
mod transmit;
pub mod wire;
mod worker;

pub use attempts::CallOptions;
pub use begun::{Begun, BegunTable, CALLERS_MAX, ENDED_BYTES_MAX, ENDED_CALLS_MAX};
pub use carrier::{Carrier, CarrierLost, FrameSink, FrameSource, Stream};
pub use class::{CLASS_NAME_BYTES_MAX, JOB_CLASSES_MAX, JobClass, Nothing, Payload};
pub use config::{
    CLAIM_RETRY, Config, DISCONNECT_GRACE, LINGER, LOST_PROXY_KEPT, OFFER_MARGIN, OFFER_RETRY, OWNER_HELD_MIN,
};
pub use context::{BlockingPanicked, CommandReply, EmitError, RequestContext, Signal, TaskContext};
pub use control::{
    BLOCKED_NAMED_MAX, BlockReason, Blocked, ControlEvent, DrainProgress, Forgotten, Handle, LossCounts,
    MASS_KNOWN_MIN, MASS_WINDOW, MassChange, MassFailure, Proxy, ProxyCall, ShardCore, WorkerLink,
};
#[cfg(feature = "tokio")]
pub use driver::{
    Accepted, ControlConfig, ControlService, Dial, Drain, DrainOptions, Fetch, Gateway, GossipStream,
    KEPT_TIMEOUT, MetadataStream, NewsStream, NodeSummary, Nodes, OperationError, TaskHandle, Tasks,
    WorkerChange, WorkerHandle, WorkerInfo, WorkerService, WorkerSettings, WorkerView, accept,
};
pub use events::{
    Cursor, EVENTS_IN_FLIGHT_BYTES_MAX, EVENTS_IN_FLIGHT_MAX, Entry, LOGS_MAX, Log, Outbox, Received,
};
pub use handler::{EventContext, EventHandler, JobHandler, Kept};
pub use instances::{ENDED_INSTANCES_MAX, InstanceTable, Predecessors};
pub use lifecycle::{EndSummary, TaskState};
pub use observe::{NoObserver, Observation, Observer};
pub use operations::{
    ENDED_TASKS_PAGE_MAX, EndedTask, NodeInfo, Operation, OperationReply, Operations, STOPPING_NAMED_MAX,
    StopProgress, StoppingTask, TASKS_PAGE_MAX, TaskDetails, TaskInfo,
};
pub use outcome::{CallError, Cap, Outcome, REASON_TEXT_BYTES_MAX, Reason, TaskEnd, TaskError};
pub use ownership::{
    Acting, Arbiter, Directory, Finder, FinderConfig, GIVING_PAUSE, GIVING_STEP_MAX, Giving, Holding,
    MOVES_IN_FLIGHT_MAX, MOVES_PER_SECOND, NoDirectory, Owners, Pacer, Present, Stage, Step, Steward, Target,
    Verdict,
};
pub use phalanx_base::{Spawn, Work};
pub use registry::{EventHandlers, Jobs, RegisterError};
pub use session::{Admitted, LinkId, Session, SessionTimeout, Side, Violation};
pub use task_logs::{LOG_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
pub use tasks::{
    COMMANDS_MAX, ENDED_OUTPUT_BYTES_MAX, ENDED_TASKS_MAX, TaskStart, TaskTable, Waiting, Watch,
};
pub use transfer::{OutgoingTransfer, Transfer, TransferError};
pub use transmit::Transmit;
pub use worker::{SUPERSEDED_GRACE, WorkerCore, WorkerEvent, WorkerIdentity};
