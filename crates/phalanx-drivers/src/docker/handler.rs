//! The worker's half: takes what the policy allows to the daemon.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::Docker as Api;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions,
};
use phalanx_base::{Entropy, NodeId};
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{JobHandler, RequestContext, Signal, TaskContext};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};

use super::class::{Answer, Ask, Docker, Done, Exec, Finished, OutputState, Said, Tell, Work};
use super::daemon::{connect, failed, is_absent};
use super::error::DockerError;
use super::orders::{Orders, Output, attach};
use super::orphans::Maker;
use super::policy::{Permit, Policy, PolicyError};
use super::removal::Removal;
use super::run::Run;
use super::running::{Ended, Running};
use super::tasks::{Registered, Tasks};
use super::{create, exec, images, loading, orphans};

/// The signal that stops a container whose image names none: the daemon's own rule.
const STOP_SIGNAL: &str = "SIGTERM";

/// Runs containers as its policy allows: the [`JobHandler`] of [`Docker`].
#[derive(Debug)]
pub struct Containers {
    shared: Arc<Shared>,
    free: Semaphore,
}

#[derive(Debug)]
struct Shared {
    policy: Policy,
    maker: Maker,
    /// The daemon, once it has answered and its orphans were looked after.
    api: OnceCell<Api>,
    tasks: Arc<Tasks>,
    made: AtomicU64,
    /// Where containers are removed whose tasks were dropped.
    runtime: Handle,
}

impl Containers {
    /// Puts a policy in force for a worker of a cluster, whose names its containers bear as labels. Looks after the
    /// containers of the worker's earlier boots; where the daemon does not answer, that is done before the first call that
    /// finds it. Containers of tasks that are dropped are removed on the runtime that this is called on.
    ///
    /// # Errors
    /// [`PolicyError`] says what to change; nothing is in force.
    pub async fn open(
        policy: Policy,
        cluster: &str,
        worker: &NodeId,
        entropy: &dyn Entropy,
    ) -> Result<Self, PolicyError> {
        let policy = policy.in_force()?;
        let maker = Maker {
            cluster: cluster.to_owned(),
            worker: worker.to_string(),
            boot: format!("{:016x}", entropy.bits64()),
        };
        let free = Semaphore::new(policy.containers_max as usize);
        let shared = Shared {
            policy,
            maker,
            api: OnceCell::new(),
            tasks: Arc::default(),
            made: AtomicU64::new(0),
            runtime: Handle::current(),
        };
        if let Err(error) = shared.api().await {
            tracing::warn!(%error, "no containers run here for now");
        }
        Ok(Self { shared: Arc::new(shared), free })
    }
}

impl JobHandler<Docker> for Containers {
    async fn task(&self, cx: TaskContext<Docker>, work: Work) -> Result<Done, DockerError> {
        let too_many = DockerError::TooMany(self.shared.policy.containers_max);
        let _permit = self.free.try_acquire().map_err(|_| too_many)?;
        match work {
            Work::Run(run) => Box::pin(self.shared.run(&cx, *run)).await.map(Done::Ended),
            Work::Pull(image) => {
                let pulled = until_stopped(&cx, Box::pin(self.shared.pull(&cx, &image))).await;
                pulled.map(Done::Pulled)
            }
            Work::Load => {
                let work = async { loading::load(&cx, self.shared.api().await?, &self.shared.policy).await };
                until_stopped(&cx, Box::pin(work)).await.map(Done::Loaded)
            }
        }
    }

