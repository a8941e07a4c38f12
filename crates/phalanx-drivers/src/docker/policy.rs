//! What a worker lets be done with its Docker daemon: nothing, until its program says what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::error::DockerError;
use super::limits::Limits;
use super::reference::{Pattern, Reference};
use super::run::{ARGUMENTS_MAX, Mount, MountSource, PARTS_MAX, Run, TEXT_BYTES_MAX};

/// Defaults, each with its reason: as many containers as a small machine runs side by side.
const CONTAINERS_MAX: u32 = 16;
/// Processes of one container: what a large program needs; a fork bomb ends there.
const PROCESSES_MAX: u32 = 1_024;
/// Output as events in a second: what a person or a build server reads.
const EVENT_BYTES_PER_SECOND: u64 = 1 << 20;
/// The daemon's own log of one container: what somebody at the machine looks at.
const LOG_BYTES_MAX: u64 = 10 << 20;
/// How long a daemon may be away while a container runs: it is restarted for an update.
const DAEMON_AWAY_MAX: Duration = Duration::from_secs(30);

/// The network that gives nothing away.
pub(super) const NO_NETWORK: &str = "none";

/// What may be done with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It can be read.
    Read,
    /// It can be read and written.
    ReadWrite,
}

/// What becomes of containers of an earlier boot of this worker, when it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnOrphans {
    /// They are removed, but for those that have ended and were to be kept.
    #[default]
    Remove,
    /// They are left alone, run on, and are listed to whoever asks. Their tasks have ended as lost.
    Report,
}

/// What a worker lets be done with its Docker daemon. A new one allows no image, and so nothing.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) socket: PathBuf,
    images: Vec<String>,
    patterns: Vec<Pattern>,
    may_pull: bool,
    pub(super) archive_bytes_max: Option<u64>,
    limits: Limits,
    networks: BTreeSet<String>,
    ports: Option<(IpAddr, RangeInclusive<u16>)>,
    folders: Vec<(PathBuf, Access)>,
    volumes: BTreeMap<String, Access>,
    may_exec: bool,
    may_be_privileged: bool,
    pub(super) kept_max: u32,
    pub(super) containers_max: u32,
    pub(super) event_bytes_per_second_max: u64,
    pub(super) log_bytes_max: u64,
    pub(super) daemon_away_max: Duration,
    pub(super) on_orphans: OnOrphans,
}

/// Why a policy cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A pattern of images is none.
    #[error(
        "{0:?} is no pattern of images: write it as `alpine`, `alpine:3.*`, `registry.example/team/*`, with a digest, or `*`"
    )]
    Image(String),
    /// A network is another container's.
    #[error("the network {0:?} belongs to another container: allow a network of the daemon")]
    Network(String),
    /// A folder is not there.
    #[error("the folder {folder} cannot be used: {source}; make it, or name another one")]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The name of a volume is none.
    #[error("{0:?} is no name of a volume: letters, digits, `_`, `.` and `-`, two characters or more")]
    Volume(String),
}

/// What a run was found to be.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) image: Reference,
    pub(super) limits: Limits,
    /// With the real paths of folders.
    pub(super) mounts: Vec<Mount>,
    /// Where ports are published.
    pub(super) address: IpAddr,
}

