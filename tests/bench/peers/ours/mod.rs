//! Us, as a user meets us: a control node and a worker by the facade, each a process of its own, over QUIC on loopback.

mod class;
mod cluster;
mod control;
mod files;
mod fleet;
mod worker;
mod workers;

pub(crate) use cluster::Cluster;
pub(super) use control::control;
pub(crate) use fleet::Fleet;
pub(super) use worker::worker;
pub(super) use workers::workers;

/// The name of the cluster and of its one worker.
const CLUSTER: &str = "bench";
const WORKER: &str = "worker";

/// Below which name the worker has a folder.
const ROOT: &str = "data";
