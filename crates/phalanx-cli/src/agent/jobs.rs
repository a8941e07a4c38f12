//! The job classes that an agent runs: the drivers that its configuration allows, and nothing else.

#[cfg(any(
    feature = "kv",
    feature = "files",
    feature = "process",
    feature = "docker",
    feature = "wasm"
))]
use phalanx_drivers as drivers;

use crate::config::Settings;
use crate::exit::Failure;

/// The worker's halves of the drivers, ready to be registered.
#[derive(Default)]
pub(super) struct Handlers {
    #[cfg(feature = "kv")]
    pub(super) kv: Option<drivers::kv::KvStore>,
    #[cfg(feature = "files")]
    pub(super) files: Option<drivers::files::FileServer>,
    #[cfg(feature = "process")]
    pub(super) process: Option<drivers::process::Programs>,
    #[cfg(feature = "docker")]
    pub(super) docker: Option<drivers::docker::Containers>,
    #[cfg(feature = "wasm")]
    pub(super) wasm: Option<drivers::wasm::WasmHost>,
}

impl Handlers {
    /// Puts in force what the configuration allows: opens folders, looks for programs, and asks the Docker daemon.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let allowed = &settings.drivers;
        // A program without drivers allows none.
        let _ = allowed;
        Ok(Self {
            #[cfg(feature = "kv")]
            kv: allowed.kv.as_ref().map(kv),
            #[cfg(feature = "files")]
            files: allowed.files.as_ref().map(files).transpose()?,
            #[cfg(feature = "process")]
            process: allowed.process.as_ref().map(process).transpose()?,
            #[cfg(feature = "docker")]
            docker: match (&allowed.docker, &settings.node) {
                (Some(allowed), Some(node)) => Some(docker(allowed, &settings.cluster, node).await?),
                // The configuration was refused where containers are allowed and the node has no name.
                _ => None,
            },
            #[cfg(feature = "wasm")]
            wasm: allowed.wasm.as_ref().map(wasm).transpose()?,
        })
    }
}

#[cfg(feature = "kv")]
fn kv(allowed: &crate::config::KvSettings) -> drivers::kv::KvStore {
    use drivers::kv::{KvLimits, KvStore};
    let limits = KvLimits {
        keys_max: allowed.keys_max,
        value_bytes_max: usize::try_from(allowed.value_bytes_max).unwrap_or(usize::MAX),
        bytes_max: allowed.bytes_max,
        ..KvLimits::default()
    };
    KvStore::new(limits, &phalanx::SystemEntropy::new())
}

#[cfg(feature = "files")]
fn files(allowed: &crate::config::FilesSettings) -> Result<drivers::files::FileServer, Failure> {
    use drivers::files::{Access, FileServer, FilesPolicy};
    let mut policy = FilesPolicy::new().transfers_max(allowed.transfers_max);
    if let Some(bytes) = allowed.file_bytes_max {
        policy = policy.file_bytes_max(bytes);
    }
    for (name, (folder, access)) in &allowed.roots {
        let access = match access {
            crate::config::Access::Read => Access::Read,
            crate::config::Access::Write => Access::Write,
            crate::config::Access::ReadWrite => Access::ReadWrite,
        };
        policy = policy.root(name, folder, access);
    }
    FileServer::open(&policy).map_err(Failure::usage)
}

#[cfg(feature = "process")]
fn process(allowed: &crate::config::ProcessSettings) -> Result<drivers::process::Programs, Failure> {
    use drivers::process::{Limits, Policy, Programs, Supervisor};
    let limits = Limits {
        memory_bytes: allowed.memory_bytes_max,
        processes: allowed.processes_max,
        cpu_percent: allowed.cpu_percent_max,
        cpu_seconds: allowed.cpu_seconds_max,
        open_files: allowed.open_files_max,
    };
    let mut policy = Policy::new(&allowed.logs, Supervisor::ThisProgram)
        .limits(limits)
        .programs_max(allowed.programs_max)
        .log_bytes_max(allowed.log_bytes_max, allowed.logs_bytes_max);
    for program in &allowed.programs {
        policy = policy.allow_program(program);
    }
    for root in &allowed.roots {
        policy = policy.allow_root(root);
    }
    if allowed.keeps {
        policy = policy.allow_keeping();
    }
    if let Some(user) = &allowed.user {
        let (user, group) = super::user::find(user)?;
        policy = policy.run_as(user, group);
    }
    if let Some(cgroup) = &allowed.cgroup {
        policy = policy.cgroup(cgroup);
    }
    Programs::new(policy).map_err(Failure::usage)
}

