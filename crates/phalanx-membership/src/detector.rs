//! The failure detector: foca's SWIM (Das, Gupta, Motivala: SWIM, DSN 2002), with what it needs around it to be relied
//! on: a gate before one of its timers, slots for all of them, a cap on its table, our wire version on its packets, and
//! the node's own health as a measure of how far to trust it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use foca::{
    AccumulatingRuntime, BroadcastHandler, Codec as _, Foca, Header, Identity as _, Incarnation, Invalidates,
    Message, OwnedNotification, PostcardCodec, Runtime as _, State, TimerToken,
};
use phalanx_base::{Boot, Generation, NodeId};

use crate::config::Config;
use crate::health::LocalHealth;
use crate::identity::Identity;
use crate::probe::{Outcome, Prober};
use crate::random::Random;
use crate::record::{Record, RecordError};
use crate::timers::{Timer, Timers};
use crate::wire::{DATAGRAM_ENVELOPE_BYTES, Member, RECORD_BROADCAST_BYTES_MAX, WIRE_VERSION};

/// How many members the detector remembers, down ones included: as many as the roster. When it is full, the one that
/// has been down for the longest time is forgotten first.
pub const MEMBERS_MAX: usize = crate::ROSTER_NODES_MAX;

/// What the detector refuses.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// More members than fit. Nothing was changed.
    Crowded,
    /// What foca said; it may have taken a part.
    Other(String),
}

/// Something that concerns the node's own place in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standstill {
    /// The cluster held this node for down, and it came back under a new gossip epoch, which nobody knows yet.
    Renewed,
    /// No member is left that is not down.
    Idle,
}

/// Names the roster record in the bytes of a broadcast. All else about records happens outside of foca.
struct RecordQueue;

struct RecordKey(NodeId);

impl Invalidates for RecordKey {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl BroadcastHandler<Identity> for RecordQueue {
    type Key = RecordKey;
    type Error = RecordError;

    fn receive_item(
        &mut self,
        record: &[u8],
        _sender: Option<&Identity>,
    ) -> Result<Option<RecordKey>, RecordError> {
        Record::decode(record).map(|record| Some(RecordKey(record.boot.node)))
    }
}

/// foca and what it needs around it.
pub(crate) struct Detector {
    foca: Foca<Identity, PostcardCodec, Random, RecordQueue>,
    runtime: AccumulatingRuntime<Identity>,
    timers: Timers,
    config: Config,
    /// The size of the cluster and the patience that foca is configured for.
    tuned_for: (usize, u32),
    /// The last packet that foca made: it says the own incarnation, which foca tells in no other way.
    last_packet: Option<Bytes>,
    health: LocalHealth,
    /// Who did not answer a probe of this node, with the incarnation that it doubted, until that is decided.
    doubted: BTreeMap<NodeId, (Identity, Incarnation)>,
    prober: Prober,
    /// Whom this node itself has declared down since that was asked last; at most every member once.
    verdicts: Vec<Member>,
    standstill: Option<Standstill>,
    /// How often foca complained about something that only a defect can cause.
    complaints: u64,
    #[cfg(test)]
    pub(crate) gate_open: bool,
}

impl Detector {
    pub(crate) fn new(identity: Identity, config: Config, seed: u64) -> Self {
        Self {
            foca: new_foca(identity, config.for_detector(1, 1), seed),
            runtime: AccumulatingRuntime::new(),
            timers: Timers::default(),
            config,
            tuned_for: (1, 1),
            last_packet: None,
            health: LocalHealth::default(),
            doubted: BTreeMap::new(),
            prober: Prober::new(!seed),
            verdicts: Vec::new(),
            standstill: None,
            complaints: 0,
            #[cfg(test)]
            gate_open: false,
        }
    }

    // What it knows.

    pub(crate) fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// Every member but the local one, down ones included, in no order.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        let own = self.identity().node();
        self.foca.iter_membership_state().filter(move |member| member.id().node() != own)
    }

