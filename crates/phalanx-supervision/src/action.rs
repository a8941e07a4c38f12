//! What the driver is to do.

use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Generation, NodeId};
use phalanx_placement::Class;

use crate::name::Tag;
use crate::record::{InstanceRecord, TaskName};

/// What the driver is to do. Each says how it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Keep this record in the place of the one before, durably. Answered once by
    /// [`handle_recorded`](crate::Supervisor::handle_recorded); no start goes out before.
    Record(Box<InstanceRecord>),
    /// Drop this record. Not answered.
    Forget(Box<InstanceRecord>),
    /// Start a task. Answered once by [`handle_started`](crate::Supervisor::handle_started), and by
    /// [`handle_ended`](crate::Supervisor::handle_ended) when it ends.
    Start {
        /// What the task carries, for listings.
        tag: Tag,
        /// Where.
        node: NodeId,
        /// In which boot of the worker only.
        generation: Generation,
        /// The job class.
        class: Class,
        /// The task, as the class encodes it.
        body: Bytes,
        /// After how long without an owner the worker ends it by itself.
        stop_after: Option<Duration>,
    },
    /// Tell a task to stop, and end it after the grace. Answered by [`handle_ended`](crate::Supervisor::handle_ended), also
    /// where the worker does not know the task (any more); repeated where no end is heard.
    Stop {
        /// Which attempt it is.
        tag: Tag,
        /// Where.
        node: NodeId,
        /// How the worker calls it.
        task: TaskName,
        /// How long it has to end by itself.
        grace: Duration,
    },
    /// Ask a worker what it runs. Answered once by [`handle_listing`](crate::Supervisor::handle_listing).
    List {
        /// Which worker.
        node: NodeId,
        /// The number of the listing, which the answer repeats.
        listing: u64,
        /// Tasks that should be there: of those that are not, the answer says how they ended, where the worker knows it.
        known: Vec<(Tag, TaskName)>,
    },
}