    async fn request(&self, _: RequestContext, ask: Ask) -> Result<Answer, DockerError> {
        let shared = &self.shared;
        match ask {
            Ask::Exec { task, exec } => Box::pin(shared.exec(&task, exec)).await,
            Ask::Stats(task) => {
                let container = shared.container(&task)?;
                exec::stats(shared.api().await?, &container).await.map(Answer::Stats)
            }
            Ask::Orphans => {
                let (api, containers) = (shared.api().await?, shared.tasks.containers());
                orphans::list(api, &shared.maker, &containers).await.map(Answer::Orphans)
            }
            Ask::Remove(container) => Box::pin(shared.remove(container)).await,
            Ask::Output { task, from, wait_ms } => {
                let backlog = shared.tasks.backlog(&task).ok_or(DockerError::NoSuchOutput)?;
                Ok(Answer::Output(backlog.page(from, Duration::from_millis(wait_ms.into())).await))
            }
            Ask::Containers => {
                let (api, containers) = (shared.api().await?, shared.tasks.containers());
                orphans::list_all(api, &shared.maker, &containers).await.map(Answer::Containers)
            }
            Ask::Images => images::list(shared.api().await?, &shared.policy).await.map(Answer::Images),
        }
    }
}

/// Does something for a task that has no container yet: told to stop, it lets go of it.
async fn until_stopped<T>(
    cx: &TaskContext<Docker>,
    work: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, DockerError> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            signal = cx.recv() => match signal {
                None => return Err(DockerError::ShuttingDown),
                Some(Signal::Stop { .. }) => return Err(DockerError::Stopped),
                Some(Signal::Command(Tell::Stop { .. }, reply)) => {
                    reply.send(Ok(())).await;
                    return Err(DockerError::Stopped);
                }
                Some(Signal::Command(Tell::Signal(_), reply)) => reply.send(Err(DockerError::NotRunning)).await,
                Some(Signal::Status(_)) => {}
            },
            done = &mut work => return done,
        }
    }
}

impl Shared {
    /// The daemon. Its orphans are looked after before anything is made.
    async fn api(&self) -> Result<&Api, DockerError> {
        let begin = async || {
            let api = connect(&self.policy.socket).await?;
            orphans::reconcile(&api, &self.maker, self.policy.on_orphans).await?;
            Ok(api)
        };
        self.api.get_or_try_init(begin).await
    }

    fn container(&self, task: &TaskId) -> Result<String, DockerError> {
        self.tasks.container(task).ok_or(DockerError::NotRunning)
    }

    fn register(&self, task: &TaskId, waits: bool) -> Registered {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.tasks.register(task, format!("phalanx-{}-{number}", self.maker.boot), waits)
    }

    async fn run(self: &Arc<Self>, cx: &TaskContext<Docker>, run: Run) -> Result<Finished, DockerError> {
        let (shared, tells_output, keeps) = (self.clone(), run.output_events, run.keep);
        let (is_attached, must_succeed) = (run.attached, run.must_succeed);
        let checked = cx.blocking(move || shared.policy.check(&run).map(|permit| (run, permit))).await;
        let (run, permit) = checked.map_err(|error| DockerError::Invalid(error.to_string()))??;
        let registered = self.register(cx.id(), is_attached);
        let api = self.api().await?;
        let removal = Removal::new(api, &registered.container, keeps, &self.runtime);
        let start = Box::pin(self.start(cx, api, &registered.container, run, permit));
        let (id, orders, output) = match until_stopped(cx, start).await {
            Ok(started) => started,
            Err(error) => {
                removal.of_failed().await;
                return Err(error);
            }
        };
        let backlog = &*registered.backlog;
        backlog.begin();
        let running = Running::new(cx, orders, output, backlog).away_max(self.policy.daemon_away_max);
        let running =
            if tells_output { running.telling(self.policy.event_bytes_per_second_max) } else { running };
        let Ended { mut finished, was_told_to_stop } = Box::pin(running.run()).await?;
        finished.kept = keeps.then_some(id);
        removal.now().await;
        backlog.close(OutputState::Ended(finished.exit_code));
        if must_succeed && !was_told_to_stop { succeeded(cx, finished).await } else { Ok(finished) }
    }

