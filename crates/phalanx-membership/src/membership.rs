//! The state machine that decides who is alive among the control nodes and what the roster says.
//!
//! It only routes: the detector watches, the roster merges, the peers are called, the observations become events.

mod healing;
mod reading;
mod removing;
mod telling;

use std::time::{Duration, Instant};

use phalanx_base::{Address, Boot, NodeId};

pub use self::reading::Counters;
pub use self::removing::RemoveError;

use crate::config::{Config, ConfigError};
use crate::detector::{Detector, Refusal};
use crate::event::{Event, EventQueue};
use crate::identity::Identity;
use crate::majority::MajorityWatch;
use crate::observations::{Observations, first_address};
use crate::outbox::{Outbox, Transmit};
use crate::peers::{LinkLoss, Peers};
use crate::random::Random;
use crate::record::{LocalMember, RecordError, Standing};
use crate::roster::Roster;
use crate::sync::{SyncError, SyncMessage};
use crate::wire::{DatagramError, Packet};

/// How often a node that leaves tells it before it is gone.
const LEAVE_ROUNDS: u32 = 4;

/// Why a [`Membership`] cannot start. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("the membership configuration cannot work")]
    Config(#[from] ConfigError),
    /// What the node says about itself is out of range.
    #[error("what this node says about itself is out of range")]
    Local(#[from] RecordError),
}

/// How far the local node is in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Present,
    /// It tells that it leaves, and hears nothing any more.
    Leaving {
        rounds_left: u32,
        next_at: Instant,
    },
    Left,
}

/// Who is alive among the control nodes, and what they agree on: a state machine without I/O.
///
/// *Inputs*: [`handle_datagram`](Self::handle_datagram), [`handle_sync`](Self::handle_sync),
/// [`handle_peer_reachable`](Self::handle_peer_reachable),
/// [`handle_peer_unreachable`](Self::handle_peer_unreachable), [`handle_timeout`](Self::handle_timeout), and the
/// wishes [`activate`](Self::activate), [`drain`](Self::drain), [`leave`](Self::leave), [`remove`](Self::remove).
///
/// *Outputs*, to be polled until `None` after each input: [`poll_transmit`](Self::poll_transmit),
/// [`poll_event`](Self::poll_event); then [`poll_timeout`](Self::poll_timeout) says when to call `handle_timeout`.
///
/// The caller owns the clock: `now` must never go back.
pub struct Membership {
    config: Config,
    boot: Boot,
    phase: Phase,
    detector: Detector,
    roster: Roster,
    peers: Peers,
    observations: Observations,
    majority: MajorityWatch,
    /// Whether it was so when the majority was counted last.
    was_isolated: bool,
    outbox: Outbox,
    events: EventQueue,
    random: Random,
    exchange_at: Instant,
    /// When suspects are told again that they are suspected, while there are any.
    remind_at: Option<Instant>,
    /// When a missing node may be given up, after the last time that was looked at.
    give_up_at: Option<Instant>,
    /// Whether the roster changed since that was last told.
    roster_changed: bool,
    revision: u64,
    counters: Counters,
}

impl Membership {
    /// A node that knows nobody but those who are stored, and is about to join. All randomness comes from `seed`.
    ///
    /// # Errors
    /// [`StartError`] where the configuration or what the node says about itself is out of range.
    pub fn new(config: Config, local: LocalMember, seed: u64, now: Instant) -> Result<Self, StartError> {
        config.check()?;
        let record = local.record()?;
        let mut random = Random::new(seed);
        let identity = Identity::new(record.boot.clone(), first_address(&record));
        let period_ms = u64::try_from(config.exchange_period.as_millis()).unwrap_or(u64::MAX);
        let exchange_at = now + Duration::from_millis(random.below(period_ms));
        let mut membership = Self {
            boot: record.boot.clone(),
            phase: Phase::Present,
            detector: Detector::new(identity, config.clone(), random.next()),
            roster: Roster::new(record, local.stored.into_records()),
            peers: Peers::default(),
            observations: Observations::default(),
            majority: MajorityWatch::default(),
            was_isolated: false,
            outbox: Outbox::default(),
            events: EventQueue::default(),
            random,
            exchange_at,
            remind_at: None,
            give_up_at: None,
            roster_changed: true,
            revision: 0,
            counters: Counters::default(),
            config,
        };
        membership.spread_own(now);
        membership.settle(now);
        Ok(membership)
    }

