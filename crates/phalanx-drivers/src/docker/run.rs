//! A container to run, as a caller describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::Limits;

/// How many arguments a container gets, and how many variables, at most: as any program of this crate.
pub const ARGUMENTS_MAX: usize = 4_096;

/// The bytes of all texts of one run together, at most: what fits a message beside the rest.
pub const TEXT_BYTES_MAX: usize = 512 << 10;

/// The bytes of the output of one container that its worker keeps for whoever asks, the newest: what a person scrolls back
/// through, and two pages on their way to whoever is attached.
pub const BACKLOG_BYTES_MAX: usize = 1 << 20;

/// How many mounts and how many ports one container has, at most: more than any image describes.
pub const PARTS_MAX: usize = 64;

/// When the image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pull {
    /// Never: it must be there.
    Never,
    /// When it is not there.
    #[default]
    IfNotPresent,
    /// Each time.
    Always,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A folder or file of the worker's machine, by its absolute path; it must be there.
    Host(String),
    /// A volume of the daemon, by its name; made where it is not there.
    Volume(String),
    /// Memory, so many bytes; they count as the container's memory.
    Memory(u64),
}

/// Something to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub source: MountSource,
    /// Where in the container: an absolute path.
    pub target: String,
    /// Whether it cannot be written there.
    pub read_only: bool,
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port to publish at the address that the policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// In the container.
    pub container_port: u16,
    /// At the machine.
    pub host_port: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

/// A container to run. Nothing in it is expanded by a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The image, by its reference: `alpine:3.22`, `registry.example/team/app@sha256:…`.
    pub image: String,
    /// When the image is pulled.
    pub pull: Pull,
    /// The program and its first arguments; `None` is what the image says, and an empty list is none at all.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments; `None` is what the image says.
    pub command: Option<Vec<String>>,
    /// Variables beside those of the image.
    pub environment: BTreeMap<String, String>,
    /// Where it works; `None` is what the image says.
    pub folder: Option<String>,
    /// As whom, `user` or `user:group`, by names of the image or by numbers; `None` is what the image says.
    pub user: Option<String>,
    /// What it may use, where that is less than the policy says.
    pub limits: Limits,
    /// Its network: `none`, or one that the policy allows.
    pub network: String,
    /// What is published.
    pub ports: Vec<Port>,
    /// What is mounted.
    pub mounts: Vec<Mount>,
    /// Whether its own file system cannot be written.
    pub read_only: bool,
    /// Whether a small init is its first process, which passes signals on and reaps; else its program is. The kernel keeps
    /// signals away from a first process that does not handle them, so that many programs only stop with it.
    pub init: bool,
    /// Whether it has all rights over the machine.
    pub privileged: bool,
    /// Whether the container is kept when it has ended.
    pub keep: bool,
    /// Whether its output is told as events; else only the last lines are.
    pub output_events: bool,
    /// Whether it waits for whoever [follows](super::follow) it, so that no output is lost: when [`BACKLOG_BYTES_MAX`] of it
    /// are unread it cannot write more, until nobody has asked for half a minute.
    pub attached: bool,
    /// Whether any exit code of its own but 0 is a failure of its task, as
    /// [`DockerError::ExitedBadly`](super::DockerError::ExitedBadly).
    pub must_succeed: bool,
}

impl Run {
    /// A container of this image, as the image says, without network, whose output is told and which is removed at its end.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            pull: Pull::default(),
            entrypoint: None,
            command: None,
            environment: BTreeMap::new(),
            folder: None,
            user: None,
            limits: Limits::default(),
            network: "none".to_owned(),
            ports: Vec::new(),
            mounts: Vec::new(),
            read_only: false,
            init: false,
            privileged: false,
            keep: false,
            output_events: true,
            attached: false,
            must_succeed: false,
        }
    }

    /// When the image is pulled.
    #[must_use]
    pub fn pull(mut self, pull: Pull) -> Self {
        self.pull = pull;
        self
    }

    /// The arguments, or with an image that has no entry point the program too.
    #[must_use]
    pub fn command<A: Into<String>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.command = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// The program, whatever the image says.
    #[must_use]
    pub fn entrypoint<A: Into<String>>(mut self, entrypoint: impl IntoIterator<Item = A>) -> Self {
        self.entrypoint = Some(entrypoint.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Where it works.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// As whom.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// What it may use at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Its network.
    #[must_use]
    pub fn network(mut self, network: impl Into<String>) -> Self {
        self.network = network.into();
        self
    }

    /// Publishes a TCP port.
    #[must_use]
    pub fn port(mut self, container_port: u16, host_port: u16) -> Self {
        self.ports.push(Port { container_port, host_port, protocol: Protocol::Tcp });
        self
    }

    /// Mounts something to be read and written.
    #[must_use]
    pub fn mount(mut self, source: MountSource, target: impl Into<String>) -> Self {
        self.mounts.push(Mount { source, target: target.into(), read_only: false });
        self
    }

    /// Mounts something to be read.
    #[must_use]
    pub fn mount_read_only(mut self, source: MountSource, target: impl Into<String>) -> Self {
        self.mounts.push(Mount { source, target: target.into(), read_only: true });
        self
    }

    /// Its own file system cannot be written.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// A small init is its first process.
    #[must_use]
    pub fn init(mut self) -> Self {
        self.init = true;
        self
    }

    /// It has all rights over the machine, where the policy allows that.
    #[must_use]
    pub fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }

    /// The container is kept when it has ended, where the policy allows that.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Tells no output as events.
    #[must_use]
    pub fn without_output_events(mut self) -> Self {
        self.output_events = false;
        self
    }

    /// Lets it wait for whoever [follows](super::follow) it, so that no output is lost.
    #[must_use]
    pub fn attached(mut self) -> Self {
        self.attached = true;
        self
    }

    /// Makes an end with another exit code than 0 a failure of its task, such as for a job that restarts what has failed. Not
    /// when it was told to stop. Its last lines and its exit code are in the task's own log then.
    #[must_use]
    pub fn must_succeed(mut self) -> Self {
        self.must_succeed = true;
        self
    }
}
