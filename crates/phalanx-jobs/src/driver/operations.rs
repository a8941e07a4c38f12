//! The worker's half of the built-in operations, and the methods of a worker's handle that ask for them.

use std::time::Duration;

use phalanx_base::{Labels, NodeStatus};
use tokio::sync::{mpsc, oneshot};

use super::now;
use super::worker::Input;
use super::worker_handle::WorkerHandle;
use crate::class::Nothing;
use crate::context::RequestContext;
use crate::handler::JobHandler;
use crate::operations::{
    ENDED_TASKS_PAGE_MAX, EndedTask, NodeInfo, Operation, OperationReply, Operations, StopProgress,
    TASKS_PAGE_MAX, TaskDetails, TaskInfo,
};
use crate::outcome::{CallError, Reason};
use crate::wire::TaskId;
use crate::worker::WorkerCore;

/// What the driver is asked for: the operation, and whom to answer.
pub(super) type Asked = (Operation, oneshot::Sender<OperationReply>);

/// Hands operations to the driver, which alone has the worker's state.
pub(super) struct OperationsHandler {
    /// Weak, since the driver holds the handlers.
    pub(super) inbox: mpsc::WeakSender<Input>,
}

impl JobHandler<Operations> for OperationsHandler {
    async fn request(&self, cx: RequestContext, operation: Operation) -> Result<OperationReply, Nothing> {
        let (reply, answer) = oneshot::channel();
        if let Some(inbox) = self.inbox.upgrade() {
            // One that has stopped drops the question, and so the answer.
            let _ = inbox.send(Input::Operation((operation, reply))).await;
        }
        match answer.await {
            Ok(reply) => Ok(reply),
            Err(_) => cx.refuse().await,
        }
    }
}

