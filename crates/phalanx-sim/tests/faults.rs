//! Each fault does what its name says, as seen from a scenario: one small cluster each, with a job class that counts how
//! often it ran.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx::{
    Boot, CallError, CallOptions, Control, JobClass, JobHandler, NodeId, NodeStatus, Nothing, RequestContext,
};
use phalanx_sim as sim;
use phalanx_sim::{Cluster, Effect, Fault, Sim};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The contract: say how often you were asked.
struct Count;

impl JobClass for Count {
    const NAME: &'static str = "count";
    const VERSION: u32 = 1;
    type Request = ();
    type Reply = u64;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// Outlives the worker, so that what has run is known even if no answer came.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn runs(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl JobHandler<Count> for Counter {
    async fn request(&self, _: RequestContext, (): ()) -> Result<u64, Nothing> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A control node and a worker, on a good day.
fn two(counter: &Counter) -> Sim {
    let counter = counter.clone();
    sim::cluster().workers(1).worker(move |builder, _| builder.job::<Count>(counter.clone()))
}

fn worker() -> NodeId {
    "worker-1".parse().unwrap()
}

/// Asks the worker, for two seconds.
async fn ask(cluster: &Cluster) -> Result<u64, CallError<Nothing>> {
    let options = CallOptions { deadline: 2 * SECOND, ..CallOptions::default() };
    cluster.any_control().worker(worker()).with(options).request::<Count>(()).await
}

/// How the control node sees the worker.
async fn status(control: &Control) -> Option<NodeStatus> {
    let workers = control.workers().await;
    workers.into_iter().find(|info| info.worker == worker()).map(|info| info.status)
}

fn boot(cluster: &Cluster) -> Boot {
    cluster.worker(1).expect("the worker runs").boot().clone()
}

/// The time of day at which a boot began, as its machine saw it, in milliseconds.
fn begin_ms(boot: &Boot) -> u64 {
    boot.generation.as_u64() >> 16
}

fn crash(wipe: bool) -> Fault {
    Fault::Crash { node: "worker-1".to_owned(), silent: false, wipe }
}

fn cut(from: &str, to: &str) -> Fault {
    let (from, to) = (vec![from.to_owned()], vec![to.to_owned()]);
    Fault::Network { effect: Effect::Cut, from, to, both_ways: false }
}

#[test]
fn a_paused_worker_answers_nothing_and_then_goes_on() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        cluster.formed().await;
        let before = boot(&cluster);
        cluster.fault(Fault::Pause { node: "worker-1".to_owned() }, 5 * SECOND);
        cluster.sleep(SECOND).await;
        assert!(ask(&cluster).await.is_err());
        cluster.formed().await;
        cluster.sleep(5 * SECOND).await;
        assert!(ask(&cluster).await.is_ok());
        assert_eq!(boot(&cluster), before, "the process has only slept");
    });
}

#[test]
fn a_slow_worker_answers_late() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        cluster.formed().await;
        let begin = cluster.elapsed();
        ask(&cluster).await.unwrap();
        let usual = cluster.elapsed() - begin;
        let lag = Duration::from_millis(50);
        cluster.fault(Fault::Slow { node: "worker-1".to_owned(), lag }, 10 * SECOND);
        cluster.sleep(SECOND).await;
        let begin = cluster.elapsed();
        ask(&cluster).await.unwrap();
        let slow = cluster.elapsed() - begin;
        assert!(slow >= usual + lag, "{usual:?}, and slowed down {slow:?}");
    });
}

#[test]
fn a_cut_in_one_direction_lets_the_other_through() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        cluster.formed().await;
        let before = counter.runs();
        cluster.fault(cut("control-1", "worker-1"), 3 * SECOND);
        // It begins with the next turn of its own task.
        cluster.sleep(Duration::from_millis(10)).await;
        assert!(ask(&cluster).await.is_err());
        assert_eq!(counter.runs(), before, "what is asked does not arrive");
        cluster.sleep(5 * SECOND).await;
        cluster.formed().await;
        // What was on its way may have come meanwhile.
        let before = counter.runs();
        cluster.fault(cut("worker-1", "control-1"), 3 * SECOND);
        cluster.sleep(Duration::from_millis(10)).await;
        assert!(ask(&cluster).await.is_err());
        assert_eq!(counter.runs(), before + 1, "what is asked arrives, and the answer does not");
    });
}

