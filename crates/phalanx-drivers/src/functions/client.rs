//! Calling the functions of a worker.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{CallError, CallOptions, Payload, Reason, TaskError, TaskHandle, WorkerHandle};
use serde::Serialize;

use super::class::{Function, FunctionCall, FunctionCalls, FunctionReply, FunctionRequest, Refused};
use super::signature::Signature;

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError<E> {
    /// The function has ended with its own error.
    #[error("the function failed")]
    Failed(E),
    /// The worker has no function of that name. Nothing has run.
    #[error("the worker has no function of that name: ask for its list, or register it there")]
    NoSuchFunction,
    /// The function has other types than the caller. Nothing has run.
    #[error("the function is {theirs}, the caller has {ours}: let both have the same types")]
    OtherSignature {
        /// The caller's types.
        ours: Box<Signature>,
        /// The function's types.
        theirs: Box<Signature>,
    },
    /// The argument does not decode at the worker, which has another type of that name. Nothing has run.
    #[error("the argument does not decode at the worker: the two programs have different types of that name")]
    Argument,
    /// The function has panicked, with this text (shortened).
    #[error("the function panicked: {0}")]
    Panicked(String),
    /// The function has run; its result does not fit a message, or does not serialise.
    #[error(
        "the result of {bytes} bytes does not fit the {bytes_max} of a message: write it to a file, and get that"
    )]
    ResultTooLarge {
        /// Its size in bytes; zero where it does not serialise.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// The function has run; its result does not decode here, where another type has that name.
    #[error("the result does not decode here: the two programs have different types of that name")]
    Result,
    /// The task was told to stop, and has not ended by itself.
    #[error("the task was stopped")]
    Stopped,
    /// It began, and was ended at the worker.
    #[error("the call was ended on the worker: {0}")]
    Aborted(Reason),
    /// It never began: calling again is safe.
    #[error("the function was not called: {0}")]
    NotExecuted(Reason),
    /// Nobody can say whether it began: call again only if running it twice is right.
    #[error("nobody can say whether the function was called: {0}")]
    Unknown(Reason),
}

/// The functions of one worker. Cheap to clone; making and dropping it does nothing.
#[derive(Clone)]
pub struct FunctionsClient {
    worker: WorkerHandle,
}

impl FunctionsClient {
    /// Those of this worker. How long a call may take is the handle's option; the default is 30 seconds.
    #[must_use]
    pub fn new(worker: WorkerHandle) -> Self {
        Self { worker }
    }

    /// Calls a function and waits for its result. It runs at most once; dropping the future cancels it.
    ///
    /// # Errors
    /// [`FunctionError`] says whether it ran, and what to do.
    pub async fn call<A, R, E>(&self, name: &str, argument: &A) -> Result<R, FunctionError<E>>
    where
        A: Serialize + ?Sized,
        R: Payload,
        E: Payload,
    {
        let (call, ours) = prepare::<A, R, E>(name, argument)?;
        match self.worker.request::<FunctionCalls>(FunctionRequest::Call(call)).await {
            Ok(FunctionReply::Returned(bytes)) => decode(&bytes).ok_or(FunctionError::Result),
            Ok(FunctionReply::Functions(_)) => Err(FunctionError::Unknown(Reason::Malformed)),
            Err(error) => Err(of_call(error, ours)),
        }
    }

    /// Starts a function in the background, as a task of the worker: it goes on without its caller, and through lost
    /// links. Dropping the future, or what it returns, does not stop it.
    ///
    /// # Errors
    /// [`FunctionError`]; what concerns the function itself is said by [`FunctionTask::output`].
    pub async fn start<A, R, E>(
        &self,
        name: &str,
        argument: &A,
    ) -> Result<FunctionTask<R, E>, FunctionError<E>>
    where
        A: Serialize + ?Sized,
        R: Payload,
        E: Payload,
    {
        let (call, signature) = prepare::<A, R, E>(name, argument)?;
        match self.worker.start::<FunctionCalls>(call).await {
            Ok(task) => Ok(FunctionTask { task, signature, types: PhantomData }),
            Err(error) => Err(of_call(error, signature)),
        }
    }

