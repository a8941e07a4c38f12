//! State that travels: a control node leaves while events flow, and another one goes on with the handler's state where it
//! was, without a gap and without a repeat.
//!
//! ```text
//! cargo run -p examples --bin handover
//! ```

use std::error::Error;
use std::time::Duration;

use phalanx::{
    Control, DrainOptions, EventContext, EventHandler, JobClass, JobHandler, NodeStatus, Nothing, Secret,
    StaticPeers, SystemEntropy, TaskContext, TaskError, Worker,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How many parcels the worker weighs, and how long each takes.
const PARCELS: u64 = 600;
const PARCEL_TIME: Duration = Duration::from_millis(5);

/// After how many parcels the owner leaves.
const LEAVE_AFTER: u64 = 150;

/// How long the program waits for the next event.
const PATIENCE: Duration = Duration::from_secs(30);

/// The contract of a scale.
struct Scale;

impl JobClass for Scale {
    const NAME: &'static str = "scale";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = u64;
    type Output = u64;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

/// The worker's half: it tells the weight of each parcel, and in the end that of all.
struct Weigher;

impl JobHandler<Scale> for Weigher {
    async fn task(&self, cx: TaskContext<Scale>, parcels: u64) -> Result<u64, String> {
        let mut sum = 0;
        for parcel in 1..=parcels {
            sum += parcel;
            cx.emit(parcel).await.map_err(|error| error.to_string())?;
            sleep(PARCEL_TIME).await;
        }
        Ok(sum)
    }
}

/// What the handler keeps for each task. It goes with the worker's proxy to another control node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    count: u64,
    sum: u64,
}

/// One thing that was handled: on which control node, its number, and the state after it.
#[derive(Clone, Copy)]
struct Handled {
    on: &'static str,
    sequence: u64,
    tally: Tally,
    ended: bool,
}

/// The control node's half.
struct Clerk {
    on: &'static str,
    handled: mpsc::Sender<Handled>,
}

impl Clerk {
    async fn tell(&self, sequence: u64, tally: Tally, ended: bool) {
        // An error says that the program has ended.
        let _ = self.handled.send(Handled { on: self.on, sequence, tally, ended }).await;
    }
}

impl EventHandler<Scale> for Clerk {
    type State = Tally;

    async fn event(&self, cx: &EventContext, tally: &mut Tally, weight: u64) {
        *tally = Tally { count: tally.count + 1, sum: tally.sum + weight };
        self.tell(cx.sequence, *tally, false).await;
    }

    async fn ended(&self, cx: &EventContext, tally: &mut Tally, _: Result<u64, TaskError<String>>) {
        self.tell(cx.sequence, *tally, true).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let secret = Secret::generate(&SystemEntropy::new());
    let (sender, mut handled) = mpsc::channel(1_024);
    let athens = control("athens", &secret, StaticPeers::parse("")?, sender.clone()).await?;
    let sparta = control("sparta", &secret, StaticPeers::new([athens.local_addr()]), sender).await?;
    for control in [&athens, &sparta] {
        control.cluster().wait_for(|view| view.roster.active().count() == 2).await?;
    }
    let worker = Worker::builder("post", secret.worker_credential())
        .id("scale-1")
        .discover(StaticPeers::new([athens.local_addr(), sparta.local_addr()]))
        .job::<Scale>(Weigher)
        .start()
        .await?;
    worker.wait_for(NodeStatus::Ready).await;
    let owner = worker.owner().ok_or("a ready worker has an owner")?;
    let (leaver, stayer) = if owner == *athens.id() { (athens, sparta) } else { (sparta, athens) };

    println!("{} owns the worker; the task is started on {}", leaver.id(), stayer.id());
    let task = stayer.worker(worker.id()).start::<Scale>(PARCELS).await?;
    let mut ledger = Ledger::default();
    while ledger.tally.count < LEAVE_AFTER {
        ledger.enter(timeout(PATIENCE, handled.recv()).await?.ok_or("nobody handles events")?);
    }
    println!("after {} parcels {} begins to leave", ledger.tally.count, leaver.id());
    let leaving = tokio::spawn(async move {
        let drained = leaver.drain(DrainOptions::default()).await.finished().await;
        leaver.shutdown().await;
        drained
    });
    while !ledger.ended {
        ledger.enter(timeout(PATIENCE, handled.recv()).await?.ok_or("nobody handles events")?);
    }
    let drained = leaving.await?;
    println!("{owner} has given {} of {} workers away", drained.moved, drained.total);
    assert_eq!((drained.moved, drained.blocked.len()), (drained.total, 0), "nothing was in the way");
    for (on, first, last) in &ledger.batches {
        println!("  handled on {on}: parcels {first} to {last}");
    }
    let Tally { count, sum } = ledger.tally;
    println!("{} says: {count} parcels, {sum} in all", stayer.id());
    println!("the task says: {} in all", task.output().await?);
    assert_eq!((count, sum), (PARCELS, task.output().await?), "the handler has counted what the worker has");
    let owners: Vec<&str> = ledger.batches.iter().map(|(on, ..)| *on).collect();
    assert_eq!(owners, [owner.as_str(), stayer.id().as_str()], "the events moved once, with the worker");

    worker.shutdown().await;
    stayer.shutdown().await;
    Ok(())
}

/// What was handled, in order; it takes nothing twice and lets nothing be left out.
#[derive(Default)]
struct Ledger {
    tally: Tally,
    ended: bool,
    /// Control node, first and last parcel.
    batches: Vec<(&'static str, u64, u64)>,
}

impl Ledger {
    fn enter(&mut self, handled: Handled) {
        let Handled { on, sequence, tally, ended } = handled;
        assert_eq!(sequence, self.tally.count + 1, "no event is missing, and none comes twice");
        self.ended = ended;
        if ended {
            assert_eq!(tally, self.tally, "the end finds the state as the last event left it");
            return;
        }
        assert_eq!(tally.count, sequence, "the state knows every event before this one");
        self.tally = tally;
        match self.batches.last_mut() {
            Some((same, _, last)) if *same == on => *last = sequence,
            _ => self.batches.push((on, sequence, sequence)),
        }
    }
}

async fn control(
    name: &'static str,
    secret: &Secret,
    peers: StaticPeers,
    handled: mpsc::Sender<Handled>,
) -> Result<Control, Box<dyn Error>> {
    let builder = Control::builder("post", secret).id(name).listen("127.0.0.1:0").discover(peers);
    Ok(builder.expected_controls(2).events::<Scale>(Clerk { on: name, handled }).start().await?)
}
