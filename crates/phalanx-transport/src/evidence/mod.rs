//! Evidence that a peer's process is dead, before silence proves it.
//!
//! A host answers packets for a port that nobody has any more with ICMP, port unreachable. Our sockets hear of it (see
//! [`UdpSocket::unreachable`](crate::UdpSocket::unreachable)). Anybody can forge such a message, so that it is a hint and
//! never a verdict: it makes this end ping the peer at once, and a link is lost only when no ping is answered. What
//! a forger gets for one message is one small packet a second, and a link that would survive silence of a second
//! otherwise.
//!
//! A dial that nobody listens to fails by the same hints, after a second one: a first may be forged, or be about
//! somebody who had the port before.

mod probe;
mod table;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::link::canonical;
use crate::quic::carrier::QuicCarrier;
use probe::{Probe, Step};
use table::{Key, Table};

/// How far apart two hints about a dial must be: a first packet and its repetition are 300 ms apart, a forger's burst
/// or one packet that was answered twice is not.
const HINTS_APART: Duration = Duration::from_millis(100);

/// The links and dials of one endpoint, and what becomes of them when the network says that a peer is dead.
#[derive(Debug, Default)]
pub(crate) struct Evidence(Mutex<Table<Weak<QuicCarrier>, watch::Sender<()>>>);

impl Evidence {
    /// No code that holds this lock can panic halfway through a change.
    fn table(&self) -> MutexGuard<'_, Table<Weak<QuicCarrier>, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a link for as long as it lives.
    pub(crate) fn watch(&self, carrier: &Arc<QuicCarrier>) {
        let address = carrier.remote();
        self.table().add_link(address, Arc::downgrade(carrier), |link| link.strong_count() > 0);
    }

    /// The links that are there.
    pub(crate) fn carriers(&self) -> Vec<Arc<QuicCarrier>> {
        self.table().links().filter_map(Weak::upgrade).collect()
    }

    /// Watches a dial until the value is dropped.
    pub(crate) fn watch_dial(self: &Arc<Self>, address: SocketAddr) -> DialWatch {
        let (sender, hints) = watch::channel(());
        let key = self.table().add_dial(canonical(address), sender);
        DialWatch { evidence: self.clone(), key, hints }
    }

    /// The network says that nobody listens at an address. Must be called within a tokio runtime.
    pub(crate) fn hint(self: &Arc<Self>, address: SocketAddr) {
        let address = canonical(address);
        let mut table = self.table();
        for dial in table.dials(address) {
            dial.send_replace(());
        }
        for (key, link) in table.handle_hint(Instant::now(), address) {
            tracing::debug!(remote = %address, "a host says that nobody listens there: its peer is pinged");
            tokio::spawn(run(self.clone(), key, link));
        }
    }
}

/// Probes one link until there is a verdict, or nobody holds it any more, or its peer has moved: then it was not meant.
async fn run(evidence: Arc<Evidence>, key: Key, link: Weak<QuicCarrier>) {
    let mut probe = None;
    let is_meant = |carrier: &Arc<QuicCarrier>| carrier.close_reason().is_none() && carrier.remote() == key.0;
    while let Some(carrier) = link.upgrade().filter(is_meant) {
        let (now, acknowledged) = (Instant::now(), carrier.acknowledged());
        let probe = probe.get_or_insert_with(|| Probe::new(now, carrier.round_trip(), acknowledged));
        match probe.poll(now, acknowledged) {
            Step::Ping => carrier.ping(),
            Step::Wait(until) => {
                drop(carrier);
                sleep_until(until).await;
            }
            Step::Answered => break,
            Step::Gone => {
                tracing::debug!(remote = %key.0, "no ping was answered: the link is lost");
                carrier.process_gone();
            }
        }
    }
    evidence.table().handle_verdict(Instant::now(), key);
}

/// Hears of hints about one dial.
pub(crate) struct DialWatch {
    evidence: Arc<Evidence>,
    key: Key,
    hints: watch::Receiver<()>,
}

impl DialWatch {
    /// Waits for two hints that are some time apart. Must be awaited to its end.
    pub(crate) async fn unreachable(&mut self) {
        let mut first = None;
        // Fails only without a sender, which the table holds as long as this value lives.
        while self.hints.changed().await.is_ok() {
            let now = Instant::now();
            if now - *first.get_or_insert(now) >= HINTS_APART {
                return;
            }
        }
    }
}

impl Drop for DialWatch {
    fn drop(&mut self) {
        self.evidence.table().remove_dial(self.key);
    }
}

#[cfg(test)]
mod tests;
