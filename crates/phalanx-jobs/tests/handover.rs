//! How an owner gives workers away: at its pace, quiet from its offer on, and the owner as before whenever that fails.

mod common;

use std::time::Duration;

use common::{Crowd, To, World, bytes, start};
use phalanx_base::Lane;
use phalanx_jobs::wire::{Message, TaskId};
use phalanx_jobs::{GIVING_PAUSE, GIVING_STEP_MAX, LinkId, MOVES_IN_FLIGHT_MAX, MOVES_PER_SECOND};

const SECOND: Duration = Duration::from_secs(1);

/// How long the default configuration lets the roster settle.
const SETTLE: Duration = Duration::from_secs(10);

/// How many workers have been told to link to another owner since this was asked last.
fn called(crowd: &mut Crowd) -> usize {
    let sent = crowd.sent();
    let redirect = |frame| matches!(Message::from_frame(frame), Ok(Message::Redirect(_)));
    sent.iter().filter(|transmit| redirect(&transmit.frame)).count()
}

#[test]
fn so_many_workers_move_in_a_second_and_so_many_at_one_time() {
    let mut crowd = Crowd::new(300);
    crowd.set_view(|view| view.acting = Some("b"));
    crowd.pass_alive(SETTLE - Duration::from_millis(1));
    assert_eq!(called(&mut crowd), 0, "the roster has not settled");
    crowd.pass(Duration::from_millis(1));
    let burst = called(&mut crowd);
    assert!((1..=10).contains(&burst), "{burst} at once");
    crowd.pass(SECOND / 2);
    let half = called(&mut crowd);
    assert!((49..=51).contains(&half), "{half} of {MOVES_PER_SECOND} in half a second");
    crowd.pass(SECOND);
    assert_eq!(burst + half + called(&mut crowd), MOVES_IN_FLIGHT_MAX);
    // Whoever is gone makes room for the next one.
    (0..20).for_each(|worker| crowd.stand_down(worker));
    crowd.pass(SECOND);
    assert_eq!(called(&mut crowd), 20);
    // When this node leaves it waits for nothing but its pace.
    crowd.set_view(|view| (view.acting, view.leaving) = (Some("c"), true));
    crowd.pass(Duration::ZERO);
    assert!(called(&mut crowd) > 0);
}

/// A worker with a task, which a has offered to b; b has not heard of it.
fn offered() -> (World, LinkId, TaskId) {
    let mut world = World::attached();
    let task = TaskId(world.call("a", start()));
    world.settle();
    let link = world.connect("b");
    world.automatic = false;
    world.settle();
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.set_view("b", |view| view.acting = Some("b"));
    while world.deliver(link, To::Worker, Lane::Control) || world.deliver(link, To::Control, Lane::Control) {}
    assert!(world.deliver_word("a", "b"), "b asks");
    let word = world.words[&("b", "a")].front();
    assert!(matches!(word, Some(Message::Offer(_))), "{word:?}");
    (world, link, task)
}

/// What comes over a's own link arrives there, and nothing else happens.
fn carry_to_a(world: &mut World) {
    let link = world.links_of("a")[0];
    for lane in [Lane::Control, Lane::Event, Lane::Request] {
        while world.deliver(link, To::Control, lane) || world.deliver(link, To::Worker, lane) {}
    }
}

#[test]
fn from_its_offer_on_the_owner_handles_and_acknowledges_nothing() {
    let (mut world, _, task) = offered();
    world.emit(&task, bytes("1"));
    carry_to_a(&mut world);
    assert_eq!(world.control("a").hand.len(), 0, "the event is there, and no handler has it");
    world.automatic = true;
    world.settle();
    assert!(world.hosts("b"));
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
    assert_eq!(world.control("a").handed.len(), 0, "b has handled it, and it alone");
}

#[test]
fn an_offer_that_is_not_answered_ends_and_the_events_that_waited_are_handled() {
    let (mut world, link, task) = offered();
    world.emit(&task, bytes("1"));
    carry_to_a(&mut world);
    world.words.clear();
    // B is silent from here on: its link to the worker ends, so that it cannot claim either.
    world.cut(link, true, true);
    world.pass(GIVING_STEP_MAX - Duration::from_millis(1));
    assert_eq!(world.control("a").hand.len(), 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.control("a").hand.len(), 1, "a goes on as before");
    assert_eq!(world.fence("a"), Some(1));
    world.worker.redirected = None;
    world.automatic = true;
    world.pass(GIVING_PAUSE - SECOND);
    assert!(world.links_of("b").is_empty(), "a rests for ten seconds");
    world.pass(2 * SECOND);
    assert_eq!(world.fence("b"), Some(2), "then it is tried again");
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
}

#[test]
fn an_offer_cannot_be_taken_back_and_the_receiver_gives_the_worker_back_itself() {
    let (mut world, ..) = offered();
    // The plan changes while the offer is on its way: a stays quiet, since b may claim with it at any moment.
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("a"), false));
    world.automatic = true;
    world.settle();
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)), "b has not heard of the change");
    world.set_view("b", |view| view.acting = Some("a"));
    world.pass(SETTLE + SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (Some(3), None));
}

#[test]
fn a_word_of_a_handover_that_is_over_means_nothing() {
    let (mut world, _, task) = offered();
    let offer = world.words[&("b", "a")].front().cloned().unwrap();
    world.set_view("b", |view| view.acting = Some("a"));
    assert!(world.deliver_word("b", "a"), "b declines");
    let declined = world.words[&("a", "b")].back().cloned().unwrap();
    assert!(matches!(declined, Message::Declined(_)));
    assert!(world.deliver_word("a", "b"));
    world.set_view("b", |view| view.acting = Some("b"));
    world.jump(GIVING_PAUSE - SECOND);
    // A is about to begin anew; a copy of the old offer comes late.
    world.words.get_mut(&("b", "a")).unwrap().push_front(offer);
    assert!(world.deliver_word("b", "a"));
    assert!(
        matches!(world.words[&("a", "b")].back(), Some(Message::Declined(_))),
        "b does not take it any more"
    );
    world.words.clear();
    while world.words.get(&("b", "a")).is_none_or(|words| words.is_empty()) {
        world.jump(SECOND);
        carry_to_a(&mut world);
        let link = world.links_of("b")[0];
        while world.deliver(link, To::Worker, Lane::Control)
            || world.deliver(link, To::Control, Lane::Control)
        {}
        while world.deliver_word("a", "b") {}
    }
    // The second offer is out, and a copy of the answer to the first one comes late.
    world.words.entry(("a", "b")).or_default().push_front(declined);
    assert!(world.deliver_word("a", "b"));
    world.emit(&task, bytes("1"));
    carry_to_a(&mut world);
    assert_eq!(world.control("a").hand.len(), 0, "a is as quiet as before");
    world.automatic = true;
    world.settle();
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
}
