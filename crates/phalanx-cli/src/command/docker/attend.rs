//! Containers, followed from their begin to their end.

use std::time::Duration;

use phalanx::{CallError, TaskId, WorkerHandle};
use phalanx_drivers::docker::{Container, DockerError, Finished, OutputState, Run, follow, run};
use tokio::time::sleep;

use super::super::remote::{Interruptible, PAGE_WAIT, START_PAUSE, Writer, reader};
use crate::exit::Failure;

/// Starts a container, and waits until it runs or its worker has said why not.
pub(super) async fn begin(worker: &WorkerHandle, what: Run) -> Result<Container, Failure> {
    let container = run(worker, what).await?;
    let reader = reader(worker);
    let started = async {
        loop {
            match follow(&reader, container.task().id(), 0, PAGE_WAIT).await {
                // It is there when all that the policy has to say is said.
                Err(CallError::Failed(DockerError::NoSuchOutput)) => sleep(START_PAUSE).await,
                Ok(page) if page.state == OutputState::Begins => {}
                page => return page.map(drop),
            }
        }
    };
    tokio::select! {
        biased;
        end = container.finished() => { end?; }
        started = started => started?,
    }
    Ok(container)
}

/// Writes output from an offset on: what there is, and where that is wanted, what will be. Says how far it came.
pub(super) async fn pump(
    worker: &WorkerHandle,
    task: &TaskId,
    mut from: u64,
    goes_on: bool,
    writer: &mut Writer,
) -> Result<OutputState, Failure> {
    let reader = reader(worker);
    let wait = if goes_on { PAGE_WAIT } else { Duration::ZERO };
    loop {
        let page = follow(&reader, task, from, wait).await?;
        writer.output(page.gap, &page.chunks)?;
        let is_empty = page.next == from;
        from = page.next;
        match page.state {
            OutputState::GoesOn | OutputState::Begins if goes_on || !is_empty => {}
            state => return Ok(state),
        }
    }
}

/// Writes what a container says until it has ended, and says how it did.
pub(super) async fn attend(
    worker: &WorkerHandle,
    container: &Container,
    writer: &mut Writer,
) -> Result<Finished, Failure> {
    pump(worker, container.task().id(), 0, true, writer).await?;
    Ok(container.finished().await?)
}

/// The exit code of this program for that of a container.
pub(super) fn code(exit_code: i64) -> u8 {
    u8::try_from(exit_code & 0xff).unwrap_or(u8::MAX)
}

impl Interruptible for Container {
    async fn interrupt(&self, signal: i32) -> bool {
        self.signal(signal).await.is_ok()
    }

    async fn end(&self) -> bool {
        self.stop(Duration::ZERO).await.is_ok()
    }
}
