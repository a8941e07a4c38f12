//! A job class that does as it is told: well, badly, slowly, or not at all.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use phalanx::{
    JobClass, JobHandler, NodeId, NodeStatus, OutgoingTransfer, RequestContext, Signal, TaskContext,
    Transfer, TransferError,
};
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, Unfinished};

/// The contract.
#[derive(Debug)]
pub struct Probe;

/// What a worker can be asked. The numbers are the scenario's own names of its requests, for the [`Ledger`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Say this back.
    Echo(u64, String),
    /// Fail with this text.
    Fail(String),
    /// Panic with this text.
    Panic(String),
    /// Never answer.
    Hang(u64),
    /// Block the thread for so many milliseconds, then answer.
    Block(u64, u64),
}

/// A worker's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub worker: NodeId,
    /// What was asked to be said.
    pub text: String,
}

/// What a task can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Say the numbers from 1 to this one, then end.
    Count(u64),
    /// Say a number every so many milliseconds until told to finish.
    Tick(u64),
    /// Do what the commands say, take transfers, and send what is [`Wanted`], until told to finish. What it is told to stop it takes as an order.
    Listen,
    /// Say how the worker is whenever that changes, and stop when told to.
    Watch,
    /// Take neither commands nor the order to stop.
    Deaf(u64),
    /// Take the first transfer, and let go of it after its first chunk.
    Reject,
    /// Fail with this text.
    Fail(String),
    /// Panic with this text.
    Panic(String),
}

/// What can be got from a task that listens: the first so many bytes of [`content`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    Whole(u64),
    /// Them, and then the source fails.
    Failing(u64),
    /// Them, and then the task lets go.
    Dropped(u64),
    /// Them, and then a byte now and then, for ever.
    Stuck(u64),
}

impl Wanted {
    /// What the task is told.
    #[must_use]
    pub fn note(&self) -> Bytes {
        let (tag, length) = match self {
            Self::Whole(length) => (0, length),
            Self::Failing(length) => (1, length),
            Self::Dropped(length) => (2, length),
            Self::Stuck(length) => (3, length),
        };
        [&[tag][..], &length.to_le_bytes()].concat().into()
    }

    fn of(note: &[u8]) -> Option<Self> {
        let (tag, length) = note.split_first()?;
        let length = u64::from_le_bytes(length.try_into().ok()?);
        Some(match tag {
            0 => Self::Whole(length),
            1 => Self::Failing(length),
            2 => Self::Dropped(length),
            3 => Self::Stuck(length),
            _ => return None,
        })
    }
}

/// Bytes from a place on that repeat with no power of two, so that no chunk is like another.
#[must_use]
pub fn content(from: u64, length: usize) -> Vec<u8> {
    let round: Vec<u8> = (0..=250).collect();
    let begin = usize::try_from(from % 251).unwrap_or(0);
    let mut bytes = round.repeat((begin + length).div_ceil(251));
    bytes.drain(..begin);
    bytes.truncate(length);
    bytes
}

/// What a running task can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Knob {
    /// Note this number. The answer is how many were noted.
    Note(u64),
    /// Say the numbers up to so many.
    Say(u64),
    /// The answer is how many bytes the task has given away so far.
    Given,
    /// Fail this command.
    Refuse(String),
    /// End well. The output is what was noted.
    Finish,
}

/// What a task says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The next number, from 1.
    Number(u64),
    /// A transfer has come as a whole; this is the task's own count and hash of it.
    Received {
        /// How many bytes came.
        bytes: u64,
        /// The hash of the chunks, in their order.
        blake3: [u8; 32],
    },
    /// A transfer was not whole, and why.
    Broken(String),
    /// The worker is so now.
    Is(NodeStatus),
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oops(
    /// In words.
    pub String,
);

impl JobClass for Probe {
    const NAME: &'static str = "probe";
    const VERSION: u32 = 1;
    type Request = Ask;
    type Reply = Answer;
    type Task = Work;
    type Output = String;
    type Command = Knob;
    type CommandReply = u64;
    type Event = Said;
    type Error = Oops;
}

/// The worker's half.
#[derive(Debug, Clone, Default)]
pub struct Prober {
    ledger: Ledger,
}

impl Prober {
    /// Writes into this ledger.
    #[must_use]
    pub fn new(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone() }
    }
}

impl JobHandler<Probe> for Prober {
    async fn request(&self, cx: RequestContext, ask: Ask) -> Result<Answer, Oops> {
        let answer = |text: String| Ok(Answer { worker: cx.worker().clone(), text });
        match ask {
            Ask::Echo(number, text) => {
                self.ledger.begin(number).finish();
                answer(text)
            }
            Ask::Fail(text) => Err(Oops(text)),
            Ask::Panic(text) => panic!("{text}"),
            Ask::Hang(number) => {
                let _unfinished = self.ledger.begin(number);
                pending().await
            }
            Ask::Block(number, milliseconds) => {
                let unfinished = self.ledger.begin(number);
                std::thread::sleep(Duration::from_millis(milliseconds));
                unfinished.finish();
                answer(String::new())
            }
        }
    }