#[test]
fn a_host_says_that_its_process_has_died_and_a_dead_host_says_nothing() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        let mut noticed = Vec::new();
        for silent in [false, true] {
            cluster.formed().await;
            let control = cluster.any_control();
            cluster.fault(Fault::Crash { node: "worker-1".to_owned(), silent, wipe: false }, 30 * SECOND);
            let begin = cluster.elapsed();
            while status(&control).await == Some(NodeStatus::Ready) {
                cluster.sleep(Duration::from_millis(100)).await;
            }
            assert!(cluster.worker(1).is_none(), "it does not run until the episode is over");
            noticed.push(cluster.elapsed() - begin);
            cluster.sleep(30 * SECOND).await;
        }
        let [evidence, silence] = noticed[..] else { unreachable!("there were two") };
        assert!(evidence < 3 * SECOND, "noticed after {evidence:?}");
        assert!(silence > 5 * SECOND, "noticed after {silence:?}");
    });
}

/// The worker dies, is forgotten by those who knew it, and starts again while no name can be looked up. Whether it finds
/// its way although nobody tells it where to go.
async fn finds_its_way(cluster: &Cluster, wipe: bool) -> bool {
    cluster.formed().await;
    let before = boot(cluster);
    cluster.fault(Fault::NameService { node: "worker-1".to_owned() }, 180 * SECOND);
    cluster.during(crash(wipe), 150 * SECOND).await;
    cluster.sleep(20 * SECOND).await;
    let found = cluster.worker(1).is_some_and(|worker| worker.status() == NodeStatus::Ready);
    cluster.sleep(10 * SECOND).await;
    cluster.formed().await;
    assert!(boot(cluster).generation > before.generation, "it has started again");
    found
}

#[test]
fn without_names_a_worker_finds_its_way_by_its_disk_and_not_without() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        assert!(finds_its_way(&cluster, false).await, "its disk says where the control node was");
        assert!(!finds_its_way(&cluster, true).await, "its disk is lost, and nobody tells it a name");
    });
}

#[test]
fn a_clock_that_jumps_shows_in_the_next_boot_and_disturbs_no_link() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        cluster.formed().await;
        let before = boot(&cluster);
        let ahead_ms = 3_600_000;
        cluster.fault(Fault::ClockJump { node: "worker-1".to_owned(), ahead_ms }, MINUTE);
        cluster.sleep(20 * SECOND).await;
        assert_eq!(boot(&cluster), before);
        assert!(ask(&cluster).await.is_ok());
        cluster.during(crash(false), SECOND).await;
        cluster.formed().await;
        assert!(begin_ms(&boot(&cluster)) >= begin_ms(&before) + 3_600_000);
    });
}

#[test]
fn a_node_with_a_full_disk_works_on_and_does_not_start() {
    let counter = Counter::default();
    two(&counter).run(async |cluster| {
        cluster.formed().await;
        cluster.fault(Fault::DiskFull { node: "worker-1".to_owned() }, 20 * SECOND);
        cluster.sleep(5 * SECOND).await;
        assert!(ask(&cluster).await.is_ok());
        cluster.during(crash(false), SECOND).await;
        cluster.sleep(5 * SECOND).await;
        assert!(cluster.worker(1).is_none(), "it cannot write down which boot it is");
        cluster.sleep(10 * SECOND).await;
        cluster.formed().await;
        assert!(ask(&cluster).await.is_ok());
    });
}

#[test]
fn a_control_node_that_leaves_hands_its_workers_over() {
    let counter = Counter::default();
    let report = two(&counter).controls(2).workers(3).run_seed(1, async |cluster| {
        cluster.formed().await;
        for node in ["control-1", "control-2"] {
            cluster.during(Fault::Leave { node: node.to_owned() }, 10 * SECOND).await;
            cluster.formed().await;
        }
    });
    assert!(report.is_good(), "{}", sim::explain(&report));
    // Whichever hosts them: the second that leaves has what the first one gave away.
    assert!(report.counts.handovers >= 3, "{:?}", report.counts);
}
