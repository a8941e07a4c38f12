//! Which claims a worker accepts, and what the fence that it issues is good for.

mod common;

use std::time::Duration;

use common::{To, World, node, request};
use phalanx_base::{Fence, Lane, NodeStatus};
use phalanx_jobs::wire::{Attach, Call, Hosting, Message, Release, Standby};
use phalanx_jobs::{LINGER, LOST_PROXY_KEPT, LinkId, OWNER_HELD_MIN, Outcome, Reason};

const SECOND: Duration = Duration::from_secs(1);

/// Everything that is on its way over one link arrives; nothing else happens.
fn carry(world: &mut World, link: LinkId) {
    while world.deliver(link, To::Worker, Lane::Control) || world.deliver(link, To::Control, Lane::Control) {}
}

/// B sees a down, with so much knowledge of the roster, and asks for the worker that a has hosted for long enough.
fn rival(roster: u64) -> World {
    let mut world = World::attached();
    world.pass(OWNER_HELD_MIN);
    world.set_view("b", |view| {
        view.acting = Some("b");
        view.down.insert("a");
        // The view itself adds one.
        view.roster = roster - 1;
    });
    world.connect("b");
    world.pass(3 * SECOND);
    world
}

#[test]
fn of_two_that_know_the_same_the_greater_name_wins_and_who_knows_less_loses() {
    assert_eq!(rival(2).fence("b"), Some(2), "it knows more");
    assert_eq!(rival(1).fence("b"), Some(2), "it knows the same, and b is above a");
    let mut world = World::attached();
    world.set_acting("b");
    world.pass(10 * SECOND);
    assert_eq!(world.fence("b"), Some(2));
    world.pass(OWNER_HELD_MIN);
    world.set_view("a", |view| {
        view.acting = Some("a");
        view.down.insert("b");
        view.roster -= 1;
    });
    world.pass(30 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)), "it knows the same, and a is below b");
    world.set_view("a", |_| {});
    world.connect("a");
    world.pass(3 * SECOND);
    assert_eq!(world.fence("a"), Some(3), "it knows more now");
}

