//! What one end knows of one stream.

use phalanx_base::Lane;

use crate::mux::windows::stream_window;

/// How far the sending half is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendState {
    Open,
    /// Nothing will be added to what waits; its end was not told.
    Finishing,
    /// It is given up, and that was not told.
    Resetting(u32),
    /// The peer was told of its end.
    Over,
}

/// How far the receiving half is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiveState {
    Open,
    /// Nobody reads: what comes is thrown away.
    Unwanted,
    /// The peer has told its end.
    Over,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) lane: Lane,
    /// Whether it names a lane that this version knows; what comes on another one is not counted.
    pub(super) is_known: bool,
    pub(super) is_ours: bool,
    /// The peer was not told of it.
    pub(super) is_new: bool,
    pub(super) sending: SendState,
    /// What waits for being sent.
    pub(super) queued: u64,
    /// How much more the peer takes.
    pub(super) send_credit: u64,
    pub(super) receiving: ReceiveState,
    /// How much more the peer may send.
    pub(super) receive_credit: u64,
    /// What was read and not told.
    pub(super) grant: u32,
    /// A stop that was not told.
    pub(super) stop: Option<u32>,
    /// Whether it is in the list of those with something urgent to say.
    pub(super) is_urgent: bool,
    /// Whether it is in the list of those with data to send.
    pub(super) is_ready: bool,
}

impl Stream {
    pub(super) fn new(lane: Lane, is_ours: bool) -> Self {
        let window = u64::from(stream_window(lane));
        Self {
            lane,
            is_known: true,
            is_ours,
            is_new: is_ours,
            sending: SendState::Open,
            queued: 0,
            send_credit: window,
            receiving: ReceiveState::Open,
            receive_credit: window,
            grant: 0,
            stop: None,
            is_urgent: false,
            is_ready: false,
        }
    }

    /// Whether it has data that may be sent.
    pub(super) fn may_send(&self) -> bool {
        self.queued > 0
            && self.send_credit > 0
            && matches!(self.sending, SendState::Open | SendState::Finishing)
    }

    /// Whether there is something to say of it that needs no credit.
    pub(super) fn has_urgent(&self) -> bool {
        let ends = match self.sending {
            SendState::Finishing => self.queued == 0,
            SendState::Resetting(_) => true,
            SendState::Open | SendState::Over => false,
        };
        self.is_new || self.stop.is_some() || ends || self.grants()
    }

    /// Whether credit is to be told: nobody needs it once the peer has told the end.
    pub(super) fn grants(&self) -> bool {
        self.grant > 0 && self.receiving == ReceiveState::Open
    }

    /// Whether both ends have told each other all there is.
    pub(super) fn is_over(&self) -> bool {
        self.sending == SendState::Over && self.receiving == ReceiveState::Over && self.stop.is_none()
    }
}
