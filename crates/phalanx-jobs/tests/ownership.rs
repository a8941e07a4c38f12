//! Who hosts a worker's proxy: claims, refusals, releases, losses.
//!
//! Each line of the ownership protocol, and the scenario that walks it. Where no file is named it is in this one; `claims`,
//! `tokens`, `handover`, `drain`, `calls`, `events` are the files beside it; `finder`, `pacer`, `session`, `arbiter` are unit
//! tests of the core of that name; `scenarios` are whole clusters on real sockets.
//!
//! | worker | scenario |
//! |---|---|
//! | orphan: dials last owner, standbys, what discovery found | `finder::an_orphan_dials_its_last_owner_and_the_standbys_first`, `finder::whoever_is_found_late_is_dialled_at_once` |
//! | full jitter: ten seconds at most in the first minute, then thirty | `finder::rounds_wait_no_longer_than_their_window` |
//! | owned: new work only under the present generation | `calls::another_boot_is_refused_at_both_doors` |
//! | … and fence, else *fenced* | `calls::a_call_under_an_old_fence_does_not_run_and_one_accepted_before_is_answered`, `claims::a_call_that_overtakes_the_word_of_the_next_owner_is_fenced_and_runs_nowhere` |
//! | refreshes what its owner knows of the roster from the beats | `claims::what_the_owner_has_learnt_since_counts_against_a_claim` |
//! | 15 s without a frame under the present fence: closes the link, orphan | [`silence_ends_the_session_at_both_ends`], `session::only_the_present_fence_is_a_sign_of_life` |
//! | … and runs nothing until the next grant | `claims::a_worker_without_an_owner_runs_nothing_until_the_next_grant` |
//! | redirect: links to the owner beside the present one | [`who_does_not_act_sends_the_worker_on`], `finder::the_next_owner_is_dialled_beside_the_present_one` |
//! | redirect to an owner that is out of reach: by relay, reported after two failures | absent as yet; the owner names it: `drain::a_worker_that_goes_is_counted_and_one_that_cannot_link_is_said_to_be_so` |
//! | accepts: no live owner | [`the_first_claim_gives_fence_one_and_a_worker_that_is_ready`], [`a_standby_takes_over_from_a_crashed_owner`] |
//! | accepts: a valid handover token | [`a_worker_is_given_to_its_acting_owner_once_the_roster_has_settled`] |
//! | accepts: the same control node in a newer boot | `claims::a_newer_boot_of_the_owner_wins_although_the_worker_has_not_noticed_that_the_older_one_is_gone` |
//! | accepts: … or on a newer link, and not on an older one | [`an_owner_that_has_lost_its_memory_gets_a_greater_fence_on_a_newer_link`], `claims::an_older_link_of_the_same_boot_does_not_win` |
//! | accepts: greater (roster, name), the present one held for ten seconds and seen down | [`a_claim_against_one_that_is_seen_down_wins_after_it_was_held_for_a_while`], `claims::of_two_that_know_the_same_the_greater_name_wins_and_who_knows_less_loses` |
//! | fence: above the issued one and the claimant's last one | `arbiter::an_orphan_takes_the_first_and_a_live_owner_stays`, `arbiter::fences_grow` |
//! | to the new owner: snapshot and last checkpoint | `events::after_a_crash_the_standby_goes_on_from_the_checkpoint` |
//! | to the former one: stand down; replies pass for ten seconds more | [`a_worker_is_given_to_its_acting_owner_once_the_roster_has_settled`], [`on_a_shared_link_too_a_call_of_the_former_owner_waits_no_longer_than_the_linger`] |
//! | else refuses, and names owner and fence | `claims::the_worker_says_who_has_it_and_the_claimant_asks_that_one` |
//! | token refused: other worker, boot, fence, receiver, cursors | `tokens::a_token_is_refused_unless_all_of_it_is_so`, `tokens::a_token_that_somebody_else_brings_is_refused`, `tokens::a_token_of_a_boot_that_is_over_opens_nothing` |
//! | … the last acknowledgement is still on its way | [`a_token_opens_nothing_once_something_else_was_acknowledged`] |
//!
//! | control node | scenario |
//! |---|---|
//! | claims as acting owner: an orphan | [`the_first_claim_gives_fence_one_and_a_worker_that_is_ready`] |
//! | … one whose present owner it is itself | [`an_owner_that_has_lost_its_memory_gets_a_greater_fence_on_a_newer_link`] |
//! | … one whose present owner it sees down | [`a_claim_against_one_that_is_seen_down_wins_after_it_was_held_for_a_while`] |
//! | … one that it was offered | [`who_asks_before_the_owner_knows_the_plan_gets_its_answer_when_it_does`] |
//! | does not claim what is another one's | [`who_does_not_act_sends_the_worker_on`] |
//! | refused: stands by, asks the present owner, claims again | [`a_claim_is_refused_while_the_owner_lives_and_repeated`], [`a_refused_claim_of_one_that_acts_no_more_ends_in_a_redirect`] |
//! | active on a fence above the known one; lower ones count nowhere | [`a_lower_fence_than_the_known_one_is_not_believed`], [`what_was_under_way_when_a_worker_is_taken_back_at_once_is_no_violation`] |
//! | gives away: another one acts, the roster has settled | [`a_worker_is_given_to_its_acting_owner_once_the_roster_has_settled`] |
//! | … and the pace allows | `handover::so_many_workers_move_in_a_second_and_so_many_at_one_time`, `pacer` |
//! | … and it sees more than half of the roster; else it gives nothing and takes in orphans | [`who_leaves_does_not_wait_and_who_sees_too_few_gives_nothing`], `claims::the_smaller_side_takes_in_who_has_no_owner` |
//! | the receiver takes it if it computes itself acting owner | [`a_receiver_that_is_not_the_owner_any_more_declines_and_one_that_never_asks_is_given_up`] |
//! | from its offer on the giver neither handles nor acknowledges | `handover::from_its_offer_on_the_owner_handles_and_acknowledges_nothing`, [`an_owner_waits_for_its_handlers_before_it_offers`] |
//! | declined: owner as before, tried again after ten seconds | [`a_receiver_that_is_not_the_owner_any_more_declines_and_one_that_never_asks_is_given_up`], `handover::a_word_of_a_handover_that_is_over_means_nothing` |
//! | refused by the worker: the claim is repeated, the offer grows old | `tokens::an_offer_that_is_too_old_is_not_used_and_made_anew` |
//! | thirty seconds: owner as before, tried again after ten | `handover::an_offer_that_is_not_answered_ends_and_the_events_that_waited_are_handled` |
//! | an offer cannot be taken back | `handover::an_offer_cannot_be_taken_back_and_the_receiver_gives_the_worker_back_itself` |
//! | states for another boot are dropped | `tokens::an_offer_of_a_boot_that_is_over_is_declined_with_its_states` |
//! | told to stand down: it stands by. (*Fenced* needs no step of its own: whoever fences a call has said so on the control lane) | [`a_worker_is_given_to_its_acting_owner_once_the_roster_has_settled`], `claims::a_call_that_overtakes_the_word_of_the_next_owner_is_fenced_and_runs_nowhere` |
//! | link lost: not connected at once | [`a_lost_link_is_said_at_once`] |
//! | … forgotten after 120 s, and nothing more is said; a new link begins anew | `claims::a_lost_worker_is_not_connected_for_two_minutes_and_forgotten_then` |
//! | asked for a worker that has moved: says so, and the caller asks again | `claims::whoever_is_asked_for_a_worker_that_has_moved_says_so`, `scenarios::joins` |
//! | an owner that lives and cannot reach its worker, not even by relay: a standby claims | absent as yet |
//! | who leaves gives everything away, then goes | `drain`, `scenarios::drain`, `scenarios::joins` |

