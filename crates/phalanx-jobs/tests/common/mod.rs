//! One worker and its control nodes, joined by hand: scripted links, a manual clock, no runtime.
//!
//! [`World`] moves frames between a real `WorkerCore` and real `ShardCore`s, and does what their drivers would do; its
//! [`History`] watches each frame and event, and panics when a promise is broken. An honest peer that is taken for a
//! liar (a *violation*) is a failure too.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "a manual clock has to begin somewhere")]

mod crowd;
mod ends;
mod history;
mod world;

pub(crate) use crowd::Crowd;
pub(crate) use ends::{ControlEnd, To, View, Wire, WorkerEnd};
pub(crate) use history::History;
pub(crate) use world::World;

use bytes::Bytes;
use phalanx_base::NodeId;
use phalanx_jobs::wire::{ClassName, CommandStream, Instance, OnDisconnect, TaskId, Verb};

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("test names are names")
}

pub(crate) fn class() -> ClassName {
    ClassName { name: "work".into(), version: 1 }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn request() -> Verb {
    Verb::Request { class: class(), body: bytes("question") }
}

pub(crate) fn start() -> Verb {
    start_with(OnDisconnect::Keep)
}

pub(crate) fn start_with(on_disconnect: OnDisconnect) -> Verb {
    Verb::Start { class: class(), body: bytes("task"), on_disconnect, instance: None }
}

/// The start of an attempt of the job's one instance.
pub(crate) fn start_attempt(attempt: u64) -> Verb {
    let instance = Instance::new("job", "0", attempt).expect("test names are names");
    let on_disconnect = OnDisconnect::Keep;
    Verb::Start { class: class(), body: bytes("task"), on_disconnect, instance: Some(instance) }
}

pub(crate) fn command(task: &TaskId, stream: &CommandStream, sequence: u64) -> Verb {
    Verb::Command { task: task.clone(), stream: stream.clone(), sequence, body: bytes("command") }
}

pub(crate) fn output(task: &TaskId) -> Verb {
    Verb::Output { task: task.clone() }
}
