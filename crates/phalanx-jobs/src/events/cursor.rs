//! The control node's end of an event log: what has arrived, and what has been handled.

use crate::wire::EventBody;

/// How far one task's events have come on this control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    received: u64,
    handled: u64,
}

/// What to do with an entry that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Handle it; it is the next one.
    Next,
    /// Drop it; it has been handled, or waits for it.
    Repeat,
    /// The peer has left numbers out without saying so.
    Missing,
}

impl Cursor {
    /// The session is lost. What waited is dropped and comes again, but what the handler has in hand, through
    /// `in_hand`, does not: it will have been handled.
    pub fn lose(&mut self, in_hand: Option<u64>) {
        self.received = self.handled.max(in_hand.unwrap_or(0));
    }

    /// A new session starts, whose worker has been told that everything up to `acked` was handled. Says whether others
    /// have handled more than this node, whose own state is out of date then. Where this node knows more, since its
    /// last acknowledgement was lost, its own knowledge stays.
    pub fn resume(&mut self, acked: u64) -> bool {
        let behind = acked > self.received;
        if behind {
            self.received = acked;
            self.handled = acked;
        }
        behind
    }

    /// An entry has arrived.
    pub fn receive(&mut self, sequence: u64, body: &EventBody) -> Received {
        let through = match body {
            EventBody::Gap { through } => *through,
            EventBody::Emitted(_) | EventBody::Ended(_) => sequence,
        };
        if through <= self.received {
            return Received::Repeat;
        }
        // A gap may have grown at its end since it was seen first; its head may be known already.
        let known_head = sequence <= self.received && matches!(body, EventBody::Gap { .. });
        if sequence != self.received + 1 && !known_head {
            return Received::Missing;
        }
        self.received = through;
        Received::Next
    }

    /// The handler has returned for everything up to this number.
    pub fn handle(&mut self, through: u64) {
        self.handled = self.handled.max(through);
    }

    /// Everything up to this number has arrived.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Everything up to this number has been handled.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.handled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn repeats_are_dropped_and_holes_are_seen() {
        let event = EventBody::Emitted(Bytes::new());
        let mut cursor = Cursor::default();
        assert!(cursor.resume(3));
        assert_eq!(cursor.receive(3, &event), Received::Repeat);
        assert_eq!(cursor.receive(4, &event), Received::Next);
        assert_eq!(cursor.receive(6, &event), Received::Missing);
        assert_eq!(cursor.receive(5, &EventBody::Gap { through: 8 }), Received::Next);
        assert_eq!(cursor.receive(7, &EventBody::Gap { through: 9 }), Received::Next);
        assert_eq!(cursor.receive(10, &event), Received::Next);
        cursor.handle(5);
        cursor.lose(Some(6));
        assert!(!cursor.resume(4));
        assert_eq!(cursor.receive(6, &event), Received::Repeat);
        assert_eq!(cursor.receive(7, &event), Received::Next);
    }
}
