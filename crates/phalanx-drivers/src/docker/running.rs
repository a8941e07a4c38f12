//! A task while its container runs: what it writes becomes events, what the task is told becomes orders to the daemon.
//!
//! Output comes from the container's own streams and not from the daemon's log, so that it is exact byte for byte; who
//! writes more than is taken has to wait. When the daemon goes away the task looks for it: a daemon that leaves containers
//! alone while it restarts is attached to again, and of another one the task learns how its container ended.

use std::future::pending;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerWaitResponse};
use bytes::Bytes;
use futures_util::StreamExt;
use phalanx_jobs::{CommandReply, EmitError, Signal as TaskSignal, TaskContext};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::backlog::Backlog;
use super::class::{CHUNK_BYTES_MAX, Chunk, Docker, Finished, Said, Stream, Tell};
use super::daemon::{failed, is_absent};
use super::error::DockerError;
use super::orders::{Attached, Exit, ORDER_MAX, Orders, Output};
use crate::output::{Budget, TICKS_PER_SECOND, Tail};

/// How long before the deadline of a task that is to stop its container is killed: the daemon needs a moment to clear it
/// away, and the task shall have an output.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// How often a container is killed that does not end, and how often a lost daemon is looked for.
const AGAIN: Duration = Duration::from_millis(500);

/// How long each piece of the last output may take after the end.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The exit code of who was killed.
const KILLED: i64 = 128 + 9;

/// How often the daemon is asked whether that was for lack of memory.
const OOM_TRIES: u32 = 4;
const OOM_PAUSE: Duration = Duration::from_millis(100);

/// The greatest number of a signal.
const SIGNAL_MAX: i32 = 64;

/// Whether the daemon is there.
enum Daemon {
    There { output: Option<Output>, exit: Exit },
    Lost { again_at: Instant, until: Instant },
}

/// How much was written.
#[derive(Default)]
struct Written {
    stdout_bytes: u64,
    stderr_bytes: u64,
    tail: Tail,
}

/// How it has ended.
pub(super) struct Ended {
    pub(super) finished: Finished,
    /// Whether that was asked for.
    pub(super) was_told_to_stop: bool,
}

/// A container that runs, as its task sees it.
pub(super) struct Running<'a> {
    cx: &'a TaskContext<Docker>,
    orders: Orders,
    daemon: Daemon,
    away_max: Duration,
    kill_at: Option<Instant>,
    ticks: Interval,
    budget: Budget,
    tells_output: bool,
    written: Written,
    backlog: &'a Backlog,
}

/// What woke the task.
enum Woken {
    Signal(Option<TaskSignal<Docker>>),
    Kill,
    Tick,
    Output(Option<Result<LogOutput, Error>>),
    Exit(Option<Result<ContainerWaitResponse, Error>>),
    Again,
}

/// What the container writes next; with a reader, once he has room for it. Cancellation safe.
async fn next(backlog: &Backlog, output: &mut Output) -> Option<Result<LogOutput, Error>> {
    backlog.room().await;
    output.next().await
}

/// The instant at which such a sleep would end; it never sleeps.
fn after(duration: Duration) -> Instant {
    sleep(duration).deadline()
}