#[cfg(feature = "docker")]
async fn docker(
    allowed: &crate::config::DockerSettings,
    cluster: &str,
    node: &phalanx::NodeId,
) -> Result<drivers::docker::Containers, Failure> {
    use drivers::docker::Containers;
    let policy = docker_policy(allowed);
    let containers = Containers::open(policy, cluster, node, &phalanx::SystemEntropy::new()).await;
    containers.map_err(Failure::usage)
}

/// What the configuration allows of containers, and nothing else.
#[cfg(feature = "docker")]
fn docker_policy(allowed: &crate::config::DockerSettings) -> drivers::docker::Policy {
    use drivers::docker::{Access, Limits, OnOrphans, Policy};
    let limits = Limits {
        memory_bytes: allowed.memory_bytes_max,
        cpu_percent: allowed.cpu_percent_max,
        processes: Some(allowed.processes_max),
    };
    let access = |access: crate::config::Access| match access {
        crate::config::Access::Read => Access::Read,
        crate::config::Access::Write | crate::config::Access::ReadWrite => Access::ReadWrite,
    };
    let mut policy = Policy::new(&allowed.socket)
        .limits(limits)
        .kept_max(allowed.kept_max)
        .containers_max(allowed.containers_max)
        .log_bytes_max(allowed.log_bytes_max)
        .daemon_away_max(allowed.daemon_away_max)
        .on_orphans(if allowed.reports_orphans { OnOrphans::Report } else { OnOrphans::Remove });
    policy = allowed.images.iter().fold(policy, Policy::allow_image);
    policy = allowed.networks.iter().fold(policy, Policy::allow_network);
    for (folder, own) in &allowed.folders {
        policy = policy.allow_folder(folder, access(*own));
    }
    for (volume, own) in &allowed.volumes {
        policy = policy.allow_volume(volume, access(*own));
    }
    if let Some(ports) = &allowed.ports {
        policy = policy.allow_ports(ports.address, ports.ports.clone());
    }
    if let Some(bytes) = allowed.archive_bytes_max {
        policy = policy.allow_archives(bytes);
    }
    policy = if allowed.pull { policy.allow_pull() } else { policy };
    policy = if allowed.exec { policy.allow_exec() } else { policy };
    if allowed.privileged { policy.allow_privileged() } else { policy }
}

#[cfg(feature = "wasm")]
fn wasm(allowed: &crate::config::WasmSettings) -> Result<drivers::wasm::WasmHost, Failure> {
    use drivers::wasm::{Grant, WasmHost, WasmLimits, WasmPolicy};
    let limits = WasmLimits {
        module_bytes_max: allowed.module_bytes_max,
        modules_max: allowed.modules_max,
        memory_bytes_max: usize::try_from(allowed.memory_bytes_max).unwrap_or(usize::MAX),
        turn_time: allowed.turn_time,
        task_time: allowed.task_time,
        calls_max: allowed.calls_max,
        tasks_max: allowed.tasks_max,
        ..WasmLimits::default()
    };
    let policy = allowed.folder.as_ref().map_or_else(WasmPolicy::in_memory, WasmPolicy::kept_in);
    let mut policy = policy.limits(limits);
    for (name, key) in &allowed.signers {
        policy = policy.allow_signer(name, key.parse().map_err(Failure::usage)?);
    }
    for grant in &allowed.grants {
        policy = policy.grant(match grant {
            crate::config::Grant::Log => Grant::Log,
            crate::config::Grant::Emit => Grant::Emit,
            crate::config::Grant::Commands => Grant::Commands,
            crate::config::Grant::Data => Grant::Data,
        });
    }
    WasmHost::open(policy).map_err(Failure::usage)
}

/// Adds the job classes of an agent to the builder of a node, whichever kind it is.
macro_rules! with_jobs {
    ($builder:expr, $handlers:expr) => {{
        #[allow(unused_mut, reason = "a program without drivers adds none")]
        let mut builder = $builder;
        #[allow(unused_variables, reason = "a program without drivers adds none")]
        let handlers: $crate::agent::jobs::Handlers = $handlers;
        #[cfg(feature = "kv")]
        if let Some(kv) = handlers.kv {
            builder = builder.job::<phalanx_drivers::kv::Kv>(kv);
        }
        #[cfg(feature = "files")]
        if let Some(files) = handlers.files {
            builder = builder.job::<phalanx_drivers::files::Files>(files);
        }
        #[cfg(feature = "process")]
        if let Some(process) = handlers.process {
            builder = builder.job::<phalanx_drivers::process::Process>(process);
        }
        #[cfg(feature = "docker")]
        if let Some(docker) = handlers.docker {
            builder = builder.job::<phalanx_drivers::docker::Docker>(docker);
        }
        #[cfg(feature = "wasm")]
        if let Some(wasm) = handlers.wasm {
            builder = builder.job::<phalanx_drivers::wasm::Wasm>(wasm);
        }
        builder
    }};
}
pub(super) use with_jobs;
