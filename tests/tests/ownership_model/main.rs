//! The protocol of ownership, checked in every state that it can reach: two control nodes, one worker, and a budget of
//! faults.
//!
//! The cores are those that run: the worker's `Arbiter` judges each claim, the `Steward` says each control node's next
//! step, `Giving` leads the handover, and a `Cursor` follows the events. What lies between them in `WorkerCore` and `Proxy`
//! is written anew here, small enough to be compared by value (`worker`, `control`), with the same names and in the same
//! order. `promises` says what must hold in each state; `goal` that from each state the worker can be served again.
//!
//! See the numbers with `cargo test -p tests --test ownership_model -- --nocapture`; `--ignored` runs those that take
//! minutes, best with `--release`.

#![allow(
    clippy::disallowed_methods,
    reason = "the model's clock starts somewhere, and the checker's time is told"
)]

mod control;
mod goal;
mod handover;
mod model;
mod network;
mod options;
mod promises;
mod rules;
mod turn;
mod worker;
mod world;

use std::time::Instant;

use phalanx_jobs::{Config, GIVING_STEP_MAX, OFFER_MARGIN};
use stateright::{Checker, HasDiscoveries, Model};

use model::Ownership;
use rules::{Budget, Mistake, Rules};
use world::Node;

/// Every promise holds in every state, and the goal can be reached from each.
fn holds(name: &str, rules: Rules) {
    let model = Ownership { rules };
    let start = Instant::now();
    let checker = model.clone().checker().spawn_bfs().join();
    let (states, checked) = (checker.unique_state_count(), start.elapsed());
    checker.assert_properties();
    let reached = goal::reach(&model);
    let whole = start.elapsed();
    println!("{name}: {states} states, checked in {checked:.1?}, with the goal in {whole:.1?}");
    assert_eq!(reached.states, states, "both have looked at the same graph");
    assert!(reached.goals > 0, "{name}: the goal is never reached");
    assert_eq!(reached.stuck, 0, "{name}: from here on the worker is never served: {:#?}", reached.way);
}

/// The checker finds that this promise is broken.
fn discovers(mistake: Mistake, promise: &'static str, rules: Rules) {
    let model = Ownership { rules: Rules { mistake: Some(mistake), ..rules } };
    let until = HasDiscoveries::AnyOf([promise].into());
    let checker = model.checker().finish_when(until).spawn_bfs().join();
    let way = checker.discovery(promise);
    let steps = way.map(|way| way.into_actions().len());
    println!("{mistake:?}: {steps:?} steps, found among {} states", checker.unique_state_count());
    assert!(steps.is_some(), "{mistake:?} breaks \"{promise}\", and the checker must see it");
}

fn of(events: u8, budget: Budget) -> Rules {
    Rules { events, ..Rules::new(budget) }
}

fn none() -> Budget {
    Budget::default()
}

/// One change of the ring, without any fault.
fn move_of(events: u8) -> Rules {
    of(events, Budget { ring_changes: 1, ..none() })
}

/// What the model takes for granted of time.
#[test]
fn the_timers_leave_the_margin() {
    assert!(GIVING_STEP_MAX >= 2 * OFFER_MARGIN, "an offer can be used at all");
    assert!(
        Config::default().silence_max <= OFFER_MARGIN,
        "a giver that hears nothing knows before it goes on"
    );
}

#[test]
fn a_move_holds_whatever_becomes_of_the_words() {
    holds(
        "a move, words lost and repeated",
        of(2, Budget { losses: 1, duplicates: 1, ring_changes: 1, ..none() }),
    );
    let from_b = Rules { owner: Node::B, ..move_of(2) };
    holds("a move the other way", from_b);
}

#[test]
fn a_move_holds_when_timers_are_early() {
    holds("a move, a timer early", of(2, Budget { early_timers: 1, ring_changes: 1, ..none() }));
}

#[test]
fn a_move_holds_when_the_worker_starts_anew() {
    holds("a move, a restart", of(1, Budget { restarts: 1, ring_changes: 1, ..none() }));
}

#[test]
fn a_move_holds_when_a_link_is_cut() {
    holds("a move, a cut", of(0, Budget { cuts: 1, ring_changes: 1, ..none() }));
}

#[test]
fn a_crash_is_survived() {
    holds("a crash", of(0, Budget { crashes: 1, ..none() }));
}

