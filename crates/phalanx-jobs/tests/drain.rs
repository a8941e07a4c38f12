//! A control node that leaves says of each worker that is still there what holds it up.

mod common;

use std::time::Duration;

use common::{Crowd, To, World, bytes, class, node, request, start};
use phalanx_base::{Lane, NodeStatus};
use phalanx_jobs::wire::TaskId;
use phalanx_jobs::{
    BLOCKED_NAMED_MAX, BlockReason, Blocked, DrainProgress, GIVING_PAUSE, GIVING_STEP_MAX, LINGER,
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

/// A is told to leave, and that b acts; b is told too.
fn leave(world: &mut World) {
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.set_view("b", |view| view.acting = Some("b"));
}

fn progress(world: &World) -> DrainProgress {
    world.controls["a"].core.drain_progress(world.now)
}

/// What holds up the one worker, and for how many seconds it has.
fn blocked(world: &World) -> (BlockReason, u64) {
    let progress = progress(world);
    let [Blocked { reason, waited, .. }] = &progress.blocked[..] else { panic!("{progress:?}") };
    (reason.clone(), waited.as_secs())
}

fn counts(progress: &DrainProgress) -> [usize; 5] {
    let DrainProgress { total, moved, lost, released, left, .. } = *progress;
    [total, moved, lost, released, left]
}

#[test]
fn a_worker_that_goes_is_counted_and_one_that_cannot_link_is_said_to_be_so() {
    let mut world = World::attached();
    assert_eq!(progress(&world), DrainProgress::default(), "a does not leave");
    world.automatic = false;
    leave(&mut world);
    world.settle();
    let receiver = || node("b");
    assert_eq!(blocked(&world), (BlockReason::Calling { receiver: receiver() }, 0));
    world.pass(4 * SECOND);
    assert_eq!(blocked(&world), (BlockReason::Calling { receiver: receiver() }, 4));
    world.pass(2 * SECOND);
    assert_eq!(blocked(&world), (BlockReason::NotLinked { receiver: receiver() }, 6));
    assert!(blocked(&world).0.to_string().contains("reach an address that b advertises"));
    // Also while nothing is tried, and while it is tried again.
    world.pass(GIVING_STEP_MAX);
    assert_eq!(blocked(&world), (BlockReason::NotLinked { receiver: receiver() }, 36));
    world.pass(GIVING_PAUSE);
    assert_eq!(blocked(&world), (BlockReason::NotLinked { receiver: receiver() }, 46));
    world.connect("b");
    world.settle();
    assert_eq!(counts(&progress(&world)), [1, 1, 0, 0, 0]);
    assert_eq!(progress(&world).blocked, []);
}

#[test]
fn a_handler_that_never_returns_is_named_with_its_task() {
    let mut world = World::attached();
    world.automatic = false;
    let [task, other] = [world.call("a", start()), world.call("a", start())].map(TaskId);
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    world.pass(7 * SECOND);
    world.emit(&other, bytes("1"));
    world.settle();
    leave(&mut world);
    world.connect("b");
    world.settle();
    let handler = |task: &TaskId| BlockReason::Handler { task: task.clone(), class: class() };
    assert_eq!(blocked(&world), (handler(&task), 7), "the one that has had it for the longest time");
    // The handover is given up after thirty seconds, and begun anew ten seconds later: the reason stays.
    for passed in 1..=9 {
        world.pass(10 * SECOND);
        assert_eq!(blocked(&world), (handler(&task), 7 + 10 * passed));
    }
    assert!(blocked(&world).0.to_string().contains("work's events has not returned for task a@"));
    assert!(world.handle_one("a"));
    assert_eq!(blocked(&world), (handler(&other), 90), "then the other one");
    assert!(world.handle_one("a"));
    world.pass(GIVING_STEP_MAX + GIVING_PAUSE);
    assert_eq!(counts(&progress(&world)), [1, 1, 0, 0, 0]);
    assert_eq!(world.history.missing(world.worker.boot.generation), []);
}

#[test]
fn what_is_left_when_the_time_is_up_is_released_and_the_reason_is_kept() {
    let mut world = World::attached();
    world.automatic = false;
    let task = TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    leave(&mut world);
    world.connect("b");
    world.pass(3 * SECOND);
    let now = world.now;
    // As after a crash, the next owner is told again what a handler had in hand.
    world.history.faulty = true;
    world.control("a").core.release_all(now);
    world.settle();
    assert_eq!(counts(&progress(&world)), [1, 0, 0, 1, 0]);
    world.pass(3 * SECOND);
    let why = BlockReason::Handler { task: task.clone(), class: class() };
    assert_eq!(blocked(&world), (why, 3), "as it was when the time was up");
    assert_eq!(world.fence("b"), Some(2));
    world.control("a").hand.clear();
    world.automatic = true;
    world.settle();
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
}

#[test]
fn an_offer_that_is_not_answered_and_one_that_is_declined_are_told_apart() {
    let mut world = World::attached();
    world.connect("b");
    world.automatic = false;
    world.settle();
    leave(&mut world);
    let link = world.links_of("b")[0];
    let carry = |world: &mut World| {
        while world.deliver(link, To::Worker, Lane::Control)
            || world.deliver(link, To::Control, Lane::Control)
        {}
    };
    carry(&mut world);
    assert!(world.deliver_word("a", "b"), "b asks");
    assert_eq!(blocked(&world), (BlockReason::OfferUnanswered { receiver: node("b") }, 0));
    world.jump(8 * SECOND);
    assert_eq!(blocked(&world), (BlockReason::OfferUnanswered { receiver: node("b") }, 8));
    world.set_view("b", |view| view.acting = Some("a"));
    assert!(world.deliver_word("b", "a"), "the offer arrives");
    while world.deliver_word("a", "b") {}
    assert_eq!(blocked(&world), (BlockReason::OfferDeclined { receiver: node("b") }, 0));
    world.jump(3 * SECOND);
    assert_eq!(blocked(&world), (BlockReason::OfferDeclined { receiver: node("b") }, 3));
    world.set_view("b", |view| view.acting = Some("b"));
    world.pass(GIVING_PAUSE + GIVING_STEP_MAX);
    assert_eq!(counts(&progress(&world)), [1, 1, 0, 0, 0]);
}

#[test]
fn calls_that_are_under_way_are_waited_for_when_the_worker_has_moved() {
    let mut world = World::attached();
    let calls = [world.call("a", request()), world.call("a", request())];
    world.settle();
    leave(&mut world);
    world.settle();
    assert_eq!(counts(&progress(&world)), [1, 1, 0, 0, 0]);
    assert_eq!(blocked(&world).0, BlockReason::CallsUnderWay { calls: 2 });
    assert!(!world.controls["a"].core.is_empty_handed());
    world.answer(&calls[0]);
    world.settle();
    assert_eq!(blocked(&world).0, BlockReason::CallsUnderWay { calls: 1 });
    world.pass(LINGER);
    assert!(world.controls["a"].core.is_empty_handed(), "who waits longer asks the next owner");
    assert_eq!(progress(&world).blocked, []);
}

#[test]
fn what_nobody_is_there_to_take_stays_and_is_not_waited_for() {
    let mut world = World::attached();
    world.set_view("a", |view| (view.acting, view.leaving) = (None, true));
    world.settle();
    assert_eq!(counts(&progress(&world)), [1, 0, 0, 0, 1]);
    assert_eq!(blocked(&world), (BlockReason::NoReceiver, 0));
    assert!(world.controls["a"].core.is_empty_handed());
    let now = world.now;
    world.control("a").core.release_all(now);
    assert_eq!(counts(&progress(&world)), [1, 0, 0, 0, 1], "it has no owner to look for");
    assert_eq!(blocked(&world).0, BlockReason::NoReceiver);
    assert!(world.hosts("a"));
}

#[test]
fn who_waits_for_its_turn_comes_after_those_about_whom_something_can_be_done() {
    let mut crowd = Crowd::new(100);
    crowd.set_view(|view| (view.acting, view.leaving) = (Some("b"), true));
    crowd.pass(6 * SECOND);
    let progress = crowd.core.drain_progress(crowd.now);
    assert_eq!(counts(&progress), [100, 0, 0, 0, 100]);
    assert_eq!(progress.blocked.len(), BLOCKED_NAMED_MAX);
    let not_linked = BlockReason::NotLinked { receiver: node("b") };
    assert!(progress.blocked.iter().all(|blocked| blocked.reason == not_linked), "{progress:?}");
    for number in 0..60 {
        crowd.stand_down(number);
    }
    crowd.lose(60, false);
    crowd.lose(61, true);
    crowd.report(62, NodeStatus::Stopping);
    let progress = crowd.core.drain_progress(crowd.now);
    assert_eq!(counts(&progress), [100, 60, 2, 0, 38]);
    let waiting = progress.blocked.iter().filter(|blocked| blocked.reason == BlockReason::Pace).count();
    assert_eq!((progress.blocked.len(), waiting), (BLOCKED_NAMED_MAX, 14), "two of the first 64 are left");
}

#[test]
fn a_joined_progress_is_the_sum_and_names_no_more_than_one_may() {
    let of = |number: u64, reason| Blocked {
        reason,
        worker: node(&format!("w{number}")),
        waited: Duration::from_secs(number),
    };
    let shard = |reason: BlockReason| DrainProgress {
        total: 30,
        moved: 4,
        lost: 3,
        released: 2,
        left: 21,
        blocked: (0..10).map(|number| of(number, reason.clone())).collect(),
        done: false,
    };
    let not_linked = BlockReason::NotLinked { receiver: node("b") };
    let joined = DrainProgress::joined([shard(BlockReason::Pace), shard(not_linked.clone())]);
    assert_eq!(counts(&joined), [60, 8, 6, 4, 42]);
    let reasons: Vec<_> = joined.blocked.iter().map(|blocked| &blocked.reason).collect();
    assert_eq!(reasons[..10], [&not_linked; 10]);
    assert_eq!(reasons[10..], [&BlockReason::Pace; 6]);
}

#[derive(Debug, Clone)]
enum Turn {
    Attach(u64),
    Lose(u64, bool),
    StandDown(u64),
    Report(u64),
    Pass(u64),
    Receiver(Option<&'static str>),
    Release,
}

fn turn() -> impl Strategy<Value = Turn> {
    let worker = 0u64..40;
    prop_oneof![
        4 => worker.clone().prop_map(Turn::Attach),
        4 => (worker.clone(), any::<bool>()).prop_map(|(worker, left)| Turn::Lose(worker, left)),
        6 => worker.clone().prop_map(Turn::StandDown),
        2 => worker.prop_map(Turn::Report),
        4 => (0u64..40_000).prop_map(Turn::Pass),
        1 => prop_oneof![Just(None), Just(Some("b")), Just(Some("c"))].prop_map(Turn::Receiver),
        1 => Just(Turn::Release),
    ]
}

proptest! {
    /// Whatever happens while a node leaves: each worker is counted once, what is left is what is hosted, each of them has a
    /// reason, and no more are named than may be.
    #[test]
    fn the_counts_of_a_drain_add_up(turns in prop::collection::vec(turn(), 1..120)) {
        let mut crowd = Crowd::new(30);
        crowd.set_view(|view| (view.acting, view.leaving) = (Some("b"), true));
        let mut total = 30;
        for turn in turns {
            match turn {
                Turn::Attach(worker) => crowd.attach(worker),
                Turn::Lose(worker, left) => crowd.lose(worker, left),
                Turn::StandDown(worker) => crowd.stand_down(worker),
                Turn::Report(worker) => crowd.report(worker, NodeStatus::Stopping),
                Turn::Pass(milliseconds) => crowd.pass(Duration::from_millis(milliseconds)),
                Turn::Receiver(acting) => crowd.set_view(|view| view.acting = acting),
                Turn::Release => crowd.core.release_all(crowd.now),
            }
            crowd.events();
            let progress = crowd.core.drain_progress(crowd.now);
            let [all, moved, lost, released, left] = counts(&progress);
            prop_assert_eq!(all, moved + lost + released + left);
            prop_assert!(all >= total, "none is forgotten: {:?}", progress);
            total = all;
            let hosted = crowd.core.workers().filter(|(_, _, hosted)| hosted.is_some()).count();
            prop_assert_eq!(left, hosted);
            prop_assert!(progress.blocked.len() <= BLOCKED_NAMED_MAX);
            prop_assert!(progress.blocked.len() >= left.min(BLOCKED_NAMED_MAX));
            // Only what nobody is there to take may stay when the node says that it may go.
            if crowd.core.is_empty_handed() && crowd.view.acting.is_some() {
                prop_assert_eq!(left, 0);
            }
        }
    }
}
