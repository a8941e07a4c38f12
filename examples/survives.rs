//! A job class under faults: whole clusters in this one thread, in virtual time, each from a seed. Nodes crash, are cut off,
//! stop and leave, while parcels are being booked; in the end none was booked twice, and each promise was kept.
//!
//! ```text
//! cargo run -p examples --bin survives
//! PHALANX_SIM_SEED=7 cargo run -p examples --bin survives
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx::{CallError, CallOptions, JobClass, JobHandler, NodeId, Nothing, RequestContext};
use phalanx_sim as sim;
use sim::{Class, Cluster, Faults, Report, properties};

const CONTROLS: usize = 3;
const WORKERS: usize = 2;

/// How long things go wrong, in each of the clusters.
const FAULT_TIME: Duration = Duration::from_secs(20);

/// The seeds, unless the environment names one.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// The contract: book the parcel of this number.
struct Booking;

impl JobClass for Booking {
    const NAME: &'static str = "booking";
    const VERSION: u32 = 1;
    type Request = u64;
    type Reply = ();
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// How often each parcel was booked. It outlives every node, as a database elsewhere does.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<u64, u32>>>);

impl Book {
    fn enter(&self, parcel: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(parcel).or_default() += 1;
    }

    fn times(&self, parcel: u64) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&parcel).copied().unwrap_or_default()
    }
}

/// The worker's half.
impl JobHandler<Booking> for Book {
    async fn request(&self, _: RequestContext, parcel: u64) -> Result<(), Nothing> {
        self.enter(parcel);
        // Time to crash between the effect and the answer.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}

/// What callers were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Told {
    fn count(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }
}

fn main() {
    let chosen = std::env::var(sim::SEED).ok().and_then(|seed| seed.parse().ok());
    for seed in chosen.map_or(SEEDS, |seed| seed..=seed) {
        let (book, told) = (Book::default(), Told::default());
        let report = survive(seed, &book, &told);
        show(&report, &told);
        assert!(report.is_good(), "{}", sim::explain(&report));
    }
}

/// Runs one cluster through its faults, and two minutes longer.
fn survive(seed: u64, book: &Book, told: &Told) -> Report {
    let classes = [Class::Crash, Class::LostDisk, Class::Partition, Class::Pause, Class::Loss, Class::Leave];
    let clerk = book.clone();
    sim::cluster()
        .controls(CONTROLS)
        .workers(WORKERS)
        .faults(Faults::only(classes).episodes_per_minute(18.0))
        .fault_time(FAULT_TIME)
        // The kit's own job class counts calls, tasks, events and transfers beside ours.
        .probed()
        .worker(move |builder, _| builder.job::<Booking>(clerk.clone()))
        .run_seed(seed, async |cluster| book_parcels(&cluster, book, told).await)
}

async fn book_parcels(cluster: &Cluster, book: &Book, told: &Told) {
    let mut parcel = 0;
    while cluster.elapsed() < FAULT_TIME {
        parcel += 1;
        let worker: NodeId = format!("worker-{}", parcel as usize % WORKERS + 1).parse().expect("a name");
        let options = CallOptions { deadline: Duration::from_secs(3), ..CallOptions::default() };
        let asked = cluster.any_control().worker(&worker).with(options).request::<Booking>(parcel).await;
        match asked {
            Ok(()) => {
                assert_eq!(book.times(parcel), 1, "parcel {parcel} is booked");
                told.count("booked");
            }
            Err(CallError::NotExecuted(_)) => {
                assert_eq!(book.times(parcel), 0, "parcel {parcel} is not booked");
                told.count("not booked");
            }
            Err(_) => {
                assert!(book.times(parcel) <= 1, "parcel {parcel} is not booked twice");
                told.count("in doubt");
            }
        }
        cluster.sleep(Duration::from_millis(100)).await;
    }
}

fn show(report: &Report, told: &Told) {
    println!("seed {}: {CONTROLS} control nodes and {WORKERS} workers", report.seed);
    for (_, episode) in &report.episodes {
        println!("  {episode}");
    }
    let told = told.0.lock().unwrap_or_else(PoisonError::into_inner);
    let told: Vec<String> = told.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("  parcels: {}", told.join(", "));
    let counts = &report.counts;
    println!("  calls: {}, of which {} were answered", counts.calls, counts.calls_done);
    println!(
        "  events: {}, of which {} came again after a failure; gaps: {}",
        counts.events, counts.events_again, counts.gaps
    );
    println!("  owners granted: {}, {} of them by a handover", counts.grants, counts.handovers);
    println!(
        "  {} datagrams in {} simulated seconds, hash {}",
        report.datagrams,
        report.simulated.as_secs(),
        &report.hash[..8]
    );
    println!("  checked: {} promises, broken: {}\n", properties::name::ALL.len(), report.violations.len());
}
