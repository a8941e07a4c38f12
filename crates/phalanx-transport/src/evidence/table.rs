//! Whom a hint is about: the links and dials of an endpoint by the address of the peer, and which links may be pinged
//! now. No I/O and no clock; `L` is whatever names a link and `D` whatever tells a dial.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How many links may be under suspicion at one time. Further hints are dropped; such links find out by silence.
const PROBES_MAX: usize = 256;
/// For how long hints about a link are ignored once its peer has answered, so that a forger cannot make us ping without end.
pub(super) const QUIET_TIME: Duration = Duration::from_secs(1);
/// From how many entries on the table is searched for links that are gone.
pub(super) const SWEEP_MIN: usize = 64;

/// The peer's address, and a number of our own: several links may lead to one address.
pub(super) type Key = (SocketAddr, u64);

/// Bounded by the links and dials that there are: an entry keeps nothing alive.
#[derive(Debug)]
pub(super) struct Table<L, D> {
    links: BTreeMap<Key, Suspect<L>>,
    dials: BTreeMap<Key, D>,
    serial_last: u64,
    probes: usize,
    sweep_at: usize,
}

#[derive(Debug)]
struct Suspect<L> {
    link: L,
    suspicion: Suspicion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    Trusted,
    Probed,
    QuietUntil(Instant),
}

impl Suspicion {
    fn may_probe(self, now: Instant) -> bool {
        match self {
            Self::Trusted => true,
            Self::Probed => false,
            Self::QuietUntil(until) => now >= until,
        }
    }
}

impl<L, D> Default for Table<L, D> {
    fn default() -> Self {
        let (links, dials) = (BTreeMap::new(), BTreeMap::new());
        Self { links, dials, serial_last: 0, probes: 0, sweep_at: SWEEP_MIN }
    }
}

impl<L: Clone, D> Table<L, D> {
    fn next_key(&mut self, address: SocketAddr) -> Key {
        self.serial_last += 1;
        (address, self.serial_last)
    }

    /// Takes a link in. Once there are many it drops those that are gone.
    pub(super) fn add_link(&mut self, address: SocketAddr, link: L, is_there: impl Fn(&L) -> bool) {
        if self.links.len() >= self.sweep_at {
            self.links.retain(|_, suspect| is_there(&suspect.link));
            self.sweep_at = (2 * self.links.len()).max(SWEEP_MIN);
        }
        let key = self.next_key(address);
        self.links.insert(key, Suspect { link, suspicion: Suspicion::Trusted });
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &L> {
        self.links.values().map(|suspect| &suspect.link)
    }

    pub(super) fn add_dial(&mut self, address: SocketAddr, dial: D) -> Key {
        let key = self.next_key(address);
        self.dials.insert(key, dial);
        key
    }

    pub(super) fn remove_dial(&mut self, key: Key) {
        self.dials.remove(&key);
    }

    /// The dials to an address.
    pub(super) fn dials(&self, address: SocketAddr) -> impl Iterator<Item = &D> {
        self.dials.range((address, 0)..=(address, u64::MAX)).map(|(_, dial)| dial)
    }

    /// Nobody listens at an address, it is said: the links to it that are to be probed now. For each,
    /// [`handle_verdict`](Self::handle_verdict) must follow.
    pub(super) fn handle_hint(&mut self, now: Instant, address: SocketAddr) -> Vec<(Key, L)> {
        let mut probed = Vec::new();
        for (key, suspect) in self.links.range_mut((address, 0)..=(address, u64::MAX)) {
            if self.probes < PROBES_MAX && suspect.suspicion.may_probe(now) {
                suspect.suspicion = Suspicion::Probed;
                self.probes += 1;
                probed.push((*key, suspect.link.clone()));
            }
        }
        probed
    }

    /// A probe is over.
    pub(super) fn handle_verdict(&mut self, now: Instant, key: Key) {
        self.probes = self.probes.saturating_sub(1);
        if let Some(suspect) = self.links.get_mut(&key) {
            suspect.suspicion = Suspicion::QuietUntil(now + QUIET_TIME);
        }
    }
}

#[cfg(test)]
impl<L, D> Table<L, D> {
    pub(super) fn lengths(&self) -> (usize, usize) {
        (self.links.len(), self.dials.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 4433))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Link(u8),
        Hint(u8),
        Verdict(prop::sample::Index),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0..5_u8).prop_map(Step::Link),
            4 => (0..5_u8).prop_map(Step::Hint),
            2 => any::<prop::sample::Index>().prop_map(Step::Verdict),
            1 => (1..1500_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever is hinted: only links at that address are probed, none twice at one time, and none again before it
        /// was quiet for a while.
        #[test]
        fn hints_are_for_the_right_link_and_rare(steps in proptest::collection::vec(step(), 0..200)) {
            let mut now = Instant::now();
            let mut table: Table<usize, ()> = Table::default();
            let (mut homes, mut probed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Link(n) => {
                        table.add_link(address(n), homes.len(), |_| true);
                        homes.push(address(n));
                        ended.push(None);
                    }
                    Step::Hint(n) => {
                        for (key, link) in table.handle_hint(now, address(n)) {
                            prop_assert_eq!(homes[link], address(n));
                            prop_assert!(ended[link].is_none_or(|at| now >= at + QUIET_TIME));
                            probed.push((key, link));
                        }
                    }
                    Step::Verdict(which) if !probed.is_empty() => {
                        let (key, link) = probed.swap_remove(which.index(probed.len()));
                        table.handle_verdict(now, key);
                        ended[link] = Some(now);
                    }
                    Step::Verdict(_) => {}
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                }
                let distinct: BTreeSet<_> = probed.iter().map(|(key, _)| *key).collect();
                prop_assert_eq!(distinct.len(), probed.len());
            }
        }
    }

    #[test]
    fn probes_are_bounded_and_their_places_come_back() {
        let (now, mut table) = (Instant::now(), Table::<usize, ()>::default());
        for link in 0..PROBES_MAX + 50 {
            table.add_link(address(1), link, |_| true);
        }
        let probed = table.handle_hint(now, address(1));
        assert_eq!(probed.len(), PROBES_MAX);
        assert!(table.handle_hint(now, address(1)).is_empty());
        for (key, _) in probed {
            table.handle_verdict(now, key);
        }
        assert_eq!(table.handle_hint(now, address(1)).len(), 50, "the others are quiet");
    }

    #[test]
    fn what_is_gone_leaves_the_table() {
        let mut table = Table::<usize, ()>::default();
        for link in 0..10 * SWEEP_MIN {
            table.add_link(address(1), link, |there| there + 3 > link);
        }
        assert!(table.lengths().0 <= SWEEP_MIN + 3);
    }
}