impl Policy {
    /// Allows nothing yet with the daemon at this socket, `/var/run/docker.sock` as a rule.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            images: Vec::new(),
            patterns: Vec::new(),
            may_pull: false,
            archive_bytes_max: None,
            limits: Limits { processes: Some(PROCESSES_MAX), ..Limits::default() },
            networks: BTreeSet::from([NO_NETWORK.to_owned()]),
            ports: None,
            folders: Vec::new(),
            volumes: BTreeMap::new(),
            may_exec: false,
            may_be_privileged: false,
            kept_max: 0,
            containers_max: CONTAINERS_MAX,
            event_bytes_per_second_max: EVENT_BYTES_PER_SECOND,
            log_bytes_max: LOG_BYTES_MAX,
            daemon_away_max: DAEMON_AWAY_MAX,
            on_orphans: OnOrphans::default(),
        }
    }

    /// Allows images: `alpine`, `alpine:3.*`, `registry.example/team/*`, `app@sha256:…`, or `*` for all. `*` stands for any
    /// characters behind the registry. A pattern without a tag means all tags and digests; one with a tag means no digests.
    /// What runs is then the business of whoever can push there.
    #[must_use]
    pub fn allow_image(mut self, pattern: impl Into<String>) -> Self {
        self.images.push(pattern.into());
        self
    }

    /// Lets the daemon pull allowed images from their registries, with the daemon's own rights there. Default: only what is
    /// there, or is sent.
    #[must_use]
    pub fn allow_pull(mut self) -> Self {
        self.may_pull = true;
        self
    }

    /// Takes image archives of so many bytes by transfer. Whoever sends one chooses what is behind the allowed names in it;
    /// with names that are not allowed it is refused. Default: none.
    #[must_use]
    pub fn allow_archives(mut self, archive_bytes_max: u64) -> Self {
        self.archive_bytes_max = Some(archive_bytes_max);
        self
    }

    /// What a container may use at most. Default: 1,024 processes, and else no limit.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Allows a network of the daemon, by its name. `host` is the machine's own: with it a container reaches what listens on
    /// loopback here. Default: `none`.
    #[must_use]
    pub fn allow_network(mut self, network: impl Into<String>) -> Self {
        self.networks.insert(network.into());
        self
    }

    /// Lets containers publish these ports of the machine, at this address. Default: none.
    #[must_use]
    pub fn allow_ports(mut self, address: IpAddr, ports: RangeInclusive<u16>) -> Self {
        self.ports = Some((address, ports));
        self
    }

    /// Lets containers mount this folder of the machine and all below it. Who is root in a container is root there, and who may
    /// make links in it should be trusted with the whole disk. Default: none.
    #[must_use]
    pub fn allow_folder(mut self, folder: impl Into<PathBuf>, access: Access) -> Self {
        self.folders.push((folder.into(), access));
        self
    }

    /// Lets containers mount this volume of the daemon, which is made where it is not there. Default: none.
    #[must_use]
    pub fn allow_volume(mut self, volume: impl Into<String>, access: Access) -> Self {
        self.volumes.insert(volume.into(), access);
        self
    }

    /// Lets commands be run in containers that run. Default: no.
    #[must_use]
    pub fn allow_exec(mut self) -> Self {
        self.may_exec = true;
        self
    }

    /// Allows privileged containers: each of them has the machine, as root. Default: no.
    #[must_use]
    pub fn allow_privileged(mut self) -> Self {
        self.may_be_privileged = true;
        self
    }

    /// How many containers may be kept when they have ended. Default: none.
    #[must_use]
    pub fn kept_max(mut self, kept_max: u32) -> Self {
        self.kept_max = kept_max;
        self
    }

    /// How many tasks of this class run at one time. Default: 16.
    #[must_use]
    pub fn containers_max(mut self, containers_max: u32) -> Self {
        self.containers_max = containers_max;
        self
    }

    /// How many bytes of output of one container are told as events in a second. Default: 1 MiB. The offsets of the rest are
    /// told.
    #[must_use]
    pub fn event_bytes_per_second_max(mut self, bytes: u64) -> Self {
        self.event_bytes_per_second_max = bytes;
        self
    }

    /// The bytes of the daemon's own log of one container. Default: 10 MiB.
    #[must_use]
    pub fn log_bytes_max(mut self, bytes: u64) -> Self {
        self.log_bytes_max = bytes;
        self
    }

    /// How long the daemon may be away while a container runs, before its task ends. Default: 30 seconds.
    #[must_use]
    pub fn daemon_away_max(mut self, away_max: Duration) -> Self {
        self.daemon_away_max = away_max;
        self
    }

    /// What becomes of containers of an earlier boot. Default: they are removed.
    #[must_use]
    pub fn on_orphans(mut self, on_orphans: OnOrphans) -> Self {
        self.on_orphans = on_orphans;
        self
    }

    /// Checks the policy, and finds the real paths of its folders. Looks at the disk.
    pub(super) fn in_force(mut self) -> Result<Self, PolicyError> {
        for image in &self.images {
            let pattern = Pattern::parse(image).ok_or_else(|| PolicyError::Image(image.clone()))?;
            self.patterns.push(pattern);
        }
        // `container:…` is the network of another container, whoever owns it.
        if let Some(network) = self.networks.iter().find(|name| !is_object_name(name)) {
            return Err(PolicyError::Network(network.clone()));
        }
        if let Some(volume) = self.volumes.keys().find(|name| !is_object_name(name)) {
            return Err(PolicyError::Volume(volume.clone()));
        }
        for (folder, _) in &mut self.folders {
            let real = folder.canonicalize();
            *folder = real.map_err(|source| PolicyError::Folder { folder: folder.clone(), source })?;
        }
        Ok(self)
    }

    /// The full reference of an image that is allowed.
    pub(super) fn image(&self, image: &str) -> Result<Reference, DockerError> {
        let not_allowed = || DockerError::ImageNotAllowed(super::error::shortened(image));
        let reference = Reference::parse(image).ok_or_else(not_allowed)?;
        let is_allowed = self.patterns.iter().any(|pattern| pattern.matches(&reference));
        is_allowed.then_some(reference).ok_or_else(not_allowed)
    }

    /// Whether images may be pulled.
    pub(super) fn pull(&self) -> Result<(), DockerError> {
        allowed(self.may_pull, "to pull images")
    }

    /// Whether commands may be run in containers.
    pub(super) fn exec(&self) -> Result<(), DockerError> {
        allowed(self.may_exec, "to run commands in containers")
    }

    /// Looks whether this may be run here. Looks at the disk.
    pub(super) fn check(&self, run: &Run) -> Result<Permit, DockerError> {
        let image = self.image(&run.image)?;
        check_texts(run)?;
        allowed(self.networks.contains(&run.network), &format!("the network {:?}", run.network))?;
        allowed(self.may_be_privileged || !run.privileged, "privileged containers")?;
        allowed(self.kept_max > 0 || !run.keep, "containers that are kept")?;
        let address = self.ports.as_ref().map_or(Ipv4Addr::LOCALHOST.into(), |(address, _)| *address);
        for port in &run.ports {
            let is_allowed = self.ports.as_ref().is_some_and(|(_, ports)| ports.contains(&port.host_port));
            allowed(is_allowed && port.host_port != 0, &format!("the port {}", port.host_port))?;
        }
        let mounts = run.mounts.iter().map(|mount| self.mount(mount)).collect::<Result<_, _>>()?;
        Ok(Permit { image, limits: self.limits.min(run.limits), mounts, address })
    }

    fn mount(&self, mount: &Mount) -> Result<Mount, DockerError> {
        let target = Path::new(&mount.target);
        if !target.is_absolute() || target.components().any(|part| part == Component::ParentDir) {
            return Err(DockerError::Invalid(format!(
                "a mount at {:?}: name an absolute path",
                mount.target
            )));
        }
        let reaches = |access: Access| mount.read_only || access == Access::ReadWrite;
        let source = match &mount.source {
            MountSource::Memory(bytes) => MountSource::Memory(*bytes),
            MountSource::Volume(name) => {
                let is_allowed = self.volumes.get(name).is_some_and(|access| reaches(*access));
                allowed(is_allowed, &format!("the volume {name:?}"))?;
                MountSource::Volume(name.clone())
            }
            MountSource::Host(path) => {
                // The same words for what is not there and what is not allowed: else a caller could feel his way.
                let refused = || DockerError::Refused(format!("the folder {path:?}"));
                let real = Path::new(path).canonicalize().map_err(|_| refused())?;
                let mut roots = self.folders.iter();
                let is_allowed = Path::new(path).is_absolute()
                    && roots.any(|(root, access)| real.starts_with(root) && reaches(*access));
                let real = real.into_os_string().into_string().ok().filter(|_| is_allowed);
                MountSource::Host(real.ok_or_else(refused)?)
            }
        };
        Ok(Mount { source, target: mount.target.clone(), read_only: mount.read_only })
    }
}

