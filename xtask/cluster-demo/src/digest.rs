//! The job of the demo: a file comes in, its hash and counts go out, and progress is told on the way.

use std::io::Write;
use std::time::Duration;

use phalanx::{
    EventContext, EventHandler, JobClass, JobHandler, Nothing, RequestContext, TaskContext, TaskError,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::protocol::{Handled, Notice};

/// How long a task waits for the next bytes of its file before it gives up: its sender may have been killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many events a large file gives.
const PROGRESS_STEPS: u64 = 4;

/// The contract.
pub(crate) struct Digest;

/// What a task starts with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// What is known of a file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) blake3: String,
}

impl JobClass for Digest {
    const NAME: &'static str = "digest";
    const VERSION: u32 = 1;
    type Request = u64;
    type Reply = u64;
    type Task = File;
    type Output = Summary;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

/// Counts and hashes a content that comes in pieces; the demo itself checks the workers with it, on the whole at once.
#[derive(Default)]
pub(crate) struct Counter {
    hasher: blake3::Hasher,
    lines: u64,
    words: u64,
    in_word: bool,
}

impl Counter {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        for byte in bytes {
            self.lines += u64::from(*byte == b'\n');
            let in_word = !byte.is_ascii_whitespace();
            self.words += u64::from(in_word && !self.in_word);
            self.in_word = in_word;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.hasher.count()
    }

    pub(crate) fn summary(&self) -> Summary {
        let blake3 = self.hasher.finalize().to_hex().to_string();
        Summary { bytes: self.bytes(), lines: self.lines, words: self.words, blake3 }
    }
}

/// The worker's half.
pub(crate) struct Digester;

impl JobHandler<Digest> for Digester {
    async fn request(&self, _: RequestContext, number: u64) -> Result<u64, String> {
        Ok(number)
    }

    async fn task(&self, cx: TaskContext<Digest>, file: File) -> Result<Summary, String> {
        let slow = |_| format!("no bytes of {} came for {PATIENCE:?}", file.name);
        let mut transfer = timeout(PATIENCE, cx.transfer()).await.map_err(slow)?.ok_or("the worker stops")?;
        let mut counter = Counter::default();
        let mut told = 0;
        while let Some(chunk) = timeout(PATIENCE, transfer.next()).await.map_err(slow)? {
            counter.add(&chunk.map_err(|error| error.to_string())?);
            let step = counter.bytes() * PROGRESS_STEPS / file.bytes.max(1);
            while told < step {
                told += 1;
                cx.emit(counter.bytes()).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(counter.summary())
    }
}

/// The control node's half: every event is told to the parent before it is acknowledged.
pub(crate) struct Teller;

impl EventHandler<Digest> for Teller {
    /// How many events the handler has seen, wherever the proxy was.
    type State = u64;

    async fn event(&self, cx: &EventContext, seen: &mut u64, _: u64) {
        *seen += 1;
        tell_handled(cx, cx.sequence, false);
    }

    async fn gap(&self, cx: &EventContext, _: &mut u64, missing: std::ops::RangeInclusive<u64>) {
        tell(&Notice::Gap { worker: cx.worker.to_string(), from: *missing.start(), through: *missing.end() });
    }

    async fn ended(&self, cx: &EventContext, _: &mut u64, _: Result<Summary, TaskError<String>>) {
        tell_handled(cx, cx.sequence, true);
    }
}

fn tell_handled(cx: &EventContext, sequence: u64, ended: bool) {
    tell(&Notice::Handled(Handled {
        worker: cx.worker.to_string(),
        task: format!("{}/{}", cx.generation, cx.task),
        sequence,
        ended,
    }));
}

/// Writes one line to the parent, at once: a line that was written is read even if this process is killed next.
pub(crate) fn tell(notice: &Notice) {
    let Ok(mut line) = serde_json::to_string(notice) else { return };
    line.push('\n');
    let mut out = std::io::stdout().lock();
    // A parent that is gone reads nothing; the node ends by the end of its input.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_count_as_the_whole() {
        let text = b"one two\nthree  \n\nfour";
        let mut whole = Counter::default();
        whole.add(text);
        for cut in 0..text.len() {
            let mut pieces = Counter::default();
            pieces.add(&text[..cut]);
            pieces.add(&text[cut..]);
            assert_eq!(pieces.summary(), whole.summary());
        }
        assert_eq!((whole.summary().lines, whole.summary().words), (3, 4));
    }
}