mod common;

use std::time::Duration;

use common::{World, bytes, node, request, start};
use phalanx_base::{Lane, NodeStatus, Role};
use phalanx_jobs::wire::{Hosting, Message};
use phalanx_jobs::{Config, GIVING_PAUSE, GIVING_STEP_MAX, LINGER, OFFER_RETRY, Outcome, Reason};

const SECOND: Duration = Duration::from_secs(1);

/// How long the default configuration lets the roster settle.
const SETTLE: Duration = Duration::from_secs(10);

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
fn a_claim_that_is_granted_after_it_was_given_up_is_given_back() {
    let mut world = World::attached();
    world.set_view("b", |view| view.acting = Some("b"));
    world.connect("b");
    world.settle();
    // b asks no more, and says so while the worker loses a and remembers that b has asked.
    world.set_view("b", |view| view.acting = Some("a"));
    world.jump(2 * SECOND);
    world.cut(world.links_of("a")[0], true, true);
    world.settle();
    assert!(world.hosts("b"));
    world.pass(SETTLE);
    assert!(world.hosts("a") && !world.hosts("b"), "b has given it to a");
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
fn a_worker_is_given_to_its_acting_owner_once_the_roster_has_settled() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.set_acting("b");
    world.pass(SETTLE - Duration::from_millis(1));
    assert_eq!((world.fence("a"), world.links_of("b").len()), (Some(1), 0));
    world.pass(Duration::from_millis(1));
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
    world.pass(SETTLE);
    assert_eq!(world.fence("b"), Some(2));
    world.emit(&task, bytes("2"));
    world.set_acting("a");
    world.pass(SETTLE);
    assert_eq!(world.fence("a"), Some(3));
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1, 2]);
    assert_eq!(world.control("a").redelivered + world.control("b").redelivered, 0);
    world.pass(LINGER);
    assert_eq!((world.links_of("a").len(), world.links_of("b").len()), (1, 0));
}

