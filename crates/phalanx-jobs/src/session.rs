//! One session between a control node and a worker: the same core on both ends.
//!
//! A session knows which frames its peer may send now, under which fence, and when the peer has been silent for too
//! long. What the frames mean is decided above: by the worker's core on one end, by the proxy on the other.
//!
//! Call [`Session::admit`] for each frame, [`Session::handle_timeout`] when [`Session::poll_timeout`] has passed, and
//! [`Session::grant`] or [`Session::retire`] when the fence is decided. The caller owns the clock.

use std::time::{Duration, Instant};

use phalanx_base::{Boot, Fence, Lane, NodeId};

use crate::config::{Config, LINGER};
use crate::wire::{DecodeError, Direction, Frame, Kind, Message, rule};

/// A link, by a number that grows with each link of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Which end of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The proxy's end.
    Control,
    /// The worker's end.
    Worker,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No fence yet.
    Opening,
    /// Under the present fence.
    Granted(Fence),
    /// The fence is another one's now; replies may still pass until then.
    Retired(Fence, Instant),
}

/// What a peer did that no correct peer does. The link is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The frame is no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The message came on a lane that is not its own.
    #[error("a {0:?} came on lane {1:?}")]
    WrongLane(Kind, Lane),
    /// The message is not the peer's to send.
    #[error("a {0:?} is not for this peer to send")]
    NotPermitted(Kind),
    /// The message does not fit the state of the session.
    #[error("a {0:?} does not fit the state of the session")]
    OutOfOrder(Kind),
    /// The message is longer than its kind may be.
    #[error("a {0:?} is longer than its cap")]
    TooLarge(Kind),
    /// More was sent than was granted.
    #[error("the peer sent more than its window allows")]
    Flood,
}

/// A frame that may be acted upon, or one that came too late to matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Act upon it.
    Message(Message),
    /// It carries a fence that is not the present one: ignore it.
    Stale(Kind),
}

/// What the passing of time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTimeout {
    /// Give a sign of life.
    Beat,
    /// The peer has been silent for too long.
    Lost,
    /// The replies of a retired session have had their time.
    Ended,
}

/// One session. See the module's page for the order of calls.
#[derive(Debug)]
pub struct Session {
    side: Side,
    peer: Boot,
    link: LinkId,
    stage: Stage,
    /// The greatest fence this session has held: what still comes under it, or under one before it, is late and no lie.
    held: Option<Fence>,
    heard_at: Instant,
    beat_at: Instant,
    beat_interval: Duration,
    silence_max: Duration,
    /// The link carries more than this session, so that it stays when nobody claims the session.
    shared: bool,
}

impl Session {
    /// A session over `link`, without a fence. The first beat is spread by the worker's id, so that a thousand
    /// sessions that open together do not beat together. A `shared` link carries more than this session: an unclaimed
    /// session over it waits for ever, and a retired one opens again.
    #[must_use]
    pub fn new(
        now: Instant,
        side: Side,
        peer: Boot,
        worker: &NodeId,
        (link, shared): (LinkId, bool),
        config: &Config,
    ) -> Self {
        Self {
            side,
            peer,
            link,
            stage: Stage::Opening,
            held: None,
            heard_at: now,
            beat_at: now + config.beat_interval.mul_f64(phase(worker)),
            beat_interval: config.beat_interval,
            silence_max: config.silence_max,
            shared,
        }
    }

