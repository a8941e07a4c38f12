//! The worker's half: takes a run if the policy allows it, and shows logs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_jobs::wire::{Instance, OnDisconnect, TaskId};
use phalanx_jobs::{BlockingPanicked, JobHandler, Kept, RequestContext, TaskContext};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::again;
use super::cgroup::Groups;
use super::class::{
    Finished, Follow, InForce, LogState, Means, PAGE_BYTES_MAX, PAGE_CHUNKS_MAX, Page, Process, ProcessError,
    Run, WhenAgentEnds,
};
use super::folders::{self, NoFolder, Room};
use super::log::{Limit, read_page};
use super::policy::{Permit, Policy, PolicyError};
use super::protocol::{Begin, Launch, Resources};
use super::record::Record;
use super::running::{Beginning, Running, Started, Task};
use super::supervise::OUTPUT_STEP;
use super::supervisor::Supervised;
use super::telling::Telling;

/// How long a question for a log waits for output at most: less than the deadline of most requests, so that it is answered.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Where control groups are.
pub(super) const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// Runs programs as its policy allows: the [`JobHandler`] of [`Process`].
#[derive(Debug)]
pub struct Programs {
    shared: Arc<Shared>,
    free: Semaphore,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) policy: Policy,
    /// The tasks that run, by the names of their folders, and how far each log is. Locked while a folder is made, so that
    /// none is removed that has just been made.
    pub(super) running: Mutex<BTreeMap<String, Arc<watch::Sender<u64>>>>,
}

/// A task among those that run, until it is dropped.
pub(super) struct Registered {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) groups: Groups,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        // The supervisor removes them; here are those of one that did not come to that. What holds a process stays.
        self.groups.remove();
    }
}

impl Programs {
    /// Puts a policy in force, and makes the folder for logs.
    ///
    /// # Errors
    /// [`PolicyError`] says what to change; nothing is in force.
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        let policy = policy.in_force()?;
        again::clear_groups(&policy);
        let free = Semaphore::new(policy.programs_max as usize);
        Ok(Self { shared: Arc::new(Shared { policy, running: Mutex::default() }), free })
    }
}

impl JobHandler<Process> for Programs {
    async fn task(&self, cx: TaskContext<Process>, run: Run) -> Result<Finished, ProcessError> {
        let cx = Arc::new(cx);
        if cx.is_kept() {
            // It runs already, whatever the policy would say of it now.
            let _permit = self.free.try_acquire();
            return again::go_on(&self.shared, &cx, run).await;
        }
        let too_many = ProcessError::TooMany(self.shared.policy.programs_max);
        let _permit = self.free.try_acquire().map_err(|_| too_many)?;
        let (shared, name) = (self.shared.clone(), folders::name(cx.id()));
        let keeper = (run.when_agent_ends == WhenAgentEnds::Keep).then(|| cx.clone());
        let stdin_waiting = (run.stdin_open || run.terminal.is_some()).then_some(0);
        let has_terminal = run.terminal.is_some();
        let task = Task { stdin_waiting, has_terminal, must_succeed: run.must_succeed };
        let per_second = self.shared.per_second(&run);
        let record = keeper.as_ref().map(|cx| (cx.id().clone(), cx.on_disconnect(), cx.instance().cloned()));
        let prepared = cx
            .blocking(move || shared.prepare(name, run, record))
            .await
            .map_err(|error| panicked(&error))??;
        let Prepared { registered, begin, in_force, end } = prepared;
        let (folder, is_kept) = (begin.folder.clone(), keeper.is_some());
        if is_kept {
            cx.outlive_worker(true).await;
        }
        let started = Started { in_force, folder: begin.launch.working_folder.display().to_string() };
        let finished = match Supervised::start(&self.shared.policy.supervisor, begin, keeper).await {
            Ok(supervised) => {
                let telling = Telling::new(&cx, per_second, end);
                Running::new(&cx, supervised, &task, telling).run(Beginning::Started(started)).await
            }
            Err(error) => Err(ProcessError::CannotStart(format!("its supervisor: {error}"))),
        };
        again::close(&cx, registered, &finished, is_kept.then_some(folder)).await;
        finished
    }

    async fn kept(&self) -> Vec<Kept<Process>> {
        again::kept(&self.shared)
    }

    async fn request(&self, cx: RequestContext, follow: Follow) -> Result<Page, ProcessError> {
        let name = folders::name(&follow.task);
        let mut wait = Duration::from_millis(follow.wait_ms.into()).min(WAIT_MAX);
        loop {
            // Looked at before the log, so that nothing is missed between the two.
            let mut end = self.shared.end(&name);
            let folder = self.shared.policy.logs.join(&name);
            let (from, bytes_max, runs) = (follow.from, follow.bytes_max as usize, end.is_some());
            let page = cx
                .blocking(move || page(&folder, from, bytes_max, runs))
                .await
                .map_err(|error| panicked(&error))??;
            let is_empty = page.chunks.is_empty() && page.gap.is_none();
            match &mut end {
                Some(end) if is_empty && page.state == LogState::GoesOn && !wait.is_zero() => {
                    // The end of the task is a change too, and then there is no more to wait for.
                    if !matches!(timeout(wait, end.changed()).await, Ok(Ok(()))) {
                        wait = Duration::ZERO;
                    }
                }
                _ => return Ok(page),
            }
        }
    }
}

pub(super) fn panicked(error: &BlockingPanicked) -> ProcessError {
    ProcessError::Disk(error.to_string())
}

fn disk(error: &std::io::Error) -> ProcessError {
    ProcessError::Disk(error.to_string())
}