/// The longest time that a stopping worker may give its tasks: bounds what a caller can pin.
const STOP_GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Does what an operation asks for.
pub(super) fn operate(core: &mut WorkerCore, operation: Operation) -> OperationReply {
    match operation {
        Operation::Info => OperationReply::Info(NodeInfo {
            boot: core.boot().clone(),
            status: core.status(),
            tasks: u32::try_from(core.running_tasks()).unwrap_or(u32::MAX),
            labels: core.labels().clone(),
            classes: core.classes().to_vec(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        Operation::Status => OperationReply::Status(core.status()),
        Operation::Tasks { after } => {
            let mut tasks = core.tasks().filter(|info| is_after(&info.task, after.as_ref()));
            let page = tasks.by_ref().take(TASKS_PAGE_MAX).collect();
            OperationReply::Tasks { tasks: page, more: tasks.next().is_some() }
        }
        Operation::Labels => OperationReply::Labels(core.labels().clone()),
        Operation::SetLabels(labels) => {
            core.handle_labels(labels);
            OperationReply::Labels(core.labels().clone())
        }
        Operation::Ready => {
            core.handle_ready();
            OperationReply::Status(core.status())
        }
        Operation::Standby => {
            core.handle_standby();
            OperationReply::Status(core.status())
        }
        Operation::Stop { grace_ms } => {
            core.handle_stop(now(), now() + Duration::from_millis(grace_ms).min(STOP_GRACE_MAX));
            OperationReply::Status(core.status())
        }
        Operation::Stopping => OperationReply::Stopping(core.stop_progress(now())),
        Operation::Task { task } => OperationReply::Task(core.task_details(now(), &task)),
        Operation::EndedTasks { after } => {
            let mut tasks = core.ended_tasks(now()).filter(|ended| is_after(&ended.task, after.as_ref()));
            let page = tasks.by_ref().take(ENDED_TASKS_PAGE_MAX).collect();
            OperationReply::EndedTasks { tasks: page, more: tasks.next().is_some() }
        }
    }
}

fn is_after(task: &TaskId, after: Option<&TaskId>) -> bool {
    after.is_none_or(|after| task > after)
}

/// Why a built-in operation has no answer.
pub type OperationError = CallError<Nothing>;

/// An answer of the wrong kind comes from a worker that does not speak this version.
const UNEXPECTED: OperationError = CallError::Unknown(Reason::Malformed);

impl WorkerHandle {
    async fn operate(&self, operation: Operation) -> Result<OperationReply, OperationError> {
        self.request::<Operations>(operation).await
    }

    async fn status_after(&self, operation: Operation) -> Result<NodeStatus, OperationError> {
        match self.operate(operation).await? {
            OperationReply::Status(status) => Ok(status),
            _ => Err(UNEXPECTED),
        }
    }

    async fn labels_after(&self, operation: Operation) -> Result<Labels, OperationError> {
        match self.operate(operation).await? {
            OperationReply::Labels(labels) => Ok(labels),
            _ => Err(UNEXPECTED),
        }
    }

    /// Who the worker is, how it is, and what it runs. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`CallError`] says why there is no answer; nothing has changed.
    pub async fn info(&self) -> Result<NodeInfo, OperationError> {
        match self.operate(Operation::Info).await? {
            OperationReply::Info(info) => Ok(info),
            _ => Err(UNEXPECTED),
        }
    }

    /// How the worker is, as it says itself. Dropping the future cancels the question.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn status(&self) -> Result<NodeStatus, OperationError> {
        self.status_after(Operation::Status).await
    }

    /// The tasks of the worker that have not ended, in the order of their ids; asked page by page, so that a task which
    /// starts or ends meanwhile may be missing or named.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn tasks(&self) -> Result<Vec<TaskInfo>, OperationError> {
        let mut all: Vec<TaskInfo> = Vec::new();
        loop {
            let after = all.last().map(|last| last.task.clone());
            match self.operate(Operation::Tasks { after }).await? {
                OperationReply::Tasks { tasks, more } => {
                    let more = more && !tasks.is_empty();
                    all.extend(tasks);
                    if !more {
                        return Ok(all);
                    }
                }
                _ => return Err(UNEXPECTED),
            }
        }
    }

    /// The ended tasks that the worker keeps, in the order of their ids: how each ended, and when. Asked page by page, as
    /// [`tasks`](Self::tasks) is.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn ended_tasks(&self) -> Result<Vec<EndedTask>, OperationError> {
        let mut all: Vec<EndedTask> = Vec::new();
        loop {
            let after = all.last().map(|last| last.task.clone());
            match self.operate(Operation::EndedTasks { after }).await? {
                OperationReply::EndedTasks { tasks, more } => {
                    let more = more && !tasks.is_empty();
                    all.extend(tasks);
                    if !more {
                        return Ok(all);
                    }
                }
                _ => return Err(UNEXPECTED),
            }
        }
    }

    /// All that the worker knows of a task, the last lines that it has logged among it; also of one that has ended, while
    /// the worker keeps it. `None` where it has no such task (any more).
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn task_details(&self, task: &TaskId) -> Result<Option<TaskDetails>, OperationError> {
        match self.operate(Operation::Task { task: task.clone() }).await? {
            OperationReply::Task(details) => Ok(details),
            _ => Err(UNEXPECTED),
        }
    }

    /// What the worker is labelled with.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn labels(&self) -> Result<Labels, OperationError> {
        self.labels_after(Operation::Labels).await
    }

    /// Labels the worker anew, until it starts again. Its owner learns of it at once.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have happened.
    pub async fn set_labels(&self, labels: Labels) -> Result<(), OperationError> {
        self.labels_after(Operation::SetLabels(labels)).await.map(drop)
    }

    /// Lets the worker take tasks again, whatever it was before. Returns how it is then.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have happened.
    pub async fn ready(&self) -> Result<NodeStatus, OperationError> {
        self.status_after(Operation::Ready).await
    }

    /// Lets the worker take no new task; those that run go on, and requests are answered. Returns how it is then.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have happened.
    pub async fn standby(&self) -> Result<NodeStatus, OperationError> {
        self.status_after(Operation::Standby).await
    }

    /// Lets the worker take no new task and tells each that runs to stop; what has not ended after `grace` is ended. It is
    /// `Stopping` until then and `Stopped` after, and answers requests all the time. Returns how it is at once, without
    /// waiting for the tasks; [`stop_progress`](Self::stop_progress) says how far it is.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have happened.
    pub async fn stop(&self, grace: Duration) -> Result<NodeStatus, OperationError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.status_after(Operation::Stop { grace_ms }).await
    }

    /// How far the worker is with stopping: which tasks still run, whether each was told to stop, and when it is ended.
    /// Dropping the future cancels the question.
    ///
    /// # Errors
    /// As [`info`](Self::info); a worker of an earlier version does not know the question.
    pub async fn stop_progress(&self) -> Result<StopProgress, OperationError> {
        match self.operate(Operation::Stopping).await? {
            OperationReply::Stopping(progress) => Ok(progress),
            _ => Err(UNEXPECTED),
        }
    }
}