    pub(crate) fn member(&self, node: &NodeId) -> Option<&Member> {
        self.members().find(|member| member.id().node() == node)
    }

    /// Whether this very identity is alive or suspect.
    pub(crate) fn has_active(&self, identity: &Identity) -> bool {
        self.foca.iter_members().any(|member| member.id() == identity)
    }

    /// Whether this very identity is held for down.
    pub(crate) fn holds_down(&self, identity: &Identity) -> bool {
        self.member(identity.node())
            .is_some_and(|member| member.id() == identity && member.state() == State::Down)
    }

    /// What the last packet said of the own incarnation: a doubt about an older one is refuted by it.
    pub(crate) fn incarnation(&self) -> Incarnation {
        let header = self.last_packet.as_ref().and_then(|packet| {
            let header: Result<Header<Identity>, _> = PostcardCodec.decode_header(&packet[..]);
            header.ok()
        });
        header.map_or(0, |header| header.src_incarnation)
    }

    /// Whether nobody answers this node any more.
    pub(crate) fn is_isolated(&self) -> bool {
        self.health.is_isolated()
    }

    pub(crate) fn suspects(&self) -> impl Iterator<Item = &Member> {
        let suspects = self.foca.iter_membership_state().filter(|member| member.state() == State::Suspect);
        suspects.filter(|member| member.id().node() != self.identity().node())
    }

    /// How many members are alive or suspect, without the local one.
    pub(crate) fn active(&self) -> usize {
        self.foca.num_members()
    }

    pub(crate) fn complaints(&self) -> u64 {
        self.complaints
    }

    // What it is told.