    async fn task(&self, cx: TaskContext<Probe>, work: Work) -> Result<String, Oops> {
        let mut task = Running { cx: &cx, said: 0, noted: Vec::new(), given: Arc::default() };
        match work {
            Work::Count(last) => {
                task.say(last).await?;
                Ok(format!("counted to {last}"))
            }
            Work::Tick(milliseconds) => task.run(Some(Duration::from_millis(milliseconds))).await,
            Work::Listen => task.run(None).await,
            Work::Watch => task.watch().await,
            Work::Deaf(number) => {
                let _unfinished: Unfinished = self.ledger.begin(number);
                pending().await
            }
            Work::Reject => {
                let mut transfer = cx.transfer().await.ok_or_else(stops)?;
                transfer.next().await;
                drop(transfer);
                task.run(None).await
            }
            Work::Fail(text) => Err(Oops(text)),
            Work::Panic(text) => panic!("{text}"),
        }
    }
}

fn stops() -> Oops {
    Oops("the worker stops".to_owned())
}

struct Running<'a> {
    cx: &'a TaskContext<Probe>,
    said: u64,
    noted: Vec<u64>,
    given: Arc<AtomicU64>,
}

impl Running<'_> {
    /// Says the next numbers, up to `last`.
    async fn say(&mut self, last: u64) -> Result<(), Oops> {
        while self.said < last {
            self.said += 1;
            self.emit(Said::Number(self.said)).await?;
        }
        Ok(())
    }

    async fn emit(&self, said: Said) -> Result<(), Oops> {
        self.cx.emit(said).await.map_err(|error| Oops(error.to_string()))
    }

    async fn run(mut self, tick: Option<Duration>) -> Result<String, Oops> {
        let mut transfers = FuturesUnordered::new();
        loop {
            let next_tick = async {
                match tick {
                    Some(tick) => tokio::time::sleep(tick).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                signal = self.cx.recv() => match signal.ok_or_else(stops)? {
                    Signal::Command(Knob::Note(number), reply) => {
                        self.noted.push(number);
                        reply.send(Ok(self.noted.len() as u64)).await;
                    }
                    Signal::Command(Knob::Say(last), reply) => {
                        self.say(last).await?;
                        reply.send(Ok(last)).await;
                    }
                    Signal::Command(Knob::Given, reply) => reply.send(Ok(self.given.load(Relaxed))).await,
                    Signal::Command(Knob::Refuse(text), reply) => reply.send(Err(Oops(text))).await,
                    Signal::Command(Knob::Finish, reply) => {
                        reply.send(Ok(self.said)).await;
                        return Ok(self.output());
                    }
                    Signal::Stop { .. } => return Err(Oops(format!("stopped after {}", self.output()))),
                    Signal::Status(_) => {}
                },
                Some(said) = transfers.next() => self.emit(said).await?,
                transfer = self.cx.transfer() => transfers.push(take(transfer.ok_or_else(stops)?).boxed()),
                transfer = self.cx.outgoing() => transfers.push(give(transfer.ok_or_else(stops)?, self.given.clone()).boxed()),
                () = next_tick => self.say(self.said + 1).await?,
            }
        }
    }

    async fn watch(self) -> Result<String, Oops> {
        loop {
            match self.cx.recv().await.ok_or_else(stops)? {
                Signal::Status(status) => self.emit(Said::Is(status)).await?,
                Signal::Stop { .. } => return Ok("told to stop".to_owned()),
                Signal::Command(_, reply) => reply.send(Ok(0)).await,
            }
        }
    }

    fn output(&self) -> String {
        let noted: Vec<String> = self.noted.iter().map(u64::to_string).collect();
        noted.join(" ")
    }
}

/// Takes a transfer to its end.
async fn take(mut transfer: Transfer) -> Said {
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = transfer.next().await {
        match chunk {
            Ok(bytes) => hasher.update(&bytes),
            Err(error) => return Said::Broken(error.to_string()),
        };
    }
    Said::Received { bytes: hasher.count(), blake3: *hasher.finalize().as_bytes() }
}

/// How many bytes are sent at a time: no round number of chunks.
const PIECE_BYTES: u64 = 300_000;

/// Gives what is wanted, and says what became of it.
async fn give(mut transfer: OutgoingTransfer, given: Arc<AtomicU64>) -> Said {
    let wanted = Wanted::of(transfer.note());
    let Some(
        Wanted::Whole(length) | Wanted::Failing(length) | Wanted::Dropped(length) | Wanted::Stuck(length),
    ) = wanted
    else {
        transfer.fail("nobody knows what that is").await;
        return Said::Broken("a note that is none".to_owned());
    };
    let mut from = 0;
    while from < length {
        let piece = PIECE_BYTES.min(length - from);
        let bytes = content(from, usize::try_from(piece).unwrap_or(0));
        if let Err(error) = transfer.send(bytes.into()).await {
            return Said::Broken(error.to_string());
        }
        from += piece;
        given.fetch_add(piece, Relaxed);
    }
    match wanted {
        Some(Wanted::Failing(_)) => transfer.fail("the disk is gone").await,
        Some(Wanted::Stuck(_)) => return stuck(transfer).await,
        Some(Wanted::Whole(_)) => {
            return match transfer.finish().await {
                Ok(receipt) => Said::Received { bytes: receipt.bytes, blake3: receipt.blake3 },
                Err(error) => Said::Broken(error.to_string()),
            };
        }
        Some(Wanted::Dropped(_)) | None => drop(transfer),
    }
    Said::Broken(TransferError::Abandoned.to_string())
}

/// Sends a byte now and then, until nobody takes it.
async fn stuck(mut transfer: OutgoingTransfer) -> Said {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Err(error) = transfer.send(Bytes::from_static(b".")).await {
            return Said::Broken(error.to_string());
        }
    }
}
