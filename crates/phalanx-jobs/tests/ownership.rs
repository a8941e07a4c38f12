//! Who hosts a worker's proxy: claims, refusals, releases, losses.

mod common;

use std::time::Duration;

use common::{World, bytes, node, request, start};
use phalanx_base::{Lane, NodeStatus, Role};
use phalanx_jobs::wire::{Hosting, Message};
use phalanx_jobs::{Config, LINGER, Outcome, Reason};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_claim_gives_fence_one_and_a_worker_that_is_ready() {
    let mut world = World::new(Role::Worker, Config::default());
    assert_eq!(world.worker.core.status(), NodeStatus::Connecting);
    world.connect("a");
    assert_eq!(world.hosting("a"), Hosting::Between);
    world.settle();
    assert_eq!(world.fence("a"), Some(1));
    assert_eq!(world.control("a").statuses, [(NodeStatus::Ready, Some(phalanx_base::Fence(1)))]);
    assert_eq!(world.worker.core.status(), NodeStatus::Ready);
    assert_eq!(world.worker.core.owner(), Some(&node("a")));
    let known: Vec<&str> = world.worker.known.iter().map(|standby| standby.node.as_str()).collect();
    assert_eq!(known, ["a", "b"], "the owner comes first");
    world.pass(60 * SECOND);
    assert_eq!(world.control("a").statuses.len(), 1, "a report that says nothing new is no change");
}

#[test]
fn who_does_not_act_sends_the_worker_on() {
    let mut world = World::new(Role::Worker, Config::default());
    world.connect("b");
    world.settle();
    assert_eq!(world.hosting("b"), Hosting::Between);
    assert_eq!(world.fence("a"), Some(1), "the worker has dialled the one it was sent to");
    assert_eq!(world.links_of("b").len(), 1);
    world.pass(15 * SECOND);
    assert_eq!(world.links_of("b").len(), 0, "a link without a session is closed by the worker");
    assert!(world.hosts("a"));
}

#[test]
fn a_claim_is_refused_while_the_owner_lives_and_repeated() {
    let mut world = World::attached();
    world.set_view("b", |view| view.acting = Some("b"));
    world.connect("b");
    world.settle();
    assert!(world.hosts("a") && !world.hosts("b"));
    world.pass(30 * SECOND);
    assert!(world.hosts("a") && !world.hosts("b"), "b does not see a down, however long it asks");
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    world.pass(3 * SECOND);
    assert_eq!(world.fence("b"), Some(2));
}

#[test]
fn a_claim_against_one_that_is_seen_down_wins_after_it_was_held_for_a_while() {
    let mut world = World::attached();
    world.set_view("b", |view| {
        view.acting = Some("b");
        view.down.insert("a");
        view.roster = 10;
    });
    world.connect("b");
    world.pass(9 * SECOND);
    assert!(world.hosts("a"), "a was granted less than ten seconds ago");
    world.pass(4 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
    assert_eq!(world.control("a").status(), Some(NodeStatus::Connecting), "a was told to stand down");
    assert_eq!(world.control("b").status(), Some(NodeStatus::Ready));
}

#[test]
fn a_refused_claim_of_one_that_acts_no_more_ends_in_a_redirect() {
    let mut world = World::attached();
    world.set_view("b", |view| view.acting = Some("b"));
    world.connect("b");
    world.settle();
    world.set_view("b", |view| view.acting = Some("a"));
    world.automatic = false;
    world.pass(3 * SECOND);
    assert_eq!(world.worker.redirected, Some(node("a")));
    assert!(world.hosts("a"));
}

#[test]
fn a_claim_that_is_granted_after_it_was_given_up_is_released_again() {
    let mut world = World::attached();
    world.set_view("b", |view| view.acting = Some("b"));
    world.connect("b");
    world.settle();
    // b asks no more, and says so while the worker loses a and remembers that b has asked.
    world.set_view("b", |view| view.acting = Some("a"));
    world.jump(2 * SECOND);
    world.cut(world.links_of("a")[0], true, true);
    world.settle();
    assert!(world.hosts("a") && !world.hosts("b"), "b has sent it on to a");
}

#[test]
fn a_standby_takes_over_from_a_crashed_owner() {
    let mut world = World::attached();
    world.crash("a");
    assert_eq!(world.worker.core.status(), NodeStatus::Connecting);
    world.set_acting("b");
    world.connect("b");
    world.settle();
    assert_eq!(world.fence("b"), Some(2));
}

#[test]
fn an_owner_that_has_lost_its_memory_gets_a_greater_fence_on_a_newer_link() {
    let mut world = World::attached();
    let first = world.links_of("a")[0];
    let second = world.connect("a");
    world.settle();
    assert_eq!(world.fence("a"), Some(2));
    assert!(world.wires.contains_key(&first), "the former link lingers for replies");
    world.pass(LINGER);
    assert!(!world.wires.contains_key(&first));
    assert_eq!(world.links_of("a"), [second]);
    assert!(world.hosts("a"));
}

#[test]
fn a_released_worker_goes_to_the_one_that_it_is_sent_to() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.set_acting("b");
    world.settle();
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
    assert_eq!(world.control("a").status(), Some(NodeStatus::Connecting));
    world.pass(LINGER - Duration::from_millis(1));
    assert!(world.wires.contains_key(&link));
    world.pass(Duration::from_millis(1));
    assert!(!world.wires.contains_key(&link), "a retired session ends after the linger");
    assert!(world.hosts("b"));
    world.pass(120 * SECOND);
    assert_eq!(world.hosting("a"), Hosting::Unknown, "a forgets a worker that does not return");
}

