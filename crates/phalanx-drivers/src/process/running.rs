//! A task while its program runs: what the supervisor tells becomes events, what the task is told becomes orders.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_jobs::{CommandReply, EmitError, Signal as TaskSignal, TaskContext};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::budget::{Budget, TICKS_PER_SECOND};
use super::class::{
    Chunk, Finished, InForce, Process, ProcessError, STDIN_WRITES_MAX, Said, Tell, WRITE_BYTES_MAX,
};
use super::protocol::{Ended, Order, Told};
use super::supervisor::Supervised;

/// How long before the deadline of a task that is to stop its program is killed: time enough to hear of the end, so that the
/// task has an output.
const STOP_MARGIN: Duration = Duration::from_millis(500);

/// What the program's standard input is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stdin {
    /// So many writes wait.
    Open(usize),
    Closed,
}

/// A program that runs, as its task sees it.
pub(super) struct Running<'a> {
    cx: &'a TaskContext<Process>,
    supervised: Supervised,
    stdin: Stdin,
    kill_at: Option<Instant>,
    ticks: Interval,
    budget: Budget,
    end: Arc<watch::Sender<u64>>,
}

/// What woke the task.
enum Woken {
    Signal(Option<TaskSignal<Process>>),
    Kill,
    Tick,
    Told(std::io::Result<Told>),
}

