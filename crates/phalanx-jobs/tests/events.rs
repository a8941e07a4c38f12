//! Events from a task to its handler: in order, none lost in silence, none twice without a fault.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{To, World, bytes, start};
use phalanx_base::{Lane, Role};
use phalanx_jobs::wire::{EventBody, Message, TaskId};
use phalanx_jobs::{Config, EVENTS_IN_FLIGHT_MAX, TaskEnd};

const SECOND: Duration = Duration::from_secs(1);

fn with_task(config: Config) -> (World, TaskId) {
    let mut world = World::new(Role::Worker, config);
    world.connect("a");
    world.settle();
    let task = TaskId(world.call("a", start()));
    world.settle();
    (world, task)
}

fn emit(world: &mut World, task: &TaskId, count: usize) {
    for number in 0..count {
        world.emit(task, bytes(&number.to_string()));
    }
}

fn all_handled(world: &World) {
    assert_eq!(world.history.missing(world.worker.boot.generation), []);
}

/// How many logs the worker keeps, as it tells its next owner.
fn logs_of(world: &mut World) -> u32 {
    world.cut_all();
    world.automatic = false;
    let link = world.connect("a");
    while world.deliver(link, To::Worker, Lane::Control) {}
    let frame = &world.wires[&link].lanes[&(To::Control, Lane::Control)][0];
    let Ok(Message::Attached(attached)) = Message::from_frame(frame) else { panic!("{frame:?}") };
    attached.tasks
}

#[test]
fn events_arrive_in_order_and_the_end_is_the_last() {
    let (mut world, task) = with_task(Config::default());
    emit(&mut world, &task, 200);
    world.end(&task, TaskEnd::Done(bytes("output")));
    world.emit(&task, bytes("too late"));
    world.settle();
    assert_eq!(world.history.handled(world.worker.boot.generation, &task).len(), 201);
    let last = world.control("a").handed.last().unwrap().entries.last().unwrap().clone();
    assert_eq!(last, (201, EventBody::Ended(TaskEnd::Done(bytes("output")))));
    assert_eq!(logs_of(&mut world), 0, "the log is dropped once its end is acknowledged");
}

#[test]
fn a_graceful_move_loses_and_repeats_nothing() {
    let (mut world, task) = with_task(Config::default());
    for (at, owner) in ["b", "a", "b"].into_iter().enumerate() {
        world.automatic = false;
        emit(&mut world, &task, 100);
        world.settle();
        world.set_acting(owner);
        emit(&mut world, &task, 50);
        world.automatic = true;
        // The roster settles, and whoever is linked still asks again after a while.
        world.pass(13 * SECOND);
        assert!(world.hosts(owner), "move {at}");
        all_handled(&world);
        assert_eq!(world.control(owner).redelivered, 0);
    }
    assert!(!world.history.faulty, "so the history has let no number pass twice");
    assert_eq!(world.history.handled(world.worker.boot.generation, &task).len(), 450);
}

#[test]
fn after_a_crash_the_standby_goes_on_from_the_checkpoint() {
    let (mut world, task) = with_task(Config::default());
    emit(&mut world, &task, 3);
    world.settle();
    world.automatic = false;
    emit(&mut world, &task, 2);
    world.settle();
    world.crash("a");
    world.set_acting("b");
    world.connect("b");
    world.automatic = true;
    world.settle();
    let batch = world.control("b").handed[0].clone();
    assert_eq!(batch.restore, Some(Some(bytes("3"))), "the state after three events");
    assert_eq!(batch.entries[0].0, 4, "and the events after it");
    all_handled(&world);
}

#[test]
fn a_lost_link_repeats_what_was_not_handled_and_nothing_else() {
    let (mut world, task) = with_task(Config::default());
    world.automatic = false;
    emit(&mut world, &task, 100);
    world.settle();
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    // What is in hand comes back while there is no link.
    assert!(world.handle_one("a"));
    world.connect("a");
    world.automatic = true;
    world.settle();
    all_handled(&world);
    let entries: usize = world.control("a").handed.iter().map(|batch| batch.entries.len()).sum();
    assert_eq!(entries, 100);
    assert_eq!(world.control("a").redelivered, 0, "the worker is told before it repeats");
}

