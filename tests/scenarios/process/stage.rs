//! A cluster whose workers run programs, and what its control node has heard of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;

use phalanx::{EventContext, EventHandler, NodeId, TaskId, WorkerHandle};
use phalanx_drivers::process::{Policy, Process, Program, Programs, Run, Said, Stream, Supervisor, run};
use tests::{Cluster, soon};
use tokio::runtime::Builder;
use tokio::sync::watch;

/// What was heard: an event of a task, or that some are missing.
type Heard = (TaskId, u64, Option<Said>);

/// Writes down what programs say.
#[derive(Clone, Default)]
pub(crate) struct Listener(watch::Sender<Vec<Heard>>);

impl EventHandler<Process> for Listener {
    type State = ();

    async fn event(&self, cx: &EventContext, (): &mut (), said: Said) {
        self.0.send_modify(|all| all.push((cx.task.clone(), cx.sequence, Some(said))));
    }

    async fn gap(&self, cx: &EventContext, (): &mut (), missing: std::ops::RangeInclusive<u64>) {
        self.0.send_modify(|all| all.push((cx.task.clone(), *missing.start(), None)));
    }
}

impl Listener {
    /// All that a task has said, in order and without repeats.
    pub(crate) fn said(&self, program: &Program) -> Vec<Said> {
        let mut last = 0;
        let mut said = Vec::new();
        for (task, sequence, event) in self.0.borrow().iter() {
            if task == program.task().id() && *sequence > last {
                last = *sequence;
                said.push(event.clone().expect("the control node is here, so that nothing overflows"));
            }
        }
        said
    }

    /// All that has come of a task, whatever the boot of its worker, also what came again.
    pub(crate) fn all(&self, program: &Program) -> Vec<Said> {
        let heard = self.0.borrow();
        heard
            .iter()
            .filter(|(task, ..)| task == program.task().id())
            .filter_map(|(.., said)| said.clone())
            .collect()
    }

    /// How far the output of a task was told from its start without a hole, whatever came again.
    pub(crate) fn told_through(&self, program: &Program) -> u64 {
        let mut ranges: Vec<(u64, u64)> = self
            .all(program)
            .iter()
            .filter_map(|said| match said {
                Said::Output(chunk) => Some((chunk.offset, chunk.offset + chunk.bytes.len() as u64)),
                _ => None,
            })
            .collect();
        ranges.sort_unstable();
        ranges.into_iter().fold(0, |end, (from, to)| if from <= end { end.max(to) } else { end })
    }

    /// Waits until what a task has said is as it should be.
    pub(crate) async fn wait(
        &self,
        program: &Program,
        what: &str,
        holds: impl Fn(&[Said]) -> bool,
    ) -> Vec<Said> {
        let mut changes = self.0.subscribe();
        soon(what, async {
            loop {
                changes.borrow_and_update();
                let said = self.said(program);
                if holds(&said) {
                    return said;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until a task has written this to a stream, from its start.
    pub(crate) async fn wait_text(&self, program: &Program, stream: Stream, expected: &str) {
        self.wait(program, &format!("{expected:?} on {stream:?}"), |said| text(said, stream) == expected)
            .await;
    }
}

/// All that was written to a stream.
pub(crate) fn text(said: &[Said], of: Stream) -> String {
    let mut bytes = Vec::new();
    for said in said {
        match said {
            Said::Output(chunk) if chunk.stream == of => bytes.extend_from_slice(&chunk.bytes),
            _ => {}
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Holds programs: any program that calls `supervise_if_asked` does.
pub(crate) fn supervisor() -> Supervisor {
    Supervisor::Program(env!("CARGO_BIN_EXE_program-worker").into())
}

/// A policy that allows what these scenarios run, in a folder of its own.
pub(crate) fn policy(folder: &Path) -> Policy {
    let policy = Policy::new(folder.join("logs"), supervisor()).allow_root(folder.join("root"));
    fs::create_dir_all(folder.join("root")).unwrap();
    ["sh", "cat", "env", "pwd", "sleep", "/bin/echo", "id", "stty", "tty"]
        .into_iter()
        .fold(policy, Policy::allow_program)
}

/// A cluster of one control node, and of workers that run programs.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) listener: Listener,
    pub(crate) folder: PathBuf,
}

impl Stage {
    /// Starts it, with a worker of each of these names and policies.
    pub(crate) async fn start(
        control: &str,
        folder: PathBuf,
        workers: impl IntoIterator<Item = (&str, Policy)>,
    ) -> Self {
        let mut cluster = Cluster::start(&[], &[]).await;
        let listener = Listener::default();
        let control = cluster.control_builder(control).events::<Process>(listener.clone());
        cluster.adopt_control(control.start().await.unwrap());
        cluster.control_nodes_formed().await;
        for (name, policy) in workers {
            let programs = Programs::new(policy).unwrap();
            let worker = cluster.worker_builder(name).job::<Process>(programs).start().await.unwrap();
            cluster.adopt_worker(worker);
        }
        cluster.formed().await;
        Self { cluster, listener, folder }
    }

    /// A worker, by its name.
    pub(crate) fn worker(&self, name: &str) -> WorkerHandle {
        let control = self.cluster.controls().next().unwrap();
        control.worker(NodeId::new(name).unwrap())
    }

    /// Starts a program.
    pub(crate) async fn run(&self, worker: &str, program: Run) -> Program {
        soon("a program starts", run(&self.worker(worker), program)).await.unwrap()
    }

    /// Starts a shell with this script.
    pub(crate) async fn shell(&self, worker: &str, script: &str) -> Program {
        self.run(worker, shell(script)).await
    }
}

/// A shell with this script, and the usual places of programs.
pub(crate) fn shell(script: &str) -> Run {
    Run::new("sh").arguments(["-c", script]).environment("PATH", "/usr/bin:/bin")
}

/// The worker that all scenarios here share: it allows everything that they run, without limits.
pub(crate) const WORKER: &str = "programs-w";

/// The same with the smallest log, and few bytes of events.
pub(crate) const CAPPED: &str = "programs-capped";

/// The same with two programs at one time.
pub(crate) const FEW: &str = "programs-few";

/// The stage that the scenarios here share.
pub(crate) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let (sender, started) = sync_channel(1);
        let run = move || {
            let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let [general, capped, few] = ["general", "capped", "few"].map(|name| folder.path().join(name));
            let capped = policy(&capped).log_bytes_max(2 << 20, 64 << 20).event_bytes_per_second_max(100_000);
            let policies =
                [(WORKER, policy(&general)), (CAPPED, capped), (FEW, policy(&few).programs_max(2))];
            let stage = Stage::start("programs-c", folder.path().to_owned(), policies);
            if sender.send(runtime.block_on(stage)).is_ok() {
                runtime.block_on(std::future::pending::<()>());
            }
        };
        std::thread::spawn(run);
        started.recv().expect("the stage is set")
    })
}

/// A duration that no other process here sleeps for, so that a process is known by it.
pub(crate) fn marker(number: u32) -> String {
    format!("4000.{}{number:03}", std::process::id())
}

/// The processes that have this among their arguments and have not ended.
pub(crate) fn processes(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if arguments.split(|byte| *byte == 0).any(|argument| argument == marker.as_bytes()) {
            found.push(pid);
        }
    }
    found
}
