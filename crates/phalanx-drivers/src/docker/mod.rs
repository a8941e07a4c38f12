//! Containers as tasks, by the Docker API. Unix only.
//!
//! A task runs one container of an image that the worker's [`Policy`] allows; what it writes is told as events, signals are
//! commands, its exit code is the task's output, and the container is gone when the task has ended. Other tasks pull an
//! image, or load one that is sent as a transfer. A worker runs nothing until its own program says what.
//!
//! **The daemon's socket is root.** Whoever can open it can mount the machine's disk into a container and do as he likes
//! there. So this driver never passes on what a caller sends: it builds each order for the daemon itself, from the few
//! things that it knows, and leaves out everything else (devices, capabilities, namespaces of the machine or of other
//! containers, options of volume drivers, settings of the kernel). What a policy can open is named there one by one, with
//! what it gives away.

mod backlog;
mod class;
mod client;
mod create;
mod daemon;
mod error;
mod exec;
mod glob;
mod handler;
mod images;
mod limits;
mod loading;
mod orders;
mod orphans;
mod policy;
mod reference;
mod removal;
mod run;
mod running;
mod tasks;

pub use class::{
    Answer, Ask, CHUNK_BYTES_MAX, Chunk, Docker, Done, Exec, ExecOutput, Finished, Gap, ImageInfo,
    LAST_LINE_BYTES_MAX, LAST_LINES, Listed, ORPHANS_MAX, Orphan, OutputState, PAGE_BYTES_MAX, Page,
    Progress, Said, Stats, Stream, Tell, Work,
};
pub use client::{
    Container, ContainerError, ImageError, containers, follow, images, load, load_bytes, orphans, pull,
    remove, run,
};
pub use error::DockerError;
pub use exec::EXEC_OUTPUT_BYTES_MAX;
pub use handler::Containers;
pub use limits::Limits;
pub use policy::{Access, OnOrphans, Policy, PolicyError};
pub use run::{
    ARGUMENTS_MAX, BACKLOG_BYTES_MAX, Mount, MountSource, PARTS_MAX, Port, Protocol, Pull, Run,
    TEXT_BYTES_MAX,
};
