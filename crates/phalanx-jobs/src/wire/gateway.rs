//! What travels between a program that is no node and the control node where its calls enter the cluster.
//!
//! The program has no ids of its own: workers remember each caller, and programs come and go by the thousand. So the
//! control node makes the ids, asks again where that is safe, and says in the end what became of the call.

use phalanx_base::{Generation, NodeId};
use serde::{Deserialize, Serialize};

use super::{CallId, Verb};
use crate::outcome::Outcome;

/// A call to any worker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCall {
    /// The caller's number for it, used once on its stream.
    pub number: u64,
    /// Which worker.
    pub worker: NodeId,
    /// The boot of the worker that it is bound to, as a command to a task is.
    pub bound: Option<Generation>,
    /// How long it may take in all, in milliseconds.
    pub remaining_ms: u64,
    /// How long to go on while the control side is in motion, in milliseconds.
    pub patience_ms: u64,
    /// Whether running it twice is right.
    pub idempotent: bool,
    /// What is asked for.
    pub verb: Verb,
}

/// The caller went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCancel {
    /// Which call.
    pub number: u64,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayOutcome {
    /// Which call.
    pub number: u64,
    /// The id that it had in the cluster: of a call that starts a task, the task's.
    pub id: CallId,
    /// The boot of the worker that it went to, if it went anywhere.
    pub generation: Option<Generation>,
    /// How it ended.
    pub outcome: Outcome,
}
