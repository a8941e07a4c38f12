//! When most workers are lost at one time, the node says so; when they stop as they said, or move, it does not.

mod common;

use std::time::Duration;

use common::Crowd;
use phalanx_base::NodeStatus;
use phalanx_jobs::{LOST_PROXY_KEPT, LossCounts, MASS_WINDOW, MassChange, MassFailure};

/// A crowd, and what its losses are taken for.
struct Watched {
    crowd: Crowd,
    mass: MassFailure,
}

impl Watched {
    fn new(workers: u64) -> Self {
        let mut watched = Self { crowd: Crowd::new(workers), mass: MassFailure::default() };
        assert_eq!(watched.look(), None);
        watched
    }

    fn look(&mut self) -> Option<MassChange> {
        self.crowd.events();
        self.mass.handle_counts(self.crowd.core.losses())
    }

    fn counts(&self) -> [usize; 3] {
        let LossCounts { hosted, recent, missing } = self.crowd.core.losses();
        [hosted, recent, missing]
    }
}

#[test]
fn most_of_four_are_a_mass_failure_until_most_are_back() {
    let mut watched = Watched::new(4);
    for worker in 0..2 {
        watched.crowd.lose(worker, false);
        assert_eq!(watched.look(), None);
    }
    watched.crowd.lose(2, false);
    assert_eq!(watched.look(), Some(MassChange::Began { lost: 3, known: 4 }));
    watched.crowd.lose(3, false);
    assert_eq!(watched.look(), None, "it is said once");
    watched.crowd.pass(MASS_WINDOW);
    assert_eq!((watched.counts(), watched.look()), ([0, 0, 4], None), "time does not bring them back");
    for worker in 0..2 {
        watched.crowd.attach(worker);
        assert_eq!(watched.look(), None);
    }
    watched.crowd.attach(2);
    assert_eq!(watched.look(), Some(MassChange::Ended));
    assert_eq!(watched.counts(), [3, 0, 1]);
}

#[test]
fn who_is_lost_for_long_is_forgotten_and_ends_it() {
    let mut watched = Watched::new(10);
    (0..10).for_each(|worker| watched.crowd.lose(worker, false));
    assert_eq!(watched.look(), Some(MassChange::Began { lost: 10, known: 10 }));
    watched.crowd.pass(LOST_PROXY_KEPT - Duration::from_millis(1));
    assert_eq!(watched.look(), None);
    watched.crowd.pass(Duration::from_millis(1));
    assert_eq!((watched.counts(), watched.look()), ([0, 0, 0], Some(MassChange::Ended)));
}

#[test]
fn losses_that_are_spread_out_are_none_together() {
    let mut watched = Watched::new(10);
    for worker in 0..10 {
        watched.crowd.lose(worker, false);
        assert_eq!(watched.look(), None, "worker {worker}");
        watched.crowd.pass_alive(MASS_WINDOW);
    }
}

#[test]
fn who_stops_or_moves_is_not_lost() {
    let mut watched = Watched::new(30);
    (0..10).for_each(|worker| watched.crowd.lose(worker, true));
    for worker in 10..20 {
        watched.crowd.report(worker, [NodeStatus::Stopping, NodeStatus::Stopped][worker as usize % 2]);
        watched.crowd.lose(worker, false);
    }
    watched.crowd.set_view(|view| view.acting = Some("b"));
    for worker in 20..30 {
        watched.crowd.stand_down(worker);
        watched.crowd.lose(worker, false);
    }
    assert_eq!((watched.counts(), watched.look()), ([0, 0, 0], None));
}

#[test]
fn silence_is_a_loss_too_and_a_new_link_is_none() {
    let mut watched = Watched::new(8);
    (0..8).for_each(|worker| watched.crowd.attach(worker));
    assert_eq!((watched.counts(), watched.look()), ([8, 0, 0], None), "each came on a newer link");
    // Nobody says anything any more.
    watched.crowd.pass(Duration::from_secs(15));
    assert_eq!(
        (watched.counts(), watched.look()),
        ([0, 8, 8], Some(MassChange::Began { lost: 8, known: 8 }))
    );
    // They come back and are sent to their owner: they live, wherever.
    watched.crowd.set_view(|view| view.acting = Some("b"));
    (0..5).for_each(|worker| watched.crowd.attach(worker));
    assert_eq!((watched.counts(), watched.look()), ([0, 3, 3], Some(MassChange::Ended)));
}

#[test]
fn a_node_that_leaves_closes_its_links_and_has_lost_nobody() {
    let mut watched = Watched::new(8);
    watched.crowd.set_view(|view| (view.acting, view.leaving) = (None, true));
    (0..8).for_each(|worker| watched.crowd.lose(worker, false));
    assert_eq!((watched.counts(), watched.look()), ([0, 0, 0], None));
}