    /// Makes a container and starts it. Its output is attached to before, so that nothing of it is missing.
    async fn start(
        &self,
        cx: &TaskContext<Docker>,
        api: &Api,
        container: &str,
        run: Run,
        permit: Permit,
    ) -> Result<(String, Orders, Output), DockerError> {
        if run.keep {
            self.check_kept(api).await?;
        }
        images::ensure(cx, api, &self.policy, &permit.image, run.pull).await?;
        let labels = self.maker.labels(&cx.id().to_string(), run.keep);
        let body = create::body(run, &permit, labels, self.policy.log_bytes_max);
        let options = CreateContainerOptionsBuilder::new().name(container).build();
        let created = api.create_container(Some(options), body).await;
        let id = created
            .map_err(|error| if is_absent(&error) { not_found(&permit, error) } else { failed(error) })?
            .id;
        let output = attach(api, container).await.map_err(failed)?;
        api.start_container(container, None::<StartContainerOptions>).await.map_err(failed)?;
        let inspected =
            api.inspect_container(container, None::<InspectContainerOptions>).await.map_err(failed)?;
        let said = Said::Started { container: id.clone(), image: inspected.image.unwrap_or_default() };
        cx.emit(said).await.map_err(|_| DockerError::ShuttingDown)?;
        let stop_signal = inspected.config.and_then(|config| config.stop_signal);
        let stop_signal =
            stop_signal.filter(|signal| !signal.is_empty()).unwrap_or_else(|| STOP_SIGNAL.to_owned());
        let orders = Orders { api: api.clone(), container: container.to_owned(), stop_signal };
        Ok((id, orders, output))
    }

    async fn check_kept(&self, api: &Api) -> Result<(), DockerError> {
        let found = orphans::find(api, &self.maker).await?;
        let kept = found.iter().filter(|found| found.orphan.is_kept).count();
        if kept >= self.policy.kept_max as usize {
            return Err(DockerError::TooManyKept(self.policy.kept_max));
        }
        Ok(())
    }

    async fn pull(&self, cx: &TaskContext<Docker>, image: &str) -> Result<String, DockerError> {
        let image = self.policy.image(image)?;
        self.policy.pull()?;
        let api = self.api().await?;
        images::pull(cx, api, &image).await?;
        let id = images::id(api, &image).await?;
        id.ok_or_else(|| DockerError::ImageNotFound(image.to_string()))
    }

    async fn exec(&self, task: &TaskId, exec: Exec) -> Result<Answer, DockerError> {
        self.policy.exec()?;
        exec::check(&exec)?;
        let container = self.container(task)?;
        exec::run(self.api().await?, &container, exec).await.map(Answer::Exec)
    }

    async fn remove(&self, container: String) -> Result<Answer, DockerError> {
        let api = self.api().await?;
        let orphans = orphans::list(api, &self.maker, &self.tasks.containers()).await?;
        // Only by its whole id, and only one of this worker's own.
        if !orphans.iter().any(|orphan| orphan.container == container) {
            return Err(DockerError::NoSuchContainer(super::error::shortened(&container)));
        }
        orphans::remove(api, &container).await?;
        Ok(Answer::Removed)
    }
}

/// A container that must succeed has failed with any other exit code. How is in the task's own log then: whoever supervises it
/// sees no more of it.
async fn succeeded(cx: &TaskContext<Docker>, finished: Finished) -> Result<Finished, DockerError> {
    if finished.exit_code == 0 {
        return Ok(finished);
    }
    for line in &finished.last_lines {
        cx.log(line).await;
    }
    cx.log(format!("the container has ended with exit code {}", finished.exit_code)).await;
    Err(DockerError::ExitedBadly(Box::new(finished)))
}

/// Absent may be the image, or a network or volume: the daemon's words say which.
fn not_found(permit: &Permit, error: bollard::errors::Error) -> DockerError {
    match failed(error) {
        DockerError::Api { text, .. } if text.to_lowercase().contains("no such image") => {
            DockerError::ImageNotFound(permit.image.to_string())
        }
        other => other,
    }
}