#[test]
fn a_false_suspicion_is_survived() {
    holds("a suspicion, a command", of(1, Budget { suspicions: 1, commands: 1, ..none() }));
}

#[test]
fn cut_links_and_restarts_are_survived() {
    holds("a cut, a restart, a command", of(1, Budget { cuts: 1, restarts: 1, commands: 1, ..none() }));
}

#[test]
#[ignore = "half a million states"]
fn a_move_holds_with_events_when_a_link_is_cut() {
    holds("a move, a cut, a loss", of(1, Budget { cuts: 1, losses: 1, ring_changes: 1, ..none() }));
}

#[test]
#[ignore = "a quarter of a million states"]
fn a_move_holds_under_three_faults_of_words_and_time() {
    let budget = Budget { losses: 1, duplicates: 1, early_timers: 1, ring_changes: 1, ..none() };
    holds("a move, three faults", of(2, budget));
}

#[test]
#[ignore = "a quarter of a million states"]
fn a_crash_is_survived_with_events() {
    holds("a crash, with events", of(1, Budget { crashes: 1, ..none() }));
}

#[test]
#[ignore = "more than a million states"]
fn a_false_suspicion_is_survived_beside_another_fault() {
    holds("a suspicion, a cut", of(1, Budget { suspicions: 1, cuts: 1, ..none() }));
    holds("a suspicion, a move", of(1, Budget { suspicions: 1, ring_changes: 1, ..none() }));
}

#[test]
#[ignore = "half a million states"]
fn frames_out_of_order_do_no_harm() {
    holds("a move, disorder", of(1, Budget { disorders: 1, commands: 1, ring_changes: 1, ..none() }));
}

#[test]
#[ignore = "twelve million states, and gigabytes"]
fn a_move_holds_when_a_control_node_crashes() {
    holds("a move, a crash", of(1, Budget { crashes: 1, ring_changes: 1, ..none() }));
}

#[test]
fn discovers_that_a_taken_offer_is_declined() {
    discovers(Mistake::TakenOfferDeclined, "graceful moves repeat no event", move_of(2));
}

#[test]
fn discovers_that_the_cursors_of_a_token_are_ignored() {
    discovers(Mistake::CursorsIgnored, "graceful moves repeat no event", move_of(2));
}

#[test]
fn discovers_that_an_offer_does_not_wait_for_handlers() {
    discovers(Mistake::QuietNotAwaited, "a token is honoured after its giver has let go", move_of(2));
}

#[test]
fn discovers_that_a_giver_goes_on_beside_its_offer() {
    let rules = of(2, Budget { early_timers: 1, ring_changes: 1, ..none() });
    discovers(Mistake::MarginIgnored, "a token is honoured before its giver goes on", rules);
}

#[test]
fn discovers_that_nobody_is_told_to_stand_down() {
    discovers(Mistake::StandDownNotSent, "a giver handles nothing after the handover", move_of(1));
}

#[test]
fn discovers_that_a_former_owner_is_obeyed() {
    let rules = of(1, Budget { commands: 1, ring_changes: 1, ..none() });
    discovers(Mistake::FormerOwnerObeyed, "commands run under the present fence only", rules);
}

#[test]
fn discovers_that_a_former_owner_acknowledges() {
    let rules = of(1, Budget { suspicions: 1, ..none() });
    discovers(Mistake::LateAcknowledgementsTaken, "nothing of a former owner takes effect", rules);
}

#[test]
fn discovers_that_fences_are_forgotten() {
    let rules = of(0, Budget { cuts: 1, ..none() });
    discovers(Mistake::FencesForgotten, "no fence is issued twice", rules);
}

#[test]
fn discovers_that_an_equal_fence_is_believed() {
    let rules = of(1, Budget { disorders: 1, ring_changes: 1, ..none() });
    discovers(Mistake::EqualFenceBelieved, "fences grow at each control node", rules);
}

#[test]
fn discovers_that_a_refused_claim_is_not_repeated() {
    let rules = Rules { mistake: Some(Mistake::ClaimNotRepeated), ..move_of(1) };
    let reached = goal::reach(&Ownership { rules });
    println!("ClaimNotRepeated: {} of {} states cannot reach the goal", reached.stuck, reached.states);
    assert!(
        reached.stuck > 0 && !reached.way.is_empty(),
        "a worker whose plan has changed is left where it is"
    );
}
