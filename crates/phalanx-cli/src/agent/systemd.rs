//! Tells the service manager how the agent is (sd_notify): ready when the node serves, and in words why it does not.
//!
//! Where there is no such manager, all of this does nothing.

use phalanx_operator::Operated;
use sd_notify::NotifyState;

/// Tells how the node is, for as long as it runs.
pub(super) async fn tell(node: Operated) {
    let mut watch = node.watch_readiness();
    let mut was_ready = false;
    while let Some(readiness) = watch.next().await {
        let status = NotifyState::Status(&readiness.explanation);
        if readiness.ready && !was_ready {
            was_ready = true;
            notify(&[NotifyState::Ready, status]);
        } else {
            notify(&[status]);
        }
    }
}

/// Tells that the agent is about to end, and why.
pub(super) fn stopping(why: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(why)]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