#[test]
fn another_one_stands_in_for_an_owner_that_the_worker_cannot_reach_and_gives_it_back() {
    let mut world = World::attached();
    // It does not come to "a", where it is sent.
    world.automatic = false;
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    world.connect("b");
    world.pass(SECOND);
    assert_eq!(world.worker.redirected, Some(node("a")), "a is alive, and should have it");
    assert_eq!((world.fence("a"), world.fence("b")), (None, None));
    world.strand("b");
    world.pass(SECOND);
    assert_eq!(world.fence("b"), None, "b is not who should have it");
    world.strand("a");
    world.pass(20 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
    assert_eq!(world.worker.redirected, Some(node("a")), "b sends it there again and again");
    world.strand("a");
    world.pass(SECOND);
    assert_eq!(world.fence("b"), Some(2), "whoever has an owner is not stranded");
    world.connect("a");
    world.pass(60 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b")), (Some(3), None));
}

/// Both know that c should have the worker, which has links to both of them, and says that it cannot reach c.
fn stranded_from_c() -> World {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    for name in ["a", "b"] {
        world.set_view(name, |view| view.acting = Some("c"));
        world.connect(name);
    }
    world.pass(SECOND);
    world.strand("c");
    world
}

/// Both stand in for c; a was faster, and b has not heard that yet when it becomes the owner.
#[test]
fn whoever_becomes_the_owner_while_it_stands_in_asks_for_the_worker() {
    let mut world = stranded_from_c();
    let links = [world.links_of("a")[0], world.links_of("b")[0]];
    for to in [To::Control, To::Worker] {
        assert!(links.iter().all(|link| world.deliver(*link, to, Lane::Control)));
    }
    world.set_acting("b");
    world.pass(30 * SECOND);
    assert_eq!((world.fence("a"), world.fence("b").is_some()), (None, true));
}

#[test]
fn of_two_that_stand_in_one_is_enough() {
    let mut world = stranded_from_c();
    world.pass(20 * SECOND);
    let fences = (world.fence("a"), world.fence("b"));
    assert!(matches!(fences, (Some(2), None) | (None, Some(2))), "{fences:?}");
}

#[test]
fn what_the_owner_has_learnt_since_counts_against_a_claim() {
    let mut world = World::attached();
    world.set_view("a", |view| view.roster = 8);
    // The next beat tells the worker.
    world.pass(OWNER_HELD_MIN);
    world.set_view("b", |view| {
        view.acting = Some("b");
        view.down.insert("a");
        view.roster = 7;
    });
    world.connect("b");
    world.pass(30 * SECOND);
    assert_eq!(world.fence("a"), Some(1), "a knows 9, and b only 8");
    world.set_view("b", |view| view.roster = 9);
    world.pass(3 * SECOND);
    assert_eq!(world.fence("b"), Some(2));
}

#[test]
fn a_newer_boot_of_the_owner_wins_although_the_worker_has_not_noticed_that_the_older_one_is_gone() {
    let mut world = World::attached();
    let old = world.links_of("a")[0];
    world.cut(old, false, true);
    assert_eq!(world.worker.core.owner(), Some(&node("a")), "nobody has told the worker");
    world.crash("a");
    world.connect("a");
    world.settle();
    assert_eq!(world.fence("a"), Some(2));
    assert_eq!(world.worker.core.status(), NodeStatus::Ready);
}

#[test]
fn an_older_link_of_the_same_boot_does_not_win() {
    let mut world = World::attached();
    let older = world.links_of("a")[0];
    world.connect("a");
    world.settle();
    assert_eq!(world.fence("a"), Some(2));
    let claim = Attach {
        roster: phalanx_base::RosterVersion(99),
        last_fence: Fence(50),
        sees_down: Some(node("a")),
        handover_token: None,
        standbys: Vec::new(),
    };
    let frame = Message::from(claim).to_frame();
    let now = world.now;
    world.worker.core.handle_frame(now, older, Lane::Control, &frame).unwrap();
    world.settle();
    assert_eq!(world.fence("a"), Some(2));
}

#[test]
fn the_worker_says_who_has_it_and_the_claimant_asks_that_one() {
    let mut world = World::attached();
    world.set_view("b", |view| view.acting = Some("b"));
    let link = world.connect("b");
    assert!(world.deliver(link, To::Worker, Lane::Control), "the claim arrives");
    let lanes = &world.wires[&link].lanes[&(To::Control, Lane::Control)];
    let Ok(Message::Nack(nack)) = Message::from_frame(&lanes[0]) else { panic!("{lanes:?}") };
    assert_eq!((nack.present, nack.fence), (node("a"), Fence(1)));
    carry(&mut world, link);
    let Some(Message::Wanted(wanted)) = world.words[&("a", "b")].front() else { panic!("{:?}", world.words) };
    assert_eq!((&wanted.worker, wanted.generation), (&node("w"), world.worker.boot.generation));
    // One that is down cannot answer, and is not asked.
    world.words.clear();
    world.set_view("b", |view| view.down.extend(["a"]));
    world.jump(2 * SECOND);
    carry(&mut world, link);
    assert!(world.words.values().all(|words| words.is_empty()), "{:?}", world.words);
}

#[test]
fn a_worker_without_an_owner_runs_nothing_until_the_next_grant() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    let id = world.call("a", request());
    // A gives the worker up, and the word of that overtakes the call; nobody else claims the worker.
    world.set_view("a", |view| (view.acting, view.may_give) = (Some("b"), false));
    let now = world.now;
    world.control("a").core.release_all(now);
    world.drain();
    world.automatic = false;
    while world.deliver(link, To::Worker, Lane::Control) {}
    assert_eq!((world.worker.core.owner(), world.worker.core.status()), (None, NodeStatus::Connecting));
    assert!(world.deliver(link, To::Worker, Lane::Request), "the call arrives");
    assert_eq!(world.worker.requests.len(), 0);
    world.settle();
    assert_eq!(world.control("a").outcomes(&id), [&Outcome::NotExecuted(Reason::Fenced)]);
    // The next grant is under another fence, and a release under the former one means nothing.
    world.set_acting("b");
    let next = world.connect("b");
    world.settle();
    assert_eq!(world.fence("b"), Some(2));
    let release =
        Release { fence: Fence(1), owner: Standby { node: node("a"), addresses: Default::default() } };
    for link in [link, next] {
        let frame = Message::from(release.clone()).to_frame();
        world.worker.core.handle_frame(now, link, Lane::Control, &frame).unwrap();
    }
    assert_eq!(world.worker.core.owner(), Some(&node("b")));
}

#[test]
fn a_call_that_overtakes_the_word_of_the_next_owner_is_fenced_and_runs_nowhere() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.connect("b");
    // The word to stand down is on its way to a, which still gives work to the worker.
    world.automatic = false;
    world.set_acting("b");
    world.pass(10 * SECOND);
    world.jump(Duration::ZERO);
    assert!(world.hosts("b"));
    let generation = world.worker.boot.generation;
    let id = phalanx_jobs::wire::CallId { caller: world.controls["a"].boot.clone(), sequence: 77 };
    let call = Call { id: id.clone(), fence: Fence(1), generation, remaining_ms: 1_000, verb: request() };
    let now = world.now;
    world.worker.core.handle_frame(now, link, Lane::Request, &Message::from(call).to_frame()).unwrap();
    let said = std::iter::from_fn(|| world.worker.core.poll_transmit())
        .map(|transmit| Message::from_frame(&transmit.frame).unwrap())
        .collect::<Vec<_>>();
    let [Message::Outcome(said)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((&said.id, &said.outcome), (&id, &Outcome::NotExecuted(Reason::Fenced)));
    assert_eq!(world.worker.requests.len(), 0);
}

#[test]
fn whoever_is_asked_for_a_worker_that_has_moved_says_so() {
    let mut world = World::attached();
    world.set_acting("b");
    world.pass(10 * SECOND);
    let stale = world.call("a", request());
    assert_eq!(world.control("a").outcomes(&stale), [&Outcome::NotExecuted(Reason::NotHosted)]);
    assert_eq!(world.hosting("a"), Hosting::Between);
    let right = world.call("b", request());
    world.settle();
    world.answer(&right);
    world.settle();
    assert!(matches!(world.control("b").outcomes(&right)[..], [Outcome::Done(_)]));
}

#[test]
fn a_lost_worker_is_not_connected_for_two_minutes_and_forgotten_then() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.cut(link, true, true);
    world.pass(LOST_PROXY_KEPT - Duration::from_millis(1));
    assert_eq!(world.hosting("a"), Hosting::NotConnected);
    let said = world.control("a").statuses.len();
    world.pass(Duration::from_millis(1));
    assert_eq!((world.hosting("a"), world.control("a").forgotten), (Hosting::Unknown, 1));
    world.pass(600 * SECOND);
    assert_eq!((world.control("a").statuses.len(), world.control("a").forgotten), (said, 1), "nothing more");
    world.connect("a");
    world.settle();
    assert_eq!(world.fence("a"), Some(2), "a new link begins anew");
}

#[test]
fn the_smaller_side_takes_in_who_has_no_owner() {
    let mut world = World::attached();
    world.crash("a");
    world.set_view("b", |view| {
        view.acting = Some("b");
        view.down.insert("a");
        view.may_give = false;
    });
    world.connect("b");
    world.settle();
    assert_eq!(world.fence("b"), Some(2));
    // The sides meet again: the ring's owner is a, and b gives nothing away before it sees most of the others.
    world.set_view("b", |view| {
        view.acting = Some("a");
        view.down.clear();
    });
    world.connect("a");
    world.pass(60 * SECOND);
    assert_eq!(world.fence("b"), Some(2));
    world.set_view("b", |view| view.may_give = true);
    world.pass(10 * SECOND + LINGER);
    assert_eq!((world.fence("a"), world.fence("b")), (Some(3), None));
}
