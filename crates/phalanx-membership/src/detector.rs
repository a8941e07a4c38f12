//! The failure detector: foca's SWIM (Das, Gupta, Motivala: SWIM, DSN 2002), with what it needs around it to be relied
//! on: a gate before one of its timers, slots for all of them, a cap on its table, and our wire version on its packets.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use foca::{
    AccumulatingRuntime, BroadcastHandler, Foca, Invalidates, OwnedNotification, PostcardCodec, State,
};
use phalanx_base::{Generation, NodeId};

use crate::config::Config;
use crate::identity::Identity;
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
    /// The size of the cluster that foca is configured for.
    size: usize,
    standstill: Option<Standstill>,
    /// How often foca complained about something that only a defect can cause.
    complaints: u64,
    #[cfg(test)]
    pub(crate) gate_open: bool,
}

impl Detector {
    pub(crate) fn new(identity: Identity, config: Config, seed: u64) -> Self {
        let foca = Foca::with_custom_broadcast(
            identity,
            config.for_detector(1),
            Random::new(seed),
            PostcardCodec,
            RecordQueue,
        );
        Self {
            foca,
            runtime: AccumulatingRuntime::new(),
            timers: Timers::default(),
            config,
            size: 1,
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

    pub(crate) fn suspects(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.state() == State::Suspect)
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

    /// Fires every timer that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            if self.may_fire(&timer) {
                let result = self.foca.handle_timer(timer, &mut self.runtime);
                self.note(now, result);
            }
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

    /// Adapts suspicion and dissemination to the size of the cluster.
    pub(crate) fn resize(&mut self, now: Instant, size: usize) {
        if size != self.size {
            self.size = size;
            let result = self.foca.set_config(self.config.for_detector(size));
            self.note(now, result);
        }
    }

    // What it wants.

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    pub(crate) fn poll_standstill(&mut self) -> Option<Standstill> {
        self.standstill.take()
    }

    /// The next datagram to send.
    pub(crate) fn poll_send(&mut self) -> Option<(NodeId, Bytes)> {
        loop {
            let (to, packet) = self.runtime.to_send()?;
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
        while let Some(notification) = self.runtime.to_notify() {
            match notification {
                OwnedNotification::Rejoin(_) => self.standstill = Some(Standstill::Renewed),
                OwnedNotification::Idle => self.standstill = Some(Standstill::Idle),
                // Everything about others is read off the table, where a suspect can be seen too.
                _ => {}
            }
        }
    }
}
