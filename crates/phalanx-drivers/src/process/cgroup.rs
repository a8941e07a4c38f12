//! Control groups: what holds a program and all that it starts to its limits together, where the worker may make them.
//!
//! Both versions of the kernel's interface, by files alone. A limit that cannot be set here is left to the resource limits
//! of each process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::class::Limits;

/// The period that a share of a core is measured in, in microseconds: the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// The file of a group's processes.
const PROCESSES: &str = "cgroup.procs";

/// The controllers of version 1 that are used, each a hierarchy of its own.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// How often a group that is not yet empty is tried to be removed, and how long it takes between two tries.
const REMOVALS_MAX: usize = 100;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(10);

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
        self.folders.iter().map(|folder| folder.join(PROCESSES)).collect()
    }

    /// The groups that a task of this name may have below `parent`, as far as they are there.
    pub(super) fn find(mount: &Path, parent: &Path, name: &str) -> Self {
        let unified = [mount.join(parent).join(name)];
        let each = CONTROLLERS.map(|controller| mount.join(controller).join(parent).join(name));
        let folders = unified.into_iter().chain(each).filter(|folder| folder.join(PROCESSES).exists());
        Self { folders: folders.collect(), ..Self::default() }
    }

    /// Kills all that is in them and removes them; those that still hold a process stay. Waits a moment for its end.
    pub(super) fn clear(&self) {
        for folder in &self.folders {
            for _ in 0..REMOVALS_MAX {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        kill_all(folder);
                        sleep(REMOVAL_INTERVAL);
                    }
                    _ => break,
                }
            }
        }
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
        let [memory, processes, cpu] = unified_settings(limits);
        let holds = |setting: Option<(&str, String)>| {
            setting.is_some_and(|(file, value)| set(&folder, file, &value).is_ok())
        };
        (self.holds_memory, self.holds_processes, self.holds_cpu) =
            (holds(memory), holds(processes), holds(cpu));
        if self.holds_memory {
            // Memory that is swapped out is memory too. Without the file there is no swap.
            let _ = set(&folder, "memory.swap.max", "0");
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
            if !hierarchy.join(PROCESSES).exists() || fs::create_dir_all(&folder).is_err() {
                return false;
            }
            if settings.iter().all(|(file, value)| set(&folder, file, value).is_ok()) {
                if controller == "memory" {
                    // Memory that is swapped out is memory too. Without the file swap is not counted.
                    for (_, value) in settings {
                        let _ = set(&folder, "memory.memsw.limit_in_bytes", value);
                    }
                }
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

/// The file of each limit of memory, processes and processor in version 2, and its value.
fn unified_settings(limits: &Limits) -> [Option<(&'static str, String)>; 3] {
    [
        limits.memory_bytes.map(|bytes| ("memory.max", bytes.to_string())),
        limits.processes.map(|processes| ("pids.max", processes.to_string())),
        quota(limits).map(|quota| ("cpu.max", format!("{quota} {CPU_PERIOD}"))),
    ]
}

/// Whether the kernel has killed a process of one of these groups for want of memory.
pub(super) fn was_out_of_memory(groups: &[PathBuf]) -> bool {
    groups.iter().any(|group| {
        // Of version 2 and of version 1: lines of a word and a number.
        let files = ["memory.events", "memory.oom_control"].map(|file| fs::read_to_string(group.join(file)));
        files.into_iter().flatten().any(|text| {
            let kills = text.lines().filter_map(|line| line.strip_prefix("oom_kill "));
            kills.filter_map(|number| number.trim().parse::<u64>().ok()).any(|number| number > 0)
        })
    })
}

/// Kills all processes of a group.
fn kill_all(group: &Path) {
    for pid in fs::read_to_string(group.join(PROCESSES)).unwrap_or_default().lines() {
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Limits = Limits {
        memory_bytes: Some(64 << 20),
        processes: Some(9),
        cpu_percent: Some(150),
        cpu_seconds: None,
        open_files: None,
    };

    #[test]
    fn version_2_is_told_each_limit_in_its_own_words() {
        let expected = [("memory.max", "67108864"), ("pids.max", "9"), ("cpu.max", "150000 100000")];
        assert_eq!(unified_settings(&ALL), expected.map(|(file, value)| Some((file, value.to_owned()))));
        assert_eq!(unified_settings(&Limits::default()), [None, None, None]);
    }

    #[test]
    fn where_the_files_of_version_2_are_missing_nothing_holds_and_no_group_is_left() {
        let mount = tempfile::tempdir().unwrap();
        fs::write(mount.path().join("cgroup.controllers"), "memory pids").unwrap();
        let parent = mount.path().join("phalanx");
        fs::create_dir(&parent).unwrap();
        let asked = parent.join("cgroup.subtree_control");
        let groups = Groups::create(mount.path(), "phalanx".as_ref(), "task-a", &ALL);
        assert_eq!(groups, Groups::default());
        assert_eq!(fs::read_to_string(asked).unwrap(), "+cpu", "the last controller that was asked for");
        assert!(!parent.join("task-a").exists());
        assert_eq!(
            Groups::create(mount.path(), "phalanx".as_ref(), "task-b", &Limits::default()),
            Groups::default()
        );
    }

    #[test]
    fn a_kill_for_want_of_memory_is_read_in_both_versions() {
        let group = tempfile::tempdir().unwrap();
        let groups = [group.path().to_owned()];
        assert!(!was_out_of_memory(&groups), "a group without memory");
        for (file, quiet, killed) in [
            ("memory.events", "low 0\nmax 71\noom 0\noom_kill 0\noom_group_kill 3\n", "oom 1\noom_kill 1\n"),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
                "under_oom 0\noom_kill 2\n",
            ),
        ] {
            fs::write(group.path().join(file), quiet).unwrap();
            assert!(!was_out_of_memory(&groups), "{file}");
            fs::write(group.path().join(file), killed).unwrap();
            assert!(was_out_of_memory(&groups), "{file}");
            fs::remove_file(group.path().join(file)).unwrap();
        }
    }
}