impl<'a> Running<'a> {
    pub(super) fn new(
        cx: &'a TaskContext<Docker>,
        orders: Orders,
        output: Output,
        backlog: &'a Backlog,
    ) -> Self {
        let mut ticks = interval(Duration::from_millis(1_000 / TICKS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            cx,
            daemon: Daemon::There { output: Some(output), exit: orders.exit() },
            orders,
            away_max: Duration::ZERO,
            kill_at: None,
            ticks,
            budget: Budget::new(0),
            tells_output: false,
            written: Written::default(),
            backlog,
        }
    }

    /// Tells so much of the output as events.
    pub(super) fn telling(mut self, event_bytes_per_second_max: u64) -> Self {
        self.tells_output = true;
        self.budget = Budget::new(event_bytes_per_second_max);
        self
    }

    /// How long the daemon may be away.
    pub(super) fn away_max(mut self, away_max: Duration) -> Self {
        self.away_max = away_max;
        self
    }

    /// Goes on until the container has ended. Dropping the future leaves it alone.
    pub(super) async fn run(mut self) -> Result<Ended, DockerError> {
        loop {
            match self.woken().await {
                Woken::Signal(None) => return Err(DockerError::ShuttingDown),
                Woken::Signal(Some(TaskSignal::Command(command, reply))) => {
                    self.handle_command(command, reply).await;
                }
                Woken::Signal(Some(TaskSignal::Stop { deadline })) => {
                    let deadline = Instant::from_std(deadline);
                    self.stop(deadline.checked_sub(STOP_MARGIN).unwrap_or(deadline)).await;
                }
                Woken::Signal(Some(TaskSignal::Status(_))) => {}
                Woken::Kill => {
                    // Until it is dead: the daemon may have been away.
                    self.kill_at = Some(after(AGAIN));
                    let _ = self.orders.kill("SIGKILL").await;
                }
                Woken::Tick => self.budget.grow(),
                Woken::Output(Some(Ok(output))) => self.tell_output(output).await?,
                Woken::Output(_) => self.end_output(),
                Woken::Exit(Some(Ok(ended))) => return self.finish(ended.status_code).await,
                Woken::Exit(Some(Err(Error::DockerContainerWaitError { code, .. }))) => {
                    return self.finish(code).await;
                }
                Woken::Exit(Some(Err(error))) => self.lose(&failed(error).to_string()).await?,
                Woken::Exit(None) => self.lose("its answer ended").await?,
                Woken::Again => {
                    if let Some(state) = self.look().await? {
                        return self.finish(state.exit_code.unwrap_or_default()).await;
                    }
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
        let daemon = async {
            match &mut self.daemon {
                Daemon::Lost { again_at, .. } => {
                    sleep_until(*again_at).await;
                    Woken::Again
                }
                Daemon::There { output: None, exit } => Woken::Exit(exit.next().await),
                Daemon::There { output: Some(output), exit } => tokio::select! {
                    biased;
                    output = next(self.backlog, output) => Woken::Output(output),
                    exit = exit.next() => Woken::Exit(exit),
                },
            }
        };
        tokio::select! {
            biased;
            signal = self.cx.recv() => Woken::Signal(signal),
            () = kill => Woken::Kill,
            _ = self.ticks.tick(), if !self.budget.is_full() => Woken::Tick,
            woken = daemon => woken,
        }
    }

    async fn emit(&mut self, said: Said) -> Result<(), DockerError> {
        match self.cx.emit(said).await {
            Ok(()) => Ok(()),
            Err(EmitError::ShuttingDown) => Err(DockerError::ShuttingDown),
            Err(EmitError::Refused(reason)) => Err(DockerError::Invalid(reason.to_string())),
        }
    }

    fn end_output(&mut self) {
        if let Daemon::There { output, .. } = &mut self.daemon {
            *output = None;
        }
    }

    async fn lose(&mut self, why: &str) -> Result<(), DockerError> {
        self.daemon = Daemon::Lost { again_at: after(AGAIN), until: after(self.away_max) };
        self.emit(Said::DaemonLost(why.to_owned())).await
    }

    /// Looks for a lost daemon. Says the state of a container that has ended meanwhile.
    async fn look(&mut self) -> Result<Option<ContainerState>, DockerError> {
        let Daemon::Lost { until, .. } = self.daemon else { return Ok(None) };
        match timeout(ORDER_MAX, self.orders.attach_again()).await {
            Ok(Ok(Attached::Ended(state))) => return Ok(Some(*state)),
            Ok(Ok(Attached::Runs(output))) => {
                let exit = self.orders.exit();
                self.daemon = Daemon::There { output: Some(output), exit };
                self.emit(Said::DaemonBack).await?;
                return Ok(None);
            }
            Ok(Err(error)) if is_absent(&error) => return Err(DockerError::ContainerGone),
            Ok(Err(error)) if after(Duration::ZERO) >= until => {
                return Err(DockerError::DaemonLost(failed(error).to_string()));
            }
            Err(_) if after(Duration::ZERO) >= until => {
                return Err(DockerError::DaemonLost("no answer".to_owned()));
            }
            Ok(Err(_)) | Err(_) => {}
        }
        self.daemon = Daemon::Lost { again_at: after(AGAIN), until };
        Ok(None)
    }

    async fn tell_output(&mut self, output: LogOutput) -> Result<(), DockerError> {
        let stream = match &output {
            LogOutput::StdErr { .. } => Stream::Stderr,
            LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => Stream::Stdout,
        };
        let mut bytes = output.into_bytes();
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(CHUNK_BYTES_MAX));
            self.tell_piece(stream, piece).await?;
        }
        Ok(())
    }

    async fn tell_piece(&mut self, stream: Stream, bytes: Bytes) -> Result<(), DockerError> {
        let written = &mut self.written;
        let offset = written.stdout_bytes + written.stderr_bytes;
        let end = offset + bytes.len() as u64;
        written.tail.push(stream, &bytes);
        self.backlog.push(stream, &bytes);
        match stream {
            Stream::Stdout => written.stdout_bytes += bytes.len() as u64,
            Stream::Stderr => written.stderr_bytes += bytes.len() as u64,
        }
        if self.tells_output && self.budget.spend(offset, end) {
            self.tell_skipped().await?;
            self.emit(Said::Output(Chunk { offset, stream, bytes })).await?;
        }
        Ok(())
    }

    async fn tell_skipped(&mut self) -> Result<(), DockerError> {
        match self.budget.take_skipped() {
            Some((from, to)) => self.emit(Said::Skipped { from, to }).await,
            None => Ok(()),
        }
    }

    async fn handle_command(&mut self, command: Tell, reply: CommandReply<Docker>) {
        let answer = match command {
            Tell::Signal(number) if !(1..=SIGNAL_MAX).contains(&number) => {
                Err(DockerError::NoSuchSignal(number))
            }
            Tell::Signal(number) => self.orders.kill(&number.to_string()).await,
            Tell::Stop { grace_ms } => {
                self.stop(after(Duration::from_millis(grace_ms))).await;
                Ok(())
            }
        };
        reply.send(answer).await;
    }

    /// What does not get the signal now is killed later all the same.
    async fn stop(&mut self, kill_at: Instant) {
        self.kill_at = Some(self.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        let _ = self.orders.kill(&self.orders.stop_signal).await;
    }

    async fn finish(mut self, exit_code: i64) -> Result<Ended, DockerError> {
        if let Daemon::There { output: Some(output), .. } = &mut self.daemon {
            let mut rest = std::mem::replace(output, Box::pin(futures_util::stream::empty()));
            // Its reader may need longer, and is waited for as before.
            while let Ok(Some(Ok(piece))) = timeout(DRAIN_MAX, rest.next()).await {
                self.backlog.room().await;
                self.tell_output(piece).await?;
            }
        }
        self.tell_skipped().await?;
        let oom_killed = self.was_oom_killed(exit_code).await;
        let Written { stdout_bytes, stderr_bytes, tail } = self.written;
        let last_lines = tail.into_lines();
        let finished = Finished { exit_code, oom_killed, last_lines, stdout_bytes, stderr_bytes, kept: None };
        Ok(Ended { finished, was_told_to_stop: self.kill_at.is_some() })
    }

    /// What the daemon says. It learns of a lack of memory beside the exit: where something was killed, and not from here, it
    /// is asked again. One that is gone by now says nothing.
    async fn was_oom_killed(&mut self, exit_code: i64) -> bool {
        let is_unexplained = exit_code == KILLED && self.kill_at.is_none();
        for _ in 0..if is_unexplained { OOM_TRIES } else { 1 } {
            match timeout(ORDER_MAX, self.orders.state()).await {
                Ok(Ok(state)) if state.oom_killed == Some(true) => return true,
                Ok(Ok(_)) if is_unexplained => sleep(OOM_PAUSE).await,
                _ => return false,
            }
        }
        false
    }
}
