//! What a [`Membership`] tells its peers, and what it does with what they tell.

use std::time::{Duration, Instant};

use bytes::Bytes;
use foca::State;
use phalanx_base::NodeId;

use super::Membership;
use crate::detector::Refusal;
use crate::digest::Digest;
use crate::event::Liveness;
use crate::observations::is_removed;
use crate::record::{Record, Standing};
use crate::roster::Merge;
use crate::sync::{Exchange, SyncMessage};
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
            Merge::Expelled => self.roster_changed = true,
            Merge::Changed => {
                self.roster_changed = true;
                let Some(record) = self.roster.record(&node) else { return };
                // Too large a record was told to everybody by its writer, and goes on with the exchanges.
                self.detector.broadcast(now, record);
                if matches!(record.standing, Standing::Left | Standing::Removed) {
                    self.detector.handle_left(now, &node, record.generation());
                }
            }
        }
    }

    /// Tells the own record: with the gossip, and to each peer at once, for among 64 nodes one rumour in fifty misses
    /// somebody, and an exchange mends that only after ten seconds and more. It changes rarely.
    pub(super) fn spread_own(&mut self, now: Instant) {
        let own = self.roster.own().clone();
        self.detector.broadcast(now, &own);
        self.tell_peers(own);
    }

    /// Tells whom this node has declared down to each peer that is alive, so that no survivor has to wait for the rumour.
    /// The smaller side of a partition keeps its verdicts to itself.
    pub(super) fn tell_verdicts(&mut self) {
        let verdicts = self.detector.take_verdicts();
        if verdicts.is_empty() || self.is_smaller_side() {
            return;
        }
        for message in self.encode_exchange(false, verdicts, []) {
            let alive = self.peers.nodes().filter(|node| self.observations.is_alive(node));
            alive.for_each(|node| self.outbox.push_sync(node.clone(), message.clone()));
        }
    }

    /// Tells a record that this node wrote: with the gossip, or where it is too large for that to each peer at once.
    pub(super) fn spread(&mut self, now: Instant, record: Record) {
        if !self.detector.broadcast(now, &record) {
            self.tell_peers(record);
        }
    }

    /// Tells a record to each peer at once.
    pub(super) fn tell_peers(&mut self, record: Record) {
        for message in self.encode_exchange(false, Vec::new(), [record]) {
            self.peers.nodes().for_each(|node| self.outbox.push_sync(node.clone(), message.clone()));
        }
    }

    /// Compares all that is known with one random peer that is alive, and with one that is held for down although there
    /// is a link to it: one side of a partition that heals. Those that left have nothing to tell.
    pub(super) fn exchange(&mut self, now: Instant) {
        let sender = self.detector.identity().bare();
        let message = SyncMessage::Digest { sender, digest: self.digest(now) }.encode();
        for alive in [true, false] {
            let fit = |node: &NodeId| match self.observations.liveness(node) {
                Some(Liveness::Left) => false,
                known => known.is_some_and(Liveness::is_alive) == alive,
            };
            if let Some(peer) = self.peers.choose(&mut self.random, fit) {
                self.outbox.push_sync(peer, message.clone());
            }
        }
    }

    /// A peer has told the sum of what it knows. If this node knows something else, both tell it all.
    pub(super) fn compare(&mut self, now: Instant, from: &NodeId, digest: Digest) {
        if digest != self.digest(now) && self.peers.may_reply(now, from) {
            self.tell_everything(now, from, true);
        }
    }

    /// Takes what a peer knows. If the peer doubts this node, it gets the answer on the channel that loses nothing.
    pub(super) fn handle_exchange(&mut self, now: Instant, exchange: Exchange) -> Result<(), Refusal> {
        let Exchange { sender, incarnation, reply_wanted, mut members, records } = exchange;
        let from = sender.node().clone();
        let own = self.detector.identity();
        let doubted = members.iter().any(|member| member.id() == own && member.state() == State::Suspect);
        // Who is down here is believed nothing ill of others: one side of a partition must not take over the verdicts
        // that the other side sent while it was apart.
        if self.detector.holds_down(&sender) {
            members.retain(|member| member.state() == State::Alive || member.id() == own);
        }
        // The sender comes first, so that the detector knows somebody to whom it can refute what follows.
        members.insert(0, Member::new(sender, incarnation, State::Alive));
        self.detector.handle_members(now, members)?;
        records.into_iter().for_each(|record| self.learn(now, record));
        if doubted {
            // What the detector sends about it says which incarnation refutes the doubt.
            self.flush_detector();
            for message in self.encode_exchange(false, Vec::new(), []) {
                self.outbox.push_sync(from.clone(), message);
            }
        }
        if reply_wanted && self.peers.may_reply(now, &from) {
            self.tell_everything(now, &from, false);
        }
        Ok(())
    }

    /// The members of whom this node tells. Not those that have been down for long. And the smaller side of a partition
    /// keeps its verdicts to itself: the larger side must not have to refute them.
    fn told_members(&self, now: Instant) -> impl Iterator<Item = &Member> {
        let tell_down = TELL_DOWN_MAX.min(self.config.forget_down_after / 2);
        let gives_way = self.is_smaller_side();
        self.detector.members().filter(move |member| {
            let kept_back = gives_way && member.state() == State::Down;
            let past = is_removed(member, &self.roster)
                || self.observations.is_long_down(member.id().node(), now, tell_down);
            !kept_back && !past
        })
    }

    fn digest(&self, now: Instant) -> Digest {
        Digest::of(self.detector.identity(), self.told_members(now), self.roster.records())
    }

    pub(super) fn tell_everything(&mut self, now: Instant, to: &NodeId, reply_wanted: bool) {
        let members = self.told_members(now).cloned().collect();
        let messages = self.encode_exchange(reply_wanted, members, self.roster.records().cloned());
        messages.into_iter().for_each(|message| self.outbox.push_sync(to.clone(), message));
    }

    pub(super) fn encode_exchange(
        &self,
        reply_wanted: bool,
        members: Vec<Member>,
        records: impl IntoIterator<Item = Record>,
    ) -> Vec<Bytes> {
        let (sender, incarnation) = (self.detector.identity(), self.detector.incarnation());
        Exchange::encode_all(sender, incarnation, reply_wanted, members, records)
    }

    /// Tells each suspect that it is one, until it has refuted or is down. Gossip tells it a few times only, and when
    /// just these are lost, a healthy node is declared down. It answers in the same way. (The buddy system of Dadgar,
    /// Phillips, Currey: Lifeguard, 2017, by the channel that loses nothing.)
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