impl<'a> Running<'a> {
    pub(super) fn new(
        cx: &'a TaskContext<Process>,
        supervised: Supervised,
        stdin_open: bool,
        event_bytes_per_second_max: u64,
        end: Arc<watch::Sender<u64>>,
    ) -> Self {
        let mut ticks = interval(Duration::from_millis(1_000 / TICKS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            cx,
            supervised,
            stdin: if stdin_open { Stdin::Open(0) } else { Stdin::Closed },
            kill_at: None,
            ticks,
            budget: Budget::new(event_bytes_per_second_max),
            end,
        }
    }

    /// Goes on until the program has ended. Dropping the future kills it with all that it has started.
    pub(super) async fn run(mut self, in_force: InForce, folder: String) -> Result<Finished, ProcessError> {
        loop {
            match self.woken().await {
                Woken::Signal(None) => return Err(ProcessError::ShuttingDown),
                Woken::Signal(Some(TaskSignal::Command(command, reply))) => {
                    self.handle_command(command, reply).await;
                }
                Woken::Signal(Some(TaskSignal::Stop { deadline })) => {
                    let deadline = Instant::from_std(deadline);
                    self.stop(deadline.checked_sub(STOP_MARGIN).unwrap_or(deadline)).await;
                }
                Woken::Signal(Some(TaskSignal::Status(_))) => {}
                Woken::Kill => {
                    self.kill_at = None;
                    self.order(&Order::Kill).await;
                }
                Woken::Tick => self.budget.grow(),
                Woken::Told(Ok(Told::Ended(ended))) => return self.finish(ended).await,
                Woken::Told(Ok(Told::Failed(why))) => {
                    self.supervised.wait().await;
                    return Err(ProcessError::CannotStart(why));
                }
                Woken::Told(Ok(Told::Started { pid })) => {
                    let pid = u32::try_from(pid).unwrap_or_default();
                    self.emit(Said::Started { pid, folder: folder.clone(), in_force }).await?;
                }
                Woken::Told(Ok(told)) => self.handle_told(told).await?,
                Woken::Told(Err(error)) => {
                    self.supervised.kill_group();
                    return Err(ProcessError::SupervisorLost(error.to_string()));
                }
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        let kill = async {
            match self.kill_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = self.cx.recv() => Woken::Signal(signal),
            () = kill => Woken::Kill,
            _ = self.ticks.tick(), if !self.budget.is_full() => Woken::Tick,
            told = self.supervised.next() => Woken::Told(told),
        }
    }

    async fn emit(&self, said: Said) -> Result<(), ProcessError> {
        match self.cx.emit(said).await {
            Ok(()) => Ok(()),
            Err(EmitError::ShuttingDown) => Err(ProcessError::ShuttingDown),
            Err(EmitError::Refused(reason)) => Err(ProcessError::Invalid(reason.to_string())),
        }
    }

    /// A supervisor that takes no order has gone, and what it told last says more.
    async fn order(&mut self, order: &Order) {
        let _ = self.supervised.order(order).await;
    }

    async fn handle_told(&mut self, told: Told) -> Result<(), ProcessError> {
        match told {
            Told::Output(chunk) => self.tell_output(chunk).await,
            Told::Logged { end } => {
                self.end.send_replace(end);
                Ok(())
            }
            Told::LogFailed(error) => {
                tracing::warn!(task = %self.cx.id(), error, "the log of a program has a gap: the disk did not take it");
                Ok(())
            }
            Told::StdinTaken => {
                if let Stdin::Open(waiting) = &mut self.stdin {
                    *waiting = waiting.saturating_sub(1);
                }
                Ok(())
            }
            Told::StdinLost if self.stdin != Stdin::Closed => {
                self.stdin = Stdin::Closed;
                self.emit(Said::StdinClosed).await
            }
            Told::StdinLost | Told::Started { .. } | Told::Ended(_) | Told::Failed(_) => Ok(()),
        }
    }

    async fn tell_output(&mut self, chunk: Chunk) -> Result<(), ProcessError> {
        let end = chunk.offset.saturating_add(chunk.bytes.len() as u64);
        self.end.send_replace(end);
        if self.budget.spend(chunk.offset, end) {
            self.tell_skipped().await?;
            self.emit(Said::Output(chunk)).await?;
        }
        Ok(())
    }

    async fn tell_skipped(&mut self) -> Result<(), ProcessError> {
        match self.budget.take_skipped() {
            Some((from, to)) => self.emit(Said::Skipped { from, to }).await,
            None => Ok(()),
        }
    }

    async fn handle_command(&mut self, command: Tell, reply: CommandReply<Process>) {
        let answer = match command {
            Tell::Write(bytes) => self.write(bytes).await,
            Tell::CloseStdin => {
                self.stdin = Stdin::Closed;
                self.order(&Order::CloseStdin).await;
                Ok(())
            }
            Tell::Signal(number) if Signal::from_named_raw(number).is_none() => {
                Err(ProcessError::NoSuchSignal(number))
            }
            Tell::Signal(number) => {
                self.order(&Order::Signal(number)).await;
                Ok(())
            }
            Tell::Stop { grace_ms } => {
                // The instant at which such a sleep would end; it never sleeps.
                let at = sleep(Duration::from_millis(grace_ms)).deadline();
                self.stop(at).await;
                Ok(())
            }
        };
        reply.send(answer).await;
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), ProcessError> {
        if bytes.len() > WRITE_BYTES_MAX {
            return Err(ProcessError::Invalid(format!("a write of more than {WRITE_BYTES_MAX} bytes")));
        }
        match &mut self.stdin {
            Stdin::Closed => return Err(ProcessError::StdinClosed),
            Stdin::Open(waiting) if *waiting >= STDIN_WRITES_MAX => return Err(ProcessError::StdinFull),
            Stdin::Open(waiting) => *waiting += 1,
        }
        self.order(&Order::Write(bytes)).await;
        Ok(())
    }

    async fn stop(&mut self, kill_at: Instant) {
        self.kill_at = Some(self.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        self.order(&Order::Signal(Signal::TERM.as_raw())).await;
    }

    async fn finish(mut self, ended: Ended) -> Result<Finished, ProcessError> {
        self.tell_skipped().await?;
        self.supervised.wait().await;
        let Ended { exit, stdout_bytes, stderr_bytes, last_lines } = ended;
        Ok(Finished { exit, last_lines, stdout_bytes, stderr_bytes })
    }
}
