//! The table of verbs: for each kind of frame its lane, its sender, whether it needs the present fence, and its cap.

use phalanx_base::Lane;

use super::{CHECKPOINT_BYTES_MAX, CHUNK_BYTES_MAX, NEWS_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Who may send a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The control end of a session, to the worker end.
    ToWorker,
    /// The worker end of a session, to the control end.
    ToControl,
    /// A control node to another control node.
    BetweenControls,
    /// Whoever opens a stream.
    Opener,
    /// Either end of a transfer's stream, as its opening says.
    EitherEnd,
    /// The other end of a stream that somebody has opened.
    Answerer,
}

/// What is known of a kind before its body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRule {
    /// The kind.
    pub kind: Kind,
    /// The lane it travels on.
    pub lane: Lane,
    /// Who may send it.
    pub direction: Direction,
    /// Whether it is refused unless it carries the present fence of its session.
    pub fenced: bool,
    /// The greatest body in bytes.
    pub bytes_max: usize,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $lane:ident, $direction:ident, $fenced:literal, $cap:expr;)*) => {
        /// The kinds of frames. Numbers are never used again for another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $code,)* }

        /// The table: one rule for each kind, deny by default.
        pub const FRAME_RULES: &[FrameRule] = &[$(FrameRule {
            kind: Kind::$name,
            lane: Lane::$lane,
            direction: Direction::$direction,
            fenced: $fenced,
            bytes_max: $cap,
        },)*];
    };
}

/// Room for ids, fences and lengths around a payload.
const ENVELOPE_BYTES: usize = 1 << 10;
/// Small fixed messages with a few node ids in them.
const SMALL_BYTES: usize = 1 << 10;
/// Messages with address lists or labels in them.
const MEDIUM_BYTES: usize = 16 << 10;

kinds! {
    /// The first frame of each stream: what the stream is for.
    Opening = 1, Control, Opener, false, SMALL_BYTES;
    /// A control node asks a worker to accept it as the host of its proxy.
    Attach = 10, Control, ToWorker, false, MEDIUM_BYTES;
    /// The worker has accepted, under a new fence.
    Attached = 11, Control, ToControl, false, MEDIUM_BYTES;
    /// One task of the worker, right after `Attached`.
    TaskSnapshot = 12, Control, ToControl, true, CHECKPOINT_BYTES_MAX + ENVELOPE_BYTES;
    /// The worker has another live owner.
    Nack = 13, Control, ToControl, false, SMALL_BYTES;
    /// The worker should ask another control node.
    Redirect = 14, Control, ToWorker, false, MEDIUM_BYTES;
    /// The owner gives the worker up.
    Release = 15, Control, ToWorker, true, MEDIUM_BYTES;
    /// The worker has accepted another proxy.
    StandDown = 16, Control, ToControl, true, SMALL_BYTES;
    /// The owner's heartbeat.
    Beat = 17, Control, ToWorker, true, MEDIUM_BYTES;
    /// The worker's heartbeat and report.
    Report = 18, Control, ToControl, true, MEDIUM_BYTES;
    /// Events up to a number have been handled.
    Ack = 19, Control, ToWorker, true, CHECKPOINT_BYTES_MAX + ENVELOPE_BYTES;
    /// How full the worker is, when that has changed.
    Gauge = 20, Control, ToControl, true, SMALL_BYTES;
    /// The worker cannot reach the owner that it was sent to.
    Stranded = 21, Control, ToControl, false, SMALL_BYTES;
    /// Work for the worker. The worker itself answers one under another fence.
    Call = 30, Request, ToWorker, false, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
    /// The caller of a call went away.
    Cancel = 31, Request, ToWorker, false, SMALL_BYTES;
    /// How a call ended.
    Outcome = 32, Request, ToControl, false, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
    /// One entry of a task's event log.
    Event = 40, Event, ToControl, true, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
    /// A piece of a transfer: raw bytes.
    Chunk = 50, Bulk, EitherEnd, false, CHUNK_BYTES_MAX;
    /// The end of a transfer: its length and hash.
    TransferEnd = 51, Bulk, EitherEnd, false, SMALL_BYTES;
    /// What became of a transfer.
    TransferReply = 52, Bulk, EitherEnd, false, SMALL_BYTES;
    /// A call for a worker whose proxy the receiver hosts.
    Forward = 60, Request, BetweenControls, false, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
    /// The caller of a forwarded call went away.
    ForwardCancel = 61, Request, BetweenControls, false, SMALL_BYTES;
    /// How a forwarded call ended.
    ForwardOutcome = 62, Request, BetweenControls, false, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
    /// Do you host this worker's proxy?
    Locate = 63, Request, BetweenControls, false, SMALL_BYTES;
    /// Whether I do.
    Located = 64, Request, BetweenControls, false, SMALL_BYTES;
    /// Offer me this worker.
    Wanted = 65, Request, BetweenControls, false, SMALL_BYTES;
    /// Take this worker.
    Offer = 66, Request, BetweenControls, false, PAYLOAD_BYTES_MAX;
    /// I do not take it.
    Declined = 67, Request, BetweenControls, false, SMALL_BYTES;
    /// Which workers do you host?
    List = 68, Request, BetweenControls, false, SMALL_BYTES;
    /// These.
    Listed = 69, Request, BetweenControls, false, PAYLOAD_BYTES_MAX;
    /// Membership's own messages that do not fit a datagram, opaque here.
    Gossip = 70, Control, BetweenControls, false, 1 << 20;
    /// News for everybody, from a control node to each of its neighbours.
    Published = 80, Event, Opener, false, NEWS_BYTES_MAX + ENVELOPE_BYTES;
    /// What control nodes know, opaque here.
    Metadata = 81, Event, BetweenControls, false, 256 << 10;
    /// A call of a program that is no node, to any worker.
    GatewayCall = 90, Request, Opener, false, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
    /// The caller of such a call went away.
    GatewayCancel = 91, Request, Opener, false, SMALL_BYTES;
    /// How such a call ended.
    GatewayOutcome = 92, Request, Answerer, false, PAYLOAD_BYTES_MAX + ENVELOPE_BYTES;
}

/// The rule of a kind's byte, or `None` for a byte that names no kind.
#[must_use]
pub fn rule(kind: u8) -> Option<&'static FrameRule> {
    FRAME_RULES.iter().find(|rule| rule.kind as u8 == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_rule_and_a_cap() {
        for (at, rule) in FRAME_RULES.iter().enumerate() {
            assert!(FRAME_RULES[at + 1..].iter().all(|other| other.kind as u8 != rule.kind as u8));
            assert!(rule.bytes_max > 0 && rule.bytes_max <= PAYLOAD_BYTES_MAX + ENVELOPE_BYTES);
        }
        assert_eq!(rule(0), None);
    }

    #[test]
    fn a_worker_can_only_speak_of_itself() {
        let may_send: Vec<Kind> = FRAME_RULES
            .iter()
            .filter(|rule| rule.direction == Direction::ToControl)
            .map(|rule| rule.kind)
            .collect();
        let expected = [
            Kind::Attached,
            Kind::TaskSnapshot,
            Kind::Nack,
            Kind::StandDown,
            Kind::Report,
            Kind::Gauge,
            Kind::Stranded,
            Kind::Outcome,
            Kind::Event,
        ];
        assert_eq!(may_send, expected);
    }
}
