//! In turn: ours, the peer's, ours, the peer's, so that what disturbs one disturbs the other.

use crate::Failure;
use crate::order::{Figures, Order};
use crate::peers::{Pair, Peer};

/// The figures of ours and of the peer's, round by round.
pub(super) type Rounds = Vec<(Figures, Figures)>;

/// Measures both, in turn.
pub(super) fn in_turn(
    rounds: usize,
    mut ours: impl FnMut() -> Result<Figures, Failure>,
    mut theirs: impl FnMut() -> Result<Figures, Failure>,
) -> Result<Rounds, Failure> {
    (0..rounds).map(|_| Ok((ours()?, theirs()?))).collect()
}

/// Starts both, warms them up with one order each, and measures them in turn with the same order.
pub(super) fn beside(peer: Peer, rounds: usize, warm_up: &Order, order: &Order) -> Result<Rounds, Failure> {
    let (mut ours, mut theirs) = (Pair::start(Peer::Ours)?, Pair::start(peer)?);
    ours.measure(warm_up)?;
    theirs.measure(warm_up)?;
    in_turn(rounds, || ours.measure(order), || theirs.measure(order))
}

/// One figure of all rounds.
pub(super) fn each(rounds: &Rounds, figure: impl Fn(&Figures) -> f64) -> Vec<(f64, f64)> {
    rounds.iter().map(|(ours, theirs)| (figure(ours), figure(theirs))).collect()
}
