//! What is said to other control nodes, and what they say.
//!
//! What this node writes it pushes to everybody. Whatever is lost on the way, and what nodes that are gone have written,
//! is found by comparing what is known: once a second with a random peer, and with whoever shows that something is missing.

use std::collections::BTreeMap;
use std::time::Instant;

use phalanx_base::{Boot, NodeId};

use super::{Metadata, Transmit};
use crate::clock::STAMP_AHEAD_MS_MAX;
use crate::config::Rule;
use crate::error::Refused;
use crate::log::PartError;
use crate::origins::Wanted;
use crate::wire::{Body, Digest, LOGS_MAX, MESSAGE_ROOM_BYTES, Message, Part};

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Something of it was news.
    News,
    /// Nothing of it was.
    Nothing,
    /// Something before it is missing.
    Gap,
}

impl Metadata {
    /// A message of a peer, which its link has authenticated. In any order, any number of times.
    ///
    /// # Errors
    /// [`Refused`] names the first thing that was not taken; everything else in the message was.
    pub fn handle_message(
        &mut self,
        now: Instant,
        unix_ms: u64,
        from: &NodeId,
        message: Message,
    ) -> Result<(), Refused> {
        self.tick(now, unix_ms);
        if !self.origins.is_member(from) || *from == self.boot.node {
            return Err(Refused::Stranger { from: from.clone() });
        }
        match message.0 {
            Body::Digest(digest) => {
                self.take_digest(from, digest);
                Ok(())
            }
            Body::Answer { parts, more } => self.take_answer(from, &parts, more),
            Body::Push(part) => self.take_push(from, &part),
        }
    }

