//! Control groups hold programs to their limits, say when memory was short, and are cleared away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use phalanx::TaskError;
use phalanx_drivers::process::{Exit, InForce, Limits, Means, ProcessError, Program, Said, run};
use tests::{first, soon, until};

use super::apart::Apart;
use super::stage::{Stage, marker, policy, processes, shell};

/// Where control groups of version 1 are.
const MOUNT: &str = "/sys/fs/cgroup";

/// The controllers of version 1 that are used here.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A parent of groups, which is removed at the end: that fails unless the groups of all tasks are gone.
struct Parent(String);

impl Parent {
    /// `None`, and loudly, where this machine lets nobody make groups of version 1.
    fn new(scenario: &str) -> Option<Self> {
        let parent = Self(format!("phalanx-{scenario}-{}", std::process::id()));
        let may = parent.folders().iter().all(|folder| fs::create_dir(folder).is_ok());
        if !may {
            eprintln!(
                "LEFT OUT: {scenario}, which needs root and control groups of version 1 with memory, pids and cpu"
            );
            parent.remove();
        }
        may.then_some(parent)
    }

    fn folders(&self) -> [PathBuf; 3] {
        CONTROLLERS.map(|controller| Path::new(MOUNT).join(controller).join(&self.0))
    }

    /// The groups of tasks.
    fn groups(&self) -> usize {
        let inner = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        self.folders().into_iter().flat_map(inner).filter(|entry| entry.path().is_dir()).count()
    }

    fn remove(&self) {
        for folder in self.folders() {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.remove();
    }
}

async fn in_force(stage: &Stage, program: &Program) -> InForce {
    let said = stage.listener.wait(program, "it starts", |said| !said.is_empty()).await;
    let Said::Started { in_force, .. } = &said[0] else { panic!("{said:?}") };
    *in_force
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_processes_and_processor_are_held_for_real() {
    let Some(parent) = Parent::new("held") else { return };
    let folder = tempfile::tempdir().unwrap();
    let policy = policy(folder.path()).cgroup(&parent.0);
    let stage = Stage::start("held-c", folder.path().to_owned(), [("held-w", policy)]).await;

    let limits = Limits { memory_bytes: Some(24 << 20), ..Limits::default() };
    // What reads a line without end keeps it in memory.
    let greedy = "head -c 200000000 /dev/zero | tail -n 1 | wc -c; echo survived";
    let program = stage.run("held-w", shell(greedy).limits(limits)).await;
    let finished = soon("it is killed for want of memory", program.finished()).await.unwrap();
    assert!(finished.out_of_memory, "{finished:?}");
    assert_ne!(finished.last_lines.first().map(String::as_str), Some("200000000"));
    let in_force = in_force(&stage, &program).await;
    assert_eq!((in_force.memory, in_force.processes), (Means::Cgroup, Means::Nothing));
    let program =
        stage.run("held-w", shell("head -c 2000000 /dev/zero | tail -n 1 | wc -c").limits(limits)).await;
    let finished = soon("it has enough", program.finished()).await.unwrap();
    assert_eq!((finished.out_of_memory, finished.last_lines), (false, vec!["2000000".to_owned()]));

    let limits = Limits { processes: Some(4), ..Limits::default() };
    let program =
        stage.run("held-w", shell("for i in 1 2 3 4 5 6; do sleep 3 & done; echo all").limits(limits)).await;
    let finished = soon("a shell that cannot fork gives up", program.finished()).await.unwrap();
    assert!(!finished.last_lines.contains(&"all".to_owned()), "{finished:?}");
    assert!(!finished.out_of_memory);

    let limits = Limits { cpu_percent: Some(20), ..Limits::default() };
    let group = format!("{MOUNT}/cpu$(sed -n 's/.*:cpu://p' /proc/self/cgroup)");
    let script =
        format!("g={group}; timeout 1 sh -c 'while :; do :; done'; cat $g/cpu.cfs_quota_us $g/cpu.stat");
    let program = stage.run("held-w", shell(&script).limits(limits)).await;
    let finished = soon("it ends", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    assert_eq!(finished.last_lines[0], "20000");
    let throttled = finished.last_lines.iter().find_map(|line| line.strip_prefix("nr_throttled "));
    assert!(throttled.unwrap().parse::<u32>().unwrap() > 0, "{finished:?}");

    assert_eq!(parent.groups(), 0, "each is removed with its program");
    stage.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_supervisor_leaves_behind_is_cleared_with_its_groups() {
    let Some(parent) = Parent::new("cleared") else { return };
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start("cleared-c", folder.path().to_owned(), []).await;
    let start_worker = || Apart::start_in(&stage, "cleared-w", folder.path(), "keep", Some(&parent.0));
    let mut worker = start_worker();
    let [sleeps, leads] = [71, 72].map(marker);
    let limits = Limits { processes: Some(50), memory_bytes: Some(64 << 20), ..Limits::default() };
    // The first one leaves the group of processes: nothing but its control group tells whose it is.
    let script = format!("setsid sleep {sleeps} & echo parent $PPID; sleep {sleeps}");
    let program = shell(&script).argument(&leads).limits(limits).keep();
    let handle = stage.worker("cleared-w");
    for worker_is_away in [false, true] {
        let program = first("it starts", async || run(&handle, program.clone()).await.ok()).await;
        until("both sleep", async || processes(&sleeps).len() == 2).await;
        let said = stage.listener.wait(&program, "its parent", |said| said.len() == 2).await;
        let parent_pid = super::stage::text(&said, phalanx_drivers::process::Stream::Stdout);
        let parent_pid = parent_pid.trim().strip_prefix("parent ").unwrap();
        if worker_is_away {
            worker.kill();
        }
        assert!(Command::new("kill").args(["-KILL", parent_pid]).status().unwrap().success());
        if worker_is_away {
            until("the shell dies with it", async || processes(&leads).is_empty()).await;
            assert_eq!(processes(&sleeps).len(), 2, "what it has started does not");
            assert_eq!(parent.groups(), 2);
            worker = start_worker();
        }
        let end = soon("the task ends", program.finished()).await;
        let expected = matches!(end, Err(TaskError::Failed(ProcessError::SupervisorLost(_))));
        assert!(expected, "{end:?}");
        until("none is left", async || processes(&sleeps).is_empty()).await;
        until("nor a group", async || parent.groups() == 0).await;
    }
    drop(worker);
    stage.cluster.shutdown().await;
}
