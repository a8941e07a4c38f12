//! What the users of a link and its driver share: a letter box in one direction, what has come in the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use phalanx_base::Lane;
use tokio::sync::{Notify, Semaphore, watch};

use super::datagrams::Datagrams;
use super::pipe::Pipe;
use super::windows::{GRANT_PART, lane_window, rank};
use crate::close::{CloseReason, LinkLost};

/// Locks what no code can leave half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Why the link is gone.
    pub(super) lost: watch::Sender<Option<LinkLost>>,
    /// Why it is about to be closed, once everything has arrived.
    pub(super) ending: OnceLock<CloseReason>,
    /// Whether everything has arrived since.
    pub(super) flushed: watch::Sender<bool>,
    mail: Mutex<Mail>,
    /// The driver's.
    pub(super) waker: AtomicWaker,
    /// What was read of each lane, and the driver does not know of.
    lane_read: [AtomicU32; Lane::ALL.len()],
    /// Streams of ours that the peer still takes.
    pub(super) places: Semaphore,
    /// Streams that the peer has opened. As many as it may have open.
    arrivals: Mutex<VecDeque<Arc<Pipe>>>,
    pub(super) arrived: Notify,
    datagrams: Mutex<Datagrams>,
    pub(super) datagram_came: Notify,
    round_trip_us: AtomicU64,
}

/// What the driver is asked to do. Bounded: a stream is in each list once, and datagrams are dropped.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) opened: VecDeque<Arc<Pipe>>,
    pub(super) noted: VecDeque<Arc<Pipe>>,
    pub(super) datagrams: Datagrams,
    pub(super) close: Option<CloseReason>,
    pub(super) flush: bool,
}

/// The round trip that is assumed before the first was seen: as over QUIC.
const INITIAL_ROUND_TRIP_US: u64 = 100_000;

impl Shared {
    pub(super) fn new(streams_max: u16) -> Self {
        Self {
            lost: watch::Sender::new(None),
            ending: OnceLock::new(),
            flushed: watch::Sender::new(false),
            mail: Mutex::default(),
            waker: AtomicWaker::new(),
            lane_read: std::array::from_fn(|_| AtomicU32::new(0)),
            places: Semaphore::new(streams_max.into()),
            arrivals: Mutex::default(),
            arrived: Notify::new(),
            datagrams: Mutex::default(),
            datagram_came: Notify::new(),
            round_trip_us: AtomicU64::new(INITIAL_ROUND_TRIP_US),
        }
    }

    pub(super) fn lost(&self) -> Option<LinkLost> {
        self.lost.borrow().clone()
    }

    /// The link is gone; the first reason stays.
    pub(super) fn set_lost(&self, why: LinkLost) {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert(why);
            is_first
        });
    }

    pub(super) async fn closed(&self) -> LinkLost {
        let mut lost = self.lost.subscribe();
        // Ends with an error only when the sender is gone, which `self` holds.
        let _ = lost.wait_for(Option::is_some).await;
        self.lost().unwrap_or(LinkLost::ClosedHere(CloseReason::Dropped))
    }

    /// Waits for something on this link, or until the link is gone.
    pub(super) async fn unless_lost<T>(&self, work: impl Future<Output = T>) -> Result<T, LinkLost> {
        tokio::select! {
            biased;
            lost = self.closed() => Err(lost),
            value = work => Ok(value),
        }
    }

    /// Puts something into the driver's letter box. Nobody empties that of a link that is lost.
    pub(super) fn post(&self, write: impl FnOnce(&mut Mail)) {
        write(&mut lock(&self.mail));
        self.waker.wake();
    }

    pub(super) fn note(&self, pipe: &Arc<Pipe>) {
        self.post(|mail| mail.noted.push_back(pipe.clone()));
    }

    /// What was posted, for the driver.
    pub(super) fn take_mail(&self) -> Mail {
        std::mem::take(&mut *lock(&self.mail))
    }

    /// So much of a lane was read.
    pub(super) fn lane_read(&self, lane: Lane, bytes: usize) {
        // At most the lane's window.
        let (bytes, due) = (bytes as u32, lane_window(lane) / GRANT_PART);
        let before = self.lane_read[rank(lane)].fetch_add(bytes, Ordering::Relaxed);
        if before < due && before + bytes >= due {
            self.waker.wake();
        }
    }

    /// What was read of each lane since the last look, for the driver.
    pub(super) fn take_lane_read(&self) -> impl Iterator<Item = (Lane, u32)> {
        let take = |lane| (lane, self.lane_read[rank(lane)].swap(0, Ordering::Relaxed));
        Lane::ALL.into_iter().map(take).filter(|(_, bytes)| *bytes > 0)
    }

    pub(super) fn push_arrival(&self, pipe: Arc<Pipe>) {
        lock(&self.arrivals).push_back(pipe);
        self.arrived.notify_one();
    }

    pub(super) fn pop_arrival(&self) -> Option<Arc<Pipe>> {
        let mut arrivals = lock(&self.arrivals);
        let pipe = arrivals.pop_front()?;
        if !arrivals.is_empty() {
            // Several may wait, and only one was woken for several streams.
            self.arrived.notify_one();
        }
        Some(pipe)
    }

    pub(super) fn push_datagram(&self, datagram: Bytes) {
        lock(&self.datagrams).push(datagram);
        self.datagram_came.notify_one();
    }

    pub(super) fn pop_datagram(&self) -> Option<Bytes> {
        let mut datagrams = lock(&self.datagrams);
        let datagram = datagrams.pop()?;
        if !datagrams.is_empty() {
            self.datagram_came.notify_one();
        }
        Some(datagram)
    }

    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us.load(Ordering::Relaxed))
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        let us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.round_trip_us.store(us, Ordering::Relaxed);
    }
}