#[test]
fn an_owner_waits_for_its_handlers_before_it_offers() {
    let mut world = World::attached();
    world.automatic = false;
    let task = phalanx_jobs::wire::TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    world.set_acting("b");
    world.connect("b");
    world.pass(SETTLE + 3 * SECOND);
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
    world.connect("b");
    world.pass(SETTLE + 3 * SECOND);
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
fn who_leaves_does_not_wait_and_who_sees_too_few_gives_nothing() {
    let mut world = World::attached();
    world.set_view("a", |view| (view.acting, view.may_give) = (Some("b"), false));
    world.set_view("b", |view| view.acting = Some("b"));
    world.pass(60 * SECOND);
    assert_eq!(world.fence("a"), Some(1), "the other half may see it otherwise");
    world.set_view("a", |view| (view.may_give, view.leaving) = (true, true));
    world.settle();
    assert_eq!(world.fence("b"), Some(2));
}

#[test]
fn a_receiver_that_is_not_the_owner_any_more_declines_and_one_that_never_asks_is_given_up() {
    let mut world = World::attached();
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    // b has not heard of it: it sends the worker back, and asks for nothing.
    world.pass(GIVING_STEP_MAX + GIVING_PAUSE);
    assert_eq!(world.fence("a"), Some(1));
    let link = world.connect("b");
    world.automatic = false;
    world.settle();
    world.set_view("b", |view| view.acting = Some("b"));
    use common::To;
    while world.deliver(link, To::Worker, Lane::Control) || world.deliver(link, To::Control, Lane::Control) {}
    assert!(world.deliver_word("a", "b"), "b asks");
    world.set_view("b", |view| view.acting = Some("a"));
    assert!(world.deliver_word("b", "a"), "a offers");
    world.settle();
    assert_eq!(world.fence("a"), Some(1), "an offer that is declined changes nothing");
    let task = phalanx_jobs::wire::TaskId(world.call("a", start()));
    world.automatic = true;
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    assert_eq!(world.history.missing(world.worker.boot.generation), [], "events flow as before");
}

#[test]
fn who_asks_before_the_owner_knows_the_plan_gets_its_answer_when_it_does() {
    let mut world = World::attached();
    world.connect("b");
    world.set_view("b", |view| view.acting = Some("b"));
    world.settle();
    assert_eq!(world.fence("b"), None, "a is not told yet");
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.settle();
    assert_eq!(world.fence("b"), Some(2));
}

#[test]
fn a_token_opens_nothing_once_something_else_was_acknowledged() {
    let mut world = World::attached();
    world.automatic = false;
    let task = phalanx_jobs::wire::TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    world.connect("b");
    world.set_acting("b");
    world.pass(SETTLE + 3 * SECOND);
    world.handle_one("a");
    // The acknowledgement is held back: b has the offer before the worker knows how far a has come.
    let link = world.links_of("a")[0];
    let held =
        world.wires.get_mut(&link).unwrap().lanes.remove(&(common::To::Worker, Lane::Control)).unwrap();
    world.settle();
    assert_eq!(world.fence("b"), None, "the last acknowledgement has not arrived");
    world.wires.get_mut(&link).unwrap().lanes.insert((common::To::Worker, Lane::Control), held);
    world.pass(OFFER_RETRY);
    assert_eq!(world.fence("b"), Some(2));
    world.automatic = true;
    world.settle();
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1]);
    assert_eq!(world.control("b").redelivered, 0);
}

#[test]
fn a_link_that_was_left_stays_while_a_transfer_runs_over_it() {
    let mut world = World::attached();
    let link = world.links_of("a")[0];
    world.worker.core.handle_transfer_begun(link);
    world.set_acting("b");
    world.pass(SETTLE + 3 * LINGER);
    assert!(world.hosts("b") && world.wires.contains_key(&link));
    world.worker.core.handle_transfer_ended(link);
    world.pass(LINGER);
    assert!(!world.wires.contains_key(&link));
}