#[test]
fn what_was_under_way_when_a_worker_is_taken_back_at_once_is_no_violation() {
    let mut world = World::attached();
    let task = world.call("a", start());
    world.settle();
    let task = phalanx_jobs::wire::TaskId(task);
    // Events and reports under the first fence are on their way while a gives the worker up and claims it again.
    world.emit(&task, bytes("1"));
    world.jump(5 * SECOND);
    world.set_acting("b");
    world.set_acting("a");
    world.settle();
    assert_eq!(world.fence("a"), Some(2));
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
    assert_eq!(world.links_of("a").len(), 1);
}

#[test]
fn an_owner_waits_for_its_handlers_before_it_releases() {
    let mut world = World::attached();
    world.automatic = false;
    let task = phalanx_jobs::wire::TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    world.set_acting("b");
    world.settle();
    assert_eq!(world.worker.core.owner(), Some(&node("a")), "the handler of a has not returned");
    world.emit(&task, bytes("2"));
    world.settle();
    assert!(world.handle_one("a"));
    assert_eq!(world.control("a").hand.len(), 0, "no further batch is started on the way out");
    world.automatic = true;
    world.settle();
    assert!(world.hosts("b"));
    assert_eq!(world.history.missing(world.worker.boot.generation), []);
}

#[test]
fn an_owner_that_keeps_its_worker_after_all_goes_on_where_it_was() {
    let mut world = World::attached();
    world.automatic = false;
    let tasks = [world.call("a", start()), world.call("a", start())].map(phalanx_jobs::wire::TaskId);
    world.settle();
    for task in &tasks {
        world.emit(task, bytes("1"));
        world.settle();
        world.emit(task, bytes("2"));
    }
    world.settle();
    world.set_acting("b");
    world.emit(&tasks[1], bytes("3"));
    world.settle();
    world.handle_one("a");
    world.set_acting("a");
    world.automatic = true;
    world.settle();
    assert_eq!(world.fence("a"), Some(1), "it was never given up");
    assert_eq!(world.history.missing(world.worker.boot.generation), [], "nothing waits for the next event");
    world.emit(&tasks[0], bytes("4"));
    world.settle();
    assert_eq!(world.fence("a"), Some(1));
}

#[test]
fn a_lost_link_is_said_at_once() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    assert_eq!(world.control("a").status(), Some(NodeStatus::NotConnected));
    assert_eq!(world.hosting("a"), Hosting::NotConnected);
    assert_eq!(world.worker.core.status(), NodeStatus::Connecting);
    let refused = world.call("a", request());
    let expected = Outcome::NotExecuted(Reason::NotConnected);
    assert_eq!(world.control("a").outcomes(&refused), [&expected]);
    world.connect("a");
    world.settle();
    assert_eq!(world.fence("a"), Some(2));
    assert_eq!(world.control("a").status(), Some(NodeStatus::Ready));
}

#[test]
fn silence_ends_the_session_at_both_ends() {
    for (worker_sees, control_sees) in [(false, false), (true, false), (false, true)] {
        let mut world = World::attached();
        world.pass(60 * SECOND);
        assert!(world.hosts("a"), "beats keep it up");
        let link = world.links_of("a")[0];
        world.cut(link, worker_sees, control_sees);
        // The last sign of life may be as old as one beat.
        world.pass(9 * SECOND);
        assert_eq!(world.hosts("a"), !control_sees);
        assert_eq!(world.worker.core.owner().is_some(), !worker_sees);
        world.pass(6 * SECOND);
        assert!(!world.hosts("a") && world.worker.core.owner().is_none());
        assert!(world.wires.is_empty(), "both have closed their end");
    }
}

#[test]
fn on_a_shared_link_sessions_come_and_go_and_the_link_stays() {
    let mut world = World::new(Role::Control, Config::default());
    let links = [world.connect("a"), world.connect("b")];
    world.pass(60 * SECOND);
    assert_eq!(world.fence("a"), Some(1));
    world.set_acting("b");
    world.pass(60 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
    world.set_acting("a");
    world.pass(60 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (Some(3), None), "a retired session opens again");
    assert_eq!(world.wires.keys().copied().collect::<Vec<_>>(), links);
}

#[test]
fn while_nobody_owns_anything_what_is_there_stays() {
    let mut world = World::attached();
    world.set_view("a", |view| view.acting = None);
    world.pass(60 * SECOND);
    assert_eq!(world.fence("a"), Some(1));
}

#[test]
fn a_lower_fence_than_the_known_one_is_not_believed() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    world.automatic = false;
    let link = world.connect("a");
    while world.deliver(link, common::To::Worker, Lane::Control) {}
    let wire = world.wires.get_mut(&link).unwrap();
    let lane = wire.lanes.get_mut(&(common::To::Control, Lane::Control)).unwrap();
    let Ok(Message::Attached(mut attached)) = Message::from_frame(&lane[0]) else { panic!("{lane:?}") };
    attached.fence = phalanx_base::Fence(1);
    lane[0] = Message::from(attached).to_frame();
    let core = &mut world.controls.get_mut("a").unwrap().core;
    core.handle_frame(world.now, link, Lane::Control, &lane[0]);
    assert!(!world.hosts("a"));
}
