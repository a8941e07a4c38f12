//! A task on a worker: it counts down, tells how far it is, takes commands, and gets a file on a stream of its own.
//!
//! ```text
//! cargo run -p examples --bin task_and_commands
//! ```

use std::error::Error;
use std::ops::RangeInclusive;
use std::time::Duration;

use phalanx::{
    Control, EventContext, EventHandler, JobClass, JobHandler, NodeId, Nothing, Secret, Signal, StaticPeers,
    SystemEntropy, TaskContext, TaskError, Worker,
};
use serde::{Deserialize, Serialize};

/// The contract of a launch.
struct Launch;

#[derive(Debug, Serialize, Deserialize)]
enum Knob {
    Hold,
    Resume,
}

#[derive(Debug, Serialize, Deserialize)]
enum Progress {
    Fuelled { bytes: u64 },
    Count(u32),
    Holding,
}

impl JobClass for Launch {
    const NAME: &'static str = "launch";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = u32;
    type Output = String;
    type Command = Knob;
    type CommandReply = u32;
    type Event = Progress;
    type Error = String;
}

/// The worker's half: the future is the task.
struct Pad;

impl JobHandler<Launch> for Pad {
    async fn task(&self, cx: TaskContext<Launch>, from: u32) -> Result<String, String> {
        let mut fuel = cx.transfer().await.ok_or("the worker stops")?;
        let mut bytes = 0;
        while let Some(chunk) = fuel.next().await {
            bytes += chunk.map_err(|error| error.to_string())?.len() as u64;
        }
        let tell = |progress| async { cx.emit(progress).await.map_err(|error| error.to_string()) };
        tell(Progress::Fuelled { bytes }).await?;

        let (mut count, mut holding) = (from, false);
        while count > 0 {
            tokio::select! {
                biased;
                signal = cx.recv() => match signal {
                    Some(Signal::Command(Knob::Hold, reply)) => {
                        holding = true;
                        tell(Progress::Holding).await?;
                        reply.send(Ok(count)).await;
                    }
                    Some(Signal::Command(Knob::Resume, reply)) => {
                        holding = false;
                        reply.send(Ok(count)).await;
                    }
                    Some(Signal::Stop { .. }) | None => return Err(format!("scrubbed at {count}")),
                    Some(Signal::Status(_)) => {}
                },
                () = tokio::time::sleep(Duration::from_millis(100)), if !holding => {
                    tell(Progress::Count(count)).await?;
                    count -= 1;
                }
            }
        }
        Ok(format!("lift-off from {} with {bytes} bytes of fuel", cx.worker()))
    }
}

/// The control node's half: what becomes of events.
struct Board;

impl EventHandler<Launch> for Board {
    type State = u32;

    async fn event(&self, cx: &EventContext, seen: &mut u32, progress: Progress) {
        *seen += 1;
        println!("  event {} of {}: {progress:?}", cx.sequence, cx.worker);
    }

    async fn gap(&self, cx: &EventContext, _: &mut u32, missing: RangeInclusive<u64>) {
        println!("  events {missing:?} of {} did not fit", cx.worker);
    }

    async fn ended(&self, cx: &EventContext, seen: &mut u32, end: Result<String, TaskError<String>>) {
        println!("  the task on {} has ended after {seen} events: {end:?}", cx.worker);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let secret = Secret::generate(&SystemEntropy::new());
    let control = Control::builder("cape", &secret)
        .id("houston")
        .listen("127.0.0.1:0")
        .events::<Launch>(Board)
        .start()
        .await?;
    let worker = Worker::builder("cape", &secret)
        .id("pad-39a")
        .discover(StaticPeers::new([control.local_addr()]))
        .job::<Launch>(Pad)
        .start()
        .await?;
    worker.wait_for(phalanx::NodeStatus::Ready).await;
    let pad: NodeId = "pad-39a".parse()?;

    println!("start a count-down from 6");
    let task = control.worker(&pad).start::<Launch>(6).await?;
    let receipt = task.send_bytes(vec![7; 3 << 20]).await?;
    println!(
        "sent {} bytes; the worker's own hash of them begins with {:02x?}",
        receipt.bytes,
        &receipt.blake3[..4]
    );

    tokio::time::sleep(Duration::from_millis(250)).await;
    println!("hold: at {}", task.command(Knob::Hold).await?);
    tokio::time::sleep(Duration::from_millis(300)).await;
    println!("resume: at {}", task.command(Knob::Resume).await?);
    println!("output: {}", task.output().await?);

    println!("\nstart another one, and stop it");
    let task = control.worker(&pad).start::<Launch>(1_000).await?;
    task.send_bytes("a little").await?;
    tokio::time::sleep(Duration::from_millis(250)).await;
    task.stop(Duration::from_secs(1)).await?;
    println!("output: {:?}", task.output().await);

    worker.shutdown().await;
    control.shutdown().await;
    Ok(())
}