    /// Which functions the worker has, in the order of their names. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`CallError`] says why there is no answer.
    pub async fn list(&self) -> Result<Vec<Function>, CallError<Refused>> {
        let options = CallOptions { idempotent: true, ..CallOptions::default() };
        let worker = self.worker.clone().with(options);
        match worker.request::<FunctionCalls>(FunctionRequest::List).await? {
            FunctionReply::Functions(functions) => Ok(functions),
            FunctionReply::Returned(_) => Err(CallError::Unknown(Reason::Malformed)),
        }
    }
}

/// A function that runs in the background. Cheap to clone; dropping it leaves the function alone.
pub struct FunctionTask<R, E> {
    task: TaskHandle<FunctionCalls>,
    signature: Signature,
    types: PhantomData<fn() -> (R, E)>,
}

impl<R, E> Clone for FunctionTask<R, E> {
    fn clone(&self) -> Self {
        Self { task: self.task.clone(), signature: self.signature.clone(), types: PhantomData }
    }
}

impl<R: Payload, E: Payload> FunctionTask<R, E> {
    /// The task's name in the cluster.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        self.task.id()
    }

    /// Waits for the result, however long that takes. Cancellation safe: it can be asked again while the worker keeps it.
    ///
    /// # Errors
    /// [`FunctionError`].
    pub async fn output(&self) -> Result<R, FunctionError<E>> {
        match self.task.output().await {
            Ok(bytes) => decode(&bytes).ok_or(FunctionError::Result),
            Err(TaskError::Failed(refused)) => Err(of_refused(refused, self.signature.clone())),
            Err(TaskError::Stopped | TaskError::Killed) => Err(FunctionError::Stopped),
            Err(TaskError::Aborted(reason)) => Err(of_aborted(reason)),
            Err(TaskError::Lost) => Err(FunctionError::Aborted(Reason::OtherGeneration)),
            Err(TaskError::Unknown(reason)) => Err(FunctionError::Unknown(reason)),
        }
    }

    /// Ends the function after `grace`, if it has not ended by itself; it learns nothing of it. Returns when the worker
    /// has taken that over.
    ///
    /// # Errors
    /// [`CallError`] says whether the worker knows.
    pub async fn stop(&self, grace: Duration) -> Result<(), CallError<Refused>> {
        self.task.stop(grace).await
    }
}

fn prepare<A, R, E>(name: &str, argument: &A) -> Result<(FunctionCall, Signature), FunctionError<E>>
where
    A: Serialize + ?Sized,
{
    let argument =
        postcard::to_stdvec(argument).map_err(|_| FunctionError::NotExecuted(Reason::Malformed))?;
    let signature = Signature::of::<A, R, E>();
    let call =
        FunctionCall { name: name.to_owned(), signature: signature.clone(), argument: argument.into() };
    Ok((call, signature))
}

fn decode<T: Payload>(bytes: &Bytes) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

fn of_call<E: Payload>(error: CallError<Refused>, ours: Signature) -> FunctionError<E> {
    match error {
        CallError::Failed(refused) => of_refused(refused, ours),
        CallError::Aborted(reason) => of_aborted(reason),
        CallError::NotExecuted(reason) => FunctionError::NotExecuted(reason),
        CallError::Unknown(reason) => FunctionError::Unknown(reason),
    }
}

fn of_aborted<E>(reason: Reason) -> FunctionError<E> {
    match reason {
        Reason::Panicked(text) => FunctionError::Panicked(text),
        reason => FunctionError::Aborted(reason),
    }
}

fn of_refused<E: Payload>(refused: Refused, ours: Signature) -> FunctionError<E> {
    match refused {
        Refused::NoSuchFunction => FunctionError::NoSuchFunction,
        Refused::OtherSignature { theirs } => {
            FunctionError::OtherSignature { ours: Box::new(ours), theirs: Box::new(theirs) }
        }
        Refused::Argument => FunctionError::Argument,
        Refused::Failed(bytes) => decode(&bytes).map_or(FunctionError::Result, FunctionError::Failed),
        Refused::ResultTooLarge { bytes, bytes_max } => FunctionError::ResultTooLarge { bytes, bytes_max },
    }
}
