//! The class, the worker's half, and the control node's half.

use std::ops::RangeInclusive;
use std::time::Duration;

use phalanx::{
    EventContext, EventHandler, JobClass, JobHandler, RequestContext, Signal, TaskContext, TaskError,
    Transfer,
};
use phalanx_base::Boot;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::Entry;
use crate::world::NodeSeams;

/// The contract.
pub struct Probe;

/// A request: answer with this number after so long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ask {
    pub(super) number: u64,
    pub(super) after_ms: u64,
}

/// A task: tell so many events, one after each pause.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Tell {
    pub(super) number: u64,
    pub(super) events: u64,
    pub(super) pause_ms: u64,
}

/// A command, with its place among those of its task.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Order {
    pub(super) number: u64,
    pub(super) place: u64,
}

impl JobClass for Probe {
    const NAME: &'static str = "phalanx-sim.probe";
    const VERSION: u32 = 1;
    type Request = Ask;
    type Reply = u64;
    type Task = Tell;
    type Output = u64;
    type Command = Order;
    type CommandReply = u64;
    type Event = u64;
    type Error = String;
}

/// The worker's half.
pub struct ProbeJobs {
    seams: NodeSeams,
}

impl ProbeJobs {
    /// For this node.
    #[must_use]
    pub fn new(seams: &NodeSeams) -> Self {
        Self { seams: seams.clone() }
    }

    fn ran(&self, number: u64) {
        let worker = self.seams.name.parse().expect("the name of a machine is the name of a node");
        self.seams.history.record(&Entry::Ran { number, worker });
    }
}

impl JobHandler<Probe> for ProbeJobs {
    async fn request(&self, _: RequestContext, ask: Ask) -> Result<u64, String> {
        self.ran(ask.number);
        sleep(Duration::from_millis(ask.after_ms)).await;
        Ok(ask.number)
    }

    async fn task(&self, cx: TaskContext<Probe>, tell: Tell) -> Result<u64, String> {
        self.ran(tell.number);
        let pause = Duration::from_millis(tell.pause_ms);
        let (mut told, mut next) = (0, Instant::now() + pause);
        while told < tell.events {
            tokio::select! {
                biased;
                signal = cx.recv() => match signal {
                    Some(Signal::Command(order, reply)) => {
                        self.ran(order.number);
                        let Order { number, place } = order;
                        self.seams.history.record(&Entry::Commanded { task: tell.number, command: place });
                        reply.send(Ok(number)).await;
                    }
                    Some(Signal::Stop { .. }) | None => return Err("stopped".to_owned()),
                    Some(Signal::Status(_)) => {}
                },
                Some(transfer) = cx.transfer() => self.receive(transfer).await,
                () = sleep_until(next) => {
                    told += 1;
                    cx.emit(told).await.map_err(|error| error.to_string())?;
                    let (worker, task) = (cx.worker().clone(), cx.id().clone());
                    self.seams.history.record(&Entry::Emitted { worker, task, sequence: told });
                    next += pause;
                }
            }
        }
        Ok(told)
    }
}

impl ProbeJobs {
    /// A transfer says in its first bytes which one it is, and how long; then come bytes that follow from both.
    async fn receive(&self, mut transfer: Transfer) {
        let mut bytes = Vec::new();
        while let Some(chunk) = transfer.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                // It did not arrive, and nobody says that it has.
                Err(_) => return,
            }
        }
        let number = bytes.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number));
        let length = bytes
            .get(8..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |length| u64::from_le_bytes(*length));
        let whole = bytes == contents(number, length);
        self.seams.history.record(&Entry::Received { number, whole });
    }
}

/// The longest transfer, in bytes.
pub(super) const TRANSFER_BYTES_MAX: u64 = 400_000;

/// What a transfer of that number and length is made of.
pub(super) fn contents(number: u64, length: u64) -> Vec<u8> {
    let length = length.min(TRANSFER_BYTES_MAX);
    let mut bytes = Vec::with_capacity(16 + length as usize);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend((0..length).map(|at| (at.wrapping_mul(31).wrapping_add(number)) as u8));
    bytes
}

/// The control node's half: what it keeps of each task is the number of the last event that it has seen.
pub struct ProbeEvents {
    seams: NodeSeams,
}

impl ProbeEvents {
    /// For this node.
    #[must_use]
    pub fn new(seams: &NodeSeams) -> Self {
        Self { seams: seams.clone() }
    }

    fn handled(
        &self,
        cx: &EventContext,
        state: &mut u64,
        sequences: RangeInclusive<u64>,
        (ends, gap): (bool, bool),
    ) {
        let Some(at) = self.seams.boot.get().cloned() else { return };
        let worker = Boot { node: cx.worker.clone(), generation: cx.generation };
        let (first, last) = sequences.into_inner();
        let task = cx.task.clone();
        let after = std::mem::replace(state, last);
        let sequences = (first, last);
        self.seams.history.record(&Entry::Handled { at, worker, task, sequences, after, ends, gap });
    }
}

impl EventHandler<Probe> for ProbeEvents {
    type State = u64;

    async fn event(&self, cx: &EventContext, state: &mut u64, told: u64) {
        // Some take longer, so that a move or a crash meets one in hand.
        sleep(Duration::from_millis(told % 5 * 15)).await;
        if told != cx.sequence {
            let what = format!("event {told} of {} has come as {}", cx.task, cx.sequence);
            self.seams.history.violated(crate::properties::name::EVENTS_IN_ORDER, what);
        }
        self.handled(cx, state, cx.sequence..=cx.sequence, (false, false));
    }

    async fn gap(&self, cx: &EventContext, state: &mut u64, missing: RangeInclusive<u64>) {
        self.handled(cx, state, missing, (false, true));
    }

    async fn ended(&self, cx: &EventContext, state: &mut u64, _: Result<u64, TaskError<String>>) {
        self.handled(cx, state, cx.sequence..=cx.sequence, (true, false));
    }
}
