//! A job class for stories over real processes: what every cluster is asked first.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phalanx::{JobClass, JobHandler, NodeStatus, RequestContext, Signal, TaskContext};
use serde::{Deserialize, Serialize};

/// The contract.
#[derive(Debug)]
pub struct Story;

/// What a worker can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The sum of two numbers.
    Add(u64, u64),
    /// Answer after so many milliseconds, and count that the request of this number has begun.
    Later(u64, u64),
    /// How often the request of this number has begun.
    Begun(u64),
    /// Fail with this text.
    Fail(String),
    /// Panic with this text.
    Panic(String),
    /// Block the thread for so many milliseconds.
    Block(u64),
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plot {
    /// Adds the numbers that it is told, until zero or a stop; says what it hears of the worker's state.
    Listen,
    /// Panic with this text.
    Panic(String),
}

impl JobClass for Story {
    const NAME: &'static str = "story";
    const VERSION: u32 = 1;
    type Request = Question;
    type Reply = u64;
    type Task = Plot;
    type Output = u64;
    type Command = u64;
    /// The sum so far, and the last state of the worker that the task has heard of.
    type CommandReply = (u64, Option<NodeStatus>);
    type Event = NodeStatus;
    type Error = String;
}

/// The worker's half.
#[derive(Debug, Default)]
pub struct Teller {
    begun: Mutex<BTreeMap<u64, u64>>,
}

impl Teller {
    fn begun(&self, number: u64, more: u64) -> u64 {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let count = begun.entry(number).or_default();
        *count += more;
        *count
    }
}

impl JobHandler<Story> for Teller {
    async fn request(&self, _: RequestContext, question: Question) -> Result<u64, String> {
        match question {
            Question::Add(a, b) => a.checked_add(b).ok_or_else(|| "the sum is too large".to_owned()),
            Question::Later(number, milliseconds) => {
                self.begun(number, 1);
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                Ok(number)
            }
            Question::Begun(number) => Ok(self.begun(number, 0)),
            Question::Fail(text) => Err(text),
            Question::Panic(text) => panic!("{text}"),
            Question::Block(milliseconds) => {
                std::thread::sleep(Duration::from_millis(milliseconds));
                Ok(milliseconds)
            }
        }
    }

    async fn task(&self, cx: TaskContext<Story>, plot: Plot) -> Result<u64, String> {
        if let Plot::Panic(text) = plot {
            panic!("{text}");
        }
        let (mut sum, mut heard) = (0, None);
        while let Some(signal) = cx.recv().await {
            match signal {
                Signal::Command(0, reply) => {
                    reply.send(Ok((sum, heard))).await;
                    return Ok(sum);
                }
                Signal::Command(number, reply) => {
                    sum += number;
                    reply.send(Ok((sum, heard))).await;
                }
                Signal::Status(status) => {
                    heard = Some(status);
                    cx.emit(status).await.map_err(|error| error.to_string())?;
                }
                Signal::Stop { .. } => return Err(format!("stopped at {sum}")),
            }
        }
        Err("the worker has ended".to_owned())
    }
}
