//! What the simulator has found, each in the shortest scenario that shows it again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use phalanx::{
    EventContext, EventHandler, JobClass, JobHandler, NodeId, NodeStatus, Nothing, TaskContext, TaskError,
};
use phalanx_sim::{self as sim, Fault};

const SECOND: Duration = Duration::from_secs(1);

/// A task that tells a number each half second, for ever.
struct Clock;

impl JobClass for Clock {
    const NAME: &'static str = "clock";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = ();
    type Output = ();
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

struct Ticking;

impl JobHandler<Clock> for Ticking {
    async fn task(&self, cx: TaskContext<Clock>, (): ()) -> Result<(), String> {
        for tick in 1.. {
            tokio::time::sleep(SECOND / 2).await;
            cx.emit(tick).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Keeps the last number, and takes its time.
struct Reading {
    pause: Duration,
    ended_after: std::sync::Arc<std::sync::Mutex<Vec<u64>>>,
}

impl EventHandler<Clock> for Reading {
    type State = u64;

    async fn event(&self, _: &EventContext, last: &mut u64, tick: u64) {
        tokio::time::sleep(self.pause).await;
        *last = tick;
    }

    async fn ended(&self, _: &EventContext, last: &mut u64, _: Result<(), TaskError<String>>) {
        self.ended_after.lock().expect("no test panics with it").push(*last);
    }
}

fn worker() -> NodeId {
    NodeId::new("worker-1").expect("it is a name")
}

fn crash(wipe: bool) -> Fault {
    Fault::Crash { node: "worker-1".to_owned(), silent: false, wipe }
}

/// A machine that lost its disk while its clock was behind came back as an earlier boot of itself. Everybody refused it,
/// for ever.
#[test]
fn a_worker_that_lost_its_disk_and_whose_clock_is_behind_comes_back() {
    sim::cluster().controls(2).workers(1).run(async |cluster| {
        cluster.formed().await;
        let behind = Fault::ClockJump { node: "worker-1".to_owned(), ahead_ms: -3_600_000 };
        cluster.fault(behind, 120 * SECOND);
        cluster.during(crash(true), 2 * SECOND).await;
        let is_ready = || cluster.worker(1).is_some_and(|worker| worker.status() == NodeStatus::Ready);
        cluster.wait_for("the worker is back", 30 * SECOND, is_ready).await;
    });
}

/// Whoever waited for the end of a task asked again without a pause in the last moments of its patience, when its worker
/// had gone: a circle that never ends where time stands still meanwhile.
#[test]
fn whoever_waits_for_a_task_whose_worker_is_gone_is_told() {
    // One control node, which asks nobody else, so that a question takes no time at all.
    let sim = sim::cluster().workers(1).worker(|builder, _| builder.job::<Clock>(Ticking));
    sim.run(async |cluster| {
        cluster.formed().await;
        let control = cluster.any_control();
        let task = control.worker(worker()).start::<Clock>(()).await.expect("it starts");
        cluster.fault(crash(false), 200 * SECOND);
        let end = tokio::time::timeout(150 * SECOND, task.output()).await.expect("it ends in time");
        assert!(matches!(end, Err(TaskError::Lost | TaskError::Unknown(_))), "{end:?}");
        cluster.sleep(100 * SECOND).await;
    });
}

/// A handler that had an event in hand when the worker started anew lost its state: the end found an empty one.
#[test]
fn a_handler_with_an_event_in_hand_keeps_its_state_until_the_end() {
    let ended_after = std::sync::Arc::<std::sync::Mutex<Vec<u64>>>::default();
    let seen = ended_after.clone();
    let sim = sim::cluster().workers(1).worker(|builder, _| builder.job::<Clock>(Ticking)).control(
        move |builder, _| {
            let ended_after = ended_after.clone();
            builder.events::<Clock>(Reading { pause: 5 * SECOND, ended_after })
        },
    );
    sim.run(async |cluster| {
        cluster.formed().await;
        cluster.any_control().worker(worker()).start::<Clock>(()).await.expect("it starts");
        // By now the handler has the second event in hand, and is at it when the next boot is there.
        cluster.sleep(7 * SECOND).await;
        cluster.during(crash(false), SECOND / 2).await;
        cluster.sleep(60 * SECOND).await;
    });
    let ended = seen.lock().expect("no test panics with it").clone();
    assert!(matches!(ended[..], [last] if last > 0), "{ended:?}");
}