    /// The next message to send, at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) as bytes, made of what is known
    /// when it is fetched. Peers are served in turn.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        for to in self.peers.in_turn() {
            if let Some(body) = self.next_for(&to) {
                self.peers.served(to.clone());
                return Some(Transmit { to, message: Message(body) });
            }
        }
        None
    }

    /// Compares what is known with a random peer.
    pub(super) fn exchange(&mut self) {
        if self.peers.is_pulling(self.now) {
            return;
        }
        let count = self.peers.nodes().len() as u64;
        let chosen = self.peers.nodes().nth(self.random.below(count) as usize).cloned();
        if let Some(peer) = chosen {
            self.peers.pull(self.now, &peer, true);
        }
    }

    fn next_for(&mut self, to: &NodeId) -> Option<Body> {
        let target = self.push_target;
        let peer = self.peers.peer(to)?;
        if let Some(asked) = peer.asked.take() {
            return Some(self.answer(&asked));
        }
        if peer.pushed < target {
            let mut room = MESSAGE_ROOM_BYTES;
            let part = self.replica.own_log().part(&self.boot, peer.pushed, target, &mut room)?;
            peer.pushed = part.to;
            return Some(Body::Push(part));
        }
        let both = peer.ask.take()?;
        let coverage = self.memory.coverage(self.unix_ms);
        let declined = self.peers.declined(self.now);
        Some(Body::Digest(Digest { positions: self.digest(), declined, coverage, both }))
    }

    /// What is known here beyond what a peer knows, as far as it fits.
    fn answer(&self, asked: &Digest) -> Body {
        let theirs: BTreeMap<&Boot, (u64, u64)> =
            asked.positions.iter().map(|at| (&at.origin, (at.known, at.known + at.ahead))).collect();
        let (mut parts, mut more, mut room) = (Vec::new(), false, MESSAGE_ROOM_BYTES);
        for (origin, log) in self.replica.logs() {
            if log.is_partial() || asked.declined.contains(origin) {
                continue;
            }
            let (known, base) = theirs.get(origin).copied().unwrap_or_default();
            let from = if log.watermark() > base { 0 } else { known };
            if from < log.known() {
                let part = log.part(origin, from, log.known(), &mut room);
                more |= part.as_ref().is_none_or(|part| part.to < log.known());
                parts.extend(part);
            }
        }
        Body::Answer { parts, more }
    }

    fn take_digest(&mut self, from: &NodeId, digest: Digest) {
        self.memory.hear(from, digest.coverage);
        let own = digest.positions.iter().find(|position| position.origin == self.boot);
        if let Some(own) = own
            && own.known + own.ahead > self.replica.own_log().known()
        {
            // Somebody has told lies about this log. Once it is begun anew above them, they are swept away.
            self.replica.with_own(|log| {
                log.outbid(own.known + own.ahead);
                Vec::new()
            });
            self.flush_soon();
        }
        if digest.both && self.lacks(&digest) && !self.peers.is_pulling(self.now) {
            self.peers.pull(self.now, from, false);
        }
        if let Some(peer) = self.peers.peer(from) {
            peer.asked = Some(digest);
        }
    }

    /// Whether a peer knows something that this node wants and does not have.
    fn lacks(&self, digest: &Digest) -> bool {
        digest.positions.iter().any(|theirs| {
            let known = self.replica.logs().get(&theirs.origin).map_or(0, |log| log.known());
            let wanted = self.origins.wanted(self.now, &theirs.origin);
            theirs.known > known
                && theirs.ahead == 0
                && matches!(wanted, Wanted::Present | Wanted::Orphan { .. })
                && !self.peers.is_declined(self.now, &theirs.origin)
        })
    }

    fn take_answer(&mut self, from: &NodeId, parts: &[Part], more: bool) -> Result<(), Refused> {
        let (mut news, mut refused) = (false, Ok(()));
        for part in parts {
            match self.take(from, part) {
                Ok(taken) => news |= taken == Taken::News,
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        self.peers.answered(from);
        if more && news {
            self.peers.pull(self.now, from, false);
        }
        refused
    }

    fn take_push(&mut self, from: &NodeId, part: &Part) -> Result<(), Refused> {
        if part.origin.node != *from {
            self.parts_refused += 1;
            return Err(Refused::NotItsLog { from: from.clone(), origin: part.origin.clone() });
        }
        if self.take(from, part)? == Taken::Gap {
            self.peers.pull(self.now, from, false);
        }
        Ok(())
    }

    fn take(&mut self, from: &NodeId, part: &Part) -> Result<Taken, Refused> {
        if part.origin == self.boot {
            return Ok(Taken::Nothing);
        }
        let result = self.try_take(from, part);
        if result.is_err() {
            self.parts_refused += 1;
            self.peers.decline(self.now, &part.origin);
        }
        result
    }

    fn try_take(&mut self, from: &NodeId, part: &Part) -> Result<Taken, Refused> {
        let origin = || part.origin.clone();
        match self.origins.wanted(self.now, &part.origin) {
            Wanted::Present | Wanted::Orphan { .. } => {}
            Wanted::Unknown => return Err(Refused::UnknownOrigin { from: from.clone(), origin: origin() }),
            Wanted::Gone => {
                // Its sender has not dropped it yet.
                self.peers.decline(self.now, &part.origin);
                return Ok(Taken::Nothing);
            }
        }
        if self.replica.logs().len() >= LOGS_MAX && !self.replica.logs().contains_key(&part.origin) {
            return Err(Refused::TooManyLogs { origin: origin() });
        }
        self.check_lines(part)?;
        match self.replica.apply(part) {
            Ok(()) => {
                for line in &part.lines {
                    self.clock.observe(self.unix_ms, &line.record(&part.origin).stamp);
                }
                Ok(Taken::News)
            }
            Err(PartError::Old) => Ok(Taken::Nothing),
            Err(PartError::Gap) => Ok(Taken::Gap),
            Err(PartError::TooLarge) => Err(Refused::TooLarge { origin: origin() }),
        }
    }

    fn check_lines(&self, part: &Part) -> Result<(), Refused> {
        for line in &part.lines {
            let origin = || part.origin.clone();
            let ahead_ms = line.record(&part.origin).stamp.unix_ms.saturating_sub(self.unix_ms);
            match self.replica.rule(line.key.table()) {
                Some(Rule::Single) if !line.key.belongs_to(&part.origin.node) => {
                    return Err(Refused::NotItsKey { origin: origin(), key: line.key.clone() });
                }
                Some(Rule::LastWriter) if ahead_ms > STAMP_AHEAD_MS_MAX => {
                    return Err(Refused::FutureStamp { origin: origin(), ahead_ms });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
