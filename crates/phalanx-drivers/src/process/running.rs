//! A task while its program runs: what the supervisor tells becomes events, what the task is told becomes orders.

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use phalanx_jobs::{CommandReply, Signal as TaskSignal, TaskContext};
use rustix::process::Signal;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::class::{Finished, InForce, Process, ProcessError, STDIN_WRITES_MAX, Said, Tell, WRITE_BYTES_MAX};
use super::finish::finish;
use super::protocol::{Ended, Here, Order, Told};
use super::supervisor::Supervised;
use super::telling::Telling;
use super::terminal::END_OF_INPUT;
use crate::output::TICKS_PER_SECOND;

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

/// What the task of a program is like.
pub(super) struct Task {
    /// How many writes wait, while its standard input is open.
    pub(super) stdin_waiting: Option<usize>,
    pub(super) has_terminal: bool,
    pub(super) must_succeed: bool,
}

/// How a task begins.
pub(super) enum Beginning {
    /// Its program is being started.
    Started(Started),
    /// Its program was kept.
    Kept(Found),
}

/// A program that was kept.
pub(super) struct Found {
    pub(super) here: Here,
    /// From where on its output is told.
    pub(super) from: u64,
    pub(super) folder: PathBuf,
    /// Whether it may not go on after all.
    pub(super) is_to_die: bool,
}

/// What is told when the program is there.
pub(super) struct Started {
    pub(super) in_force: InForce,
    pub(super) folder: String,
}

/// A program that runs, as its task sees it.
pub(super) struct Running<'a> {
    cx: &'a TaskContext<Process>,
    supervised: Supervised,
    stdin: Stdin,
    has_terminal: bool,
    kill_at: Option<Instant>,
    was_told_to_stop: bool,
    must_succeed: bool,
    ticks: Interval,
    telling: Telling<'a>,
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
        task: &Task,
        telling: Telling<'a>,
    ) -> Self {
        let mut ticks = interval(Duration::from_millis(1_000 / TICKS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            cx,
            supervised,
            stdin: task.stdin_waiting.map_or(Stdin::Closed, Stdin::Open),
            has_terminal: task.has_terminal,
            kill_at: None,
            was_told_to_stop: false,
            must_succeed: task.must_succeed,
            ticks,
            telling,
        }
    }

    /// Goes on until the program has ended. Dropping the future kills it with all that it has started, unless it is kept.
    pub(super) async fn run(mut self, begin: Beginning) -> Result<Finished, ProcessError> {
        let ended = self.go_on(begin).await;
        if !matches!(ended, Ok(_) | Err(ProcessError::ShuttingDown)) {
            self.supervised.abandon();
        }
        let ended = ended?;
        self.supervised.wait().await;
        finish(self.cx, ended, self.must_succeed && !self.was_told_to_stop).await
    }

    async fn go_on(&mut self, begin: Beginning) -> Result<Ended, ProcessError> {
        let mut started = match begin {
            Beginning::Started(started) => Some(started),
            Beginning::Kept(kept) => {
                self.catch_up(kept).await?;
                None
            }
        };
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
                Woken::Tick => self.telling.grow(),
                Woken::Told(Ok(Told::Ended(ended))) => {
                    self.telling.skipped().await?;
                    return Ok(ended);
                }
                Woken::Told(Ok(Told::Failed(why))) => {
                    return Err(ProcessError::CannotStart(why));
                }
                Woken::Told(Ok(Told::Started { pid })) => {
                    if let Some(Started { in_force, folder }) = started.take() {
                        let pid = u32::try_from(pid).unwrap_or_default();
                        self.telling.emit(Said::Started { pid, folder, in_force }).await?;
                    }
                }
                Woken::Told(Ok(told)) => self.handle_told(told).await?,
                Woken::Told(Err(error)) => {
                    self.supervised.kill_group();
                    return Err(ProcessError::SupervisorLost(error.to_string()));
                }
            }
        }
    }

    /// Tells that the program was kept, and what it has written since.
    async fn catch_up(&mut self, kept: Found) -> Result<(), ProcessError> {
        let Found { here, from, folder, is_to_die } = kept;
        if is_to_die {
            self.order(&Order::Kill).await;
        }
        self.telling.emit(Said::Kept { pid: u32::try_from(here.pid).ok(), from }).await?;
        self.telling.catch_up(&folder, from, here.end).await
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
            _ = self.ticks.tick(), if !self.telling.is_at_rest() => Woken::Tick,
            told = self.supervised.next() => Woken::Told(told),
        }
    }

    /// A supervisor that takes no order has gone, and what it told last says more.
    async fn order(&mut self, order: &Order) {
        let _ = self.supervised.order(order).await;
    }

    async fn handle_told(&mut self, told: Told) -> Result<(), ProcessError> {
        match told {
            Told::Output(chunk) => self.telling.output(chunk).await,
            Told::Logged { end } => {
                self.telling.note_end(end);
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
                self.telling.emit(Said::StdinClosed).await
            }
            Told::StdinLost | Told::Started { .. } | Told::Ended(_) | Told::Failed(_) | Told::Here(_) => {
                Ok(())
            }
        }
    }

    async fn handle_command(&mut self, command: Tell, reply: CommandReply<Process>) {
        let answer = match command {
            Tell::Write(bytes) => self.write(bytes).await,
            Tell::CloseStdin if self.has_terminal => self.write(Bytes::from_static(&[END_OF_INPUT])).await,
            Tell::Resize(_) if !self.has_terminal => Err(ProcessError::NoTerminal),
            Tell::Resize(size) => {
                self.order(&Order::Resize(size)).await;
                Ok(())
            }
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
        self.was_told_to_stop = true;
        self.kill_at = Some(self.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        if self.supervised.is_kept() {
            // What must end does not go on behind a worker's back.
            self.supervised.let_die().await;
            self.cx.outlive_worker(false).await;
        }
        if self.has_terminal {
            // As when a terminal is closed: a shell that somebody talks to does not heed the other one.
            self.order(&Order::Signal(Signal::HUP.as_raw())).await;
        }
        self.order(&Order::Signal(Signal::TERM.as_raw())).await;
    }
}
