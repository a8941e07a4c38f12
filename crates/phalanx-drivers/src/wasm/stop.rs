//! The word by which a guest that runs is ended from outside. It looks at it with each tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const GO_ON: u8 = 0;
const STOPPED: u8 = 1;
const TIMED_OUT: u8 = 2;

/// Why a guest is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody waits for it any more.
    Stopped,
    /// Its time as a whole is over.
    TimedOut,
}

/// The guest's end of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicU8>);

impl Stop {
    pub(super) fn why(&self) -> Option<Why> {
        match self.0.load(Ordering::Relaxed) {
            GO_ON => None,
            STOPPED => Some(Why::Stopped),
            _ => Some(Why::TimedOut),
        }
    }
}

/// The end of whoever waits for the guest: dropped, it ends the guest.
#[derive(Debug, Default)]
pub(super) struct Waiting(Stop);

impl Waiting {
    pub(super) fn stop(&self) -> Stop {
        self.0.clone()
    }

    /// Its time as a whole is over.
    pub(super) fn time_out(&self) {
        self.0.0.store(TIMED_OUT, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // What was said before stands.
        let _ = self.0.0.compare_exchange(GO_ON, STOPPED, Ordering::Relaxed, Ordering::Relaxed);
    }
}
