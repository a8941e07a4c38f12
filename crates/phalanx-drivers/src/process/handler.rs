//! The worker's half: takes a run if the policy allows it, and shows logs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_jobs::{BlockingPanicked, JobHandler, RequestContext, TaskContext};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::cgroup::Groups;
use super::class::{
    Finished, Follow, InForce, LogState, Means, PAGE_BYTES_MAX, PAGE_CHUNKS_MAX, Page, Process, ProcessError,
    Run,
};
use super::folders::{self, NoFolder, Room};
use super::log::{Limit, read_page};
use super::policy::{OnDeath, Permit, Policy, PolicyError};
use super::protocol::{Begin, Launch, Resources};
use super::running::Running;
use super::supervise::OUTPUT_STEP;
use super::supervisor::Supervised;

/// How long a question for a log waits for output at most: less than the deadline of most requests, so that it is answered.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Where control groups are.
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// Runs programs as its policy allows: the [`JobHandler`] of [`Process`].
#[derive(Debug)]
pub struct Programs {
    shared: Arc<Shared>,
    free: Semaphore,
}

#[derive(Debug)]
struct Shared {
    policy: Policy,
    /// The tasks that run, by the names of their folders, and how far each log is. Locked while a folder is made, so that
    /// none is removed that has just been made.
    running: Mutex<BTreeMap<String, Arc<watch::Sender<u64>>>>,
}

/// A task among those that run, until it is dropped.
struct Registered {
    shared: Arc<Shared>,
    name: String,
    groups: Groups,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        // The supervisor removes them; here are those of one that did not come to that.
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
        let free = Semaphore::new(policy.programs_max as usize);
        Ok(Self { shared: Arc::new(Shared { policy, running: Mutex::default() }), free })
    }
}

impl JobHandler<Process> for Programs {
    async fn task(&self, cx: TaskContext<Process>, run: Run) -> Result<Finished, ProcessError> {
        let too_many = ProcessError::TooMany(self.shared.policy.programs_max);
        let _permit = self.free.try_acquire().map_err(|_| too_many)?;
        let (shared, name) = (self.shared.clone(), folders::name(cx.id()));
        let (stdin_open, tells_output) = (run.stdin_open, run.output_events);
        let prepared =
            cx.blocking(move || shared.prepare(name, run)).await.map_err(|error| panicked(&error))??;
        let Prepared { registered, begin, in_force, end } = prepared;
        let folder = begin.launch.working_folder.display().to_string();
        let policy = &self.shared.policy;
        let supervised = Supervised::start(&policy.supervisor, begin)
            .await
            .map_err(|error| ProcessError::CannotStart(format!("its supervisor: {error}")))?;
        let per_second = if tells_output { policy.event_bytes_per_second_max } else { 0 };
        let finished = Running::new(&cx, supervised, stdin_open, per_second, end).run(in_force, folder).await;
        drop(registered);
        finished
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

fn panicked(error: &BlockingPanicked) -> ProcessError {
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
    fn prepare(self: Arc<Self>, name: String, run: Run) -> Result<Prepared, ProcessError> {
        let permit = self.policy.check(&run)?;
        let (folder, end) = self.register(&name)?;
        let groups = match &self.policy.cgroup {
            Some(parent) => Groups::create(CGROUP_MOUNT.as_ref(), parent, &name, &permit.limits),
            None => Groups::default(),
        };
        let (resources, in_force) = self.hold(&permit, &groups);
        let begin = self.begin(run, permit, folder, &groups, resources);
        Ok(Prepared { registered: Registered { shared: self, name, groups }, begin, in_force, end })
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
                error_file: folders::launch_error(&folder),
            },
            log_bytes_max: self.policy.log_bytes_max,
            output_bytes_per_step: self.policy.output_bytes_per_second_max.div_ceil(steps_per_second),
            stdin_open: run.stdin_open,
            tells_output: run.output_events,
            keeps: self.policy.on_death == OnDeath::Keep,
            cgroups: groups.folders.clone(),
            folder,
        }
    }
}