#[test]
fn on_a_shared_link_too_a_call_of_the_former_owner_waits_no_longer_than_the_linger() {
    let mut world = World::new(Role::Control, Config::default());
    for control in ["a", "b"] {
        world.connect(control);
    }
    world.settle();
    let [quick, slow] = [world.call("a", request()), world.call("a", request())];
    world.settle();
    world.set_acting("b");
    world.pass(SETTLE + 3 * SECOND);
    assert!(world.hosts("b"));
    world.answer(&quick);
    world.settle();
    assert!(
        matches!(world.control("a").outcomes(&quick)[..], [Outcome::Done(_)]),
        "it comes over the former link"
    );
    world.pass(LINGER);
    let lost = Outcome::Unknown(Reason::LinkLost);
    assert_eq!(world.control("a").outcomes(&slow), [&lost]);
}

#[test]
fn a_state_that_is_too_large_for_a_checkpoint_travels_with_the_offer() {
    let mut world = World::attached();
    world.checkpoints = false;
    let task = phalanx_jobs::wire::TaskId(world.call("a", start()));
    world.settle();
    world.emit(&task, bytes("1"));
    world.settle();
    for acting in ["b", "a"] {
        // Once with what a handler holds, once with what no handler has had yet.
        world.set_acting(acting);
        world.pass(SETTLE);
        assert!(world.hosts(acting));
    }
    world.emit(&task, bytes("2"));
    world.settle();
    let restored = world.control("a").handed.last().and_then(|batch| batch.restore.clone());
    assert_eq!(restored, Some(Some(bytes("1"))));
}

#[test]
fn the_handlers_of_an_earlier_boot_are_told_that_it_is_lost() {
    let mut world = World::attached();
    let tasks = [world.call("a", start()), world.call("a", start())].map(phalanx_jobs::wire::TaskId);
    world.settle();
    world.emit(&tasks[0], bytes("1"));
    world.settle();
    world.automatic = false;
    world.emit(&tasks[1], bytes("1"));
    world.settle();
    world.restart_worker();
    world.connect("a");
    world.settle();
    let told = world.control("a").told_end.clone();
    assert_eq!(told, [(tasks[0].clone(), 2)], "the other handler has not returned");
    world.handle_one("a");
    let told = world.control("a").told_end.clone();
    assert_eq!(
        told,
        [(tasks[0].clone(), 2), (tasks[1].clone(), 2)],
        "what is missing begins after what was handled"
    );
}

#[test]
fn who_must_go_releases_what_it_still_has() {
    let mut world = World::attached();
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.set_view("b", |view| view.acting = Some("b"));
    let now = world.now;
    world.control("a").core.release_all(now);
    world.settle();
    assert_eq!((world.fence("a"), world.fence("b")), (None, Some(2)));
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

#[test]
fn a_copy_of_an_offer_that_was_taken_is_not_declined() {
    use common::To;
    let mut world = World::attached();
    let task = phalanx_jobs::wire::TaskId(world.call("a", start()));
    world.settle();
    world.automatic = false;
    let link_of_a = world.links_of("a")[0];
    let link = world.connect("b");
    let exchange = |world: &mut World| {
        while world.deliver(link, To::Worker, Lane::Control)
            || world.deliver(link, To::Control, Lane::Control)
        {}
    };
    world.set_view("b", |view| view.acting = Some("b"));
    exchange(&mut world);
    assert!(world.deliver_word("a", "b"), "b asks");
    // b asks again while the offer is under way, so that a copy of it follows.
    world.jump(phalanx_jobs::CLAIM_RETRY);
    exchange(&mut world);
    world.set_view("a", |view| (view.acting, view.leaving) = (Some("b"), true));
    world.emit(&task, bytes("1"));
    while world.deliver(link_of_a, To::Control, Lane::Event) {}
    assert!(world.deliver_word("b", "a"), "a offers");
    exchange(&mut world);
    assert!(world.hosts("b"), "b has taken it, and a does not know");
    assert!(world.deliver_word("a", "b"), "b asks again");
    assert!(world.deliver_word("b", "a"), "a offers again");
    world.deliver_word("a", "b");
    assert_eq!(world.control("a").hand.len(), 0, "a handles nothing of what b will handle");
    world.automatic = true;
    world.settle();
    assert_eq!(world.history.missing(world.worker.boot.generation), []);
}
