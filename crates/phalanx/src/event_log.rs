//! The last events of a node, numbered: each reader goes on where it was, and is told what it missed.
//!
//! One ring for all readers instead of a queue for each: what is kept is bounded whatever they do, and a reader that comes
//! back finds what happened meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phalanx_base::Generation;
use tokio::sync::watch;

use crate::environment::WallClock;
use crate::events::{ClusterEvent, ClusterEvents, NumberedEvent};

/// How many events are kept: some for every worker of a large control node.
const EVENTS_MAX: usize = 16_384;

/// How many bytes of the users' own events are kept in all.
const PAYLOAD_BYTES_MAX: usize = 8 << 20;

/// How many numbers there are for each millisecond between two boots. A node that has more events than that, for as long as
/// it lives, repeats numbers of its next boot; and products stay below 2^53, which JSON carries, until the year 2255.
const NUMBERS_PER_MS: u64 = 1_000;

/// The last events of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventLog(Arc<Inner>);

struct Inner {
    ring: Mutex<Ring>,
    /// The number of the last event; closed when there will be no further one.
    last: watch::Sender<u64>,
    wall_clock: Arc<dyn WallClock>,
}

struct Ring {
    events: VecDeque<NumberedEvent>,
    payload_bytes: usize,
    /// The number below the first one of this boot.
    floor: u64,
    last: u64,
    is_closed: bool,
}

/// What a reader finds.
pub(crate) enum Read {
    Event(NumberedEvent),
    /// All has been read.
    Nothing,
    /// There will be no further event.
    Closed,
}

impl EventLog {
    /// A log for one boot. Its numbers are above those of every boot before.
    pub(crate) fn new(generation: Generation, wall_clock: Arc<dyn WallClock>) -> Self {
        let floor = generation.unix_ms().saturating_mul(NUMBERS_PER_MS);
        let ring = Ring { events: VecDeque::new(), payload_bytes: 0, floor, last: floor, is_closed: false };
        Self(Arc::new(Inner { ring: Mutex::new(ring), last: watch::channel(floor).0, wall_clock }))
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: ClusterEvent) {
        let unix_ms = self.0.wall_clock.unix_ms();
        let number = {
            let mut ring = self.ring();
            ring.last += 1;
            let number = ring.last;
            ring.payload_bytes += event.payload_bytes();
            ring.events.push_back(NumberedEvent { number, unix_ms, event });
            while ring.events.len() > EVENTS_MAX || ring.payload_bytes > PAYLOAD_BYTES_MAX {
                let Some(oldest) = ring.events.pop_front() else { break };
                ring.payload_bytes -= oldest.event.payload_bytes();
            }
            number
        };
        self.0.last.send_replace(number);
    }

    /// No event comes any more.
    pub(crate) fn close(&self) {
        self.ring().is_closed = true;
        // Readers look again.
        self.0.last.send_modify(|_| {});
    }

    /// The events from now on.
    pub(crate) fn subscribe(&self) -> ClusterEvents {
        let last = self.ring().last;
        ClusterEvents::new(self.clone(), self.0.last.subscribe(), last)
    }

    /// The events after a number; with a gap first, where there may have been others.
    pub(crate) fn subscribe_since(&self, number: u64) -> ClusterEvents {
        ClusterEvents::new(self.clone(), self.0.last.subscribe(), number)
    }

    /// The event after a number.
    pub(crate) fn read(&self, after: u64) -> Read {
        let ring = self.ring();
        let unix_ms = self.0.wall_clock.unix_ms();
        let oldest = ring.events.front().map_or(ring.last + 1, |event| event.number);
        if after > ring.last || (after < ring.floor && after > 0) {
            // Of another boot, or of another node.
            let event = ClusterEvent::Gap { after };
            return Read::Event(NumberedEvent { number: oldest - 1, unix_ms, event });
        }
        let after = after.max(ring.floor);
        if after + 1 < oldest {
            let event = ClusterEvent::Missed { count: oldest - 1 - after };
            return Read::Event(NumberedEvent { number: oldest - 1, unix_ms, event });
        }
        let at = usize::try_from(after + 1 - oldest).unwrap_or(usize::MAX);
        match ring.events.get(at) {
            Some(event) => Read::Event(event.clone()),
            None if ring.is_closed => Read::Closed,
            None => Read::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use phalanx_base::NodeId;

    struct Noon;

    impl WallClock for Noon {
        fn unix_ms(&self) -> u64 {
            43_200_000
        }
    }

    fn log(boot_ms: u64) -> EventLog {
        EventLog::new(Generation::next(boot_ms, None, 7), Arc::new(Noon))
    }

    fn user(bytes: usize) -> ClusterEvent {
        let from = NodeId::new("a").unwrap();
        ClusterEvent::User { from, name: "n".into(), payload: Bytes::from(vec![0; bytes]) }
    }

    async fn next(events: &mut ClusterEvents) -> NumberedEvent {
        events.next_numbered().await.unwrap()
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_it_was() {
        let log = log(5);
        let mut from_now = log.subscribe();
        for bytes in 0..3 {
            log.push(user(bytes));
        }
        let first = next(&mut from_now).await;
        assert_eq!((first.number, first.event), (5_001, user(0)));
        let mut again = log.subscribe_since(first.number);
        assert_eq!(next(&mut again).await.event, user(1));
        log.close();
        assert_eq!(next(&mut again).await.event, user(2));
        assert_eq!(again.next_numbered().await, None);
        assert_eq!(next(&mut log.subscribe_since(0)).await.event, user(0), "all that is kept");
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_many_it_missed() {
        let log = log(5);
        let mut events = log.subscribe();
        for _ in 0..EVENTS_MAX + 3 {
            log.push(user(0));
        }
        assert_eq!(next(&mut events).await.event, ClusterEvent::Missed { count: 3 });
        assert_eq!(next(&mut events).await.number, 5_004);
        for _ in 0..300 {
            log.push(user(64 << 10));
        }
        assert!(
            matches!(next(&mut events).await.event, ClusterEvent::Missed { .. }),
            "bytes are bounded too"
        );
        assert!(log.ring().payload_bytes <= PAYLOAD_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_number_of_another_boot_is_an_explicit_gap() {
        let (earlier, later) = (log(5), log(9));
        earlier.push(user(1));
        later.push(user(2));
        for (log, after, number, event) in
            [(&later, 5_001, 9_000, user(2)), (&earlier, 9_001, 5_000, user(1))]
        {
            let mut events = log.subscribe_since(after);
            let gap = next(&mut events).await;
            assert_eq!((gap.number, gap.event), (number, ClusterEvent::Gap { after }));
            assert_eq!(next(&mut events).await.event, event);
        }
    }
}
