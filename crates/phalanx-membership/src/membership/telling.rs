//! What a [`Membership`] tells its peers, and what it does with what they tell.

use std::time::{Duration, Instant};

use bytes::Bytes;
use phalanx_base::NodeId;

use super::Membership;
use crate::event::Liveness;
use crate::record::{Record, Standing};
use crate::roster::Merge;
use crate::sync::Exchange;
use crate::wire::Member;

/// Members that have been down for longer are not told in an exchange, nor those that have been down for half of the
/// time for which they are remembered: nodes that forget at different times would remind each other for ever.
const TELL_DOWN_MAX: Duration = Duration::from_secs(3_600);

impl Membership {
    /// Takes a record from somebody and passes it on if it is news.
    pub(super) fn learn(&mut self, now: Instant, record: Record) {
        let node = record.node().clone();
        match self.roster.merge(record) {
            Merge::Unchanged => {}
            Merge::Full => self.counters.records_refused += 1,
            Merge::Refuted => {
                self.counters.refutations += 1;
                self.roster_changed = true;
                self.spread_own(now);
            }
            Merge::Changed => {
                self.roster_changed = true;
                let Some(record) = self.roster.record(&node) else { return };
                // Too large a record was told to everybody by its writer, and goes on with the exchanges.
                self.detector.broadcast(now, record);
                if record.standing == Standing::Left {
                    self.detector.handle_left(now, &node, record.generation());
                }
            }
        }
    }

    pub(super) fn spread_own(&mut self, now: Instant) {
        let own = self.roster.own().clone();
        self.spread(now, own);
    }

    /// Tells a record that this node wrote: with the gossip, or where it is too large for that to each peer at once.
    pub(super) fn spread(&mut self, now: Instant, record: Record) {
        if !self.detector.broadcast(now, &record) {
            let messages = self.encode_exchange(false, Vec::new(), [record]);
            self.push_to_peers(&messages);
        }
    }

    pub(super) fn push_to_peers(&mut self, messages: &[Bytes]) {
        for node in self.peers.nodes() {
            messages.iter().for_each(|message| self.outbox.push_sync(node.clone(), message.clone()));
        }
    }

    /// Exchanges everything with one random peer that is alive, and with one that is held for down although there is
    /// a link to it: one side of a partition that heals. Those that left have nothing to tell.
    pub(super) fn exchange(&mut self, now: Instant) {
        for alive in [true, false] {
            let fit = |node: &NodeId| match self.observations.liveness(node) {
                Some(Liveness::Left) => false,
                known => known.is_some_and(Liveness::is_alive) == alive,
            };
            if let Some(peer) = self.peers.choose(&mut self.random, fit) {
                self.tell_everything(now, &peer, true);
            }
        }
    }

    pub(super) fn tell_everything(&mut self, now: Instant, to: &NodeId, reply_wanted: bool) {
        let tell_down = TELL_DOWN_MAX.min(self.config.forget_down_after / 2);
        let tell = |member: &&Member| !self.observations.is_long_down(member.id().node(), now, tell_down);
        let members = self.detector.members().filter(tell).cloned().collect();
        let messages = self.encode_exchange(reply_wanted, members, self.roster.records().cloned());
        messages.into_iter().for_each(|message| self.outbox.push_sync(to.clone(), message));
    }

    pub(super) fn encode_exchange(
        &self,
        reply_wanted: bool,
        members: Vec<Member>,
        records: impl IntoIterator<Item = Record>,
    ) -> Vec<Bytes> {
        Exchange::encode_all(self.detector.identity(), reply_wanted, members, records)
    }

    /// Tells each suspect that it is one, until it has refuted or is down. Gossip tells it a few times only, and when
    /// just these are lost, a healthy node is declared down. (The buddy system of Dadgar, Phillips, Currey: Lifeguard,
    /// 2017, by the channel that loses nothing.)
    pub(super) fn remind_suspects(&mut self, now: Instant) {
        if self.remind_at.is_some_and(|at| at > now) {
            return;
        }
        let suspects: Vec<Member> = self.detector.suspects().cloned().collect();
        self.remind_at = (!suspects.is_empty()).then(|| now + self.config.probe_period);
        for suspect in suspects {
            let to = suspect.id().node().clone();
            for message in self.encode_exchange(false, vec![suspect], []) {
                self.outbox.push_sync(to.clone(), message);
            }
        }
    }
}
