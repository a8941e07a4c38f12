//! What becomes of events that nobody can keep: each missing one lies in a gap with its bounds, and nothing is lost in
//! silence. A slow handler meets a small outbox; then a worker is killed in the middle of its task and starts again.
//!
//! ```text
//! cargo run -p examples --bin events
//! ```

use std::error::Error;
use std::ops::RangeInclusive;
use std::time::Duration;

use phalanx::{
    Config, Control, EventContext, EventHandler, JobClass, JobHandler, NodeStatus, Nothing, Secret,
    StaticPeers, SystemEntropy, TaskContext, TaskError, Worker,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How many readings the first task emits: more than may be under way at one time and fit the outbox together.
const READINGS: u64 = 5_000;

/// How many bytes of unacknowledged events the worker keeps: a few dozen readings.
const OUTBOX_BYTES_MAX: usize = 4 << 10;

/// How long the program waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The contract of a thermometer.
struct Thermometer;

#[derive(Serialize, Deserialize)]
struct Measure {
    readings: u64,
    then_wait: bool,
}

impl JobClass for Thermometer {
    const NAME: &'static str = "thermometer";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = Measure;
    type Output = u64;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

/// The worker's half.
struct Probe;

impl JobHandler<Thermometer> for Probe {
    async fn task(&self, cx: TaskContext<Thermometer>, measure: Measure) -> Result<u64, String> {
        for reading in 1..=measure.readings {
            // This waits for the worker's own inbox, never for the handler on the other side.
            cx.emit(reading).await.map_err(|error| error.to_string())?;
        }
        if measure.then_wait {
            // Until it is told to stop, or its worker goes.
            cx.recv().await;
        }
        Ok(measure.readings)
    }
}

/// What the handler hears, told to the program.
enum Heard {
    Reading(u64),
    Gap(RangeInclusive<u64>),
    Ended(Result<u64, TaskError<String>>),
}

/// The control node's half. It handles nothing while its gate is closed, as one would whose database is away.
struct Logbook {
    gate: watch::Receiver<bool>,
    heard: mpsc::Sender<Heard>,
}

impl Logbook {
    async fn note(&self, heard: Heard) {
        // An error says that the program has ended.
        let _ = self.gate.clone().wait_for(|open| *open).await;
        let _ = self.heard.send(heard).await;
    }
}

impl EventHandler<Thermometer> for Logbook {
    type State = ();

    async fn event(&self, _: &EventContext, _: &mut (), reading: u64) {
        self.note(Heard::Reading(reading)).await;
    }

    async fn gap(&self, _: &EventContext, _: &mut (), missing: RangeInclusive<u64>) {
        self.note(Heard::Gap(missing)).await;
    }

    async fn ended(&self, _: &EventContext, _: &mut (), end: Result<u64, TaskError<String>>) {
        self.note(Heard::Ended(end)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let secret = Secret::generate(&SystemEntropy::new());
    let (open_gate, gate) = watch::channel(false);
    let (sender, mut heard) = mpsc::channel(16);
    let control = Control::builder("weather", &secret)
        .id("observatory")
        .listen("127.0.0.1:0")
        .events::<Thermometer>(Logbook { gate, heard: sender })
        .start()
        .await?;
    let worker = worker(&control, &secret).await?;

    println!("the handler is held up; the task emits {READINGS} readings and ends all the same");
    let measure = Measure { readings: READINGS, then_wait: false };
    let emitted = control.worker(worker.id()).start::<Thermometer>(measure).await?.output().await?;
    println!("the handler goes on");
    open_gate.send_replace(true);
    let (handled, missing, end) = follow(&mut heard).await?;
    println!("  {handled} handled + {missing} missing = {emitted} emitted");
    assert_eq!(handled + missing, emitted, "each reading is handled, or lies in one gap");
    assert!(missing > 0, "the outbox was too small for all");
    assert_eq!(end, Ok(emitted), "the end of a task is never pushed out");

    println!("\na task emits 3 readings and waits; its worker is killed and starts again");
    let measure = Measure { readings: 3, then_wait: true };
    let task = control.worker(worker.id()).start::<Thermometer>(measure).await?;
    for reading in 1..=3 {
        let came = timeout(PATIENCE, heard.recv()).await?;
        assert!(matches!(came, Some(Heard::Reading(number)) if number == reading), "readings come in order");
        println!("  reading {reading}");
    }
    // Dropped instead of shut down: the task is not told, and does not end.
    drop(worker);
    let worker = self::worker(&control, &secret).await?;
    let (handled, missing, end) = follow(&mut heard).await?;
    assert_eq!((handled, missing), (0, u64::MAX - 3), "what the killed worker still had, nobody knows");
    assert_eq!(end, Err(TaskError::Lost), "the task has ended with its worker's boot");
    assert_eq!(task.output().await, Err(TaskError::Lost), "who waits for the output hears the same");

    worker.shutdown().await;
    control.shutdown().await;
    Ok(())
}

/// Starts the worker, with an outbox that is too small.
async fn worker(control: &Control, secret: &Secret) -> Result<Worker, Box<dyn Error>> {
    let mut config = Config::default();
    config.jobs.outbox_bytes_max = OUTBOX_BYTES_MAX;
    let worker = Worker::builder("weather", secret.worker_credential())
        .id("roof")
        .discover(StaticPeers::new([control.local_addr()]))
        .config(config)
        .job::<Thermometer>(Probe)
        .start()
        .await?;
    worker.wait_for(NodeStatus::Ready).await;
    Ok(worker)
}

/// Prints what the handler hears of one task, and counts what was handled and what is missing.
async fn follow(
    heard: &mut mpsc::Receiver<Heard>,
) -> Result<(u64, u64, Result<u64, TaskError<String>>), Box<dyn Error>> {
    let (mut handled, mut missing) = (0, 0);
    let mut run: Option<RangeInclusive<u64>> = None;
    while let Some(came) = timeout(PATIENCE, heard.recv()).await? {
        if let Heard::Reading(reading) = came {
            handled += 1;
            let first = run.map_or(reading, |run| *run.start());
            run = Some(first..=reading);
            continue;
        }
        if let Some(run) = run.take() {
            println!("  readings {run:?}");
        }
        match came {
            Heard::Reading(_) => {}
            Heard::Gap(gap) if *gap.end() == u64::MAX => {
                println!("  gap from {} to an end that nobody knows", gap.start());
                missing += gap.end() - gap.start() + 1;
            }
            Heard::Gap(gap) => {
                println!("  gap {gap:?}");
                missing += gap.end() - gap.start() + 1;
            }
            Heard::Ended(end) => {
                println!("  ended: {end:?}");
                return Ok((handled, missing, end));
            }
        }
    }
    Err("the control node has stopped".into())
}
