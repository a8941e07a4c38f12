//! By what a worker knows that its owner has let go: the handover token, and everything that makes it worthless.

mod common;

use bytes::Bytes;
use common::{To, World, bytes, node, start};
use phalanx_base::{Fence, Generation, Lane, RosterVersion};
use phalanx_jobs::wire::{Attach, CursorsDigest, HandoverToken, Message, Nack, TaskId};
use phalanx_jobs::{CLAIM_RETRY, GIVING_PAUSE, GIVING_STEP_MAX, LinkId, OFFER_MARGIN, OFFER_RETRY};

/// A worker that a has just offered to b, after one event of a task was handled; b has not heard of the offer.
fn offered() -> (World, LinkId, HandoverToken) {
    let mut world = World::attached();
    let task = TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    let link = world.connect("b");
    world.automatic = false;
    world.settle();
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.set_view("b", |view| view.acting = Some("b"));
    while world.deliver(link, To::Worker, Lane::Control) || world.deliver(link, To::Control, Lane::Control) {}
    assert!(world.deliver_word("a", "b"), "b asks");
    let Some(Message::Offer(offer)) = world.words[&("b", "a")].front() else { panic!("{:?}", world.words) };
    let token = HandoverToken::decode(&offer.token).expect("a token is in an offer");
    (world, link, token)
}

/// What the worker says to a claim over this link that bears these bytes: `None` when it is granted.
fn refusal(world: &mut World, link: LinkId, token: Bytes) -> Option<Nack> {
    let attach = Attach {
        roster: RosterVersion(1),
        last_fence: Fence(0),
        sees_down: None,
        handover_token: Some(token),
        standbys: Vec::new(),
    };
    let frame = Message::from(attach).to_frame();
    let now = world.now;
    let core = &mut world.worker.core;
    core.handle_frame(now, link, Lane::Control, &frame).expect("a claim may come at any time");
    let said = std::iter::from_fn(|| core.poll_transmit())
        .filter(|transmit| transmit.link == link)
        .map(|transmit| Message::from_frame(&transmit.frame).expect("cores send messages"));
    match said.collect::<Vec<_>>().swap_remove(0) {
        Message::Nack(nack) => Some(nack),
        Message::Attached(_) => None,
        other => panic!("{other:?} is no answer to a claim"),
    }
}

#[test]
fn a_token_is_refused_unless_all_of_it_is_so() {
    let (mut world, link, valid) = offered();
    assert_eq!(valid.worker, node("w"));
    assert_eq!((valid.generation, valid.fence), (world.worker.boot.generation, Fence(1)));
    assert_eq!(valid.receiver, node("b"));
    type Change = fn(&mut HandoverToken);
    let changes: [(&str, Change); 7] = [
        ("of another worker", |token| token.worker = node("v")),
        ("of another boot", |token| token.generation = Generation::from_u64(2)),
        ("of a fence before", |token| token.fence = Fence(0)),
        ("of a fence that was never issued", |token| token.fence = Fence(2)),
        ("for another receiver", |token| token.receiver = node("c")),
        ("for the giver itself", |token| token.receiver = node("a")),
        ("with other cursors", |token| token.cursors = CursorsDigest::of(0, [])),
    ];
    for (what, change) in changes {
        let mut token = valid.clone();
        change(&mut token);
        let refused = refusal(&mut world, link, token.encode());
        assert_eq!(refused, Some(Nack { present: node("a"), fence: Fence(1) }), "a token {what}");
    }
    for nonsense in [Bytes::new(), valid.encode().slice(1..), bytes("a token")] {
        assert!(refusal(&mut world, link, nonsense).is_some());
    }
    // None of them has done any harm.
    assert_eq!(refusal(&mut world, link, valid.encode()), None);
    assert_eq!(world.worker.core.owner(), Some(&node("b")));
    assert!(refusal(&mut world, link, valid.encode()).is_some(), "it is good for one time");
}

#[test]
fn a_token_that_somebody_else_brings_is_refused() {
    let (mut world, _, token) = offered();
    // A itself, on its own link: the same node may not take its worker with a token that names b.
    let own = world.links_of("a")[0];
    assert!(refusal(&mut world, own, token.encode()).is_some());
}

#[test]
fn a_token_of_a_boot_that_is_over_opens_nothing() {
    let (mut world, _, token) = offered();
    world.restart_worker();
    // The new boot has an owner under the very same fence.
    world.set_view("b", |view| view.acting = Some("a"));
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("a"), false));
    world.words.clear();
    world.connect("a");
    let link = world.connect("b");
    world.settle();
    assert_eq!(world.fence("a"), Some(1));
    assert!(refusal(&mut world, link, token.encode()).is_some());
}

#[test]
fn an_offer_of_a_boot_that_is_over_is_declined_with_its_states() {
    let (mut world, ..) = offered();
    world.restart_worker();
    world.connect("b");
    assert!(world.deliver_word("b", "a"), "the offer of the boot before arrives");
    assert!(matches!(world.words[&("a", "b")].back(), Some(Message::Declined(_))), "{:?}", world.words);
    world.automatic = true;
    world.settle();
    // It becomes b's as an orphan, and the handlers there begin anew.
    assert_eq!(world.fence("b"), Some(1));
    let task = TaskId(world.call("b", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    let restored = world.control("b").handed.last().and_then(|batch| batch.restore.clone());
    assert_eq!(restored, None, "no state comes from another boot");
}

#[test]
fn an_offer_that_is_too_old_is_not_used_and_made_anew() {
    let mut world = World::attached();
    world.automatic = false;
    let task = TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.set_view("b", |view| view.acting = Some("b"));
    let link = world.connect("b");
    world.settle();
    // The acknowledgement of what the handler had is held back, so that the worker refuses the token.
    let held = world.links_of("a")[0];
    world.handle_one("a");
    let ack = world.wires.get_mut(&held).unwrap().lanes.remove(&(To::Worker, Lane::Control)).unwrap();
    world.settle();
    let mut claims = Vec::new();
    let offered_at = world.now;
    while world.now < offered_at + GIVING_STEP_MAX - OFFER_RETRY {
        world.jump(OFFER_RETRY);
        let claimed = world.wires[&link].lanes.get(&(To::Worker, Lane::Control)).and_then(|lane| lane.back());
        if let Some(Ok(Message::Attach(attach))) = claimed.map(Message::from_frame) {
            claims.push((world.now - offered_at, attach.handover_token.is_some()));
        }
        world.settle();
    }
    let valid = GIVING_STEP_MAX - OFFER_MARGIN;
    assert_eq!(claims[0], (OFFER_RETRY, true), "it is tried again soon");
    assert!(claims.iter().all(|(after, bears_token)| *bears_token == (*after < valid)), "{claims:?}");
    assert!(claims.last().is_some_and(|(after, _)| *after > valid + CLAIM_RETRY), "it goes on without");
    world.wires.get_mut(&held).unwrap().lanes.insert((To::Worker, Lane::Control), ack);
    world.automatic = true;
    world.settle();
    assert_eq!(world.fence("a"), Some(1));
    world.pass(GIVING_STEP_MAX + GIVING_PAUSE);
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
    assert_eq!(world.control("b").redelivered, 0);
}