    // Inputs

    /// A datagram of a peer whom the link has authenticated as `from`.
    ///
    /// # Errors
    /// [`DatagramError`] says why it was dropped. The membership goes on; the caller may log it.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: &NodeId,
        datagram: &[u8],
    ) -> Result<(), DatagramError> {
        if self.phase != Phase::Present {
            return Ok(());
        }
        let mut packet = Packet::decode(datagram)?;
        let source = packet.header.src.clone();
        if source.node() != from || *from == self.boot.node {
            return Err(DatagramError::Spoofed { from: from.clone(), claimed: source.node().clone() });
        }
        self.notice_pause(now);
        self.notice_contact(now, &source, packet.is_reply());
        let result = self.detector.handle_packet(now, &packet).map_err(|refusal| match refusal {
            Refusal::Crowded => DatagramError::Crowded,
            Refusal::Other(reason) => DatagramError::Refused { reason },
        });
        if result.is_ok() {
            if packet.is_feed() && self.detector.has_active(&source) {
                self.peers.fed(from);
            }
            packet.records.drain(..).for_each(|record| self.learn(now, record));
        }
        self.settle(now);
        result
    }

    /// A sync message of a peer whom the link has authenticated as `from`.
    ///
    /// # Errors
    /// [`SyncError`] says why it was dropped. The membership goes on; the caller may log it.
    pub fn handle_sync(&mut self, now: Instant, from: &NodeId, message: &[u8]) -> Result<(), SyncError> {
        if self.phase != Phase::Present {
            return Ok(());
        }
        let message = SyncMessage::decode(message)?;
        let sender = message.sender();
        if sender.node() != from || *from == self.boot.node {
            return Err(SyncError::Spoofed { from: from.clone(), claimed: sender.node().clone() });
        }
        self.notice_pause(now);
        self.notice_contact(now, sender, true);
        let result = match message {
            SyncMessage::Exchange(exchange) => self.handle_exchange(now, exchange),
            SyncMessage::Digest { digest, .. } => {
                self.compare(now, from, digest);
                Ok(())
            }
        };
        self.settle(now);
        result.map_err(|refusal| match refusal {
            Refusal::Crowded => SyncError::Crowded,
            Refusal::Other(reason) => SyncError::Refused { reason },
        })
    }

    /// There is a link to this control node now: it is called until it answers, and unless it is known to be alive,
    /// both tell each other everything. One that is suspected gets the full time to refute.
    pub fn handle_peer_reachable(&mut self, now: Instant, peer: Boot, address: Option<Address>) {
        if self.phase != Phase::Present || peer.node == self.boot.node {
            return;
        }
        self.notice_pause(now);
        self.detector.reprieve(now, &peer.node);
        let acquainted = self.observations.answers(&peer);
        let node = peer.node.clone();
        if self.peers.insert(now, peer, address) && !acquainted {
            // What is sent now is the answer to what the other end sends now.
            self.peers.may_reply(now, &node);
            self.tell_everything(now, &node, true);
        }
        self.settle(now);
    }

    /// The link to this node is lost: it is not called any more. Without evidence the detector finds out by itself
    /// whether the node is down. With it, the boot at the other end of the link becomes suspect at once, and is down
    /// after [`Config::suspicion_with_evidence`] unless it refutes or a new link to it comes up.
    pub fn handle_peer_unreachable(&mut self, now: Instant, node: &NodeId, loss: LinkLoss) {
        let peer = self.peers.remove(node);
        if self.phase != Phase::Present {
            return;
        }
        self.notice_pause(now);
        if let (LinkLoss::ProcessGone, Some(boot)) = (loss, peer)
            && self.detector.suspect(now, &boot)
        {
            self.counters.links_gone += 1;
        }
        self.settle(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Calling it early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Present => {
                self.notice_pause(now);
                self.detector.handle_timeout(now);
                if self.exchange_at <= now {
                    self.exchange_at = now + self.config.exchange_period;
                    self.exchange(now);
                }
                self.settle(now);
            }
            Phase::Leaving { rounds_left, next_at } if next_at <= now => {
                self.continue_leaving(now, rounds_left)
            }
            Phase::Leaving { .. } | Phase::Left => {}
        }
    }

    // Wishes

    /// The node is ready to own partitions: `Joining` becomes `Active`. Otherwise nothing happens.
    pub fn activate(&mut self, now: Instant) {
        if self.roster.own().standing == Standing::Joining {
            self.write_own(now, Standing::Active);
        }
    }

    /// The node wants to hand over what it owns: `Joining` or `Active` becomes `Draining`. There is no way back.
    pub fn drain(&mut self, now: Instant) {
        if self.roster.own().standing < Standing::Draining {
            self.write_own(now, Standing::Draining);
        }
    }

    /// The node leaves: it tells its peers a few times and is then [gone](Self::has_left). It hears nothing any more.
    pub fn leave(&mut self, now: Instant) {
        if self.phase != Phase::Present {
            return;
        }
        self.write_own(now, Standing::Left);
        self.start_leaving(now);
    }

    // Outputs

    /// The next message to send. Dropping it is fine where there is no link.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Present => {
                let detector = self.detector.next_deadline();
                let majority = self.majority.next_deadline(self.config.probe_period);
                let others =
                    [detector, self.peers.next_deadline(), self.remind_at, self.give_up_at, majority];
                others.into_iter().flatten().chain([self.exchange_at]).min()
            }
            Phase::Leaving { next_at, .. } => Some(next_at),
            Phase::Left => None,
        }
    }

    /// Lets the detector's timers pass unchecked, to show what the timer gate is for.
    #[cfg(test)]
    pub(crate) fn open_timer_gate(&mut self) {
        self.detector.gate_open = true;
    }

    fn write_own(&mut self, now: Instant, standing: Standing) {
        if self.phase == Phase::Present && self.roster.write_own(standing) {
            self.roster_changed = true;
            self.spread_own(now);
            self.settle(now);
        }
    }

    /// The own record says that this node is gone. It is told to each peer on the channel that loses nothing, and
    /// gossiped for those without a link.
    fn start_leaving(&mut self, now: Instant) {
        self.tell_peers(self.roster.own().clone());
        self.continue_leaving(now, LEAVE_ROUNDS);
    }

    fn continue_leaving(&mut self, now: Instant, rounds_left: u32) {
        if rounds_left == 0 || self.detector.active() == 0 {
            self.detector.leave(now);
            self.phase = Phase::Left;
        } else {
            self.detector.gossip(now);
            self.phase =
                Phase::Leaving { rounds_left: rounds_left - 1, next_at: now + self.config.gossip_period };
        }
        self.revision += 1;
        self.flush_detector();
    }

    /// Draws the conclusions of an input: calls peers, tells events, gives up who is missing, queues what is to send.
    fn settle(&mut self, now: Instant) {
        let alone = self.detector.active() == 0 && !self.peers.is_calling();
        if self.detector.poll_standstill().is_some() || alone {
            self.peers.call_again(now, &mut self.random);
        }
        while let Some((boot, address)) = self.peers.pop_due(now, &self.config) {
            self.detector.announce(now, Identity::new(boot, address));
        }
        if self.roster_changed {
            self.observations.look_again();
        }
        let members_changed =
            self.observations.refresh_members(now, &self.detector, &self.roster, &mut self.events);
        if members_changed || self.roster_changed {
            self.observations.refresh_missing(now, &self.roster);
            self.revision += 1;
        }
        self.tell_verdicts();
        self.detector.tune(now);
        self.watch_majority(now, members_changed || self.roster_changed);
        self.remind_suspects(now);
        self.give_up_missing(now);
        if std::mem::take(&mut self.roster_changed) {
            // Also what was written since the members were compared.
            self.observations.look_again();
            self.events.push(Event::Updated(self.roster.view().version()));
        }
        self.flush_detector();
        if self.phase == Phase::Present && self.roster.own().standing == Standing::Removed {
            self.events.push(Event::Expelled);
            self.start_leaving(now);
        }
    }

    fn flush_detector(&mut self) {
        while let Some((to, datagram)) = self.detector.poll_send() {
            self.outbox.push_datagram(to, datagram);
        }
    }
}
