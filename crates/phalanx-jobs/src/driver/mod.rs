//! The drivers: thin async shells around the cores, on tokio.
//!
//! [`WorkerService`] runs a [`WorkerCore`](crate::WorkerCore), [`ControlService`] runs shards of proxies, the calls between
//! control nodes, and the calls of this node's users. One task owns each core; everybody else has a bounded inbox.

mod accept;
mod alarm;
mod call;
mod control;
mod drain;
mod encoded;
mod entrance;
mod fetch;
mod gateway;
mod handling;
mod kept;
mod listing;
mod mass;
mod operations;
mod outflow;
mod peers;
mod shard;
mod splice;
mod streams;
mod task_handle;
mod transfers;
mod worker;
mod worker_handle;

pub use accept::{Accepted, GossipStream, MetadataStream, NewsStream, accept};
pub use control::{ControlConfig, ControlService, WorkerChange, WorkerInfo};
pub use drain::{Drain, DrainOptions};
pub use entrance::Gateway;
pub use fetch::Fetch;
pub use kept::KEPT_TIMEOUT;
pub use listing::{NodeSummary, Nodes, Tasks};
pub use operations::OperationError;
pub use task_handle::TaskHandle;
pub use worker::{Dial, WorkerService, WorkerSettings, WorkerView};
pub use worker_handle::WorkerHandle;

use std::time::Instant;

/// The clock of all drivers: tokio's, so that a test can pause it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How many messages wait in the inbox of a driver: as many as it handles in a few milliseconds.
const INBOX_MAX: usize = 1_024;

/// How many further messages a driver takes from each source when it is awake: enough that no source starves the
/// others, few enough that timers are kept.
const BURST_MAX: usize = 64;
