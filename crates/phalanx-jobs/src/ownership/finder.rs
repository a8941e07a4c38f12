//! The worker's search for its owner: whom to dial next, and how long to wait between rounds.
//!
//! Everybody who was owned by a lost control node searches at the same moment. So each round waits for a random part of
//! a window that doubles (*full jitter*, as in M. Brooker, "Exponential Backoff And Jitter", 2015): at most ten seconds
//! in the first minute, when an owner is likely to be there, and up to thirty later.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use phalanx_base::{Address, NodeId, planted};

use crate::wire::Standby;

/// The timing of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinderConfig {
    /// The window of the second round; the first starts at once.
    pub backoff_min: Duration,
    /// The greatest window in the first minute.
    pub backoff_max: Duration,
    /// The greatest window after it.
    pub backoff_max_later: Duration,
    /// How long a control node that was reached may take to accept the worker or to name its owner.
    pub attach_timeout: Duration,
}

impl Default for FinderConfig {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(10),
            backoff_max_later: Duration::from_secs(30),
            attach_timeout: Duration::from_secs(3),
        }
    }
}

/// How many dials run at one time: the last owner and both standbys.
const DIALS_MAX: usize = 3;

/// How long an address that discovery has found has for itself before the next one is dialled too. Whoever is reached there
/// names the owner: a cluster to which thousands of workers come at one time then has two handshakes for each, and not
/// one for each of its nodes.
const STAGGER: Duration = Duration::from_secs(2);

/// How many discovered addresses are kept: each round tries them all.
const DISCOVERED_MAX: usize = 64;

/// How many dials of the owner fail before it counts as out of reach: one may be lost by chance, or come while it starts.
const OWNER_DIALS_FAILED: u32 = 2;

/// After how long a search is an old one.
const YOUNG: Duration = Duration::from_secs(60);

/// Someone to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which node, if that is known before.
    pub node: Option<NodeId>,
    /// Where, in this order.
    pub addresses: Vec<Address>,
}

/// The search. Ask [`Finder::poll_dial`] after each call, and [`Finder::handle_timeout`] when
/// [`Finder::poll_timeout`] has passed.
#[derive(Debug)]
pub struct Finder {
    config: FinderConfig,
    random: u64,
    known: Vec<Standby>,
    discovered: Vec<Address>,
    linked: BTreeSet<NodeId>,
    queue: VecDeque<Target>,
    /// Whom the present owner is about to give the worker to: dialled beside it.
    next_owner: Option<Target>,
    /// The owner that was named last, and how often it could not be dialled since.
    named: Option<(NodeId, u32)>,
    /// It is out of reach, and nobody has been told.
    out_of_reach: Option<NodeId>,
    dials: usize,
    /// Until then no further address that discovery has found is dialled; `None` while there is nothing to wait for.
    staggered_until: Option<Instant>,
    /// Somebody was reached in this round, who has its time to claim the worker or to name its owner.
    is_heard: bool,
    /// Since when the worker has had no owner; `None` while it has one.
    orphan_since: Option<Instant>,
    rounds: u32,
    next_round_at: Option<Instant>,
}

impl Finder {
    /// A search that starts at once. The seed spreads the rounds of different workers.
    #[must_use]
    pub fn new(config: FinderConfig, seed: u64, now: Instant) -> Self {
        Self {
            config,
            random: seed,
            known: Vec::new(),
            discovered: Vec::new(),
            linked: BTreeSet::new(),
            queue: VecDeque::new(),
            next_owner: None,
            named: None,
            out_of_reach: None,
            dials: 0,
            staggered_until: None,
            is_heard: false,
            orphan_since: Some(now),
            rounds: 0,
            next_round_at: Some(now),
        }
    }

    /// The worker is owned: the search ends. `known` are the owner and its standbys, best first.
    pub fn handle_owned(&mut self, known: Vec<Standby>) {
        self.known = known;
        self.orphan_since = None;
        self.next_round_at = None;
        self.rounds = 0;
        self.queue.clear();
        (self.named, self.out_of_reach) = (None, None);
    }

    /// Whom to dial has changed.
    pub fn handle_standbys(&mut self, known: Vec<Standby>) {
        self.known = known;
    }

