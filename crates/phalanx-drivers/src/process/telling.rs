//! Tells what a program writes as events, as far as its budget goes; also what it has written while nobody listened.

use std::path::Path;
use std::sync::Arc;

use phalanx_jobs::{EmitError, TaskContext};
use tokio::sync::watch;

use super::class::{Chunk, Gap, PAGE_CHUNKS_MAX, Process, ProcessError, Said};
use super::log::{Limit, read_page};
use crate::output::Budget;

/// How much of a log is read at one time.
const READ_BYTES: usize = 256 << 10;

/// What a task tells.
pub(super) struct Telling<'a> {
    cx: &'a TaskContext<Process>,
    /// How much may be told; `None` where output is not told at all.
    budget: Option<Budget>,
    /// How far the log is, for those who wait for more.
    end: Arc<watch::Sender<u64>>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(
        cx: &'a TaskContext<Process>,
        event_bytes_per_second_max: Option<u64>,
        end: Arc<watch::Sender<u64>>,
    ) -> Self {
        Self { cx, budget: event_bytes_per_second_max.map(Budget::new), end }
    }

    /// Whether ticks change nothing.
    pub(super) fn is_at_rest(&self) -> bool {
        self.budget.as_ref().is_none_or(Budget::is_full)
    }

    /// A tick has passed.
    pub(super) fn grow(&mut self) {
        if let Some(budget) = &mut self.budget {
            budget.grow();
        }
    }

    /// Tells an event.
    pub(super) async fn emit(&self, said: Said) -> Result<(), ProcessError> {
        match self.cx.emit(said).await {
            Ok(()) => Ok(()),
            Err(EmitError::ShuttingDown) => Err(ProcessError::ShuttingDown),
            Err(EmitError::Refused(reason)) => Err(ProcessError::Invalid(reason.to_string())),
        }
    }

    /// The log goes so far now.
    pub(super) fn note_end(&self, end: u64) {
        self.end.send_replace(end);
    }

    /// Tells a piece of output, or counts it as skipped.
    pub(super) async fn output(&mut self, chunk: Chunk) -> Result<(), ProcessError> {
        let end = chunk.offset.saturating_add(chunk.bytes.len() as u64);
        self.note_end(end);
        if self.budget.as_mut().is_some_and(|budget| budget.spend(chunk.offset, end)) {
            self.skipped().await?;
            self.emit(Said::Output(chunk)).await?;
        }
        Ok(())
    }

    /// Tells what was skipped.
    pub(super) async fn skipped(&mut self) -> Result<(), ProcessError> {
        match self.budget.as_mut().and_then(Budget::take_skipped) {
            Some((from, to)) => self.emit(Said::Skipped { from, to }).await,
            None => Ok(()),
        }
    }

    /// Tells what the log has from one offset to another. What it does not have any more is named as skipped; what the disk
    /// does not give is not told.
    pub(super) async fn catch_up(&mut self, folder: &Path, from: u64, to: u64) -> Result<(), ProcessError> {
        let mut next = from;
        while next < to && self.budget.is_some() {
            let limit = Limit { bytes_max: READ_BYTES, chunks_max: PAGE_CHUNKS_MAX };
            let folder = folder.to_owned();
            let read = self.cx.blocking(move || read_page(&folder, next, limit, Some(to))).await;
            let Ok(Ok(page)) = read else {
                tracing::warn!(task = %self.cx.id(), "the log of a kept program cannot be read: a part is not told");
                break;
            };
            if let Some(Gap { from, to }) = page.gap {
                self.skipped().await?;
                self.emit(Said::Skipped { from, to }).await?;
            }
            // What is beyond comes by itself.
            for mut chunk in page.chunks.into_iter().take_while(|chunk| chunk.offset < to) {
                chunk.bytes.truncate(usize::try_from(to - chunk.offset).unwrap_or(usize::MAX));
                self.output(chunk).await?;
            }
            if page.next <= next {
                break;
            }
            next = page.next;
        }
        self.note_end(to);
        Ok(())
    }
}