/// A page of a task's log, and whether there will be more.
fn page(folder: &std::path::Path, from: u64, bytes_max: usize, runs: bool) -> Result<Page, ProcessError> {
    if !folder.is_dir() {
        return Err(ProcessError::NoSuchLog);
    }
    // In this order: what ends after the first look goes on for this page.
    let is_over = !runs && !folders::is_locked(folder);
    let ended = folders::read_end(folder).map_err(|error| disk(&error))?;
    let limit = Limit { bytes_max: bytes_max.clamp(1, PAGE_BYTES_MAX), chunks_max: PAGE_CHUNKS_MAX };
    let log_end = ended.as_ref().map(super::protocol::Ended::log_end);
    let mut page = read_page(folder, from, limit, log_end).map_err(|error| disk(&error))?;
    let has_nothing = page.chunks.is_empty() && page.gap.is_none();
    page.state = match ended {
        Some(ended) if page.next >= ended.log_end() => LogState::Ended(ended.exit),
        None if is_over && has_nothing => LogState::Lost,
        _ => LogState::GoesOn,
    };
    Ok(page)
}

struct Prepared {
    registered: Registered,
    begin: Begin,
    in_force: InForce,
    end: Arc<watch::Sender<u64>>,
}

impl Shared {
    fn end(&self, name: &str) -> Option<watch::Receiver<u64>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).map(|end| end.subscribe())
    }

    /// Checks a run, makes its folder and its control groups, and says what its supervisor has to do.
    fn prepare(
        self: Arc<Self>,
        name: String,
        run: Run,
        keep: Option<(TaskId, OnDisconnect, Option<Instance>)>,
    ) -> Result<Prepared, ProcessError> {
        let permit = self.policy.check(&run)?;
        let (folder, end) = self.register(&name)?;
        let groups = match &self.policy.cgroup {
            Some(parent) => Groups::create(CGROUP_MOUNT.as_ref(), parent, &name, &permit.limits),
            None => Groups::default(),
        };
        let registered = Registered { shared: self.clone(), name, groups };
        if let Some((task, on_disconnect, instance)) = keep {
            let run = Run { environment: BTreeMap::new(), ..run.clone() };
            let groups = registered.groups.folders.clone();
            let record = Record { task, on_disconnect, instance, run, groups };
            record.write(&folder).map_err(|error| disk(&error))?;
        }
        let (resources, in_force) = self.hold(&permit, &registered.groups);
        let begin = self.begin(run, permit, folder, &registered.groups, resources);
        Ok(Prepared { registered, begin, in_force, end })
    }

    /// How much of a run's output is told in a second, if any.
    pub(super) fn per_second(&self, run: &Run) -> Option<u64> {
        run.output_events.then_some(self.policy.event_bytes_per_second_max)
    }

    fn register(&self, name: &str) -> Result<(PathBuf, Arc<watch::Sender<u64>>), ProcessError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Room {
            bytes_max: self.policy.logs_bytes_max,
            log_bytes_max: self.policy.log_bytes_max,
            ended_max: self.policy.logs_kept_max,
        };
        let folder = folders::create(&self.policy.logs, name, room, |name| running.contains_key(name));
        let folder = folder.map_err(|error| match error {
            NoFolder::Full => ProcessError::LogsFull(room.bytes_max),
            NoFolder::Disk(error) => disk(&error),
        })?;
        let end = Arc::new(watch::Sender::new(0));
        running.insert(name.to_owned(), end.clone());
        Ok((folder, end))
    }

    /// What holds the program: its control groups, and for the rest resource limits.
    fn hold(&self, permit: &Permit, groups: &Groups) -> (Resources, InForce) {
        let limits = permit.limits;
        let uid = self.policy.user.map_or(rustix::process::getuid().as_raw(), |(user, _)| user);
        // The kernel does not hold root to a number of processes.
        let counts = uid != 0;
        let resources = Resources {
            memory_bytes: limits.memory_bytes.filter(|_| !groups.holds_memory),
            processes: limits.processes.filter(|_| !groups.holds_processes && counts),
            cpu_seconds: limits.cpu_seconds,
            open_files: limits.open_files,
        };
        let means = |in_group: bool, in_resources: bool| match (in_group, in_resources) {
            (true, _) => Means::Cgroup,
            (false, true) => Means::Rlimit,
            (false, false) => Means::Nothing,
        };
        let others = resources.cpu_seconds.is_some() || resources.open_files.is_some();
        let in_force = InForce {
            limits,
            memory: means(groups.holds_memory, resources.memory_bytes.is_some()),
            processes: means(groups.holds_processes, resources.processes.is_some()),
            cpu_percent: means(groups.holds_cpu, false),
            others: means(false, others),
        };
        (resources, in_force)
    }

    fn begin(
        &self,
        run: Run,
        permit: Permit,
        folder: PathBuf,
        groups: &Groups,
        resources: Resources,
    ) -> Begin {
        let steps_per_second = 1_000 / OUTPUT_STEP.as_millis().max(1) as u64;
        Begin {
            launch: Launch {
                program: permit.program,
                name: run.program,
                arguments: run.arguments,
                environment: run.environment,
                working_folder: permit.folder,
                roots: self.policy.roots().to_vec(),
                cgroup_joins: groups.joins(),
                resources,
                user: self.policy.user,
                has_terminal: run.terminal.is_some(),
                error_file: folders::launch_error(&folder),
            },
            log_bytes_max: self.policy.log_bytes_max,
            output_bytes_per_step: self.policy.output_bytes_per_second_max.div_ceil(steps_per_second),
            stdin_open: run.stdin_open,
            tells_output: run.output_events,
            keeps: run.when_agent_ends == WhenAgentEnds::Keep,
            terminal: run.terminal,
            cgroups: groups.folders.clone(),
            folder,
        }
    }
}