#[test]
fn an_end_whose_acknowledgement_is_lost_is_not_handled_again() {
    let (mut world, task) = with_task(Config::default());
    emit(&mut world, &task, 2);
    world.end(&task, TaskEnd::Stopped);
    world.automatic = false;
    world.settle();
    while world.handle_one("a") {}
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    world.connect("a");
    world.automatic = true;
    world.settle();
    let entries: usize = world.control("a").handed.iter().map(|batch| batch.entries.len()).sum();
    assert_eq!(entries, 3, "handled once by one control node that never crashed");
    assert_eq!(logs_of(&mut world), 0, "and the worker has learnt it");
}

#[test]
fn a_backlog_does_not_hide_what_was_handled_before_it() {
    let (mut world, first) = with_task(Config::default());
    let second = TaskId(world.call("a", start()));
    world.settle();
    // The first task's events are handled, and their acknowledgements lost.
    world.automatic = false;
    emit(&mut world, &first, 900);
    world.settle();
    while world.handle_one("a") {}
    world.cut_all();
    // The second one's backlog is longer than the window, and shares it.
    emit(&mut world, &second, 2 * EVENTS_IN_FLIGHT_MAX);
    world.connect("a");
    world.automatic = true;
    world.settle();
    all_handled(&world);
    // A window that leaks would be closed now.
    emit(&mut world, &first, 2 * EVENTS_IN_FLIGHT_MAX);
    world.settle();
    all_handled(&world);
    world.end(&first, TaskEnd::Stopped);
    world.end(&second, TaskEnd::Stopped);
    world.settle();
    assert_eq!(logs_of(&mut world), 0);
}

#[test]
fn a_lost_acknowledgement_does_not_part_the_state_from_its_number() {
    let (mut world, task) = with_task(Config::default());
    emit(&mut world, &task, 3);
    world.automatic = false;
    world.settle();
    while world.handle_one("a") {}
    world.cut_all();
    world.connect("a");
    world.settle();
    // a says again what it has handled, then dies: the next owner must get the state that goes with that number.
    world.crash("a");
    world.set_acting("b");
    world.connect("b");
    world.automatic = true;
    emit(&mut world, &task, 1);
    world.settle();
    let batch = world.control("b").handed[0].clone();
    assert_eq!((batch.restore, batch.entries[0].0), (Some(Some(bytes("3"))), 4));
}

#[test]
fn a_state_that_has_outgrown_its_cap_is_no_state_rather_than_an_old_one() {
    let (mut world, task) = with_task(Config::default());
    emit(&mut world, &task, 3);
    world.settle();
    world.checkpoints = false;
    emit(&mut world, &task, 2);
    world.settle();
    world.crash("a");
    world.set_acting("b");
    world.connect("b");
    emit(&mut world, &task, 1);
    world.settle();
    let batch = world.control("b").handed[0].clone();
    assert_eq!((batch.restore, batch.entries[0].0), (Some(None), 6));
}

#[test]
fn no_beat_calls_for_events_before_every_log_is_known() {
    let (mut world, task) = with_task(Config::default());
    // The claim of b is refused for so long that a beat is due at once when it is granted.
    world.set_view("b", |view| view.acting = Some("b"));
    let link = world.connect("b");
    world.pass(6 * SECOND);
    world.automatic = false;
    emit(&mut world, &task, 3);
    world.cut(world.links_of("a")[0], true, true);
    for _ in 0..3 {
        world.jump(SECOND);
        while world.deliver(link, To::Worker, Lane::Control) {}
    }
    // Of what the worker says only that it has accepted arrives; then time passes.
    while !world.hosts("b") {
        assert!(world.deliver(link, To::Control, Lane::Control));
    }
    world.jump(SECOND);
    world.automatic = true;
    world.settle();
    all_handled(&world);
    assert_eq!((world.links_of("b"), world.control("b").redelivered), (vec![link], 0));
}