    /// The worker has no owner any more: the search starts at once.
    pub fn handle_orphaned(&mut self, now: Instant) {
        if self.orphan_since.is_none() {
            self.orphan_since = Some(now);
            self.next_round_at = Some(now);
        }
    }

    /// Someone has named the owner: it is dialled next. While the worker has an owner, that goes on beside it; else the
    /// round gets time to end well.
    pub fn handle_redirect(&mut self, now: Instant, owner: Standby) {
        self.known.retain(|known| known.node != owner.node);
        self.known.insert(0, owner.clone());
        if !self.linked.contains(&owner.node) {
            if self.named.as_ref().is_none_or(|(named, _)| *named != owner.node) {
                self.named = Some((owner.node.clone(), 0));
            }
            self.note_reach();
            let addresses = owner.addresses.iter().cloned().collect();
            self.next_owner = Some(Target { node: Some(owner.node), addresses });
        }
        if self.orphan_since.is_some() {
            self.next_round_at = Some(now + self.config.attach_timeout);
        }
    }

    /// Discovery has found these addresses. Those of before stay for as long as there is room: a worker whose control nodes
    /// take other addresses again and again must find the present ones. A search that had nobody to ask starts its next
    /// round at once where one of them is new.
    pub fn handle_discovered(&mut self, now: Instant, addresses: impl IntoIterator<Item = Address>) {
        let before = std::mem::take(&mut self.discovered);
        let mut is_news = false;
        for address in addresses {
            if self.discovered.len() < DISCOVERED_MAX && !self.discovered.contains(&address) {
                is_news |= !before.contains(&address);
                self.discovered.push(address);
            }
        }
        for address in before {
            if self.discovered.len() < DISCOVERED_MAX && !self.discovered.contains(&address) {
                self.discovered.push(address);
            }
        }
        let idle = self.queue.is_empty() && self.dials == 0 && self.linked.is_empty();
        if self.orphan_since.is_some() && idle && is_news {
            self.next_round_at = Some(now);
        }
    }

    /// A link to a control node is up.
    pub fn handle_linked(&mut self, now: Instant, node: NodeId) {
        self.named.take_if(|(named, _)| *named == node);
        self.linked.insert(node);
        self.is_heard = true;
        if self.orphan_since.is_some() {
            self.next_round_at = Some(now + self.config.attach_timeout);
        }
    }

    /// A link to a control node is lost.
    pub fn handle_unlinked(&mut self, node: &NodeId) {
        self.linked.remove(node);
    }

    /// A dial has ended. `node` is whom it was for, if that was known before, and `reached` whether it has led to a link.
    pub fn handle_dialled(&mut self, node: Option<&NodeId>, reached: bool) {
        self.dials = self.dials.saturating_sub(1);
        if node.is_none() {
            self.staggered_until = None;
        }
        if let Some((named, failed)) = &mut self.named
            && !reached
            && node == Some(named)
        {
            *failed = failed.saturating_add(1);
            self.note_reach();
        }
    }

    fn note_reach(&mut self) {
        let failed = self.named.as_ref().filter(|(_, failed)| *failed >= OWNER_DIALS_FAILED);
        self.out_of_reach = failed.map(|(named, _)| named.clone());
    }

    /// The owner that the worker was sent to, when it cannot be reached: whoever is linked is to be told. Again with each word
    /// of it, and with each further dial that fails.
    pub fn poll_out_of_reach(&mut self) -> Option<NodeId> {
        self.out_of_reach.take().filter(|_| self.orphan_since.is_some())
    }