    /// A checked packet.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        packet: &crate::wire::Packet<'_>,
    ) -> Result<(), Refusal> {
        let named = packet.updates.iter().map(|member| member.id().node());
        self.make_room(now, named.chain([packet.header.src.node()]).cloned().collect())?;
        let result = self.foca.handle_data(packet.body, &mut self.runtime);
        if result.is_ok() && packet.header.dst == *self.identity() {
            self.prober.hear(&packet.header);
        }
        self.settle(now);
        result.map_err(|error| Refusal::Other(error.to_string()))
    }

    /// Members as another node knows them.
    pub(crate) fn handle_members(&mut self, now: Instant, members: Vec<Member>) -> Result<(), Refusal> {
        self.make_room(now, members.iter().map(|member| member.id().node().clone()).collect())?;
        let result = self.foca.apply_many(members.into_iter(), true, &mut self.runtime);
        self.settle(now);
        result.map_err(|error| Refusal::Other(error.to_string()))
    }

    /// A member said that it leaves: no need to probe it, to suspect it and to wait.
    pub(crate) fn handle_left(&mut self, now: Instant, node: &NodeId, generation: Generation) {
        let member = self
            .member(node)
            .filter(|member| member.state() != State::Down && member.id().boot().generation <= generation);
        let Some(member) = member else { return };
        let down = Member::new(member.id().clone(), member.incarnation(), State::Down);
        let result = self.foca.apply_many(std::iter::once(down), true, &mut self.runtime);
        self.note(now, result);
    }

    /// There is evidence that the process of this boot is gone. It becomes suspect at once, everybody is told, so that
    /// it can refute, and where it does not, it is down after a shorter time. Returns whether there was such a member.
    pub(crate) fn suspect(&mut self, now: Instant, boot: &Boot) -> bool {
        let member = self.member(&boot.node);
        let member =
            member.filter(|member| member.id().boot() == boot && member.state() != State::Down).cloned();
        let (Some(member), Some(token)) = (member, self.timers.token()) else { return false };
        if member.state() == State::Alive {
            self.raise_suspicion(now, &member);
            self.gossip(now);
        }
        let (member_id, incarnation) = (member.id().clone(), member.incarnation());
        let time = self.config.suspicion_with_evidence.min(self.config.suspicion_at(self.tuned_for.0));
        self.timers.hasten(now + time, Timer::ChangeSuspectToDown { member_id, incarnation, token });
        true
    }

    /// There is a new link to this node: if it is suspected, it gets the full time to refute.
    pub(crate) fn reprieve(&mut self, now: Instant, node: &NodeId) {
        self.timers.put_off_suspicion(node, now + self.suspicion());
    }

    /// The node slept: nothing is concluded from what it did not hear meanwhile.
    pub(crate) fn resume(&mut self, now: Instant, paused: Duration) {
        self.timers.resume(now, paused, self.suspicion());
    }

    /// Begins anew under the next gossip epoch: who is alive is kept, every doubt and every verdict is forgotten.
    pub(crate) fn restart(&mut self, now: Instant, seed: u64) {
        let Some(identity) = self.identity().renew() else { return };
        let pardoned = |member: &Member| Member::new(member.id().clone(), member.incarnation(), State::Alive);
        let alive: Vec<Member> = self.foca.iter_members().map(pardoned).collect();
        let (size, _) = self.tuned_for;
        self.foca = new_foca(identity, self.config.for_detector(size, 1), seed);
        self.tuned_for = (size, 1);
        self.runtime = AccumulatingRuntime::new();
        self.timers = Timers::default();
        self.health = LocalHealth::default();
        self.doubted.clear();
        self.prober.cancel();
        self.verdicts.clear();
        self.last_packet = None;
        let result = self.foca.apply_many(alive.into_iter(), false, &mut self.runtime);
        self.note(now, result);
        self.standstill = Some(Standstill::Renewed);
    }

    /// Fires every timer that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                // The probes are this crate's own; of foca's they have the timers and the messages.
                Timer::ProbeRandomMember(token) => self.probe(now, token),
                Timer::SendIndirectProbe { probed_id, .. } => self.probe_through_others(&probed_id),
                timer if self.may_fire(&timer) => self.fire(now, timer),
                _ => {}
            }
        }
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        let judged = match &timer {
            Timer::ChangeSuspectToDown { member_id, .. } => Some(member_id.node().clone()),
            _ => None,
        };
        let result = self.foca.handle_timer(timer, &mut self.runtime);
        self.note(now, result);
        let verdict = judged.and_then(|node| self.member(&node).cloned());
        self.verdicts.extend(verdict.filter(|member| member.state() == State::Down));
    }

    /// Judges the probe of the period that ends, and begins the next one.
    fn probe(&mut self, now: Instant, token: TimerToken) {
        match self.prober.finish() {
            None => {}
            Some(Outcome::Answered) => self.health.probe_answered(),
            Some(Outcome::Missed(member_id, incarnation)) => {
                self.miss(now, member_id, incarnation, token);
            }
        }
        let own = self.foca.identity();
        let others = self.foca.iter_membership_state().filter(|member| member.id().node() != own.node());
        // Where nobody is left, foca asks for the timer again once somebody is there.
        let Some((target, number)) = self.prober.start(own.node(), others) else { return };
        self.send(&target, Message::Ping(number));
        self.timers
            .insert(now + self.config.probe_rtt, Timer::SendIndirectProbe { probed_id: target, token });
        self.timers.insert(now + self.config.probe_period, Timer::ProbeRandomMember(token));
    }

    /// A member did not answer: it is suspected from now on. One that is down or replaced by now says nothing about this
    /// node's health, for it was no longer there to answer.
    fn miss(&mut self, now: Instant, member_id: Identity, incarnation: Incarnation, token: TimerToken) {
        let same = |member: &&Member| *member.id() == member_id && member.state() != State::Down;
        let Some(member) = self.member(member_id.node()).filter(same).cloned() else { return };
        self.health.probe_missed();
        if member.incarnation() == incarnation {
            self.raise_suspicion(now, &member);
            let timer = Timer::ChangeSuspectToDown { member_id: member_id.clone(), incarnation, token };
            self.timers.insert(now + self.suspicion(), timer);
        }
        self.doubted.insert(member_id.node().clone(), (member_id, incarnation));
    }

    fn probe_through_others(&mut self, probed: &Identity) {
        let own = self.foca.identity().node();
        let others = self.foca.iter_membership_state().filter(|member| member.id().node() != own);
        let asked = self.prober.ask_others(probed, self.config.indirect_probes, others);
        let Some((helpers, probe_number)) = asked else { return };
        for helper in helpers {
            self.send(&helper, Message::PingReq { target: probed.clone(), probe_number });
            // A helper says nothing where it does not reach the member either. Where half of the cluster is away, misses
            // would then look like isolation.
            if self.health.is_uncertain() {
                self.send(&helper, Message::Ping(probe_number));
            }
        }
    }

    /// Somebody has answered this node.
    pub(crate) fn was_heard(&mut self) {
        self.health.was_heard();
    }

    /// Sends a message without news: the answer brings some, and gossip many more.
    fn send(&mut self, to: &Identity, message: Message<Identity>) {
        let src = self.identity().clone();
        let header = Header { src, src_incarnation: self.incarnation(), dst: to.clone(), message };
        let mut packet = Vec::new();
        match PostcardCodec.encode_header(&header, &mut packet) {
            Ok(()) => self.runtime.send_to(to.clone(), &packet),
            Err(_) => self.complaints += 1,
        }
    }

    /// Makes a member suspect that is not yet, and tells.
    fn raise_suspicion(&mut self, now: Instant, member: &Member) {
        if member.state() == State::Alive {
            let suspect = Member::new(member.id().clone(), member.incarnation(), State::Suspect);
            let result = self.foca.apply_many(std::iter::once(suspect), true, &mut self.runtime);
            self.note(now, result);
        }
    }

    /// Calls a peer; the answer is a feed of members.
    pub(crate) fn announce(&mut self, now: Instant, to: Identity) {
        let result = self.foca.announce(to, &mut self.runtime);
        self.note(now, result);
    }

    /// Queues a record to go with the packets to come. `false` where it is too large for them.
    pub(crate) fn broadcast(&mut self, now: Instant, record: &Record) -> bool {
        let bytes = record.encode();
        if bytes.len() > RECORD_BROADCAST_BYTES_MAX {
            return false;
        }
        let result = self.foca.add_broadcast(&bytes).map(|_| ());
        self.note(now, result);
        true
    }

    /// Tells news to a few members at once instead of with the next gossip.
    pub(crate) fn gossip(&mut self, now: Instant) {
        let result = self.foca.gossip(&mut self.runtime);
        self.note(now, result);
    }

    /// Declares the local node down and says so; after this nothing may be handed in any more, or foca rejoins.
    pub(crate) fn leave(&mut self, now: Instant) {
        let result = self.foca.leave_cluster(&mut self.runtime);
        self.note(now, result);
        self.timers = Timers::default();
    }

    /// Looks which doubts of this node were denied, and which came true.
    fn judge_own_doubts(&mut self) {
        if self.doubted.is_empty() {
            return;
        }
        let mut doubted = std::mem::take(&mut self.doubted);
        doubted.retain(|node, (identity, incarnation)| {
            let member = self.member(node).filter(|member| member.id() == identity).cloned();
            let denied = member
                .as_ref()
                .is_some_and(|member| member.state() == State::Alive && member.incarnation() > *incarnation);
            if denied {
                self.health.was_wrong();
            }
            member.is_some_and(|member| member.state() == State::Suspect)
        });
        self.doubted = doubted;
    }

    /// Adapts suspicion and dissemination to the size of the cluster and to the own health.
    pub(crate) fn tune(&mut self, now: Instant) {
        self.judge_own_doubts();
        let (size, patience) = (self.active() + 1, self.health.multiplier());
        if (size, patience) != self.tuned_for {
            self.tuned_for = (size, patience);
            let result = self.foca.set_config(self.config.for_detector(size, patience));
            self.note(now, result);
        }
    }

    /// How long a suspect may take to refute now.
    fn suspicion(&self) -> Duration {
        self.config.suspicion_at(self.tuned_for.0) * self.health.multiplier()
    }

    // What it wants.

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    pub(crate) fn poll_standstill(&mut self) -> Option<Standstill> {
        self.standstill.take()
    }

    /// Whom this node itself has declared down since the last call.
    pub(crate) fn take_verdicts(&mut self) -> Vec<Member> {
        std::mem::take(&mut self.verdicts)
    }

    /// The next datagram to send.
    pub(crate) fn poll_send(&mut self) -> Option<(NodeId, Bytes)> {
        loop {
            let (to, packet) = self.runtime.to_send()?;
            self.last_packet = Some(packet.clone());
            // foca keeps former identities of its own node as members that are down, and calls them now and then.
            if to.node() == self.identity().node() {
                continue;
            }
            let mut datagram = BytesMut::with_capacity(DATAGRAM_ENVELOPE_BYTES + packet.len());
            datagram.put_u8(WIRE_VERSION);
            datagram.put_slice(&packet);
            return Some((to.node().clone(), datagram.freeze()));
        }
    }

    /// The timer gate. foca answers a suspicion timer of a member that has refuted meanwhile by telling the member
    /// that it is down, and a healthy node renews its identity. So such a timer only passes while the suspicion stands.
    fn may_fire(&self, timer: &Timer) -> bool {
        #[cfg(test)]
        if self.gate_open {
            return true;
        }
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return true };
        self.members().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == State::Suspect
        })
    }

    /// Forgets members that are down until all of these fit into the table.
    fn make_room(&mut self, now: Instant, mut named: Vec<NodeId>) -> Result<(), Refusal> {
        if self.foca.iter_membership_state().len() + named.len() <= MEMBERS_MAX {
            return Ok(());
        }
        named.sort_unstable();
        named.dedup();
        loop {
            let known =
                |node: &NodeId| self.foca.iter_membership_state().any(|member| member.id().node() == node);
            let new = named.iter().filter(|node| !known(node)).count();
            if self.foca.iter_membership_state().len() + new <= MEMBERS_MAX {
                return Ok(());
            }
            let timer = self.timers.pop_oldest_down().ok_or(Refusal::Crowded)?;
            let result = self.foca.handle_timer(timer, &mut self.runtime);
            self.note(now, result);
        }
    }

    fn note(&mut self, now: Instant, result: Result<(), foca::Error>) {
        if let Err(error) = result {
            self.complaints += 1;
            tracing::debug!(%error, "the failure detector complained");
        }
        self.settle(now);
    }

    /// Takes over what foca left in its runtime, except what it sends.
    fn settle(&mut self, now: Instant) {
        while let Some((after, timer)) = self.runtime.to_schedule() {
            let after = after.min(Duration::from_secs(u64::from(u32::MAX)));
            self.timers.insert(now + after, timer);
        }
        let mut stopped = false;
        while let Some(notification) = self.runtime.to_notify() {
            stopped = match notification {
                OwnedNotification::Rejoin(_) => {
                    self.last_packet = None;
                    self.standstill = Some(Standstill::Renewed);
                    true
                }
                OwnedNotification::Idle => {
                    self.standstill = Some(Standstill::Idle);
                    true
                }
                // It has asked for its timers anew.
                OwnedNotification::Active => false,
                // Everything about others is read off the table, where a suspect can be seen too.
                _ => continue,
            };
            self.prober.cancel();
        }
        if stopped {
            self.timers.stop_probing();
        }
    }
}

fn new_foca(
    identity: Identity,
    config: foca::Config,
    seed: u64,
) -> Foca<Identity, PostcardCodec, Random, RecordQueue> {
    Foca::with_custom_broadcast(identity, config, Random::new(seed), PostcardCodec, RecordQueue)
}