#[test]
fn an_overflow_is_a_gap_that_is_seen_once() {
    let config = Config { outbox_bytes_max: 1_000, ..Config::default() };
    let (mut world, task) = with_task(config);
    world.cut_all();
    emit(&mut world, &task, 100);
    world.connect("a");
    world.settle();
    let generation = world.worker.boot.generation;
    all_handled(&world);
    let gaps = world.history.gaps[&(generation, task.clone())].clone();
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].0 == 1 && gaps[0].1 > 80 && gaps[0].1 < 100, "{gaps:?}");
    emit(&mut world, &task, 5);
    world.settle();
    world.end(&task, TaskEnd::Stopped);
    world.settle();
    all_handled(&world);
}

#[test]
fn a_slow_handler_costs_a_gap_and_not_the_link() {
    let config = Config { outbox_bytes_max: 10_000, ..Config::default() };
    let (mut world, task) = with_task(config);
    world.automatic = false;
    let link = world.links_of("a")[0];
    for _ in 0..4 * EVENTS_IN_FLIGHT_MAX {
        emit(&mut world, &task, 1);
        world.settle();
    }
    assert_eq!(world.links_of("a"), [link], "an honest worker with a slow handler is no flood");
    world.automatic = true;
    world.settle();
    all_handled(&world);
    assert!(world.hosts("a"));
}

#[test]
fn an_end_with_a_large_output_does_not_lift_the_cap_of_the_others() {
    let config = Config { outbox_bytes_max: 5_000, ..Config::default() };
    let (mut world, task) = with_task(config);
    let talker = TaskId(world.call("a", start()));
    world.settle();
    world.cut_all();
    world.end(&task, TaskEnd::Done(Bytes::from(vec![0; 4_000])));
    emit(&mut world, &talker, 1_000);
    world.connect("a");
    world.settle();
    all_handled(&world);
    let gap = world.history.gaps[&(world.worker.boot.generation, talker)][0];
    assert!(gap.1 > 970, "the talker has lost its own words, and nothing was kept beyond the cap: {gap:?}");
}

#[test]
fn a_new_boot_of_the_worker_ends_what_was_followed() {
    let (mut world, task) = with_task(Config::default());
    emit(&mut world, &task, 3);
    world.automatic = false;
    world.settle();
    let forgotten = world.control("a").forgotten;
    let generation = world.worker.boot.generation;
    assert!(world.control("a").core.follows(&common::node("w"), generation, &task));
    world.restart_worker();
    world.connect("a");
    world.settle();
    assert_eq!(world.control("a").forgotten, forgotten, "its handlers are told the end first");
    assert!(
        world.control("a").core.follows(&common::node("w"), generation, &task),
        "its state is kept for that"
    );
    // The handler of the old boot returns into the new one: nothing is acknowledged, and it is told the rest.
    world.handle_one("a");
    world.automatic = true;
    world.settle();
    assert!(!world.control("a").core.follows(&common::node("w"), generation, &task));
    assert_eq!(world.control("a").told_end, [(task, 2)], "what waited is lost with the link");
    assert_eq!(world.fence("a"), Some(1), "a new boot counts its fences anew");
    assert_eq!(world.worker.core.running_tasks(), 0);
}

#[test]
fn events_that_overtake_everything_wait_until_their_owner_knows_their_log() {
    let (mut world, task) = with_task(Config::default());
    world.cut_all();
    emit(&mut world, &task, 10);
    let link = world.connect("a");
    // The worker has accepted, and nothing of it has arrived when the task speaks; the world delivers the lane of events
    // before all others.
    world.deliver(link, To::Worker, Lane::Control);
    emit(&mut world, &task, 10);
    world.settle();
    world.set_acting("b");
    emit(&mut world, &task, 10);
    world.pass(13 * SECOND);
    assert!(world.hosts("b"));
    assert_eq!(world.control("a").redelivered + world.control("b").redelivered, 0);
    all_handled(&world);
}

#[test]
fn a_start_that_never_arrived_leaves_nothing_to_follow() {
    let (mut world, _) = with_task(Config::default());
    let lost = TaskId(world.call("a", start()));
    let generation = world.worker.boot.generation;
    assert!(world.control("a").core.follows(&common::node("w"), generation, &lost));
    world.cut_all();
    world.connect("a");
    world.settle();
    assert!(!world.control("a").core.follows(&common::node("w"), generation, &lost));
    world.pass(SECOND);
}