    /// Starts the next round when it is time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(since) = self.orphan_since else { return };
        self.staggered_until.take_if(|until| *until <= now);
        if planted!("one-round") && self.rounds > 0 {
            return self.next_round_at = None;
        }
        if self.next_round_at.is_none_or(|at| now < at) {
            return;
        }
        let most = if now.saturating_duration_since(since) < YOUNG {
            self.config.backoff_max
        } else {
            self.config.backoff_max_later
        };
        let window = self.config.backoff_min.saturating_mul(1 << self.rounds.min(16)).min(most);
        self.rounds += 1;
        self.is_heard = false;
        // The wait counts from the end of the slowest dial's patience, so that rounds do not pile up.
        let wait = window.mul_f64(self.fraction());
        self.next_round_at = Some(now + wait + self.config.attach_timeout);
        self.fill_queue();
    }

    /// Whom to dial now, if anyone.
    pub fn poll_dial(&mut self, now: Instant) -> Option<Target> {
        if self.dials >= DIALS_MAX {
            return None;
        }
        let target = self.next_owner.take().or_else(|| self.next_of_queue(now))?;
        self.dials += 1;
        Some(target)
    }

    fn next_of_queue(&mut self, now: Instant) -> Option<Target> {
        self.orphan_since?;
        if self.queue.front()?.node.is_none() {
            if self.is_heard || self.staggered_until.is_some() {
                return None;
            }
            self.staggered_until = Some(now + STAGGER);
        }
        self.queue.pop_front()
    }

    /// When to call [`Finder::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let staggered = self.staggered_until.filter(|_| self.orphan_since.is_some());
        [self.next_round_at, staggered].into_iter().flatten().min()
    }

    fn fill_queue(&mut self) {
        self.queue.clear();
        for known in self.known.iter().filter(|known| !self.linked.contains(&known.node)) {
            let addresses = known.addresses.iter().cloned().collect();
            self.queue.push_back(Target { node: Some(known.node.clone()), addresses });
        }
        let mut discovered: Vec<Address> = self
            .discovered
            .iter()
            .filter(|address| !self.queue.iter().any(|target| target.addresses.contains(address)))
            .cloned()
            .collect();
        // Fisher and Yates: everybody who was told the same list would otherwise dial the same first one.
        for at in (1..discovered.len()).rev() {
            let other = (self.next_random() % (at as u64 + 1)) as usize;
            discovered.swap(at, other);
        }
        self.queue
            .extend(discovered.into_iter().map(|address| Target { node: None, addresses: vec![address] }));
    }

    fn fraction(&mut self) -> f64 {
        (self.next_random() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): spreading needs no more.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use phalanx_base::AddressList;

    fn standby(name: &str, port: u16) -> Standby {
        let address: Address = format!("127.0.0.1:{port}").parse().unwrap();
        Standby { node: NodeId::new(name).unwrap(), addresses: AddressList::from(address) }
    }

    fn dialled(finder: &mut Finder, now: Instant) -> Vec<Option<String>> {
        std::iter::from_fn(|| finder.poll_dial(now))
            .map(|target| target.node.map(|n| n.to_string()))
            .collect()
    }

    #[test]
    fn an_orphan_dials_its_last_owner_and_the_standbys_first() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_discovered(now, ["127.0.0.1:9".parse().unwrap()]);
        finder.handle_owned(vec![standby("a", 1), standby("b", 2)]);
        assert_eq!(finder.poll_timeout(), None);
        finder.handle_orphaned(now);
        finder.handle_timeout(now);
        assert_eq!(dialled(&mut finder, now), [Some("a".to_owned()), Some("b".to_owned()), None]);
        assert!(finder.poll_timeout() > Some(now));
    }

    #[test]
    fn a_redirect_is_followed_at_once_unless_the_link_is_there() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_redirect(now, standby("b", 2));
        assert_eq!(dialled(&mut finder, now), [Some("b".to_owned())]);
        finder.handle_dialled(Some(&NodeId::new("b").unwrap()), true);
        finder.handle_linked(now, NodeId::new("b").unwrap());
        finder.handle_redirect(now, standby("b", 2));
        assert_eq!(dialled(&mut finder, now), Vec::<Option<String>>::new());
    }

    #[test]
    fn an_owner_that_two_dials_have_not_reached_is_out_of_reach_until_there_is_a_link() {
        let now = Instant::now();
        let id = |name| NodeId::new(name).unwrap();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_linked(now, id("b"));
        finder.handle_redirect(now, standby("a", 1));
        finder.handle_dialled(Some(&id("a")), false);
        finder.handle_dialled(Some(&id("c")), false);
        finder.handle_dialled(None, false);
        assert_eq!(finder.poll_out_of_reach(), None, "the others were not named");
        finder.handle_dialled(Some(&id("a")), false);
        assert_eq!(finder.poll_out_of_reach(), Some(id("a")));
        assert_eq!(finder.poll_out_of_reach(), None, "it is said once");
        finder.handle_redirect(now, standby("a", 1));
        assert_eq!(finder.poll_out_of_reach(), Some(id("a")), "and again to whoever names it again");
        finder.handle_linked(now, id("a"));
        finder.handle_unlinked(&id("a"));
        finder.handle_redirect(now, standby("a", 1));
        assert_eq!(finder.poll_out_of_reach(), None, "it was there since");
        for _ in 0..2 {
            finder.handle_dialled(Some(&id("a")), false);
        }
        finder.handle_owned(vec![standby("b", 2)]);
        assert_eq!(finder.poll_out_of_reach(), None, "whoever has an owner needs no other one");
    }

    #[test]
    fn addresses_that_were_found_are_dialled_one_after_the_other_until_somebody_is_reached() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_discovered(now, (1..=4).map(|port| format!("127.0.0.1:{port}").parse().unwrap()));
        finder.handle_timeout(now);
        assert_eq!(dialled(&mut finder, now), [None]);
        assert_eq!(finder.poll_timeout(), Some(now + STAGGER));
        let now = now + STAGGER;
        finder.handle_timeout(now);
        assert_eq!(dialled(&mut finder, now), [None], "beside the first one");
        finder.handle_dialled(None, false);
        assert_eq!(dialled(&mut finder, now), [None], "at once where one has failed");
        finder.handle_linked(now, NodeId::new("a").unwrap());
        finder.handle_dialled(None, true);
        assert_eq!(dialled(&mut finder, now), [], "a says who the owner is");
        let now = finder.poll_timeout().unwrap();
        finder.handle_timeout(now);
        assert_eq!(dialled(&mut finder, now), [None], "or has had its time");
    }

    #[test]
    fn who_is_owned_waits_for_nothing_whatever_it_is_told() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_owned(vec![standby("a", 1)]);
        finder.handle_discovered(now, ["127.0.0.1:9".parse().unwrap()]);
        finder.handle_linked(now, NodeId::new("b").unwrap());
        finder.handle_standbys(vec![standby("c", 3)]);
        finder.handle_timeout(now);
        assert_eq!((finder.poll_timeout(), finder.poll_dial(now)), (None, None));
    }

    #[test]
    fn the_next_owner_is_dialled_beside_the_present_one() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_owned(vec![standby("a", 1)]);
        finder.handle_redirect(now, standby("b", 2));
        assert_eq!(dialled(&mut finder, now), [Some("b".to_owned())]);
        assert_eq!(finder.poll_timeout(), None);
    }

    #[test]
    fn whoever_is_found_late_is_dialled_at_once() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 1, now);
        finder.handle_timeout(now);
        assert_eq!(finder.poll_dial(now), None);
        finder.handle_discovered(now, ["127.0.0.1:9".parse().unwrap()]);
        finder.handle_timeout(now);
        assert_eq!(dialled(&mut finder, now), [None]);
    }

    #[test]
    fn what_is_found_last_is_never_crowded_out() {
        let now = Instant::now();
        let mut finder = Finder::new(FinderConfig::default(), 7, now);
        let address = |number: usize| format!("127.0.0.1:{}", 1_000 + number).parse::<Address>().unwrap();
        finder.handle_discovered(now, (0..DISCOVERED_MAX).map(address));
        finder.handle_discovered(now, [address(900), address(1), address(901)]);
        assert_eq!(finder.discovered.len(), DISCOVERED_MAX);
        for present in [900, 1, 901, 2] {
            assert!(finder.discovered.contains(&address(present)), "{present}");
        }
        finder.handle_discovered(now, []);
        assert_eq!(finder.discovered.len(), DISCOVERED_MAX, "an empty answer takes nothing");
    }

    #[test]
    fn rounds_wait_no_longer_than_their_window() {
        let mut now = Instant::now();
        let start = now;
        let config = FinderConfig::default();
        let mut finder = Finder::new(config.clone(), 7, now);
        finder.handle_discovered(now, ["127.0.0.1:9".parse().unwrap()]);
        for _ in 0..40 {
            finder.handle_timeout(now);
            assert_eq!(finder.poll_dial(now).map(|target| target.addresses.len()), Some(1));
            finder.handle_dialled(None, false);
            let next = finder.poll_timeout().unwrap();
            let most = if now - start < YOUNG { config.backoff_max } else { config.backoff_max_later };
            assert!(next > now && next - now <= most + config.attach_timeout);
            now = next;
        }
    }
}