fn allowed(is_allowed: bool, what: &str) -> Result<(), DockerError> {
    if is_allowed { Ok(()) } else { Err(DockerError::Refused(super::error::shortened(what))) }
}

/// Whether this is a name of a network or volume: the daemon's own rule.
fn is_object_name(name: &str) -> bool {
    let is_first = |first: u8| first.is_ascii_alphanumeric();
    let is_other = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() >= 2 && name.bytes().next().is_some_and(is_first) && name.bytes().all(is_other)
}

/// Whether all the texts can be given to a container.
fn check_texts(run: &Run) -> Result<(), DockerError> {
    let arguments = || run.entrypoint.iter().flatten().chain(run.command.iter().flatten());
    let other =
        [&run.folder, &run.user].into_iter().flatten().chain(run.mounts.iter().map(|mount| &mount.target));
    let texts =
        arguments().chain(run.environment.iter().flat_map(|(name, value)| [name, value])).chain(other);
    check_words(arguments().count() + run.environment.len(), texts)?;
    check_names(run.environment.keys())?;
    if run.mounts.len() > PARTS_MAX || run.ports.len() > PARTS_MAX {
        return Err(DockerError::Invalid(format!("more than {PARTS_MAX} mounts or ports")));
    }
    Ok(())
}

/// Whether these words can be given to a program.
pub(super) fn check_words<'a>(
    count: usize,
    texts: impl Iterator<Item = &'a String>,
) -> Result<(), DockerError> {
    let invalid = |what: String| Err(DockerError::Invalid(what));
    if count > ARGUMENTS_MAX {
        return invalid(format!("more than {ARGUMENTS_MAX} arguments and variables"));
    }
    let mut bytes = 0;
    for text in texts {
        if text.contains('\0') {
            return invalid("a zero byte in a text".to_owned());
        }
        bytes += text.len();
    }
    if bytes > TEXT_BYTES_MAX {
        return invalid(format!("more than {TEXT_BYTES_MAX} bytes of texts"));
    }
    Ok(())
}

/// Whether these are names of variables.
pub(super) fn check_names<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), DockerError> {
    match names.find(|name| name.is_empty() || name.contains('=')) {
        Some(name) => Err(DockerError::Invalid(format!("a variable of the name {name:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
