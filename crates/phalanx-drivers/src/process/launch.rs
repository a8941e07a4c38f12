//! The process that becomes the program: it takes its limits upon itself first.
//!
//! Limits and groups have to be there before the program's first instruction, and may not hold the supervisor. What
//! happens between `fork` and `exec` cannot be said in safe Rust; so this is a process of its own, which reads what to do
//! from the standard input that the program will have, byte for byte, so that the rest is the program's.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::protocol::{Launch, Resources, read};
use super::terminal;

/// The exit code of a launch that failed; why is in the task's folder.
const FAILED: i32 = 127;

/// Becomes the program. Returns the exit code if it cannot.
pub(super) fn run() -> i32 {
    // Whoever kills the supervisor kills the program.
    let supervisor = getppid();
    let dies_too = set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(Some(launch)) = read::<Launch>(&mut Unbuffered) else { return FAILED };
    // Opened first: afterwards it may be another user.
    let report =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&launch.error_file);
    let Ok(mut report) = report else { return FAILED };
    let error = match dies_too.map_err(io::Error::from).and_then(|()| prepare(&launch, supervisor)) {
        Ok(()) => become_program(launch),
        Err(error) => error,
    };
    let _ = report.write_all(error.to_string().as_bytes());
    FAILED
}

/// The standard input without a buffer: what follows the first message belongs to the program.
struct Unbuffered;

impl Read for Unbuffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin(), buffer)?)
    }
}

fn prepare(launch: &Launch, supervisor: Option<Pid>) -> io::Result<()> {
    if launch.has_terminal {
        terminal::take(launch.user).map_err(|error| told("its terminal", &error))?;
    }
    for join in &launch.cgroup_joins {
        // Zero is whoever writes it.
        fs::write(join, "0").map_err(|error| told("its control group", &error))?;
    }
    let folder = launch.working_folder.display().to_string();
    std::env::set_current_dir(&launch.working_folder).map_err(|error| told(&folder, &error))?;
    // The worker has looked at the path; here it is what it really became.
    let real = std::env::current_dir()?;
    if !launch.roots.iter().any(|root| real.starts_with(root)) {
        return Err(io::Error::other(format!("{} is not below an allowed root any more", real.display())));
    }
    limit(&launch.resources).map_err(|error| told("its limits", &error))?;
    match launch.user {
        Some(user) => become_user(user, supervisor).map_err(|error| told("its user", &error)),
        None => Ok(()),
    }
}

/// Becomes another user, whom the kernel does not kill with the supervisor unless it is told to again.
fn become_user((user, group): (u32, u32), supervisor: Option<Pid>) -> io::Result<()> {
    // This process has one thread, so that what holds for the thread holds for the process.
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(group))?;
    set_thread_uid(Uid::from_raw(user))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == supervisor { Ok(()) } else { Err(io::Error::other("the supervisor has gone")) }
}

fn told(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn limit(resources: &Resources) -> io::Result<()> {
    let pairs = [
        (Resource::As, resources.memory_bytes),
        (Resource::Nproc, resources.processes),
        (Resource::Cpu, resources.cpu_seconds),
        (Resource::Nofile, resources.open_files),
        // What it has in memory is not for the disk.
        (Resource::Core, Some(0)),
    ];
    for (resource, value) in pairs {
        if value.is_some() {
            setrlimit(resource, Rlimit { current: value, maximum: value })?;
        }
    }
    Ok(())
}

fn become_program(launch: Launch) -> io::Error {
    let mut command = Command::new(&launch.program);
    command.arg0(launch.name).args(launch.arguments).env_clear().envs(launch.environment);
    told(&launch.program.display().to_string(), &command.exec())
}
