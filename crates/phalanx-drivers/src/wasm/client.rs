//! Shipping code to a worker and running it there, from a control node.

use std::time::Duration;

use bytes::Bytes;
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{CallError, CallOptions, Reason, TaskError, TaskHandle, WorkerHandle};

use super::class::{
    Entry, ModuleInfo, Returned, VersionInfo, Wasm, WasmOutput, WasmReply, WasmRequest, WasmWork,
};
use super::error::WasmError;
use super::signing::SignedModule;

/// Why a worker did not do what it was asked for: [`CallError::Failed`] holds the word of the worker or of the guest, the
/// others say whether something has happened.
pub type WasmCallError = CallError<WasmError>;

/// An answer of the wrong kind comes from a worker that does not speak this version.
const UNEXPECTED: WasmCallError = CallError::Unknown(Reason::Malformed);

/// The shipped code of one worker. Cheap to clone; making and dropping it does nothing.
#[derive(Clone)]
pub struct WasmClient {
    worker: WorkerHandle,
    /// The same worker, for what may be asked twice.
    reader: WorkerHandle,
}

impl WasmClient {
    /// That of this worker. How long a call may take is the handle's option, and the worker's policy.
    #[must_use]
    pub fn new(worker: WorkerHandle) -> Self {
        let reader = worker.clone().with(CallOptions { idempotent: true, ..CallOptions::default() });
        Self { worker, reader }
    }

    /// Pushes a module. It returns when the worker has verified, compiled and kept it; pushing the same again is done at
    /// once. The first version of a module is its default; a later one only after [`WasmClient::switch`].
    ///
    /// Dropping the future may leave the module there or not, but never a part of it.
    ///
    /// # Errors
    /// [`WasmError`] in [`CallError::Failed`], with nothing changed; after [`CallError::Unknown`] push it again.
    pub async fn push(&self, module: &SignedModule) -> Result<VersionInfo, WasmCallError> {
        let task = self.worker.start::<Wasm>(WasmWork::Push(module.announced.clone())).await?;
        // A worker that does not want the bytes says why as the task's end.
        let (_, output) = tokio::join!(task.send_bytes(module.bytes.clone()), task.output());
        match output.map_err(of_task)? {
            WasmOutput::Pushed(version) => Ok(version),
            WasmOutput::Returned(_) => Err(UNEXPECTED),
        }
    }

    /// Calls a function and waits for what it returns. It runs at most once; dropping the future, or its deadline, ends it.
    ///
    /// # Errors
    /// [`WasmError`] in [`CallError::Failed`] says whether it has begun; the others as everywhere.
    pub async fn call(&self, entry: Entry, input: impl Into<Bytes>) -> Result<Returned, WasmCallError> {
        let request = WasmRequest::Call { entry, input: input.into() };
        match self.worker.request::<Wasm>(request).await? {
            WasmReply::Returned(returned) => Ok(returned),
            _ => Err(UNEXPECTED),
        }
    }

    /// Starts a function as a task: it goes on without its caller, and through lost links; its events come to the control
    /// node's handler of events for [`Wasm`]. Dropping the future, or what it returns, does not stop it.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have started; what concerns the function itself is said by [`WasmTask::output`].
    pub async fn start(&self, entry: Entry, input: impl Into<Bytes>) -> Result<WasmTask, WasmCallError> {
        let task = self.worker.start::<Wasm>(WasmWork::Run { entry, input: input.into() }).await?;
        Ok(WasmTask(task))
    }

    /// The modules of the worker, in the order of their names. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`CallError`] says why there is no answer.
    pub async fn list(&self) -> Result<Vec<ModuleInfo>, WasmCallError> {
        match self.reader.request::<Wasm>(WasmRequest::List).await? {
            WasmReply::Modules(modules) => Ok(modules),
            _ => Err(UNEXPECTED),
        }
    }

    /// Makes a version the default one: each call that begins later runs it, and those that run go on as they are. Doing it
    /// again changes nothing; dropping the future may leave it done or not.
    ///
    /// # Errors
    /// [`WasmError`] in [`CallError::Failed`], with nothing changed; the others say whether it may be done.
    pub async fn switch(&self, module: &str, version: &str) -> Result<(), WasmCallError> {
        let request = WasmRequest::Switch { module: module.to_owned(), version: version.to_owned() };
        self.worker.request::<Wasm>(request).await.map(drop)
    }

    /// Makes the default before the present one, which is named, the default again; says which that is.
    ///
    /// # Errors
    /// As [`WasmClient::switch`]; [`WasmError::OtherDefault`] when another one is the default.
    pub async fn roll_back(&self, module: &str, from: &str) -> Result<String, WasmCallError> {
        let request = WasmRequest::RollBack { module: module.to_owned(), from: from.to_owned() };
        match self.worker.request::<Wasm>(request).await? {
            WasmReply::Default(version) => Ok(version),
            _ => Err(UNEXPECTED),
        }
    }

    /// Forgets a version that does not run: the default one only if it is the last of its module.
    ///
    /// # Errors
    /// As [`WasmClient::switch`].
    pub async fn remove(&self, module: &str, version: &str) -> Result<(), WasmCallError> {
        let request = WasmRequest::Remove { module: module.to_owned(), version: version.to_owned() };
        self.worker.request::<Wasm>(request).await.map(drop)
    }
}

/// A function that runs as a task. Cheap to clone; dropping it leaves the function alone.
#[derive(Clone)]
pub struct WasmTask(TaskHandle<Wasm>);

impl WasmTask {
    /// The task's name in the cluster.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        self.0.id()
    }

    /// Tells the function something, and waits for its answer. Commands arrive in their order, or not at all.
    ///
    /// # Errors
    /// [`CallError`] says whether the function has it; [`Reason::NoReply`] in it when the function has let go of it.
    pub async fn command(&self, command: impl Into<Bytes>) -> Result<Bytes, WasmCallError> {
        self.0.command(command.into()).await
    }

    /// Waits for what the function returns, however long that takes. Cancellation safe.
    ///
    /// # Errors
    /// [`TaskError::Failed`] holds the word of the worker or of the guest.
    pub async fn output(&self) -> Result<Returned, TaskError<WasmError>> {
        match self.0.output().await? {
            WasmOutput::Returned(returned) => Ok(returned),
            WasmOutput::Pushed(_) => Err(TaskError::Unknown(Reason::Malformed)),
        }
    }

    /// Tells the function to end, when it waits for a command, and ends it after `grace`. Returns when the worker has taken
    /// that over.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn stop(&self, grace: Duration) -> Result<(), WasmCallError> {
        self.0.stop(grace).await
    }
}

/// How a push has ended, which runs once as a call does.
fn of_task(error: TaskError<WasmError>) -> WasmCallError {
    match error {
        TaskError::Failed(error) => CallError::Failed(error),
        TaskError::Stopped | TaskError::Killed => CallError::Aborted(Reason::Cancelled),
        TaskError::Aborted(reason) => CallError::Aborted(reason),
        TaskError::Lost => CallError::Unknown(Reason::OtherGeneration),
        TaskError::Unknown(reason) => CallError::Unknown(reason),
    }
}
