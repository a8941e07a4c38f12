//! What a control node has found and dialled, as people want to know it.

use phalanx::Control;

use crate::{SocketStatus, StrategyStatus};

/// How many sockets are told: a person's list, and a part of a frame.
const SOCKETS_MAX: usize = 256;

/// How many things that went wrong are told at once.
const COMPLAINTS_MAX: usize = 3;

/// The longest words of others that are passed on, in characters: an error may quote what a server has sent.
const WORDS_MAX: usize = 256;

/// What the strategies have found, and what the dials came to.
pub(crate) fn status(control: &Control) -> (Vec<StrategyStatus>, Vec<SocketStatus>) {
    let view = control.discovery().borrow().clone();
    let strategies = view.strategies.iter().map(|strategy| StrategyStatus {
        name: words(strategy.name),
        found: u32::try_from(strategy.found).unwrap_or(u32::MAX),
        error: strategy.error.as_deref().map(words),
    });
    let sockets = view.sockets.iter().take(SOCKETS_MAX).map(|socket| SocketStatus {
        socket: socket.socket,
        node: socket.node.clone(),
        error: socket.error.as_deref().map(words),
    });
    (strategies.collect(), sockets.collect())
}

/// What goes wrong, most telling first: few, since they are for one line.
pub(crate) fn complaints(control: &Control) -> Vec<String> {
    let (strategies, sockets) = status(control);
    let of_sockets = sockets.iter().filter_map(|socket| {
        let error = socket.error.as_ref()?;
        Some(format!("{}: {error}", socket.socket))
    });
    let of_strategies = strategies.iter().filter_map(|strategy| {
        let error = strategy.error.as_ref()?;
        Some(format!("{}: {error}", strategy.name))
    });
    of_sockets.chain(of_strategies).take(COMPLAINTS_MAX).collect()
}

/// Others' words, cut where they are too long.
fn words(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}
