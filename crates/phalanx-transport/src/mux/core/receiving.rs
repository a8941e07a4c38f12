//! What comes from the peer: every frame is held against what the peer may do, and the first that breaks a rule closes the
//! link.

use bytes::Bytes;
use phalanx_base::Lane;
use tokio::time::Instant;

use super::{Core, Event, Flush, ReceiveState, SendState, Stream};
use crate::close::{CloseReason, LinkLost};
use crate::mux::windows::stream_window;
use crate::mux::wire::{Input, Transmit, Violation};

/// The code with which a stream of a lane that we do not know is refused.
const UNKNOWN_LANE: u32 = 1;

impl Core {
    /// Bytes from the peer, in order, however they are split.
    pub(crate) fn handle_bytes(&mut self, now: Instant, mut bytes: Bytes) {
        self.liveness.heard(now);
        while !self.is_over {
            let input = match self.decoder.next(&mut bytes) {
                Ok(Some(input)) => input,
                Ok(None) => return,
                Err(violation) => return self.violated(violation),
            };
            if let Err(violation) = self.receive(now, input) {
                return self.violated(violation);
            }
        }
    }

    /// The peer's bytes have ended, or can neither be read nor sent any more.
    pub(crate) fn handle_end(&mut self, why: &str) {
        if !self.is_over {
            self.end(LinkLost::Carrier(why.to_owned()));
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.violation = Some(violation);
        let (code, detail) = CloseReason::Violation.encode();
        self.farewell = Some(Transmit::close(code, detail));
        self.end(LinkLost::ClosedHere(CloseReason::Violation));
    }

    fn receive(&mut self, now: Instant, input: Input) -> Result<(), Violation> {
        match input {
            Input::Open { stream, lane } => self.on_open(stream, lane),
            Input::Data { stream, bytes } => self.on_data(stream, bytes),
            Input::Finish { stream } => self.on_end(stream, Event::Finished { stream }),
            Input::Reset { stream } => self.on_end(stream, Event::Reset { stream }),
            Input::Stop { stream, code } => self.on_stop(stream, code),
            Input::StreamCredit { stream, bytes } => self.on_stream_credit(stream, bytes),
            Input::LaneCredit { lane, bytes } => match Lane::from_code(lane) {
                Some(lane) if !self.lanes.add_send_credit(lane, bytes) => Err(Violation::TooMuchCredit),
                // A lane of a later version is not used here.
                _ => Ok(()),
            },
            Input::Datagram(datagram) => {
                // An empty one only shows that the peer is there.
                if !datagram.is_empty() {
                    self.events.push_back(Event::Datagram(datagram));
                }
                Ok(())
            }
            Input::Ping(number) => {
                self.liveness.handle_ping(number);
                Ok(())
            }
            Input::Pong(number) => self.on_pong(now, number),
            Input::Close { code, detail } => {
                self.end(LinkLost::ClosedByPeer(CloseReason::decode(code.into(), &detail)));
                Ok(())
            }
        }
    }

    fn on_open(&mut self, id: u64, code: u8) -> Result<(), Violation> {
        if id != self.next_theirs {
            return Err(Violation::BadOpen);
        }
        if self.open_theirs >= self.config.streams_max {
            return Err(Violation::TooManyStreams);
        }
        self.next_theirs += 2;
        self.open_theirs += 1;
        let lane = Lane::from_code(code);
        let mut stream = Stream::new(lane.unwrap_or(Lane::Bulk), false);
        if lane.is_none() {
            tracing::debug!(code, "a stream of a lane that this version does not know was refused");
            stream.is_known = false;
            stream.receiving = ReceiveState::Unwanted;
            stream.stop = Some(UNKNOWN_LANE);
            stream.sending = SendState::Resetting(UNKNOWN_LANE);
        }
        self.streams.insert(id, stream);
        self.settle(id);
        self.events.extend(lane.map(|lane| Event::Opened { stream: id, lane }));
        Ok(())
    }

    /// Whether a stream was opened at some time, and may be over.
    fn is_used(&self, id: u64) -> bool {
        let next = if id % 2 == self.next_ours % 2 { self.next_ours } else { self.next_theirs };
        0 < id && id < next
    }

    fn on_data(&mut self, id: u64, bytes: Bytes) -> Result<(), Violation> {
        let stream = self.streams.get_mut(&id).ok_or(Violation::NoSuchStream)?;
        let length = bytes.len() as u64;
        if stream.receiving == ReceiveState::Over {
            return Err(Violation::NoSuchStream);
        }
        if !stream.is_known {
            return Ok(());
        }
        stream.receive_credit = stream.receive_credit.checked_sub(length).ok_or(Violation::NoCredit)?;
        if !self.lanes.received(stream.lane, length) {
            return Err(Violation::NoCredit);
        }
        match stream.receiving {
            ReceiveState::Unwanted => self.lanes.read(stream.lane, bytes.len() as u32),
            ReceiveState::Open | ReceiveState::Over => {
                self.events.push_back(Event::Data { stream: id, bytes });
            }
        }
        Ok(())
    }

    /// The peer sends nothing more of a stream.
    fn on_end(&mut self, id: u64, event: Event) -> Result<(), Violation> {
        let stream = self.streams.get_mut(&id).ok_or(Violation::NoSuchStream)?;
        match stream.receiving {
            ReceiveState::Over => return Err(Violation::NoSuchStream),
            ReceiveState::Open => self.events.push_back(event),
            ReceiveState::Unwanted => {}
        }
        stream.receiving = ReceiveState::Over;
        // Nobody has to be told any more that nobody reads.
        stream.stop = None;
        self.settle(id);
        Ok(())
    }

    /// The peer does not read a stream; its own end of it may have come before this.
    fn on_stop(&mut self, id: u64, code: u32) -> Result<(), Violation> {
        let Some(stream) = self.streams.get(&id) else {
            return if self.is_used(id) { Ok(()) } else { Err(Violation::NoSuchStream) };
        };
        if matches!(stream.sending, SendState::Open | SendState::Finishing) {
            self.handle_reset(id, code);
            self.events.push_back(Event::Stopped { stream: id });
        }
        Ok(())
    }

    fn on_stream_credit(&mut self, id: u64, bytes: u32) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return if self.is_used(id) { Ok(()) } else { Err(Violation::NoSuchStream) };
        };
        stream.send_credit += u64::from(bytes);
        if stream.send_credit > u64::from(stream_window(stream.lane)) {
            return Err(Violation::TooMuchCredit);
        }
        self.settle(id);
        Ok(())
    }

    fn on_pong(&mut self, now: Instant, number: u64) -> Result<(), Violation> {
        if !self.liveness.handle_pong(now, number) {
            return Err(Violation::NoSuchPing);
        }
        if let Flush::Sent(ping) = self.flush
            && self.liveness.is_answered(ping)
        {
            self.flush = Flush::Idle;
            self.events.push_back(Event::Flushed);
        }
        Ok(())
    }
}