    /// A claim starts, or starts anew: the peer gets the full time to answer.
    pub fn reopen(&mut self, now: Instant) {
        self.stage = Stage::Opening;
        self.heard_at = now;
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> &Boot {
        &self.peer
    }

    /// The link it runs over.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// The present fence, while the session holds it.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        match self.stage {
            Stage::Granted(fence) => Some(fence),
            Stage::Opening | Stage::Retired(..) => None,
        }
    }

    /// Whether the session has given its fence up and only carries replies.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        matches!(self.stage, Stage::Retired(..))
    }

    /// The session holds this fence from now on.
    pub fn grant(&mut self, now: Instant, fence: Fence) {
        self.stage = Stage::Granted(fence);
        self.held = self.held.max(Some(fence));
        self.heard_at = now;
    }

    /// The session's fence is not the present one any more; replies pass for [`LINGER`].
    pub fn retire(&mut self, now: Instant) {
        if let Stage::Granted(fence) = self.stage {
            self.stage = Stage::Retired(fence, now + LINGER);
        }
    }

    /// Something is still under way on a retired session: it stays for another [`LINGER`].
    pub fn linger(&mut self, now: Instant) {
        if let Stage::Retired(fence, _) = self.stage {
            self.stage = Stage::Retired(fence, now + LINGER);
        }
    }

    /// Checks a frame from the peer against the table of verbs, and decodes it only then.
    ///
    /// # Errors
    /// A [`Violation`]: close the link. Nothing of the frame has had an effect.
    pub fn admit(&mut self, now: Instant, lane: Lane, frame: &Frame) -> Result<Admitted, Violation> {
        let Some(rule) = rule(frame.kind) else {
            return Err(DecodeError::UnknownKind(frame.kind).into());
        };
        if rule.lane != lane {
            return Err(Violation::WrongLane(rule.kind, lane));
        }
        let from_peer = match self.side {
            Side::Control => Direction::ToControl,
            Side::Worker => Direction::ToWorker,
        };
        if rule.direction != from_peer {
            return Err(Violation::NotPermitted(rule.kind));
        }
        if frame.body.len() > rule.bytes_max {
            return Err(Violation::TooLarge(rule.kind));
        }
        let message = Message::from_frame(frame)?;
        if rule.fenced && message.fence() != self.fence() {
            return match self.stage {
                // Lanes overtake each other, so what was sent under a former fence may come after the session has opened anew.
                Stage::Opening if message.fence() > self.held => Err(Violation::OutOfOrder(rule.kind)),
                Stage::Opening | Stage::Granted(_) | Stage::Retired(..) => Ok(Admitted::Stale(rule.kind)),
            };
        }
        self.heard_at = now;
        Ok(Admitted::Message(message))
    }

    /// When to call [`Session::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Opening if self.shared => None,
            Stage::Opening => Some(self.heard_at + self.silence_max),
            Stage::Granted(_) => Some(self.beat_at.min(self.heard_at + self.silence_max)),
            Stage::Retired(_, until) => Some(until),
        }
    }

    /// What the time asks for, if anything; call again until it is `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<SessionTimeout> {
        match self.stage {
            Stage::Retired(_, until) if now < until => None,
            Stage::Opening if self.shared => None,
            Stage::Retired(..) if self.shared => {
                self.reopen(now);
                None
            }
            Stage::Retired(..) => Some(SessionTimeout::Ended),
            _ if now >= self.heard_at + self.silence_max => Some(SessionTimeout::Lost),
            Stage::Granted(_) if now >= self.beat_at => {
                self.beat_at = now + self.beat_interval;
                Some(SessionTimeout::Beat)
            }
            Stage::Opening | Stage::Granted(_) => None,
        }
    }
}

/// A fraction from 0 to 1 that depends on the worker's name alone (FNV-1a, as it needs no more than spreading).
fn phase(worker: &NodeId) -> f64 {
    let hash = worker
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    f64::from(hash) / f64::from(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::wire::{Beat, Report, StandDown};
    use phalanx_base::{Generation, NodeStatus, RosterVersion};

    fn boot(name: &str) -> Boot {
        Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
    }

    fn session(side: Side, now: Instant) -> Session {
        Session::new(now, side, boot("peer"), &boot("w").node, (LinkId(1), false), &Config::default())
    }

    fn beat(fence: u64) -> Frame {
        Message::from(Beat { fence: Fence(fence), roster: RosterVersion(1), standbys: None }).to_frame()
    }

    #[test]
    fn only_the_present_fence_is_a_sign_of_life() {
        let now = Instant::now();
        let mut session = session(Side::Worker, now);
        assert!(matches!(
            session.admit(now, Lane::Control, &beat(1)),
            Err(Violation::OutOfOrder(Kind::Beat))
        ));
        session.grant(now, Fence(2));
        let later = now + Duration::from_secs(14);
        assert_eq!(session.admit(later, Lane::Control, &beat(1)), Ok(Admitted::Stale(Kind::Beat)));
        assert!(matches!(session.admit(later, Lane::Control, &beat(2)), Ok(Admitted::Message(_))));
        let silent = later + Duration::from_secs(15);
        assert_eq!(session.handle_timeout(silent - Duration::from_millis(1)), Some(SessionTimeout::Beat));
        assert_eq!(session.handle_timeout(silent), Some(SessionTimeout::Lost));
    }

    #[test]
    fn the_table_denies_by_direction_lane_and_kind() {
        let now = Instant::now();
        let mut control = session(Side::Control, now);
        control.grant(now, Fence(1));
        assert_eq!(control.admit(now, Lane::Control, &beat(1)), Err(Violation::NotPermitted(Kind::Beat)));
        let report =
            Message::from(Report { fence: Fence(1), status: NodeStatus::Ready, tasks: 0, labels: None });
        let wrong_lane = control.admit(now, Lane::Event, &report.to_frame());
        assert_eq!(wrong_lane, Err(Violation::WrongLane(Kind::Report, Lane::Event)));
        let unknown = control.admit(now, Lane::Control, &Frame { kind: 99, body: bytes::Bytes::new() });
        assert_eq!(unknown, Err(Violation::Decode(DecodeError::UnknownKind(99))));
    }

    #[test]
    fn a_retired_session_ends_after_the_linger() {
        let now = Instant::now();
        let mut session = session(Side::Control, now);
        session.grant(now, Fence(1));
        session.retire(now);
        let stand_down = Message::from(StandDown { fence: Fence(1) }).to_frame();
        assert_eq!(session.admit(now, Lane::Control, &stand_down), Ok(Admitted::Stale(Kind::StandDown)));
        assert_eq!(session.handle_timeout(now + LINGER - Duration::from_millis(1)), None);
        assert_eq!(session.handle_timeout(now + LINGER), Some(SessionTimeout::Ended));
    }
}
