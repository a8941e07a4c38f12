//! What a supervisor wants done, done: tasks are started, stopped, followed to their end, and listed.

use phalanx_base::{Generation, NodeId};
use phalanx_jobs::wire::{ClassName, Instance, OnDisconnect, TaskId};
use phalanx_jobs::{
    CallError, ControlService, EndSummary, OperationError, TaskDetails, TaskError, TaskState, WorkerHandle,
};
use phalanx_placement::Class;
use phalanx_supervision::{Attempt, End, EndKind, Found, JobName, Listing, StartFailure, Tag, TaskName};
use tokio::time::{Duration, sleep};

use super::records::{instance_name, instance_text};

/// How long a worker that does not answer is left alone before the end of a task is asked for again.
const FOLLOW_PAUSE: Duration = Duration::from_secs(2);

/// A start in the words of a worker.
pub(crate) struct Start {
    pub(crate) tag: Tag,
    pub(crate) generation: Generation,
    pub(crate) class: Class,
    pub(crate) body: bytes::Bytes,
    pub(crate) stop_after: Option<Duration>,
}

pub(crate) fn name_of(task: &TaskId) -> TaskName {
    TaskName(super::records::encode(task))
}

/// The task of a name; `None` for what another version of the program has written.
pub(crate) fn task_of(name: &TaskName) -> Option<TaskId> {
    postcard::from_bytes(&name.0).ok()
}

/// The tag as a worker knows it. The names of a job and of an instance are within a worker's caps.
fn instance_of(tag: &Tag) -> Result<Instance, String> {
    Instance::new(tag.job.as_str(), instance_text(&tag.instance), tag.attempt.0)
        .map_err(|error| error.to_string())
}

fn tag_of(instance: &Instance) -> Option<Tag> {
    let (job, name) = (JobName::new(instance.job()).ok()?, instance_name(instance.name())?);
    Some(Tag { job, instance: name, attempt: Attempt(instance.attempt()) })
}

/// Starts a task.
pub(crate) async fn start(worker: WorkerHandle, start: Start) -> Result<TaskId, StartFailure> {
    let surely_not = |reason: String| StartFailure { may_have_started: false, reason };
    let instance = instance_of(&start.tag).map_err(surely_not)?;
    let on_disconnect = match start.stop_after {
        Some(after) => {
            OnDisconnect::StopAfter { milliseconds: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
        }
        None => OnDisconnect::Keep,
    };
    let class = ClassName { name: start.class.name.into(), version: start.class.version };
    let worker = worker.for_instance(instance).on_disconnect(on_disconnect);
    worker.start_encoded(class, start.body, start.generation).await.map_err(|error| StartFailure {
        may_have_started: !matches!(error, CallError::NotExecuted(_)),
        reason: error.to_string(),
    })
}

/// Follows a task to its end.
pub(crate) async fn follow(worker: WorkerHandle, task: TaskId, generation: Generation) -> End {
    loop {
        match worker.task_ended(&task, generation).await {
            Ok(()) => {}
            Err(TaskError::Lost) => return lost("its worker has started anew"),
            Err(_) => {
                // Whether the worker is lost is told by others; this waits until it is back or somebody drops it.
                sleep(FOLLOW_PAUSE).await;
                continue;
            }
        }
        match worker.task_details(&task).await {
            Ok(Some(details)) => {
                if let Some(end) = end_of(&details) {
                    return end;
                }
            }
            Ok(None) => return lost("its worker does not know it any more"),
            Err(_) => sleep(FOLLOW_PAUSE).await,
        }
    }
}

fn lost(reason: &str) -> End {
    End { reason: reason.to_owned(), ..End::new(EndKind::Lost) }
}

/// How a task has ended, if it has.
fn end_of(details: &TaskDetails) -> Option<End> {
    let summary = details.end.as_ref()?;
    Some(End { reason: summary.to_string(), last_lines: details.log.clone(), ..End::new(kind_of(summary)) })
}

fn kind_of(summary: &EndSummary) -> EndKind {
    match summary.state() {
        TaskState::Succeeded => EndKind::Succeeded,
        TaskState::Killed => EndKind::Killed,
        TaskState::Lost => EndKind::Lost,
        _ => EndKind::Failed,
    }
}

/// What a worker runs, and how those of `known` have ended that do not run. `None` when it could not be asked.
pub(crate) async fn list(
    service: ControlService,
    node: NodeId,
    known: Vec<(Tag, TaskName)>,
) -> Option<Listing> {
    let worker = service.worker(node);
    let listing = async {
        let generation = worker.info().await?.boot.generation;
        let mut tasks = Vec::new();
        for info in worker.tasks().await? {
            if let Some(tag) = info.instance.as_ref().and_then(tag_of) {
                tasks.push(Found { tag, task: name_of(&info.task), end: None });
            }
        }
        for (tag, name) in known {
            let Some(task) = task_of(&name).filter(|_| tasks.iter().all(|found| found.task != name)) else {
                continue;
            };
            if let Some(end) = worker.task_details(&task).await?.as_ref().and_then(end_of) {
                tasks.push(Found { tag, task: name, end: Some(end) });
            }
        }
        // Asked in between it may have started anew.
        let same = worker.info().await?.boot.generation == generation;
        Ok::<_, OperationError>(same.then_some(Listing { generation, tasks }))
    };
    listing.await.ok().flatten()
}
