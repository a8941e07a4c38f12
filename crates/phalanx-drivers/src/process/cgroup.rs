//! Control groups: what holds a program and all that it starts to its limits together, where the worker may make them.
//!
//! Both versions of the kernel's interface, by files alone. A limit that cannot be set here is left to the resource limits
//! of each process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::class::Limits;

/// The period that a share of a core is measured in, in microseconds: the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// The groups of one task.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// To be removed at the end.
    pub(super) folders: Vec<PathBuf>,
    pub(super) holds_memory: bool,
    pub(super) holds_processes: bool,
    pub(super) holds_cpu: bool,
}

impl Groups {
    /// Makes the groups that these limits need, below `parent`, as far as this process may.
    pub(super) fn create(mount: &Path, parent: &Path, name: &str, limits: &Limits) -> Self {
        let mut groups = Self::default();
        if mount.join("cgroup.controllers").exists() {
            groups.create_unified(&mount.join(parent), name, limits);
        } else {
            groups.create_each(mount, parent, name, limits);
        }
        groups
    }

    /// The files that a process joins them by.
    pub(super) fn joins(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// Removes them; those that still hold a process stay.
    pub(super) fn remove(&self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }

    /// Version 2: one group with all controllers.
    fn create_unified(&mut self, parent: &Path, name: &str, limits: &Limits) {
        let folder = parent.join(name);
        if *limits == Limits::default() || fs::create_dir_all(parent).is_err() {
            return;
        }
        for controller in ["+memory", "+pids", "+cpu"] {
            // Where that is not allowed, the files below are missing.
            let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
        }
        if fs::create_dir(&folder).is_err() {
            return;
        }
        if let Some(bytes) = limits.memory_bytes {
            self.holds_memory = set(&folder, "memory.max", &bytes.to_string()).is_ok();
            // Memory that is swapped out is memory too.
            let _ = set(&folder, "memory.swap.max", "0");
        }
        if let Some(processes) = limits.processes {
            self.holds_processes = set(&folder, "pids.max", &processes.to_string()).is_ok();
        }
        if let Some(quota) = quota(limits) {
            self.holds_cpu = set(&folder, "cpu.max", &format!("{quota} {CPU_PERIOD}")).is_ok();
        }
        if self.holds_memory || self.holds_processes || self.holds_cpu {
            self.folders.push(folder);
        } else {
            let _ = fs::remove_dir(folder);
        }
    }

    /// Version 1: a group for each controller.
    fn create_each(&mut self, mount: &Path, parent: &Path, name: &str, limits: &Limits) {
        let mut create = |controller: &str, settings: &[(&str, String)]| -> bool {
            let hierarchy = mount.join(controller);
            let folder = hierarchy.join(parent).join(name);
            if !hierarchy.join("cgroup.procs").exists() || fs::create_dir_all(&folder).is_err() {
                return false;
            }
            if settings.iter().all(|(file, value)| set(&folder, file, value).is_ok()) {
                self.folders.push(folder);
                return true;
            }
            let _ = fs::remove_dir(folder);
            false
        };
        let memory = limits
            .memory_bytes
            .is_some_and(|bytes| create("memory", &[("memory.limit_in_bytes", bytes.to_string())]));
        let processes =
            limits.processes.is_some_and(|processes| create("pids", &[("pids.max", processes.to_string())]));
        let cpu = quota(limits).is_some_and(|quota| {
            let period = ("cpu.cfs_period_us", CPU_PERIOD.to_string());
            create("cpu", &[period, ("cpu.cfs_quota_us", quota.to_string())])
        });
        (self.holds_memory, self.holds_processes, self.holds_cpu) = (memory, processes, cpu);
    }
}

fn quota(limits: &Limits) -> Option<u64> {
    limits.cpu_percent.map(|percent| u64::from(percent) * CPU_PERIOD / 100)
}

/// Sets a value of a group. The file is there if its controller is.
fn set(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(folder.join(file))?.write_all(value.as_bytes())
}
