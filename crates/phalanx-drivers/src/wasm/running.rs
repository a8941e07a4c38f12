//! A guest as a task: it runs on a thread of its own, and asks the task for what only that has.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_jobs::{CommandReply, Signal, TaskContext};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::sleep;

use super::class::{Entry, Returned, Wasm};
use super::error::WasmError;
use super::guest::{self, Start};
use super::server::WasmHost;
use super::stop::Waiting;

/// How many questions of a guest wait: it asks one at a time.
const ASKS_MAX: usize = 1;

/// The shortest wait for a command: so that a guest which only waits leaves the machine to others.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// What a guest asks its task.
#[derive(Debug)]
pub(super) enum Ask {
    /// Tell this event. The answer is whether it was taken.
    Emit(Bytes, oneshot::Sender<bool>),
    /// Wait so long for a command.
    Wait(Duration, oneshot::Sender<Waited>),
    /// Answer the command. The answer is whether there was one.
    Reply(Bytes, oneshot::Sender<bool>),
}

/// What has come of a wait.
#[derive(Debug)]
pub(super) enum Waited {
    Command(Bytes),
    Nothing,
    Stopping,
}

/// Runs a guest as a task until it has ended.
pub(super) async fn run(
    host: &WasmHost,
    cx: &TaskContext<Wasm>,
    permit: OwnedSemaphorePermit,
    entry: &Entry,
    input: Bytes,
) -> Result<Returned, WasmError> {
    let (running, data) = host.store().begin(entry)?;
    let (task, asks) = mpsc::channel(ASKS_MAX);
    let waiting = Waiting::default();
    let (function, stop) = (entry.function.clone(), waiting.stop());
    let start = Start { running, function, input, data, stop, task: Some(task) };
    let machine = host.machine().clone();
    let guest = cx.blocking(move || {
        let _permit = permit;
        guest::run(&machine, start)
    });
    let time_is_over = sleep(host.machine().limits.task_time);
    tokio::pin!(guest, time_is_over);
    let mut answering = Answering { cx, command: None, is_stopping: false };
    let mut is_over = false;
    let mut asks = Some(asks);
    loop {
        // A guest that has been answered asks the next question, until it has ended.
        let answered = async {
            match asks.as_mut() {
                Some(asks) => match asks.recv().await {
                    Some(ask) => answering.answer(ask).await,
                    None => pending().await,
                },
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = &mut guest => return ended.unwrap_or(Err(WasmError::Panicked)),
            () = &mut time_is_over, if !is_over => {
                is_over = true;
                waiting.time_out();
            }
            () = answered => {}
        }
        if is_over {
            // With it go the questions that wait: their guest sees that there is no answer, and why.
            asks = None;
        }
    }
}

/// The task's half of the questions.
struct Answering<'a> {
    cx: &'a TaskContext<Wasm>,
    command: Option<CommandReply<Wasm>>,
    is_stopping: bool,
}

impl Answering<'_> {
    /// Whoever has asked may be gone: then nobody wants the answer.
    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Emit(event, answer) => {
                let _ = answer.send(self.cx.emit(event).await.is_ok());
            }
            Ask::Wait(time, answer) => {
                // A command that was let go of gets no answer.
                self.command = None;
                let waited = self.wait(time.max(WAIT_MIN)).await;
                let _ = answer.send(waited);
            }
            Ask::Reply(reply, answer) => {
                let command = self.command.take();
                let _ = answer.send(command.is_some());
                if let Some(command) = command {
                    command.send(Ok(reply)).await;
                }
            }
        }
    }

    async fn wait(&mut self, time: Duration) -> Waited {
        let time_is_over = sleep(time);
        tokio::pin!(time_is_over);
        while !self.is_stopping {
            let signal = tokio::select! {
                biased;
                signal = self.cx.recv() => signal,
                () = &mut time_is_over => return Waited::Nothing,
            };
            match signal {
                Some(Signal::Command(command, reply)) => {
                    self.command = Some(reply);
                    return Waited::Command(command);
                }
                Some(Signal::Status(_)) => {}
                Some(Signal::Stop { .. }) | None => self.is_stopping = true,
            }
        }
        Waited::Stopping
    }
}

/// Runs a guest as a call. Dropped, it ends the guest.
pub(super) async fn call(
    host: &WasmHost,
    cx: &phalanx_jobs::RequestContext,
    permit: OwnedSemaphorePermit,
    entry: &Entry,
    input: Bytes,
) -> Result<Returned, WasmError> {
    let (running, data) = host.store().begin(entry)?;
    let waiting = Waiting::default();
    let (function, stop) = (entry.function.clone(), waiting.stop());
    let start = Start { running, function, input, data, stop, task: None };
    let machine: Arc<_> = host.machine().clone();
    let guest = cx.blocking(move || {
        let _permit = permit;
        guest::run(&machine, start)
    });
    let ended = guest.await.unwrap_or(Err(WasmError::Panicked));
    drop(waiting);
    ended
}
